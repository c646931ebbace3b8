"""The pace of calls to Slack."""

import asyncio

from tests.adapters.slack_chat.conftest import SMALL, delivered, ours
from tests.fakes.slack.world import buttons, images


async def test_a_busy_channel_is_spoken_to_about_once_a_second(chat, slack, ada, general, gate):
    gate.open()

    people = [slack.person(f"p{number}") for number in range(10)]
    for person in people:
        await person.mention(general, f"a fox {SMALL}")
    await delivered(chat)

    assert slack.api.limited == []
    assert all("Again" in buttons(message) for message in ours(general))


async def test_progress_that_slack_has_no_time_for_is_dropped(chat, slack, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("a fox", button="Cancel")
    slack.time.hold()
    slack.api.fault("chat.update", ("ratelimited", 30))
    gate.allow(1)
    while "chat.update" not in slack.api.limited:
        await slack.time.advance(0.1)
    gate.open()
    await slack.time.advance(28)
    assert "Again" not in buttons(message)

    while "Again" not in buttons(message):
        await slack.time.advance(0.1)

    assert slack.api.limited == ["chat.update"]
    # The same words may come once more, with a preview above them.
    said = [repr(arguments["blocks"]) for arguments in slack.api.called("chat.update")]
    assert len(set(said)) == len(said), "what was dropped is not said later"


async def test_a_picture_that_is_done_waits_for_nobodys_progress(chat, slack, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    slack.time.hold()
    chat.workspaces["T0123"].pace.hold("elsewhere", 600_000)  # hundreds have something to show

    gate.open()
    async with asyncio.timeout(10):
        while "Again" not in buttons(message):
            await slack.time.advance(0.001)

    assert slack.time.waited < 60_000


async def test_what_must_be_said_waits_as_long_as_slack_wants(chat, slack, ada, general, gate):
    slack.api.fault("chat.postMessage", ("ratelimited", -1))  # at once, to keep the test short
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")
    assert len(ours(general)) == 1


async def test_long_drawing_shows_a_preview_that_is_gone_at_the_end(
    chat, slack, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    await slack.time.advance(11)
    gate.allow(1)

    (preview,) = await general.until(lambda _: images(message))
    assert slack.files[preview].data.startswith(b"\xff\xd8")
    gate.open()
    await general.until(lambda _: "Again" in buttons(message))
    await delivered(chat)

    assert preview not in slack.files


async def test_a_picture_does_not_wait_for_progress_that_hangs_and_stays_when_that_arrives(
    chat, slack, ada, general, gate, monkeypatch
):
    """An edit that was cut off may arrive after the picture, and take its place."""
    monkeypatch.setattr("bot.following.SECONDS_UNTIL_ARRIVED", 0.5)
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    arrives, before = asyncio.Event(), len(slack.api.called("chat.update"))
    slack.api.fault("chat.update", arrives)
    gate.allow(1)
    while len(slack.api.called("chat.update")) == before:
        await asyncio.sleep(0)

    gate.open()
    await general.until(lambda _: "Again" in buttons(message))
    arrives.set()
    await general.until(lambda _: "Cancel" in buttons(message))

    await general.until(lambda _: "Again" in buttons(message))
    assert len(ours(general)) == 1


async def test_a_picture_does_not_wait_for_a_preview_that_slack_has_no_time_for(
    chat, slack, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    await slack.time.advance(11)
    slack.api.fault("files.getUploadURLExternal", ("ratelimited", 600))
    gate.allow(1)
    while not slack.api.limited:
        await asyncio.sleep(0)

    gate.open()

    await general.until(lambda _: "Again" in buttons(message))


async def test_a_preview_that_the_end_cut_off_is_not_left_at_slack(chat, slack, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("Drawing step 0", button="Cancel")
    await slack.time.advance(11)
    slack.api.fault("files.info", asyncio.Event())
    gate.allow(1)
    while not slack.api.called("files.info"):
        await asyncio.sleep(0)

    gate.open()
    await general.until(lambda _: "Again" in buttons(message))
    await delivered(chat)

    assert [file.id for file in slack.files.values()] == images(message)
