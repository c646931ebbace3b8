"""The App Home: what it shows of a person, and what can be done there."""

from bot.commands import ImagineCommand
from bot.jobs import JobStatus
from tests.adapters.slack_chat.conftest import SMALL, jobs
from tests.fakes.slack.world import buttons, elements, images, shown_text


async def test_the_home_shows_quota_jobs_pictures_defaults_and_presets(
    chat, slack, ada, general, own_fox
):
    await ada.open_home()
    home = await ada.sees(lambda ada: ada.home)
    text = shown_text(home)

    assert "credits left" in text
    assert "a fox" in text
    assert "You have no defaults of your own" in text
    assert "canny (attach a picture)" in text
    assert "demo (the default, in memory)" in text
    shown = [each for _, each in elements(home["blocks"]) if each["type"] == "image"]
    assert [each["slack_file"]["id"] for each in shown] == images(own_fox)


async def test_a_job_can_be_cancelled_from_the_home(chat, slack, ada, general):
    await slack.person("bob").mention(general, f"a cat {SMALL}")
    await ada.mention(general, f"a fox {SMALL}")
    await ada.open_home()
    home = await ada.sees(lambda ada: ada.home)

    await ada.press(home, "Cancel")
    await ada.sees(lambda ada: "Cancel" not in buttons(ada.home))

    assert (await jobs(chat))[1].status is JobStatus.CANCELLED


async def test_own_defaults_are_changed_and_forgotten_in_the_home(chat, ada, gate):
    gate.open()
    await ada.open_home()
    await ada.press(await ada.sees(lambda ada: ada.home), "Change")
    view = await ada.form()
    assert await ada.submit(view, steps="20", size="16:9") is None
    await ada.sees(lambda ada: "steps 20, ar 16:9" in shown_text(ada.home))

    await ada.press(ada.home, "Change")
    fields = {b["block_id"]: e for b, e in elements((await ada.form())["blocks"])}
    assert fields["size"]["initial_value"] == "16:9"
    errors = await ada.submit(ada.view, steps="5", size="", preset="plain")
    assert errors is None
    await ada.sees(lambda ada: "preset plain, steps 5" in shown_text(ada.home))
    await ada.press(ada.home, "Forget")
    await ada.sees(lambda ada: "no defaults of your own" in shown_text(ada.home))


async def test_a_picture_is_asked_for_from_the_home_and_answered_directly(chat, ada, gate):
    gate.open()
    await ada.open_home()
    await ada.press(await ada.sees(lambda ada: ada.home), "Draw a picture")

    assert await ada.submit(await ada.form(), prompt="a fox", size="64x64", steps="2") is None

    await ada.direct.said("a fox", button="Again")


async def test_the_home_comes_without_pictures_where_slack_refuses_them(
    chat, slack, ada, general, own_fox
):
    slack.files.clear()

    await ada.open_home()

    home = await ada.sees(lambda ada: ada.home)
    assert "a fox" in shown_text(home)


async def test_the_home_is_shown_though_an_answer_was_lost(chat, slack, ada):
    slack.api.fault("views.publish", "lost", "lost")

    await ada.open_home()

    assert "credits left" in shown_text(await ada.sees(lambda ada: ada.home))
    assert len(slack.api.called("views.publish")) == 3


async def test_defaults_that_are_not_allowed_leave_those_there_are(chat, ada):
    await ada.open_home()
    await ada.press(await ada.sees(lambda ada: ada.home), "Change")
    assert await ada.submit(await ada.form(), steps="20") is None
    await ada.sees(lambda ada: "steps 20" in shown_text(ada.home))

    await ada.press(ada.home, "Change")
    errors = await ada.submit(ada.view, size="2048x2048")

    assert "at most 1048576" in errors["size"]
    assert await chat.bot.service.own_settings.of(ada.key) == {"num_inference_steps": 20}


async def test_the_form_of_defaults_leaves_what_it_does_not_show(chat, ada):
    await chat.bot.service.own_settings.change(ada.key, ImagineCommand(images=2), is_private=True)
    await ada.open_home()
    await ada.press(await ada.sees(lambda ada: ada.home), "Change")

    assert await ada.submit(await ada.form(), steps="20", images="") is None
    await ada.sees(lambda ada: "steps 20" in shown_text(ada.home))

    own = await chat.bot.service.own_settings.of(ada.key)
    assert own == {"private": True, "num_inference_steps": 20}


async def test_the_messages_tab_needs_no_home(chat, slack, ada):
    await ada.open_home(tab="messages")

    assert slack.api.called("views.publish") == []
