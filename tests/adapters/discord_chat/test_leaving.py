"""People who leave a server, and servers that the bot is removed from."""

import asyncio

import discord
import pytest

from adapters.discord_chat.people import server_of
from tests.adapters.discord_chat.conftest import SMALL, drawn
from tests.conftest import until
from tests.fakes.discord import payloads

DELETE = {"when_person_leaves": "delete", "when_bot_is_removed": "delete", "grace_days": 0}


@pytest.fixture
async def leaving(fake, make_presence):
    fake.privileged_intents = discord.Intents(members=True).value
    return await make_presence(retention=DELETE)


async def announced(leaving):
    return await leaving.bot.rows("SELECT user, server FROM due_deletions")


async def until_announced(leaving, user, server):
    async with asyncio.timeout(20):
        while await announced(leaving) != [{"user": user, "server": server}]:
            pass


async def test_a_server_that_the_bot_was_removed_from_is_to_be_forgotten(fake, leaving):
    server = server_of(fake.guild.id)

    fake.remove_guild(fake.guild)

    await until_announced(leaving, "", server)


async def test_a_person_who_leaves_is_to_be_forgotten_in_that_server(fake, leaving, clock, gate):
    ada = fake.person("ada")
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(drawn)
    data = {"guild_id": str(fake.guild.id), "user": payloads.user(ada)}

    fake.gateway.dispatch("GUILD_MEMBER_REMOVE", data, guild=fake.guild)

    await until_announced(leaving, f"discord:{ada.id}", server_of(fake.guild.id))
    clock.advance(1)
    await leaving.bot.service.own_data.carry_out_due()
    (job,) = (await leaving.bot.service.lookups.history(f"discord:{ada.id}")).jobs
    assert job.is_forgotten


async def test_an_outage_deletes_nothing(fake, leaving):
    outage = {"id": str(fake.guild.id), "unavailable": True}

    fake.gateway.dispatch("GUILD_DELETE", outage, guild=fake.guild)
    client = next(iter(leaving.chat.client.guilds))
    await until(lambda: client.unavailable)

    assert await announced(leaving) == []


async def test_members_are_not_asked_for_where_nothing_depends_on_them(presence):
    assert not presence.chat.client.intents.members
