"""`/flux …` as people meet it, through the real discord.py."""

import asyncio

import pytest

from bot.views import About
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, shows, the_job
from tests.conftest import ADMIN
from tests.fakes.discord import File, RefusedByDiscord
from tests.samples import opened, picture


async def test_a_picture_comes_in_the_message_that_answered(fake, ada, gate):
    gate.open()

    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle", seed=7, **SMALL)

    message = await asked.until(drawn)
    assert fake.channel.messages == [message]
    assert "a red circle" in message.text
    assert "plain · 3 steps · 64×64 · seed 7" in message.text
    with opened(message.attachments[0].data) as image:
        assert image.size == (64, 64)


async def test_the_first_answer_promises_a_picture_for_all_to_see(fake, ada, service):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)

    answer = await asked.answered()

    assert (answer.kind, answer.is_ephemeral) == (5, False)


async def test_one_message_tells_place_then_steps_then_shows_the_picture(fake, ada, bob, gate):
    first = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await first.until(shows("Drawing step 0 of 3"))
    second = await bob.command(fake.channel, "flux imagine", prompt="a blue circle", **SMALL)
    await second.until(shows("Queued, 1 ahead of you"))

    gate.allow(1)
    message = await first.until(shows("Drawing step 1 of 3"))
    assert "▰▰▰▰▱▱▱▱▱▱▱▱" in message.text
    with opened(message.attachments[0].data) as preview:
        assert max(preview.size) == 384
    assert list(message.buttons) == ["Cancel"]
    gate.open()
    await first.until(drawn)
    await second.until(drawn)

    assert len(fake.channel.messages) == 2


async def test_a_start_is_told_as_a_time_of_day_once_it_was_measured(fake, ada, bob, gate):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", size="64x64", steps=50)
    await asked.until(drawn)
    gate.close_again()
    running = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await running.until(shows("step 0"))

    waiting = await bob.command(fake.channel, "flux imagine", prompt="a blue circle", **SMALL)

    await waiting.until(shows("starts <t:"))


async def test_every_option_reaches_the_request(fake, ada, service, gate):
    gate.open()

    asked = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a castle",
        preset="canny",
        steps=4,
        size="wide",
        guidance=2.5,
        seed=9,
        images=2,
        control_image=File(picture(), "castle.png"),
        strength=0.6,
        negative="blurry",
    )

    await asked.until(drawn)
    request = (job := await the_job(service, ada)).request
    assert (request.prompt, request.preset, request.num_inference_steps) == ("a castle", "canny", 4)
    assert (request.guidance_scale, request.seed, job.images) == (2.5, 9, 2)
    assert (request.width, request.height) == (336, 192)
    assert (request.kind.controlnet_conditioning_scale, request.negative_prompt) == (0.6, "blurry")
    assert request.control_image is not None


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 51},
        {"steps": 0},
        {"guidance": 30.5},
        {"seed": -1},
        {"images": 5},
        {"strength": 1.1},
        {"prompt": ""},
        {"prompt": "x" * 2001},
    ],
)
async def test_discord_refuses_what_is_out_of_range_before_we_see_it(fake, ada, options):
    with pytest.raises(RefusedByDiscord):
        await ada.command(fake.channel, "flux imagine", **{"prompt": "a fox", **options})


async def test_the_ranges_are_those_of_the_configuration(make_presence, fake):
    await make_presence(limits={"num_inference_steps": 20, "images": 2})
    ada = fake.person("ada")

    for options in ({"steps": 21}, {"images": 3}):
        with pytest.raises(RefusedByDiscord):
            await ada.command(fake.channel, "flux imagine", prompt="a fox", **options)


async def test_what_is_refused_is_said_to_the_person_alone_and_costs_nothing(fake, ada, service):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", size="65x64")

    said = await asked.followed_up()

    assert said.is_ephemeral
    assert "multiples of 16" in said.text
    assert "try 64x64" in said.text
    assert fake.channel.messages == []
    assert (await service.quota(f"discord:{ada.id}")).used == 0


async def test_a_fault_of_ours_is_said_to_the_person_alone(fake, ada, service, monkeypatch):
    def broken(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(service, "about", About("A test.", (), broken))

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    said = await asked.followed_up()
    assert said.is_ephemeral
    assert "went wrong on our side" in said.text
    assert fake.channel.messages == []


async def test_a_preset_that_needs_a_picture_says_so(fake, ada):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", preset="canny")

    assert "needs a control image" in (await asked.followed_up()).text


async def test_a_private_picture_is_seen_by_the_person_alone(fake, ada, gate):
    gate.open()

    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a red circle", private=True, **SMALL
    )

    assert (await asked.answered()).is_ephemeral
    assert (await asked.until(drawn)).is_ephemeral


async def test_private_can_be_ones_own_default(fake, ada, gate):
    gate.open()
    changed = await ada.command(fake.channel, "flux settings", private=True, steps=2, size="64x64")
    assert "private yes" in (await changed.until(ended)).text

    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle")

    message = await asked.until(drawn)
    assert message.is_ephemeral
    assert "2 steps · 64×64" in message.text


async def test_settings_are_shown_changed_and_forgotten(fake, ada):
    async def settings(**changes):
        asked = await ada.command(fake.channel, "flux settings", **changes)
        return (await asked.until(ended)).text

    assert "no defaults of your own" in await settings()
    assert "preset plain, steps 5" in await settings(preset="plain", steps=5)
    assert "no defaults of your own" in await settings(reset=True)
    assert "steps 9" in await settings(steps=9)
    assert "there is no preset" in (await settings(preset="nope", reset=True)).lower()
    assert "steps 9" in await settings()


async def test_history_has_thumbnails_pages_and_a_menu(fake, ada, gate, service):
    gate.open()
    for number in range(11):
        asked = await ada.command(fake.channel, "flux imagine", prompt=f"fox {number}", **SMALL)
        await asked.until(drawn)

    listed = await ada.command(fake.channel, "flux history")
    page = await listed.until(ended)

    assert page.is_ephemeral
    assert len(page.embeds) == len(page.attachments) == 10
    assert "fox 10" in page.text
    assert "fox 0" not in page.text.replace("fox 10", "")
    await ada.press(page, "Older")
    second = await listed.until(shows("fox 0"))
    assert len(second.embeds) == 1
    job = await the_job(service, ada)
    await ada.press(second, "Newer")
    first = await listed.until(shows("fox 10"))
    shown = await ada.select(first, "flux-show", job.id)
    message = await shown.until(drawn)
    assert message.is_ephemeral
    assert job.id in message.text


async def test_history_shows_no_thumbnail_of_a_hidden_picture(fake, make_presence, gate):
    gate.open()
    service = (await make_presence(moderation={"reports_to_hide": 1})).bot.service
    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    await asked.until(drawn)
    job = await the_job(service, ada)
    await service.moderation.report("discord:77", job.id)

    page = await (await ada.command(fake.channel, "flux history")).until(ended)

    assert "a fox" in page.text
    assert not page.attachments


async def test_history_is_searched_by_words(fake, ada, gate):
    gate.open()
    for prompt in ("a red fox", "a blue boat"):
        asked = await ada.command(fake.channel, "flux imagine", prompt=prompt, **SMALL)
        await asked.until(drawn)

    async def found(words):
        listed = await ada.command(fake.channel, "flux history", words=words)
        return (await listed.until(ended)).text

    assert "a blue boat" in await found("boat")
    assert "a red fox" not in await found("boat")
    assert "None of your prompts has" in await found("castle")


async def test_again_draws_the_latest_once_more(fake, ada, gate, service):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", seed=7, **SMALL)
    first = await asked.until(drawn)

    again = await ada.command(fake.channel, "flux again")

    second = await again.until(drawn)
    assert first.attachments[0].data[-500:] == second.attachments[0].data[-500:]
    assert (await the_job(service, ada)).request.seed == 7


async def test_somebody_elses_picture_is_not_shown_by_its_id(fake, ada, bob, gate, service):
    gate.open()
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a secret", private=True, **SMALL
    )
    await asked.until(drawn)
    job = await the_job(service, ada)

    for command in ("flux show", "flux again"):
        theirs = await bob.command(fake.channel, command, id=job.id)
        if command == "flux show":
            text = (await theirs.until(ended)).text
        else:
            text = (await theirs.followed_up()).text
        assert "There is no picture" in text


async def test_a_job_that_is_being_drawn_is_shown_as_it_is(fake, ada, service):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await asked.until(shows("step 0"))
    job = await the_job(service, ada)

    shown = await ada.command(fake.channel, "flux show", id=job.id)

    assert "Drawing step 0 of 3" in (await shown.until(ended)).text


async def test_cancel_stops_the_newest_job(fake, ada, bob, service):
    running = await bob.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await running.until(shows("step 0"))
    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await asked.until(shows("1 ahead"))

    cancelled = await ada.command(fake.channel, "flux cancel")

    assert "credits were given back" in (await cancelled.until(ended)).text
    await asked.until(shows("Cancelled"))


async def test_quota_queue_presets_and_help_answer_the_person_alone(fake, ada):
    for command, words in (
        ("quota", "10000 credits left"),
        ("queue", "0 pictures being drawn, 0 waiting"),
        ("presets", "plain \\(the default\\): Your words alone"),
        ("models", "demo (the default): no description"),
        ("help", "> · Draws what you describe"),
    ):
        asked = await ada.command(fake.channel, f"flux {command}")
        message = await asked.until(ended)
        assert words.replace("\\", "") in message.text.replace("\\", ""), command
        assert message.is_ephemeral


async def test_help_offers_examples_of_the_model_that_is_loaded(fake, ada):
    asked = await ada.command(fake.channel, "flux help")

    message = await asked.until(ended)
    assert "A test." in message.text
    assert list(message.buttons) == ["a red circle"]


async def test_a_greeting_draws_nothing_and_an_example_is_drawn_when_pressed(
    fake, ada, gate, service
):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="hello!")
    told = await asked.followed_up(1)
    assert "A test." in told.text
    assert told.is_ephemeral
    assert (await service.quota(f"discord:{ada.id}")).used == 0

    pressed = await ada.press(told, "a red circle")

    message = await pressed.until(drawn)
    assert "a red circle" in message.text
    assert not message.is_ephemeral


async def test_a_scripted_prompt_pings_nobody_and_links_nowhere(fake, ada, bob, gate):
    gate.open()
    prompt = (
        f"@everyone <@{bob.id}> **bold** [x](https://evil.example) `code` discord.gg/abc \u202eevil"
    )

    asked = await ada.command(fake.channel, "flux imagine", prompt=prompt, **SMALL)

    message = await asked.until(drawn)
    assert message.mentions == []
    assert not message.mention_everyone
    description = message.embeds[0]["description"]
    assert description.startswith("`@everyone ")
    assert description.split("\n")[0].endswith("discord.gg/abc evil`")
    assert description.split("\n")[0].count("`") == 2


async def test_a_job_that_waits_says_why_nothing_is_drawn(fake, ada, service):
    await service.admin.pause(ADMIN)

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    await asked.until(shows("an admin has paused drawing"))


async def test_a_slow_disk_delays_no_first_answer_and_shows_nothing_to_others(
    fake, ada, presence, gate, monkeypatch
):
    monkeypatch.setattr("adapters.discord_chat.answers.SECONDS_TO_LOOK_UP", 0.01)
    read, gone = presence.bot.database.read, asyncio.Event()

    async def slow(work):
        await gone.wait()
        return await read(work)

    monkeypatch.setattr(presence.bot.database, "read", slow)

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    assert (await asked.answered()).is_ephemeral
    gone.set()
    gate.open()
    await asked.until(drawn)


async def test_an_interaction_that_comes_twice_makes_one_job(fake, ada, service, gate):
    gate.open()
    fake.copies = 2

    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await asked.until(drawn)

    assert len((await service.lookups.history(f"discord:{ada.id}")).jobs) == 1
    assert len(fake.channel.messages) == 1
    fake.forgive("acknowledged")


async def test_a_job_in_the_persons_language(fake, presence, gate):
    ada = fake.person("ada", locale="de")
    asked = await ada.command(fake.channel, "flux imagine", prompt="ein Kreis", **SMALL)

    await asked.until(shows("Schritt 0 von 3"))
    gate.open()
    message = await asked.until(lambda message: "Nochmal" in message.buttons)
    assert "3 Schritte" in message.text


async def test_a_finished_picture_is_attached_where_discord_shows_it_larger(fake, ada, gate):
    gate.allow(1)
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    begun = await asked.until(lambda message: message.attachments)
    assert [embed["image"]["url"] for embed in begun.embeds] == [
        f"attachment://{begun.attachments[0].filename}"
    ], "progress stays in its place"
    gate.open()

    message = await asked.until(drawn)

    assert not any(embed.get("image") for embed in message.embeds)
    assert message.attachments[0].description == "Made by AI: a fox"
