"""The buttons under a picture, the forms that open, and the menus of a message."""

import asyncio

import pytest

from bot.jobs import JobStatus
from bot.source import Source
from generation.kinds import ImageToImage
from generation.types import Preset
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, shows
from tests.conftest import PRESETS, stepping
from tests.fakes.discord import File
from tests.samples import opened, picture, pixels

CANNY = {"preset": "canny"}
#: Discord's number for a field below a label.
LABEL = 18


@pytest.fixture
async def fox(fake, ada, gate):
    """The message of a finished picture of ada's."""
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", seed=7, **SMALL)
    return await asked.until(drawn)


@pytest.fixture
async def four_foxes(fake, ada, gate):
    gate.open()
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", seed=7, images=4, **SMALL
    )
    return await asked.until(drawn)


async def newest(service, person):
    return (await service.lookups.history(f"discord:{person.id}")).jobs[0]


async def test_again_draws_the_same_pixels_in_a_message_of_its_own(fake, ada, fox):
    pressed = await ada.press(fox, "Again")

    message = await pressed.until(drawn)

    assert message is not fox
    assert pixels(message.attachments[0].data) == pixels(fox.attachments[0].data)


async def test_a_message_says_who_asked_and_whose_picture_it_came_of(ada, bob, fox, service):
    first = await newest(service, ada)
    again = await (await bob.press(fox, "Again")).until(drawn)
    third = await (await bob.press(again, "Vary subtle")).until(drawn)

    second = await newest(service, bob)
    assert f"<@{ada.id}>" in fox.text
    assert f"<@{bob.id}> · drawn anew from {first.id} by <@{ada.id}>" in again.text
    assert f"<@{bob.id}> · varied a little from {second.parent}" in third.text
    assert f"by <@{bob.id}>" not in third.text


async def test_vary_starts_from_the_picture(ada, fox, service):
    pressed = await ada.press(fox, "Vary strong")

    await pressed.until(drawn)
    request = (await newest(service, ada)).request
    assert (request.preset, request.prompt) == ("redraw", "a fox")
    assert (request.num_inference_steps, request.guidance_scale) == (3, 3.5)
    assert request.control_image is not None


async def test_whoever_sees_a_picture_may_draw_it_again_at_their_own_expense(
    ada, bob, fox, service
):
    pressed = await bob.press(fox, "Again")

    await pressed.until(drawn)
    assert (await newest(service, bob)).request.prompt == "a fox"
    assert (await service.quota(f"discord:{bob.id}")).used == 1


async def test_the_buttons_of_last_month_work_after_a_restart(presence, fake, ada, fox):
    await presence.restart()
    fake.clock.advance(30 * 86400)

    pressed = await ada.press(fox, "Again")

    await pressed.until(drawn)


async def test_edit_prompt_opens_a_form_with_the_old_values(ada, fox, service):
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()
    form = pressed.modal
    values = {name: field.get("value") for name, field in form.fields.items()}
    assert "a fox" in values.values()
    assert "--steps 3 --size 64x64 --guidance 3.5 --seed 7" in values.values()

    submitted = await ada.submit(
        pressed, {"prompt": "a red fox", "options": "--steps 2 --seed 9", "negative": "snow"}
    )

    await submitted.until(drawn)
    request = (await newest(service, ada)).request
    assert (request.prompt, request.num_inference_steps, request.seed) == ("a red fox", 2, 9)
    assert (request.width, request.negative_prompt, request.preset) == (64, "snow", "plain")


async def test_taking_the_seed_out_draws_with_a_new_one(ada, fox, service):
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()

    submitted = await ada.submit(pressed, {"options": "--steps 2"})

    await submitted.until(drawn)
    assert (await newest(service, ada)).request.seed != 7


async def test_a_form_that_cannot_be_read_says_where(ada, fox):
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()

    submitted = await ada.submit(pressed, {"prompt": "a fox", "options": "--stepz 2"})

    message = await submitted.until(ended)
    assert message.is_ephemeral
    assert "stepz" in message.text


async def test_taking_the_negative_prompt_out_takes_it_back(fake, ada, gate, service):
    gate.open()
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", negative="snow", **SMALL
    )
    message = await asked.until(drawn)
    pressed = await ada.press(message, "Edit prompt")
    await pressed.answered()

    submitted = await ada.submit(pressed, {"negative": ""})

    await submitted.until(drawn)
    request = (await newest(service, ada)).request
    assert (request.negative_prompt, request.true_cfg_scale) == ("", 1.0)


async def test_a_picture_becomes_a_control_image(ada, fox, service):
    pressed = await ada.press(fox, "Use as control image")
    await pressed.answered()
    submitted = await ada.submit(
        pressed, {"prompt": "a wolf", "preset": "canny", "options": "--steps 2"}
    )

    await submitted.until(drawn)
    request = (await newest(service, ada)).request
    assert (request.prompt, request.preset) == ("a wolf", "canny")
    with opened(request.control_image) as control_image:
        assert control_image.size == (64, 64)


async def test_a_picture_that_is_attached_in_the_form_becomes_the_control_image(ada, fox, service):
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()

    submitted = await ada.submit(pressed, {"preset": "canny", "picture": File(picture())})

    await submitted.until(drawn)
    request = (await newest(service, ada)).request
    assert (request.prompt, request.preset, request.seed) == ("a fox", "canny", 7)
    assert pixels(request.control_image.read_bytes()) == pixels(picture())


async def test_the_form_has_strength_start_and_end_of_a_controlnet(ada, fox, service):
    pressed = await ada.press(fox, "Use as control image")
    await pressed.answered()
    submitted = await ada.submit(
        pressed, {"preset": "canny", "options": "--strength 0.6 --control-end 0.5"}
    )
    message = await submitted.until(drawn)

    edited = await ada.press(message, "Edit prompt")
    await edited.answered()

    options = edited.modal.fields["options"]["value"]
    assert "--strength 0.6 --control-start 0.0 --control-end 0.5" in options
    later = options.replace("--control-end 0.5", "--control-end 0.9")
    await (await ada.submit(edited, {"options": later})).until(drawn)
    assert (await newest(service, ada)).request.kind.span_setting == (0.0, 0.9)
    # The numbers of a ControlNet mean nothing to a preset without one.
    again = await ada.press(message, "Edit prompt")
    await again.answered()
    await (await ada.submit(again, {"preset": "plain"})).until(drawn)
    assert (await newest(service, ada)).request.preset == "plain"


async def test_a_preset_that_needs_a_picture_asks_for_one_where_none_is_attached(ada, fox):
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()

    submitted = await ada.submit(pressed, {"preset": "canny"})

    assert "canny needs a control image" in (await submitted.followed_up()).text


async def test_a_control_image_is_drawn_from_in_private_where_the_form_says_so(ada, fox):
    pressed = await ada.press(fox, "Use as control image")
    await pressed.answered()

    submitted = await ada.submit(pressed, {"preset": "canny", "private": True})

    assert (await submitted.until(drawn)).is_ephemeral


async def test_a_form_can_be_opened_without_a_picture_before(fake, ada, gate, service):
    gate.open()
    opened = await ada.command(fake.channel, "flux form")
    await opened.answered()

    submitted = await ada.submit(
        opened, {"prompt": "a castle", "options": "--steps 2", "picture": File(picture())} | CANNY
    )

    await submitted.until(drawn)
    request = (await newest(service, ada)).request
    assert (request.prompt, request.preset, request.num_inference_steps) == ("a castle", "canny", 2)
    assert pixels(request.control_image.read_bytes()) == pixels(picture())


async def test_no_form_has_a_field_of_the_old_kind(fake, ada, fox, four_foxes):
    """Text inputs in rows are deprecated: each field stands below a label."""
    forms = [
        await ada.press(fox, "Edit prompt"),
        await ada.press(fox, "Use as control image"),
        await ada.press(four_foxes, "Use as control image"),
        await ada.command(fake.channel, "flux form"),
    ]

    for each in forms:
        await each.answered()
        assert {part["type"] for part in each.modal.components} == {LABEL}


async def test_of_a_grid_one_picture_is_chosen_as_control_image(ada, four_foxes, service, presence):
    pressed = await ada.press(four_foxes, "Use as control image")
    await pressed.answered()
    submitted = await ada.submit(pressed, {"preset": "canny", "which": "3"})

    await submitted.until(drawn)
    newer, older = (await service.lookups.history(f"discord:{ada.id}")).jobs
    third = await service.lookups.picture(Source(older.user), older.id, 3)
    assert pixels(newer.request.control_image.read_bytes()) == pixels(third.read_bytes())


async def test_cancel_stops_a_job_that_is_being_drawn(fake, ada, gate, service):
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", size="64x64", steps=50)
    message = await asked.until(shows("step 0"))

    await ada.press(message, "Cancel")

    cancelled = shows("Cancelled; your credits were given back")
    message = await stepping(gate, asked.until(cancelled))
    assert "Cancel" not in message.buttons
    assert (await service.quota(f"discord:{ada.id}")).used == 0


async def test_nobody_else_cancels_or_deletes_a_picture(fake, ada, bob, fox, gate, service):
    gate.close_again()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    running = await asked.until(shows("step 0"))

    for message, button in ((running, "Cancel"), (fox, "Delete")):
        pressed = await bob.press(message, button)
        said = await pressed.followed_up()
        assert said.is_ephemeral
        assert "Only the person who asked for this picture" in said.text
    assert not fox.is_deleted
    assert (await newest(service, ada)).status is JobStatus.RUNNING


async def test_an_admin_may_cancel_and_delete_it(fake, fox, presence):
    owner = fake.person("root")
    presence.chat.client._owners = frozenset({owner.id})

    await owner.press(fox, "Delete")

    await fake.channel.until(lambda messages: messages == [])


async def test_delete_takes_message_and_files_away(fake, ada, fox, service):
    job = await newest(service, ada)
    path = await service.lookups.picture(Source(job.user), job.id)

    await ada.press(fox, "Delete")

    await fake.channel.until(lambda messages: messages == [])
    assert not path.exists()


async def test_a_grid_has_buttons_for_each_of_its_pictures(four_foxes):
    labels = list(four_foxes.buttons)

    assert labels[:8] == ["U1", "U2", "U3", "U4", "V1", "V2", "V3", "V4"]
    with opened(four_foxes.attachments[0].data) as grid:
        assert grid.size == (132, 132)


async def test_u_shows_one_picture_of_a_grid_by_itself(ada, bob, four_foxes, service):
    pressed = await bob.press(four_foxes, "U2")

    message = await pressed.until(drawn)

    job = await newest(service, ada)
    second = await service.lookups.picture(Source(job.user), job.id, 2)
    assert pixels(message.attachments[0].data) == pixels(second.read_bytes())
    assert "seed 8" in message.text


async def test_v_varies_one_picture_of_a_grid(ada, four_foxes, service):
    pressed = await ada.press(four_foxes, "V4")

    await pressed.until(drawn)
    newer, older = (await service.lookups.history(f"discord:{ada.id}")).jobs
    fourth = await service.lookups.picture(Source(older.user), older.id, 4)
    assert pixels(newer.request.control_image.read_bytes()) == pixels(fourth.read_bytes())


async def test_upscale_is_offered_where_a_preset_can(make_presence, fake, gate):
    gate.open()
    large = Preset(name="large", kind=ImageToImage(strength=0.3, upscale=2))
    await make_presence(presets={**PRESETS, "large": large})
    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    message = await asked.until(drawn)

    pressed = await ada.press(message, "Upscale")

    larger = await pressed.until(drawn)
    with opened(larger.attachments[0].data) as image:
        assert image.size == (128, 128)


async def test_upscale_is_not_offered_where_the_result_would_be_too_large(
    make_presence, fake, gate
):
    gate.open()
    large = Preset(name="large", kind=ImageToImage(strength=0.3, upscale=2))
    limits = {"pixels": 128 * 128, "upscaled_pixels": 128 * 128}
    await make_presence(presets={**PRESETS, "large": large}, limits=limits)
    ada = fake.person("ada")

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", size="128x128", steps=2)

    assert "Upscale" not in (await asked.until(drawn)).buttons


async def test_upscale_is_not_offered_where_none_can(fox):
    assert "Upscale" not in fox.buttons


async def test_what_comes_of_a_private_picture_stays_private(fake, ada, gate):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", private=True, **SMALL)
    message = await asked.until(drawn)

    pressed = await ada.press(message, "Again")

    assert (await pressed.until(drawn)).is_ephemeral


async def test_a_failed_job_says_why_and_can_be_tried_again(fake, ada, gate):
    gate.open()
    gate.fault = RuntimeError("a fault of ours")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    message = await asked.until(shows("Not drawn"))
    assert "credits were given back" in message.text
    gate.fault = None

    pressed = await ada.press(message, "Again")

    await pressed.until(drawn)


async def test_the_buttons_of_a_picture_that_was_deleted_say_so(ada, bob, fox, service):
    job = await newest(service, ada)
    await service.delete(Source(job.user), job.id)

    pressed = await bob.press(fox, "Vary strong")

    assert "was deleted" in (await pressed.followed_up()).text


async def test_one_of_a_grid_that_is_gone_is_said_to_the_person_alone(
    ada, bob, four_foxes, fake, service
):
    job = await newest(service, ada)
    await service.delete(Source(job.user), job.id)

    pressed = await bob.press(four_foxes, "U1")

    said = await pressed.until(shows("was deleted; "))
    assert said.is_ephemeral
    assert fake.channel.messages == [four_foxes]


async def test_delete_under_one_of_a_grid_takes_that_message_alone(
    ada, bob, four_foxes, fake, service
):
    single = await (await bob.press(four_foxes, "U2")).until(drawn)

    await bob.press(single, "Delete")

    await fake.channel.until(lambda messages: messages == [four_foxes])
    job = await newest(service, ada)
    assert (await service.lookups.picture(Source(job.user), job.id, 2)).exists()


async def test_a_form_that_was_closed_is_forgotten_after_a_while(presence, ada, fox):
    await (await ada.press(fox, "Edit prompt")).answered()

    store = presence.chat.client._connection._view_store
    async with asyncio.timeout(20):
        while not store._modals:
            await asyncio.sleep(0)
    assert [form.timeout for form in store._modals.values()] == [3600.0]


async def test_a_form_that_was_open_over_a_restart_gives_back_what_was_written(
    presence, fake, ada, fox
):
    pressed = await ada.press(fox, "Edit prompt")
    await pressed.answered()
    await presence.restart()

    submitted = await ada.submit(pressed, {"prompt": "a fox at *night*"})

    said = await submitted.until(ended)
    assert said.is_ephemeral
    assert "open it again. You had written: a fox at \\*night\\*" in said.text


# Menus of a message


async def test_any_picture_in_the_channel_becomes_a_control_image(fake, ada, bob, gate, service):
    gate.open()
    message = await bob.say(fake.channel, "look", File(picture(), "holiday.png"))

    chosen = await ada.menu("Use as control image", message)
    await chosen.answered()
    submitted = await ada.submit(chosen, {"prompt": "a castle", "preset": "canny"})

    await submitted.until(drawn)
    request = (await newest(service, ada)).request
    assert pixels(request.control_image.read_bytes()) == pixels(picture())


async def test_a_picture_of_ours_becomes_a_control_image_by_the_menu_too(bob, fox, service):
    """Although Discord does not list the file, which an embed shows."""
    chosen = await bob.menu("Use as control image", fox)
    await chosen.answered()
    submitted = await bob.submit(chosen, {"preset": "canny"})

    await submitted.until(drawn)
    request = (await newest(service, bob)).request
    assert (request.prompt, request.preset) == ("a fox", "canny")


async def test_what_the_menu_makes_of_a_private_picture_stays_private(fake, ada, gate):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", private=True, **SMALL)
    chosen = await ada.menu("Use as control image", await asked.until(drawn))
    await chosen.answered()

    submitted = await ada.submit(chosen, {"preset": "canny"})

    assert (await submitted.until(drawn)).is_ephemeral


async def test_a_picture_of_ours_is_varied_by_the_menu(bob, fox, service):
    chosen = await bob.menu("Vary this", fox)

    await chosen.until(drawn)
    request = (await newest(service, bob)).request
    assert (request.preset, request.prompt) == ("redraw", "a fox")


async def test_one_of_a_grid_is_varied_by_the_menu_as_it_is_shown(ada, four_foxes, service):
    single = await (await ada.press(four_foxes, "U3")).until(drawn)

    await (await ada.menu("Vary this", single)).until(drawn)

    newer, older = (await service.lookups.history(f"discord:{ada.id}")).jobs
    third = await service.lookups.picture(Source(older.user), older.id, 3)
    assert pixels(newer.request.control_image.read_bytes()) == pixels(third.read_bytes())


async def test_of_a_grid_the_menu_draws_as_many_new_ones(ada, four_foxes, service):
    await (await ada.menu("Vary this", four_foxes)).until(drawn)

    newer, older = (await service.lookups.history(f"discord:{ada.id}")).jobs
    assert (newer.images, newer.request.prompt) == (4, "a fox")
    assert newer.request.seed != older.request.seed


async def test_a_picture_of_anybody_is_varied_with_words_of_ones_own(fake, ada, bob, gate, service):
    gate.open()
    message = await bob.say(fake.channel, "look", File(picture(), "holiday.png"))
    chosen = await ada.menu("Vary this", message)
    await chosen.answered()
    assert chosen.modal.title == "Vary this"

    submitted = await ada.submit(
        chosen, {"prompt": "a castle", "options": "--steps 2 --strength 1"}
    )

    await submitted.until(drawn)
    request = (await newest(service, ada)).request
    assert (request.preset, request.prompt, request.kind.strength) == ("redraw", "a castle", 1)
    assert pixels(request.control_image.read_bytes()) == pixels(picture())


@pytest.mark.parametrize("menu", ["Vary this", "Use as control image"])
async def test_a_strangers_picture_that_is_too_large_is_refused(make_presence, fake, gate, menu):
    gate.open()
    await make_presence(control_images={"max_megabytes": 0.0001})
    ada = fake.person("ada")
    message = await ada.say(fake.channel, "look", File(picture(), "holiday.png"))
    chosen = await ada.menu(menu, message)
    await chosen.answered()

    submitted = await ada.submit(chosen, {"prompt": "a castle"})

    assert "MB are allowed" in (await submitted.followed_up()).text


async def test_a_message_without_a_picture_has_nothing_to_draw_from(fake, ada, bob):
    message = await bob.say(fake.channel, "look")

    chosen = await ada.menu("Use as control image", message)

    assert "no picture in that message" in (await chosen.until(ended)).text


async def test_how_a_picture_was_made_is_told_to_whoever_sees_it(bob, fox):
    chosen = await bob.menu("Show how this was made", fox)

    message = await chosen.until(ended)

    assert message.is_ephemeral
    assert "a fox --preset plain --steps 3 --size 64x64" in message.text.replace("\\", "")
    assert "--seed 7" in message.text.replace("\\", "")


async def test_somebody_elses_message_is_no_picture_of_ours(fake, ada, bob):
    message = await bob.say(fake.channel, "mine", File(picture(), "mine.png"))

    chosen = await ada.menu("Show how this was made", message)

    assert "I did not draw that" in (await chosen.until(ended)).text


async def test_each_of_several_pictures_is_shown_before_all_are_drawn(fake, ada, gate, service):
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", seed=7, images=3, **SMALL
    )
    gate.allow(4)
    message = await asked.until(lambda message: "U1" in message.buttons)

    single = await (await ada.press(message, "U1")).until(drawn)

    assert (await newest(service, ada)).status is JobStatus.RUNNING
    assert opened(single.attachments[0].data).size == (64, 64)
    sheet = opened(message.attachments[0].data)
    assert (sheet.format, sheet.size) == ("JPEG", (2 * 64 + 4, 2 * 64 + 4))


async def test_the_pictures_of_a_cancelled_job_stay(fake, ada, gate, service):
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", images=3, size="64x64", steps=50
    )
    gate.allow(51)
    message = await asked.until(lambda message: "U1" in message.buttons)

    job = await newest(service, ada)
    await stepping(gate, service.cancel(Source(job.user), job.id))
    message = await asked.until(drawn)

    assert "1 of 3 pictures are there to stay" in message.text
    assert "U1" in message.buttons
    assert "U2" not in message.buttons
