"""Favourites on Discord, and reactions to the bot's pictures."""

import pytest

from bot.jobs import JobStatus
from bot.source import Source
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, marked, shows, the_job
from tests.samples import pixels


@pytest.fixture
async def fox(fake, ada, gate):
    """The message of a finished picture of ada's."""
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", seed=7, **SMALL)
    return await asked.until(drawn)


async def test_the_star_is_told_to_whoever_presses_it_and_taken_back_the_next_time(
    fake, ada, bob, fox, service
):
    job = await the_job(service, ada)

    marked = await (await bob.press(fox, "Favourite")).until(ended)
    listed = await bob.command(fake.channel, "flux history", favourites=True, until="today")
    page = await listed.until(ended)
    shown = await (await bob.select(page, "flux-show", job.id)).until(drawn)
    taken_back = await (await bob.press(fox, "Favourite")).until(ended)

    assert marked.text == f"★ {job.id} is among your favourites now."
    assert marked.seen_by is bob
    assert taken_back.text == f"☆ {job.id} is no favourite of yours any more."
    assert job.id in page.text
    assert shown.seen_by is bob
    assert "Favourite" in fox.buttons
    listed = await bob.command(fake.channel, "flux history", favourites=True)
    assert (await listed.until(ended)).text == "None of your pictures fits “favourites”."


async def test_a_grid_is_a_favourite_as_a_whole(fake, ada, gate, service):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", images=4, **SMALL)
    four_foxes = await asked.until(drawn)
    job = await the_job(service, ada)

    marked = await (await ada.press(four_foxes, "Favourite")).until(ended)

    assert marked.text == f"★ {job.id} is among your favourites now."


# Reactions


async def test_a_star_makes_a_favourite_of_whoever_gives_it_until_it_is_taken_back(
    ada, bob, fox, service
):
    job = await the_job(service, ada)

    await bob.react(fox, "⭐")
    await marked(service, bob, job.id)
    assert await service.favourites.among(job.user, [job]) == []

    await bob.unreact(fox, "⭐")
    await marked(service, bob, job.id, is_on=False)


async def test_an_envelope_sends_settings_and_each_picture_directly(fake, ada, bob, gate, service):
    gate.open()
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", images=2, seed=7, **SMALL
    )
    grid = await asked.until(drawn)
    job = await the_job(service, ada)

    await bob.react(grid, "✉️")

    (letter,) = await bob.direct.until(len)
    assert letter.text.startswith("a fox --preset plain --steps 3 --size 64x64")
    assert "seed 7" in letter.text
    assert [each.filename for each in letter.attachments] == [f"{job.id}_1.png", f"{job.id}_2.png"]
    second = await service.lookups.picture(Source(job.user), job.id, 2)
    assert pixels(letter.attachments[1].data) == pixels(second.read_bytes())
    assert letter.attachments[0].description == "Made by AI: a fox"


async def test_a_hidden_picture_is_not_sent(fake, make_presence, gate):
    gate.open()
    service = (await make_presence(moderation={"reports_to_hide": 1})).bot.service
    ada = fake.person("ada")
    fox = await (await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)).until(
        drawn
    )
    await service.moderation.report("discord:77", (await the_job(service, ada)).id)

    await ada.react(fox, "📩")

    (letter,) = await ada.direct.until(len)
    assert letter.text == "This picture is hidden, and cannot be shared."
    assert not letter.attachments


async def test_a_cross_cancels_or_deletes_for_the_maker_alone(fake, ada, bob, service):
    first = await bob.command(fake.channel, "flux imagine", prompt="a moon", **SMALL)
    await first.until(shows("step 0"))
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(shows("Queued, 1 ahead of you"))
    job = await the_job(service, ada)
    await bob.react(asked.message, "❌")
    await bob.react(asked.message, "⭐")
    await marked(service, bob, job.id)
    assert not job.status.is_final

    await ada.react(asked.message, "❌")
    ended = await asked.until(lambda message: "Again" in message.buttons)
    assert job.status is JobStatus.CANCELLED
    assert not ended.is_deleted

    await bob.unreact(ended, "❌")
    await ada.unreact(ended, "❌")
    await bob.react(ended, "❌")
    await bob.unreact(ended, "⭐")
    await marked(service, bob, job.id, is_on=False)
    assert not ended.is_deleted
    await ada.react(ended, "❌")
    await fake.channel.until(lambda messages: messages == [first.message])


async def test_the_message_of_one_picture_of_several_has_reactions_too(fake, ada, gate, service):
    """Discord alone knows what it shows."""
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", images=2, **SMALL)
    grid = await asked.until(drawn)
    single = await (await ada.press(grid, "U2")).until(drawn)
    job = await the_job(service, ada)

    await ada.react(single, "⭐")
    await marked(service, ada, job.id)
    await ada.react(single, "❌")

    await fake.channel.until(lambda messages: messages == [grid])
    assert not job.is_pruned


async def test_what_is_no_reaction_of_a_person_to_a_picture_asks_discord_for_nothing(
    fake, ada, bob, fox, service
):
    said = await ada.say(fake.channel, "look at this")
    before = len(fake.requests)
    robot = fake.person("robot")
    robot.is_bot = True

    await bob.react(said, "⭐")
    await bob.react(fox, "👍")
    await robot.react(fox, "⭐")
    await ada.react(fox, "⭐")

    job = await the_job(service, ada)
    await marked(service, ada, job.id)
    assert len(fake.requests) == before
    assert await service.favourites.among(f"discord:{robot.id}", [job]) == []


async def test_reactions_are_bounded(fake, ada, bob, fox, service):
    job = await the_job(service, ada)
    for _ in range(10):
        await bob.react(fox, "⭐")
        await bob.unreact(fox, "⭐")
    await bob.react(fox, "⭐")
    await ada.react(fox, "⭐")

    await marked(service, ada, job.id)
    assert await service.favourites.among(f"discord:{bob.id}", [job]) == []


async def test_reactions_are_heeded_where_the_bot_is_open_alone(fake, make_presence, gate):
    gate.open()
    presence = await make_presence()
    ada = fake.person("ada")
    fox = await (await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)).until(
        drawn
    )
    job = await the_job(presence.bot.service, ada)
    boss = fake.person("boss")
    await presence.restart(discord={"servers": ("1",)}, admins={"users": (f"discord:{boss.id}",)})
    service = presence.bot.service

    await ada.react(fox, "❌")
    await ada.react(fox, "⭐")
    await boss.react(fox, "❌")  # who has not made it
    await boss.react(fox, "⭐")  # and may do that everywhere
    await marked(service, boss, job.id)
    await boss.unreact(fox, "⭐")
    await marked(service, boss, job.id, is_on=False)

    assert await service.favourites.among(job.user, [job]) == []
    assert not fox.is_deleted
