"""Commands, buttons, modals and shortcuts, in Slack's real payloads."""

import asyncio

import pytest

from bot.jobs import JobStatus
from bot.source import Source
from generation.kinds import Edit, ImageToImage
from generation.types import Preset
from tests.adapters.slack_chat.conftest import SMALL, jobs
from tests.bot.test_loras import LORAS
from tests.conftest import ADMIN, FOLLOWING, INPAINTING, PRESETS, at_step, stepping
from tests.fakes.slack.world import buttons, elements, images, shown_text
from tests.samples import opened, picture

EDITING = {**PRESETS, "edit": Preset(name="edit", kind=Edit(kontext="a/b"))}
UPSCALING = {**PRESETS, "larger": Preset(name="larger", kind=ImageToImage(strength=0.5, upscale=2))}


async def one_more(channel, before):
    """The finished message that was not among *before*."""
    return await channel.until(
        lambda messages: next(
            (
                message
                for message in messages
                if message["ts"] not in before and "Again" in buttons(message)
            ),
            None,
        )
    )


# The command


async def test_a_command_draws_in_the_channel_for_all_to_see(chat, ada, general, gate):
    gate.open()

    answer = await ada.slash(general, f"a fox {SMALL} --seed 7")
    message = await general.said("seed 7", button="Again")

    assert answer is None
    assert "thread_ts" not in message
    assert images(message)


async def test_what_a_command_only_says_is_its_acknowledgement(chat, ada, general):
    assert "credits left" in (await ada.slash(general, "quota"))["text"]
    mistake = await ada.slash(general, "a fox --steps 80")
    assert mistake["response_type"] == "ephemeral"
    assert "Steps must be" in mistake["text"]
    presets = await ada.slash(general, "presets")
    assert "canny (attach a picture)" in shown_text(presets)


async def test_a_command_where_the_bot_is_no_member_draws_in_public_channels(
    chat, slack, ada, gate
):
    gate.open()
    public = slack.channel("public")
    public.has_bot = False

    await ada.slash(public, f"a fox {SMALL}")

    await public.said("plain", button="Again")


async def test_a_command_in_a_private_channel_is_answered_directly(chat, slack, ada, gate):
    gate.open()
    secret = slack.channel("secret", is_private=True)
    secret.has_bot = False

    await ada.slash(secret, f"a fox {SMALL}")

    message = await ada.direct.said("plain", button="Again")
    assert "I am not a member of the channel" in shown_text(message)
    while await chat.bot.service.answers.undelivered("slack"):
        await asyncio.sleep(0)


async def test_a_command_alone_opens_a_form_with_every_option(chat, slack, ada, general, gate):
    gate.open()

    await ada.slash(general)
    assert {block["block_id"] for block in (await ada.form())["blocks"]} == {
        "prompt", "preset", "steps", "size", "guidance", "seed", "images", "strength",
        "control-start",
        "control-end",
        "negative", "map", "image",
    }  # fmt: skip
    errors = await ada.submit(
        ada.view,
        prompt="a fox",
        preset="canny",
        steps="3",
        size="64x64",
        seed="7",
        map=["map"],
        image=[ada.file(picture())],
    )
    message = await general.said("canny · 3 steps · 64×64 · seed 7", button="Again")

    assert errors is None
    assert images(message)
    (job,) = await jobs(chat)
    assert job.request.control_image is not None
    assert job.request.kind.shows_maps


async def test_a_form_takes_a_picture_for_each_of_several_controlnets(chat, ada, general, gate):
    gate.open()
    chat.bot.settings["presets"] = FOLLOWING
    await chat.bot.service.admin.reload_presets(ADMIN)
    await ada.slash(general)
    fox = {"prompt": "a fox", "preset": "both", "steps": "3", "size": "64x64"}
    files = [ada.file(picture(64, 64)), ada.file(picture(64, 96))]

    said = await ada.submit(await ada.form(), **fox, image=files, strength="0.6,0.3")

    message = await general.said("both · 3 steps", button="Again")
    (job,) = await jobs(chat)
    assert said is None
    assert list(job.request.pictures) == ["control_image", "control_image_2"]
    assert job.request.kind.strength_setting == (0.6, 0.3)

    await ada.press(message, "Edit prompt", general)
    assert await ada.submit(await ada.form(), seed="9") is None
    await general.said("changed from", button="Again")
    _, changed = await jobs(chat)
    assert changed.request.kind.strength_setting == (0.6, 0.3)


async def test_a_form_takes_a_part_of_the_picture_to_draw(chat, ada, general, gate):
    gate.open()
    chat.bot.settings["presets"] = INPAINTING
    await chat.bot.service.admin.reload_presets(ADMIN)
    await ada.slash(general)
    view = await ada.form()
    fox = {"prompt": "a fox", "preset": "inpaint", "steps": "3", "size": "64x64"}
    fox["image"] = [ada.file(picture(64, 64))]

    said = await ada.submit(view, **fox)
    assert "say which" in said["mask"]
    assert await ada.submit(view, **fox, mask="top-left") is None
    await general.said("inpaint · 3 steps · 64×64", button="Again")

    (job,) = await jobs(chat)
    mask = opened(job.request.pictures["mask_image"]).convert("L")
    assert mask.getbbox() == (0, 0, 32, 32)


async def test_a_form_offers_loras_with_weights_and_shows_those_of_a_picture(
    chat, ada, general, gate
):
    gate.open()
    chat.bot.settings["loras"] = LORAS
    await chat.bot.service.admin.reload_presets(ADMIN)
    await ada.slash(general)
    view = await ada.form()
    (menu,) = [each["element"] for each in view["blocks"] if each["block_id"] == "lora"]
    offered = [[each["value"] for each in group["options"]] for group in menu["option_groups"]]
    fox = {"prompt": "a fox", "steps": "3", "size": "64x64", "negative": "snow"}

    assert offered[0] == ["ink:0.8", "ink:0.4", "ink:2", "ink:-2"]
    assert menu["option_groups"][0]["label"]["text"] == "ink – Dark outlines"
    said = await ada.submit(view, **fox, lora=["ink:0.8", "ink:2"])
    assert said == {"lora": "Lora has “ink” twice; keep one."}
    assert await ada.submit(view, **fox, lora=["ink:0.4", "slow:-1.5"]) is None
    message = await general.said("ink:0.4 · slow:-1.5", button="Edit prompt")

    await ada.press(message, "Edit prompt", general)
    view = await ada.form()
    (menu,) = [each["element"] for each in view["blocks"] if each["block_id"] == "lora"]
    assert [each["value"] for each in menu["initial_options"]] == ["ink:0.4", "slow:-1.5"]

    assert await ada.submit(view, lora=[], negative=None) is None
    await general.said("changed from", button="Edit prompt")
    first, without = await jobs(chat)
    assert first.request.loras
    assert (without.request.loras, without.request.negative_prompt) == ((), "")


async def test_a_form_says_beside_the_field_what_is_wrong(chat, ada, general):
    await ada.slash(general)
    view = await ada.form()

    assert "sides must be multiples" in (await ada.submit(view, prompt="a", size="65x65"))["size"]
    assert "empty" in (await ada.submit(view, prompt="\u200b"))["prompt"]
    assert "needs a control image" in (await ada.submit(view, prompt="a", preset="canny"))["image"]
    broken = [ada.file(b"not a picture")]
    said = await ada.submit(view, prompt="a", preset="canny", image=broken)
    assert "PNG, JPEG or WebP" in said["image"]
    assert "at most 1048576" in (await ada.submit(view, prompt="a", size="2048x2048"))["size"]
    assert (await ada.submit(view, prompt="a fox", size="wide")) is None


async def test_a_form_that_slack_does_not_open_in_time_is_apologised_for(chat, slack, ada, general):
    slack.api.fault("views.open", "expired_trigger_id")

    await ada.slash(general)

    await general.whispered(ada.id, "The form could not be opened in time")
    assert ada.view is None


# Buttons


async def test_buttons_again_and_vary_draw_in_the_thread(chat, slack, ada, general, own_fox):
    before = set(general.messages)
    await ada.press(own_fox, "Again", general)
    again = await one_more(general, before)
    await ada.press(own_fox, "Vary strong", general)
    varied = await one_more(general, {*before, again["ts"]})

    first, second, third = await jobs(chat)
    assert again["thread_ts"] == varied["thread_ts"] == own_fox["thread_ts"]
    assert (second.parent, third.parent) == (first.id, first.id)
    assert slack.files[images(again)[0]].data != b""
    assert second.request == first.request
    assert third.request.kind.strength == 0.6, "the variation starts from the picture"


async def test_others_may_build_on_a_picture_but_neither_cancel_nor_delete_it(
    chat, slack, ada, general, own_fox
):
    bob = slack.person("bob")
    before = set(general.messages)

    await bob.press(own_fox, "Again", general)
    again = await one_more(general, before)
    await bob.press(own_fox, "Delete", general)
    await general.whispered(bob.id, "Only the person who asked for this picture")

    assert own_fox["ts"] in general.messages
    first, second = await jobs(chat)
    assert second.user == bob.key
    made = f"<@{bob.id}> · {second.id} · drawn anew from {first.id} by <@{ada.id}>"
    assert made in shown_text(again)


@pytest.mark.parametrize(("size", "is_offered"), [("64x64", True), ("128x128", False)])
async def test_upscaling_is_offered_where_the_limits_let_it(
    make_chat, ada, general, gate, size, is_offered
):
    gate.open()
    await make_chat(presets=UPSCALING, limits={"upscaled_pixels": 128 * 128})

    await ada.mention(general, f"a fox --size {size} --steps 3")

    message = await general.said("seed", button="Again")
    assert ("Upscale" in buttons(message)) is is_offered


async def test_several_pictures_can_each_be_varied_and_upscaled(
    make_chat, slack, ada, general, gate
):
    gate.open()
    chat = await make_chat(presets=UPSCALING)
    await ada.mention(general, f"a fox {SMALL} --images 3 --seed 7")
    message = await general.said("3 pictures", button="Upscale 3")

    assert len(images(message)) == 3
    before = set(general.messages)
    await ada.press(message, "Upscale 2", general)
    larger = await one_more(general, before)

    job = (await jobs(chat))[1]
    assert (job.request.width, job.request.seed) == (128, 8)
    shown = opened(slack.files[images(larger)[0]].data)
    assert shown.size == (128, 128)


async def test_braces_in_an_edited_prompt_have_alternatives(chat, ada, general, own_fox):
    await ada.press(own_fox, "Edit prompt", general)

    assert await ada.submit(await ada.form(), prompt="a {red,blue} fox") is None

    await general.whispered(ada.id, "2 pictures")
    assert len(await jobs(chat)) == 1


async def test_edit_prompt_opens_the_form_as_it_was_and_draws_what_is_changed(
    chat, ada, general, own_fox
):
    await ada.press(own_fox, "Edit prompt", general)
    view = await ada.form()
    fields = {block["block_id"]: element for block, element in elements(view["blocks"])}
    assert fields["prompt"]["initial_value"] == "a fox"
    assert fields["seed"]["initial_value"] == "7"
    before = set(general.messages)

    assert await ada.submit(await ada.form(), prompt="a wolf", steps="2") is None
    wolf = await one_more(general, before)

    job = (await jobs(chat))[1]
    assert (job.request.prompt, job.request.num_inference_steps) == ("a wolf", 2)
    assert (job.request.seed, job.parent) == (7, (await jobs(chat))[0].id)
    assert wolf["thread_ts"] == own_fox["thread_ts"]


async def test_a_picture_is_changed_as_the_form_behind_its_button_says(
    make_chat, slack, ada, general, gate
):
    gate.open()
    chat = await make_chat(presets=EDITING)
    await ada.mention(general, f"a fox {SMALL} --images 2 --seed 7")
    message = await general.said("2 pictures", button="Edit picture 2")
    bob, before = slack.person("bob"), set(general.messages)

    await bob.press(message, "Edit picture 2", general)
    view = await bob.form()
    assert [block["block_id"] for block in view["blocks"]] == ["prompt"]
    assert await bob.submit(view, prompt="make it night") is None
    night = await one_more(general, before)

    first, job = await jobs(chat)
    assert (job.request.preset, job.request.prompt) == ("edit", "make it night")
    assert (job.parent, job.user) == (first.id, bob.key)
    assert "edited from" in shown_text(night)
    second = await chat.bot.service.lookups.picture(Source(ada.key), first.id, 2)
    assert opened(job.request.control_image).tobytes() == opened(second).convert("RGB").tobytes()


async def test_further_pictures_come_with_the_one_that_is_changed(make_chat, ada, general, gate):
    gate.open()
    together = Preset(name="edit", kind=Edit(references=2))
    chat = await make_chat(presets={**PRESETS, "edit": together})
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("a fox", button="Edit picture")

    await ada.press(message, "Edit picture", general)
    view = await ada.form()
    assert view["blocks"][1]["element"]["max_files"] == 2
    files = [ada.file(picture(64, 64)), ada.file(picture(64, 96))]
    assert await ada.submit(view, prompt="put the hat on it", image=files) is None
    await general.said("edited from", button="Again")

    names = ["control_image", "control_image_2", "control_image_3"]
    assert list((await jobs(chat))[1].request.pictures) == names


async def test_braces_in_a_change_have_alternatives(make_chat, ada, general, gate):
    gate.open()
    await make_chat(presets=EDITING)
    await ada.mention(general, f"a fox {SMALL} --seed 7")
    message = await general.said("seed 7", button="Edit picture")

    await ada.press(message, "Edit picture", general)
    await ada.submit(await ada.form(), prompt="make it {night,day}")

    await general.whispered(ada.id, "2 pictures")


async def test_a_picture_can_be_the_control_image_of_the_next(chat, ada, general, own_fox):
    await ada.press(own_fox, "Use as control image", general)
    before = set(general.messages)

    assert await ada.submit(await ada.form(), prompt="a cat", steps="2") is None
    await one_more(general, before)

    first, second = await jobs(chat)
    assert (second.request.preset, second.parent) == ("canny", first.id)
    assert second.request.control_image is not None


async def test_cancel_gives_the_credits_back_and_says_so_in_the_message(
    chat, slack, ada, general, gate
):
    bob = slack.person("bob")
    await ada.mention(general, f"a fox {SMALL}")
    (job,) = await jobs(chat)
    await at_step(job, 0)
    await ada.mention(general, f"a cat {SMALL}")
    waiting = await general.said("Queued, 1 ahead of you", button="Cancel")

    await bob.press(waiting, "Cancel", general)
    await general.whispered(bob.id, "Only the person who asked for this picture")
    await ada.press(waiting, "Cancel", general)
    await general.said("Cancelled; your credits were given back", button="Again")

    assert (await chat.bot.service.quota(ada.key)).used == job.cost


async def test_delete_takes_the_picture_from_slack_and_from_the_disk(
    chat, slack, ada, general, own_fox
):
    (file,) = images(own_fox)

    await ada.press(own_fox, "Delete", general)
    await general.until(lambda _: own_fox["ts"] not in general.messages)
    await general.until(lambda _: file not in slack.files or general.touch())

    (job,) = await jobs(chat)
    assert job.is_pruned
    assert not (chat.bot.folder / "images" / f"{job.id}-1.png").exists()


async def test_buttons_work_after_a_restart(make_chat, slack, ada, general, gate):
    gate.open()
    chat = await make_chat()
    await ada.mention(general, f"a fox {SMALL} --seed 7")
    fox = await general.said("seed 7", button="Again")
    await chat.close()
    await chat.bot.restart()
    chat = await make_chat(chat.bot)
    before = set(general.messages)

    await ada.press(fox, "Again", general)

    await one_more(general, before)


async def test_a_button_that_is_pressed_twice_draws_twice_but_its_event_only_once(
    chat, slack, ada, general, own_fox
):
    trigger = slack.new_trigger(ada)

    await ada.press(own_fox, "Again", general, trigger=trigger)
    await ada.press(own_fox, "Again", general, trigger=trigger)

    assert len(await jobs(chat)) == 2


# Shortcuts


async def test_a_shortcut_uses_the_picture_of_any_message(chat, ada, general, gate):
    gate.open()
    message = ada.write(general, "look", [ada.file(picture())])

    await ada.shortcut("flux_control_image", message, general)
    assert await ada.submit(await ada.form(), prompt="a fox", size="64x64", steps="2") is None
    await general.said("canny", button="Again")

    (job,) = await jobs(chat)
    assert job.request.control_image is not None
    assert job.reply_to["root"] == message["ts"]


async def test_a_shortcut_uses_a_picture_of_ours(chat, ada, general, own_fox):
    await ada.shortcut("flux_control_image", own_fox, general)
    before = set(general.messages)
    assert await ada.submit(await ada.form(), prompt="a cat", steps="2") is None
    await one_more(general, before)

    first, second = await jobs(chat)
    assert second.parent == first.id


async def test_a_shortcut_on_a_message_without_a_picture_says_so(chat, ada, general):
    await ada.shortcut("flux_control_image", ada.write(general, "hello"), general)

    await general.whispered(ada.id, "There is no picture in that message.")


async def test_a_shortcut_shows_how_a_picture_was_made(chat, slack, ada, general, own_fox):
    bob = slack.person("bob")

    await bob.shortcut("flux_how", own_fox, general)
    told = shown_text(await general.whispered(bob.id, "--seed 7"))
    await bob.shortcut("flux_how", bob.write(general, "hello"), general)
    await general.whispered(bob.id, "I did not draw that.")

    assert "a fox --preset plain --steps 3 --size 64x64 --guidance 3.5 --seed 7" in told


async def test_pictures_of_several_stand_in_the_message_before_all_are_drawn(
    chat, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL} --images 3 --seed 7")
    gate.allow(4)

    message = await general.until(
        lambda messages: next((each for each in messages if len(images(each)) == 1), None)
    )
    (job,) = await jobs(chat)
    assert job.status is JobStatus.RUNNING
    assert "1 of 3, seed 7" in shown_text(message)

    gate.open()
    done = await general.said("3 pictures", button="Again")
    assert images(done)[0] == images(message)[0]
    assert len(images(done)) == 3


async def test_the_pictures_of_a_cancelled_job_stay(chat, ada, general, gate):
    await ada.mention(general, "a fox --size 64x64 --steps 50 --images 3")
    gate.allow(51)
    await general.until(
        lambda messages: next((each for each in messages if len(images(each)) == 1), None)
    )

    (job,) = await jobs(chat)
    await stepping(gate, chat.bot.service.cancel(Source(job.user), job.id))

    ended = await general.said("1 of 3 pictures are there to stay", button="Again")
    assert len(images(ended)) == 1
