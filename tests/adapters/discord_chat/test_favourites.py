"""Favourites on Discord, and reactions to the bot's pictures."""

import pytest

from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, the_job


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
