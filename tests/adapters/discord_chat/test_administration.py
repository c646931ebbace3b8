"""`/flux-admin …`: who may, who may not, and what comes of it."""

import json

import pytest

from tests.adapters.discord_chat.conftest import MANAGER, SMALL, drawn, ended, shows
from tests.fakes.discord import RefusedByDiscord


@pytest.fixture
async def ada(home, fake):
    return fake.person("ada")


async def said(person, where, command, **options):
    asked = await person.command(where, f"flux-admin {command}", **options)
    message = await asked.until(ended)
    assert message.is_ephemeral
    return message.text.replace("\\", "")


async def test_whoever_does_not_manage_the_server_does_not_see_the_commands(fake, ada):
    with pytest.raises(RefusedByDiscord):
        await ada.command(fake.channel, "flux-admin pause")


async def test_whoever_manages_the_home_is_an_admin(fake, manager, home):
    assert "is paused" in await said(manager, fake.channel, "pause")
    assert home.bot.service.state.status == "paused"
    assert "goes on" in await said(manager, fake.channel, "resume")
    assert "waiting jobs are still drawn" in await said(manager, fake.channel, "drain")
    assert home.bot.service.state.status == "draining"


async def test_whoever_manages_another_server_decides_about_its_channels_alone(fake, home, gate):
    gate.open()
    other = fake.add_guild("Other")
    general, art = other.add_channel("general"), other.add_channel("art")
    eve = fake.person("eve", guild=other, permissions=MANAGER)

    assert "Only admins" in await said(eve, general, "pause")
    assert f"<#{art.id}>" in await said(eve, general, "channels allow", channel=art)
    refused = await eve.command(general, "flux imagine", prompt="a fox", **SMALL)
    assert "no channel for drawing" in (await refused.followed_up()).text
    drawn_there = await eve.command(art, "flux imagine", prompt="a fox", **SMALL)
    await drawn_there.until(drawn)
    assert "1 job" in await said(eve, general, "stats")
    assert "allow channel" in await said(eve, general, "audit")
    assert "every channel" in await said(eve, general, "channels remove", channel=art)
    assert "every channel" in await said(eve, general, "channels list")


async def test_who_was_a_manager_at_home_is_no_admin_elsewhere(fake, manager, home):
    await said(manager, fake.channel, "pause")
    other = fake.add_guild("Other")
    manager.join(other, MANAGER)

    assert "Only admins" in await said(manager, other.add_channel("general"), "resume")


async def test_the_owner_of_the_application_is_an_admin_everywhere(fake, home):
    other = fake.add_guild("Other")
    channel = other.add_channel("general")
    owner = fake.person("owner-in-person", guild=other, permissions=MANAGER)
    home.chat.client._owners = frozenset({owner.id})

    assert "is paused" in await said(owner, channel, "pause")


async def test_those_whom_the_configuration_names_are_admins_everywhere(make_presence, fake):
    root = fake.person("root", permissions=MANAGER)
    await make_presence(admins={"users": (f"discord:{root.id}",)})

    assert "is paused" in await said(root, fake.channel, "pause")


async def test_presets_are_listed_and_switched(fake, manager, ada):
    listed = await said(manager, fake.channel, "presets list")
    assert "canny: demo/controlnet-canny (not loaded)" in listed
    off = await said(manager, fake.channel, "presets disable", name="canny")
    assert "can no longer be chosen" in off
    names = [
        each["value"] for each in await ada.autocomplete(fake.channel, "flux imagine", "preset")
    ]
    assert names == ["plain", "redraw"]
    assert "again" in await said(manager, fake.channel, "presets enable", name="canny")
    assert "read anew: plain" in await said(manager, fake.channel, "presets reload")
    choices = await manager.autocomplete(fake.channel, "flux-admin presets enable", "name", "can")
    assert [each["value"] for each in choices] == ["canny"]


async def test_quotas_are_shown_granted_set_and_reset(fake, manager, ada):
    async def quota(act, **options):
        return await said(manager, fake.channel, f"quota {act}", **options)

    assert f"<@{ada.id}>" in await quota("show", who=ada)
    assert "50 were granted" in await quota("grant", who=ada, credits=50)
    assert "of 7 used" in await quota("set", who=ada, credits=7)
    assert "of 10000 used" in await quota("set", who=ada)
    assert "of 10000 used" in await quota("reset", who=ada)


async def test_a_role_has_a_quota_that_its_members_get(fake, make_presence):
    role = fake.guild.add_role("artists")
    member = fake.person("member")
    fake.guild.members[member.id].roles.append(role)
    manager = fake.person("manager", permissions=MANAGER)
    await make_presence(discord={"home_servers": (str(fake.guild.id),)})

    text = await said(manager, fake.channel, "quota set", who=role, credits=3)

    assert "each of its members has 3 credits" in text
    asked = await member.command(fake.channel, "flux quota")
    assert "of 3 used" in (await asked.until(ended)).text
    assert "of 3 used" in await said(manager, fake.channel, "quota show", who=member)


async def test_a_server_has_a_quota_that_its_people_share(fake, manager, ada):
    assert "together have 1 credits" in await said(manager, fake.channel, "quota server", credits=1)
    for _ in range(2):
        asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
        await asked.answered()
    assert "people of this server have" in (await asked.followed_up()).text


async def test_the_queue_is_shown_reordered_cancelled_and_refunded(fake, manager, ada, home, gate):
    running = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await running.until(shows("step 0"))
    for prompt in ("a boat", "a house"):
        asked = await ada.command(fake.channel, "flux imagine", prompt=prompt, **SMALL)
        await asked.until(shows("ahead"))
    service = home.bot.service
    first, boat, house = [job.id for job in service.queue(f"discord:{ada.id}").mine]

    assert "a boat" in await said(manager, fake.channel, "queue show")
    choices = await manager.autocomplete(fake.channel, "flux-admin queue first", "id", house)
    assert [each["value"] for each in choices] == [house]
    assert "next one" in await said(manager, fake.channel, "queue first", id=house)
    assert [job.id for job in service.queue(f"discord:{ada.id}").mine] == [first, house, boat]
    assert "last one" in await said(manager, fake.channel, "queue last", id=house)
    assert "is cancelled" in await said(manager, fake.channel, "queue cancel", id=house)
    gate.open()
    await running.until(drawn)
    assert "credits of" in await said(manager, fake.channel, "queue refund", id=first)
    assert "given back already" in await said(manager, fake.channel, "queue refund", id=first)


async def test_what_was_given_up_is_listed_and_drawn_again(fake, manager):
    assert "No job was given up" in await said(manager, fake.channel, "queue failed")
    missing = await said(manager, fake.channel, "queue replay", id="k7m2p9qa")
    assert "k7m2p9qa" in missing


async def test_nobody_but_admins_is_offered_the_jobs_of_others(fake, home, ada):
    running = await ada.command(fake.channel, "flux imagine", prompt="a secret", **SMALL)
    await running.until(shows("step 0"))
    other = fake.add_guild("Other")
    eve = fake.person("eve", guild=other, permissions=MANAGER)
    channel = other.add_channel("general")

    assert await eve.autocomplete(channel, "flux-admin queue first", "id") == []


async def test_a_banned_person_draws_no_more_until_they_may(fake, manager, ada, gate):
    gate.open()
    text = await said(manager, fake.channel, "ban", who=ada, reason="spam")
    assert "is banned" in text
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    assert "banned you from drawing: spam" in (await asked.followed_up()).text

    assert "may draw again" in await said(manager, fake.channel, "unban", who=ada)
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(drawn)


async def test_every_act_is_in_the_audit_log(fake, manager, ada):
    await said(manager, fake.channel, "quota grant", who=ada, credits=50)

    log = await said(manager, fake.channel, "audit")

    assert f"<@{manager.id}>" in log
    assert f"grant <@{ada.id}> 50" in log


async def test_the_audit_log_is_a_file_for_the_person_alone(fake, manager, ada):
    await said(manager, fake.channel, "quota grant", who=ada, credits=50)

    asked = await manager.command(fake.channel, "flux-admin audit", words="grant", file=True)

    message = await asked.until(lambda message: message.attachments)
    assert message.is_ephemeral
    (file,) = message.attachments
    assert file.filename == "audit.jsonl"
    assert json.loads(file.data)["act"] == "grant"
