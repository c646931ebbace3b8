"""What is offered while people type, and commands in a text that people can press."""

import re

import pytest

from generation.types import Preset
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, shows, the_job
from tests.bot.test_loras import LORAS
from tests.conftest import PRESETS


def values(choices):
    return [each["value"] for each in choices]


async def test_presets_are_completed_with_what_they_are(fake, ada):
    choices = await ada.autocomplete(fake.channel, "flux imagine", "preset", "words")

    assert choices == [{"name": "plain – Your words alone", "value": "plain"}]


async def test_presets_are_described_in_the_persons_language(fake, ada):
    ada.locale = "de"

    choices = await ada.autocomplete(fake.channel, "flux imagine", "preset", "worte")

    assert choices == [{"name": "plain – Nur deine Worte", "value": "plain"}]


async def test_sizes_are_offered_as_shapes_and_as_typed(fake, ada):
    shapes = await ada.autocomplete(fake.channel, "flux imagine", "size")
    typed = await ada.autocomplete(fake.channel, "flux imagine", "size", "320x256")

    assert {"name": "square – 256x256", "value": "square"} in shapes
    assert typed == [{"name": "320x256", "value": "320x256"}]


async def test_parts_of_a_picture_are_offered_by_their_names_and_as_typed(fake, ada):
    ada.locale = "de"
    halves = await ada.autocomplete(fake.channel, "flux imagine", "mask", "hälfte")
    fields = await ada.autocomplete(fake.channel, "flux imagine", "mask", "1,2,5")

    assert values(halves) == ["top", "left", "right", "bottom"]
    assert fields == [{"name": "1,2,5", "value": "1,2,5"}]


async def test_loras_are_completed_one_behind_the_other(make_presence, fake, gate):
    gate.open()
    loras = {**LORAS, "ink": {**LORAS["ink"], "model": "demo"}}
    fast = Preset(name="fast", model="lab/klein")
    await make_presence(loras=loras, presets={**PRESETS, "fast": fast})
    ada = fake.person("ada")

    async def offered(typed, **options):
        return await ada.autocomplete(fake.channel, "flux imagine", "lora", typed, **options)

    assert await offered("in") == [{"name": "ink:0.8 – Dark outlines", "value": "ink:0.8"}]
    assert values(await offered("")) == ["ink:0.8", "slow:0.5"]
    assert values(await offered("", preset="fast")) == ["slow:0.5"]
    assert values(await offered("ink:0.3, ")) == ["ink:0.3,slow:0.5"]
    assert values(await offered("slow:")) == ["slow:0.5", "slow:0.25", "slow:-1.5"]
    assert values(await offered("slow:0.1")) == ["slow:0.1"]
    long = f"ink:0.{'0' * 88}, slow:0.1"
    assert values(await offered(long)) == [], "Discord takes no values of more than 100 characters"
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", lora="ink:0.3, slow:-1", **SMALL
    )
    fox = await asked.until(drawn)
    assert "ink:0.3 · slow:-1" in fox.text
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()
    without = await ada.submit(pressed, {"options": "--steps 2 --size 64x64"})
    assert "ink" not in (await without.until(drawn)).text
    listed = await ada.command(fake.channel, "flux loras")
    assert "slow (weight 0.5, from -1.5 to 0.5)" in (await listed.until(shows("slow"))).text


async def test_days_of_a_history_are_offered_by_their_names_and_dates(fake, ada):
    ada.locale = "de"
    named = await ada.autocomplete(fake.channel, "flux history", "since", "ges")
    dated = await ada.autocomplete(fake.channel, "flux history", "until", "20")

    assert named == [{"name": "gestern", "value": "yesterday"}]
    assert len(dated) > 20
    assert all(each["name"] == each["value"] for each in dated)


async def draw(person, channel, prompt):
    asked = await person.command(channel, "flux imagine", prompt=prompt, **SMALL)
    return await asked.until(drawn)


@pytest.mark.parametrize("command", ["show", "again", "delete", "report", "inspect"])
async def test_ones_own_pictures_are_offered_by_prompt_and_time(
    fake, ada, bob, gate, service, command
):
    gate.open()
    for person in (ada, bob):
        await draw(person, fake.channel, "a red fox")
    job = await the_job(service, ada)

    (choice,) = await ada.autocomplete(fake.channel, f"flux {command}", "id", "FOX")

    assert choice["value"] == job.id
    assert re.fullmatch(rf"a red fox · .+ ago · {job.id}", choice["name"])
    by_id = await ada.autocomplete(fake.channel, f"flux {command}", "id", job.id[:5])
    assert by_id == [choice]


async def test_a_long_prompt_leaves_room_for_the_time(fake, ada, gate, service):
    gate.open()
    await draw(ada, fake.channel, "a red fox " * 40)
    job = await the_job(service, ada)

    (choice,) = await ada.autocomplete(fake.channel, "flux show", "id")

    assert len(choice["name"]) <= 100
    assert choice["name"].endswith(f"ago · {job.id}")


async def test_only_what_can_be_cancelled_is_offered_for_that(fake, ada, gate, service):
    gate.open()
    await draw(ada, fake.channel, "a red fox")
    gate.close_again()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a boat", **SMALL)
    await asked.until(shows("step 0"))
    running = await the_job(service, ada)

    assert values(await ada.autocomplete(fake.channel, "flux cancel", "id")) == [running.id]
    assert running.id not in values(await ada.autocomplete(fake.channel, "flux delete", "id"))


async def test_pictures_are_deleted_and_reported_by_their_ids(fake, ada, bob, gate, service):
    gate.open()
    await draw(ada, fake.channel, "a red fox")
    job = await the_job(service, ada)

    told = await bob.command(fake.channel, "flux report", id=job.id, reason="not for here")
    assert "moderators will look" in (await told.until(ended)).text
    refused = await bob.command(fake.channel, "flux delete", id=job.id)
    assert job.id in (await refused.until(ended)).text
    gone = await ada.command(fake.channel, "flux delete", id=job.id)
    assert "was deleted" in (await gone.until(ended)).text


async def test_what_was_reported_is_offered_to_those_who_decide(
    fake, home, manager, ada, bob, gate
):
    gate.open()
    await draw(ada, fake.channel, "a red fox")
    job = await the_job(home.bot.service, ada)
    told = await bob.command(fake.channel, "flux report", id=job.id, reason="not for here")
    await told.until(ended)

    for command in ("reports dismiss", "reports remove", "ask", "review reveal"):
        choices = await manager.autocomplete(fake.channel, f"flux-admin {command}", "id")
        assert job.id in values(choices), command


async def test_lists_of_others_are_offered_to_nobody_else(fake, home, ada, gate):
    gate.open()
    await draw(ada, fake.channel, "a secret")
    running = await ada.command(fake.channel, "flux imagine", prompt="a secret", **SMALL)
    await running.answered()
    other = fake.add_guild("Other")
    eve = fake.person("eve", guild=other, permissions=1 << 5)
    channel = other.add_channel("general")

    for command in ("queue refund", "queue replay", "review release", "reports remove", "ask"):
        assert await eve.autocomplete(channel, f"flux-admin {command}", "id") == []


# Commands that can be pressed


def flux_id(fake):
    return next(each["id"] for each in fake.commands[None] if each["name"] == "flux")


async def test_help_has_commands_to_press(fake, ada):
    asked = await ada.command(fake.channel, "flux help")

    assert f"</flux imagine:{flux_id(fake)}> · Draws what" in (await asked.until(ended)).text


async def test_they_work_after_a_restart_and_another_registration(presence, fake, ada):
    await presence.restart()
    asked = await ada.command(fake.channel, "flux help")
    assert f"</flux mydata export:{flux_id(fake)}>" in (await asked.until(ended)).text

    for each in fake.commands[None]:
        each["id"] = str(fake.snowflake())
    asked = await ada.command(fake.channel, "flux help")

    assert f"</flux imagine:{flux_id(fake)}>" in (await asked.until(ended)).text


@pytest.mark.parametrize("locale", ["de", "fr", "es-ES", "ja"])
async def test_help_fits_in_every_language(fake, ada, locale):
    ada.locale = locale

    asked = await ada.command(fake.channel, "flux help")

    message = await asked.until(ended)
    assert "Draws" not in message.text
    assert not message.text.endswith("…")
