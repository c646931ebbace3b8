"""Being on Discord: logging in, the gateway's moods, and what is asked of Discord."""

import asyncio
from types import SimpleNamespace

import discord
import pytest

from adapters.discord_chat import DiscordChat, identify, invitation
from adapters.discord_chat.chat import _owners
from bot.config import ConfigError
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended
from tests.conftest import until


async def test_a_token_that_is_none_is_said_in_one_sentence(bot, fake):
    fake.refuse_token()
    chat = DiscordChat(bot.service, bot.config, "nonsense", connector=fake.connector())

    with pytest.raises(ConfigError, match="does not accept DISCORD_TOKEN"):
        await chat.run()


async def test_a_token_that_is_revoked_at_the_gateway_is_said_too(presence, fake):
    fake.refuse_token()
    await fake.close(4004)

    with pytest.raises(ConfigError, match="does not accept DISCORD_TOKEN"):
        await asyncio.wait_for(presence.running, 20)
    presence.running = asyncio.create_task(asyncio.sleep(0))


async def test_no_right_to_read_messages_is_asked_for(presence, fake):
    (session, *_) = fake.gateway.sessions

    told = discord.Intents(guilds=True, guild_reactions=True, dm_reactions=True)
    assert session.intents == told.value


@pytest.mark.parametrize("mood", ["drop", "reconnect", "invalidate"])
async def test_after_a_mood_of_the_gateway_commands_work_again(presence, fake, gate, mood):
    gate.open()
    ada = fake.person("ada")
    await getattr(fake, mood)()
    await fake.connected()

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    await asked.until(drawn)


async def test_a_picture_that_is_drawn_while_the_gateway_is_away_arrives(presence, fake, gate):
    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(lambda message: "step 0" in message.text)

    await fake.drop()
    gate.open()

    await asked.until(drawn)


async def test_several_shards_serve_several_servers(make_presence, fake, gate):
    gate.open()
    fake.shards = 2
    other = fake.add_guild("Other")
    await make_presence()
    ada = fake.person("ada")
    ada.join(other)

    for channel in (fake.channel, other.add_channel("general")):
        asked = await ada.command(channel, "flux quota")
        await asked.until(ended)

    assert len(fake.gateway.sessions) == 2


async def test_commands_that_cannot_be_registered_do_not_keep_the_bot_away(fake, make_presence):
    """I8"""
    presence = await make_presence()
    await presence.stop()
    (before,) = [each for each in fake.requests if each.method == "PUT"]
    held = asyncio.Event()
    fake.fail("PUT", "/applications/.*/commands", gate=held)

    await presence.start()

    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux quota")
    await asked.until(ended)
    assert [each for each in fake.requests if each.method == "PUT"] == [before]
    held.set()


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "body": {"code": 30034, "message": "No"}},
        {"status": 429, "body": {"message": "No", "retry_after": 3600.0, "global": False}},
        {"status": 503},
    ],
)
async def test_commands_that_discord_does_not_take_are_offered_again(
    fake, make_presence, monkeypatch, fault
):
    """I8"""
    pauses, sleep = [], asyncio.sleep

    async def recorded(seconds):
        pauses.append(seconds)
        await sleep(0)

    quick = SimpleNamespace(sleep=recorded)
    monkeypatch.setattr("adapters.discord_chat.registration.asyncio", quick)
    headers = {"Via": "1.1 google", "Retry-After": "3600"} if fault["status"] == 429 else {}
    fake.fail("PUT", "/applications/.*/commands", **fault, headers=headers)

    await make_presence()

    await fake.registered()
    assert pauses == [3600.0 if fault["status"] == 429 else 5.0]


async def test_a_token_is_known_by_its_bot(fake):
    who = await identify(fake.token, connector=fake.connector())

    assert who.application_id == fake.application_id
    assert who.name.startswith("flux")


async def test_a_token_that_is_none_is_nobodys(fake):
    with pytest.raises(ConfigError, match="does not accept DISCORD_TOKEN"):
        await identify("nonsense", connector=fake.connector())


async def test_while_discord_is_away_that_is_what_is_said(fake):
    fake.fail("GET", "/users/@me", status=None, times=9)

    with pytest.raises(ConfigError, match="cannot be reached"):
        await identify(fake.token, connector=fake.connector())


def test_the_link_for_oneself_asks_for_commands_alone():
    link = invitation(1234, for_oneself=True)

    assert "integration_type=1" in link
    assert "scope=applications.commands" in link
    assert "bot" not in link


def test_the_invitation_asks_for_what_is_needed_and_no_more():
    link = invitation(1234)

    assert link.startswith("https://discord.com/oauth2/authorize?client_id=1234")
    assert "scope=bot+applications.commands" in link or "scope=bot%20applications.commands" in link
    # view channel, send messages, embed links, attach files, send messages in threads
    assert f"permissions={(1 << 10) | (1 << 11) | (1 << 14) | (1 << 15) | (1 << 38)}" in link


async def test_when_it_leaves_it_leaves_nothing_running(presence, fake):
    await presence.stop()

    def left():
        return [task for task in asyncio.all_tasks() if "discord" in task.get_name().lower()]

    # discord.py does not wait for what it has told of an event that has just come.
    await until(lambda: not left())


def test_who_was_only_invited_to_the_team_or_may_only_read_is_no_admin():
    def member(id, state, role):
        return SimpleNamespace(id=id, membership_state=state, role=role)

    states, roles = discord.TeamMembershipState, discord.TeamMemberRole
    members = [
        member(1, states.accepted, roles.admin),
        member(2, states.invited, roles.admin),
        member(3, states.accepted, roles.read_only),
    ]

    assert _owners(SimpleNamespace(team=SimpleNamespace(members=members))) == {1}
