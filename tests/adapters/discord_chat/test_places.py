"""Servers, threads and direct messages: where `/flux` works, and as whom."""

import discord
import pytest

from tests.adapters.discord_chat.conftest import SMALL, drawn, ended


async def test_it_works_in_threads_and_in_direct_messages(fake, ada, gate):
    gate.open()
    thread = fake.channel.add_thread("ideas")

    for channel in (thread, ada.direct):
        asked = await ada.command(channel, "flux imagine", prompt="a red circle", **SMALL)
        await asked.until(drawn)


async def test_it_works_for_whoever_brought_it_to_a_place_where_it_is_no_member(
    fake, presence, gate
):
    gate.open()
    elsewhere = fake.add_guild("Elsewhere", has_bot=False)
    channel = elsewhere.add_channel("general")
    ada = fake.person("ada", guild=elsewhere, has_installed=True)
    eve = fake.person("eve", has_installed=True)
    among_people = fake.group(ada, eve)

    for where in (channel, among_people):
        asked = await ada.command(where, "flux imagine", prompt="a red circle", **SMALL)
        await asked.until(drawn)


async def test_the_app_that_somebody_brought_along_works_in_a_thread(fake, presence, gate):
    gate.open()
    elsewhere = fake.add_guild("Elsewhere", has_bot=False)
    thread = elsewhere.add_channel("general").add_thread("art")
    eve = fake.person("eve", guild=elsewhere, has_installed=True)

    asked = await eve.command(thread, "flux imagine", prompt="a fox", **SMALL)

    await asked.until(drawn)


@pytest.mark.parametrize("lacking", ["attach_files", "embed_links", "send_messages"])
async def test_where_the_picture_could_not_be_posted_the_job_is_refused(
    fake, ada, service, lacking
):
    muted = fake.guild.add_channel("muted")
    muted.overwrite(fake.bot, deny=discord.Permissions(**{lacking: True}))

    asked = await ada.command(muted, "flux imagine", prompt="a red circle", **SMALL)

    message = await asked.until(ended)
    assert message.is_ephemeral
    assert lacking.replace("_", " ").title() in message.text
    assert (await service.lookups.history(f"discord:{ada.id}")).jobs == []


async def test_a_private_picture_needs_no_permission_in_the_channel(fake, ada, gate):
    gate.open()
    muted = fake.guild.add_channel("muted")
    muted.overwrite(fake.bot, deny=discord.Permissions(attach_files=True))

    asked = await ada.command(muted, "flux imagine", prompt="a fox", private=True, **SMALL)

    await asked.until(drawn)


async def test_the_same_person_has_one_history_and_quota_in_all_servers(fake, ada, gate, service):
    gate.open()
    other = fake.add_guild("Other")
    there = other.add_channel("general")
    ada.join(other)
    for channel in (fake.channel, there):
        asked = await ada.command(channel, "flux imagine", prompt="a red circle", **SMALL)
        await asked.until(drawn)

    assert len((await service.lookups.history(f"discord:{ada.id}")).jobs) == 2
    asked = await ada.command(there, "flux quota")
    assert "2 of 10000 used" in (await asked.until(ended)).text
