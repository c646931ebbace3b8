"""Votes on Discord, and the best-of channel of a server."""

import asyncio

import discord
import pytest

from tests.adapters.discord_chat.conftest import MANAGER, SMALL, drawn, shows


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("bot.showcase.SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr("bot.showcase.SECONDS_AFTER_A_FAULT", 0.01)


@pytest.fixture
async def presence(make_presence, quick):
    return await make_presence(showcase={"votes": 1})


@pytest.fixture
async def best_of(presence, fake, boss, gate):
    """A channel in which the best are shown, after one vote."""
    gate.open()
    channel = fake.guild.add_channel("best-of")
    told = await boss.command(channel, "flux-admin showcase here")
    await told.until(shows("Pictures with 1 vote are shown here"))
    return channel


@pytest.fixture
def boss(presence, fake):
    return fake.person("boss", permissions=MANAGER)


async def picture_of(fake, person, **more):
    asked = await person.command(fake.channel, "flux imagine", prompt="a fox", **SMALL, **more)
    return await asked.until(drawn)


async def test_a_picture_with_enough_votes_is_shown_with_its_maker_and_a_thread(
    best_of, fake, ada, bob
):
    fox = await picture_of(fake, ada)

    voted = await (await bob.press(fox, "Vote")).until(shows("is among the best"))
    (best,) = await best_of.until(lambda messages: messages)

    assert voted.is_ephemeral
    assert f"<@{ada.id}> · 1 vote" in best.text
    assert f"/{fake.channel.id}/{fox.id}" in best.text
    assert best.attachments[0].data == fox.attachments[0].data
    await fake.until(lambda: best.id in fake.channels)
    assert fake.channels[best.id].name == "a fox"


async def test_it_is_taken_down_with_its_picture(best_of, fake, ada, bob):
    fox = await picture_of(fake, ada)
    await bob.press(fox, "Vote")
    await best_of.until(lambda messages: messages)

    await ada.press(fox, "Delete")

    await best_of.until(lambda messages: not messages)


async def test_what_somebody_has_taken_down_by_hand_is_taken_down(
    best_of, presence, fake, ada, bob
):
    fox = await picture_of(fake, ada)
    await bob.press(fox, "Vote")
    (best,) = await best_of.until(lambda messages: messages)
    best.is_deleted = True

    await ada.press(fox, "Delete")

    async with asyncio.timeout(20):
        while [row["state"] for row in await presence.bot.rows("SELECT * FROM showcased")] != [
            "refused"
        ]:
            pass


async def test_nobody_votes_for_their_own_or_a_private_picture(best_of, fake, ada):
    fox = await picture_of(fake, ada)
    private = await picture_of(fake, ada, private=True)

    refused = await (await ada.press(fox, "Vote")).until(shows("your own picture"))

    assert refused.is_ephemeral
    assert "Vote" not in private.buttons


async def test_a_maker_keeps_others_away(best_of, fake, ada, bob):
    settings = await ada.command(fake.channel, "flux settings", showcase=False, remix=False)
    await settings.until(shows("showcase no"))
    fox = await picture_of(fake, ada)

    await (await bob.press(fox, "Vote")).until(shows("keeps it out of the showcase"))
    again = await (await bob.press(fox, "Again")).followed_up()

    assert "keeps others from building on it" in again.text


async def test_where_no_thread_can_be_opened_the_picture_stands_alone(best_of, fake, ada, bob):
    best_of.overwrite(fake.bot, deny=discord.Permissions(create_public_threads=True))
    fox = await picture_of(fake, ada)

    await bob.press(fox, "Vote")

    (best,) = await best_of.until(lambda messages: messages)
    assert best.attachments
