"""Following a job and delivering how it ends, on a platform that is one class of lists."""

import asyncio
import contextlib

import pytest

from bot import following as module
from bot.commands import ImagineCommand
from bot.jobs import Delivery, JobStatus
from bot.refusals import StorageTrouble
from bot.source import Source
from bot.windows import Attempt, Meaning
from generation.errors import GenerationError
from tests.bot.following.paper import EVE, FOX, Desk, Paper, until
from tests.conftest import at_step, finished, stepping


async def test_a_platform_is_one_class_that_draws_and_delivers(desk, gate):
    job, sheet = await desk.ask()
    for step in (0, 1, 2):
        await until(lambda step=step: f"step {step}" in sheet.lines)
        gate.allow(1)

    job = await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED
    assert sheet.letters == [("edit", JobStatus.SUCCEEDED)]
    assert sheet.lines[-1] == "succeeded"


async def test_following_twice_is_following_once(desk, gate):
    job, sheet = await desk.ask()
    desk.following.follow(job)
    await desk.following.follow_all()
    gate.open()

    await desk.settled(job)
    desk.following.follow(job)

    assert len(sheet.letters) == 1
    assert desk.sheets == {job.id: sheet}


# Progress is never in the way


async def test_progress_that_hangs_is_cut_off_by_the_end(desk, gate):
    desk.prepared["hangs"] = True
    job, sheet = await desk.ask()
    await until(lambda: ("show", None) in sheet.attempts)

    gate.open()
    await desk.settled(job)

    assert sheet.letters[0] == ("edit", JobStatus.SUCCEEDED)


async def test_what_was_cut_off_is_said_over_since_it_may_arrive_late(desk, gate):
    desk.prepared["hangs"] = True
    job, sheet = await desk.ask()
    await until(lambda: ("show", None) in sheet.attempts)

    gate.open()
    await desk.settled(job)

    assert desk.pauses == [module.SECONDS_FOR_AN_EDIT, module.SECONDS_UNTIL_ARRIVED]
    assert sheet.attempts[-2:] == [("edit", Attempt()), ("edit", Attempt(is_repeated=True))]


@pytest.mark.parametrize("what", ["open", "show"])
async def test_what_was_lost_is_said_over_since_it_may_arrive_late(desk, gate, what):
    desk.prepared["faults"] = {what: [Paper(Meaning.UNKNOWN)]}
    job, sheet = await desk.ask()
    await until(lambda: "step 0" in sheet.lines or ("show", None) in sheet.attempts)

    gate.open()
    await desk.settled(job)

    assert desk.pauses[-1] == module.SECONDS_UNTIL_ARRIVED
    assert sheet.attempts[-1] == ("edit", Attempt(is_repeated=True))
    assert [name for name, _ in sheet.letters] == ["edit", "edit"]


async def test_an_end_that_was_lost_is_said_again_where_that_changes_nothing(desk, gate):
    """The platform may carry it out late, and show two messages."""
    desk.prepared |= {"is_found_again": True, "faults": {"edit": [Paper(Meaning.UNKNOWN)]}}
    gate.open()
    job, sheet = await desk.ask()

    await desk.settled(job)

    assert desk.pauses[-1] == module.SECONDS_UNTIL_ARRIVED
    assert [name for name, _ in sheet.letters] == ["edit", "edit"]


async def test_a_way_that_is_found_again_is_written_once_the_last_word_is_said(desk, gate):
    """Else a process that dies in between leaves it unsaid for ever."""
    desk.prepared |= {"is_found_again": True, "faults": {"edit": [Paper(Meaning.CLOSED)]}}
    gate.open()
    job, sheet = await desk.ask()
    said = []
    sheet.on_note = lambda: said.append(job.delivery)

    await desk.settled(job)

    assert said == [Delivery.NONE], "it is not written yet"
    assert job.delivery is Delivery.DELIVERED
    assert sheet.lines[-1] == "Answered in a direct message."


async def test_who_has_their_picture_is_not_refunded_as_the_platform_goes_away(desk, gate):
    desk.prepared |= {"is_found_again": True, "faults": {"edit": [Paper(Meaning.CLOSED)]}}
    gate.open()
    job, sheet = await desk.ask()
    sheet.hangs_at_note = asyncio.Event()
    await until(lambda: ("note", None) in sheet.attempts)

    await desk.following.abandon(lambda job: True, "the app was removed from the workspace")
    sheet.hangs_at_note.set()
    await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED
    assert job.error is None


async def test_a_last_word_is_said_over_too_where_progress_was_cut_off(desk, gate):
    """I8: the late edit would put "Cancel" back."""
    desk.prepared |= {"hangs": True, "faults": {"edit": [Paper(Meaning.CLOSED)]}}
    job, sheet = await desk.ask()
    await until(lambda: ("show", None) in sheet.attempts)

    gate.open()
    await desk.settled(job)

    assert sheet.lines == ["Answered in a direct message."] * 2
    assert module.SECONDS_UNTIL_ARRIVED in desk.pauses


async def test_progress_that_waits_for_its_turn_is_dropped_at_the_end(desk, gate):
    desk.prepared["is_ready"] = False
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.lines == ["succeeded"]
    assert desk.pauses == [], "nothing was under way that could arrive late"


async def test_progress_that_cannot_be_shown_is_dropped(desk, gate):
    desk.prepared["faults"] = {"show": [Paper(Meaning.CLOSED), ZeroDivisionError()]}
    job, sheet = await desk.ask()
    for step in (0, 1):
        await at_step(job, step)
        await until(lambda step=step: len(sheet.attempts) > step + 1)
        gate.allow(1)
    await until(lambda: "step 2" in sheet.lines)


async def test_whoever_waits_is_told_why_nothing_is_drawn(desk):
    whys = []

    async def show(progress, why_not):
        whys.append(why_not)

    await stepping(desk.bot.engine, desk.bot.service.admin.pause("web:local"))
    desk.prepared["show"] = show
    _, _ = await desk.ask()

    await until(lambda: whys)
    assert "paused" in whys[0]


# People who know


async def test_who_cancels_a_job_is_not_told_in_another_message(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.CLOSED)]}
    job, sheet = await desk.ask()

    await stepping(gate, desk.bot.service.cancel(Source(EVE), job.id))
    job = await desk.settled(job)

    assert (job.delivery, sheet.letters) == (Delivery.DELIVERED, [])


async def test_whose_job_an_admin_cancels_is_told_wherever_that_can_be(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.CLOSED)]}
    job, sheet = await desk.ask()

    await stepping(gate, desk.bot.service.admin.cancel("web:local", job.id))
    await desk.settled(job)

    assert sheet.letters == [("letter", JobStatus.CANCELLED)]


# Written, however long it takes


@pytest.mark.parametrize("outcome", ["delivered", "undeliverable"])
async def test_what_was_done_is_written_once_the_storage_is_back_and_not_done_again(
    desk, gate, monkeypatch, outcome
):
    answers, refused = desk.bot.service.answers, []
    write = getattr(answers, outcome)

    async def troubled(*what):
        if len(refused) < 3:
            refused.append(what)
            raise StorageTrouble("the disk is full")
        await write(*what)

    monkeypatch.setattr(answers, outcome, troubled)
    if outcome == "undeliverable":
        desk.prepared["faults"] = {"edit": [Paper(Meaning.REFUSED, "no")]}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert len(refused) == 3
    assert job.delivery is not Delivery.OWED
    assert len([what for what, _ in sheet.attempts if what == "edit"]) == 1


# Time, starts and ends


async def test_what_is_owed_is_looked_for_every_minute(desk, gate):
    gate.open()
    minutes = []

    async def sleep(seconds):
        if seconds == module.SECONDS_BETWEEN_LOOKS:
            minutes.append(seconds)
            if len(minutes) == 2:
                await desk.bot.service.submit(Source(EVE, reply_to={"sheet": 1}), FOX)
            if len(minutes) > 3:
                await asyncio.Event().wait()
        await asyncio.sleep(0)

    desk.following._sleep = sleep
    looking = asyncio.create_task(desk.following.run())
    await until(lambda: len(minutes) > 3)
    (job,) = (await desk.bot.service.lookups.history(EVE)).jobs
    job = await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


async def test_a_database_that_cannot_be_asked_is_asked_a_minute_later(desk, monkeypatch, caplog):
    asked, undelivered = [], desk.bot.service.answers.undelivered

    async def troubled(platform):
        asked.append(platform)
        if len(asked) == 1:
            raise StorageTrouble("the database is busy")
        return await undelivered(platform)

    monkeypatch.setattr(desk.bot.service.answers, "undelivered", troubled)
    looking = asyncio.create_task(desk.following.run())
    await until(lambda: len(asked) > 1)
    looking.cancel()

    assert "cannot be looked up" in caplog.text


async def test_a_job_whose_place_is_not_there_just_now_stays_owed(desk, gate):
    gate.open()
    desk.opens = False
    job, sheet = await desk.ask()
    assert sheet is None
    await finished(job)

    desk.opens = True
    await desk.following.follow_all()

    assert (await desk.settled(job)).delivery is Delivery.DELIVERED


async def test_a_row_that_no_window_understands_keeps_no_other_from_being_followed(desk, gate):
    def opened(job, say):
        if job.reply_to["sheet"] == 0:
            raise KeyError("team")
        return desk.open(job, say)

    gate.open()
    desk.following._open_window = opened
    await desk.bot.service.submit(Source(EVE, reply_to={"sheet": 0}), FOX)
    good = await desk.bot.service.submit(Source(EVE, reply_to={"sheet": 1}), FOX)

    await desk.following.follow_all()

    await desk.settled(good)
    assert len(desk.sheets[good.id].letters) == 1


async def test_people_who_wait_are_told_that_the_bot_restarts(desk):
    job, sheet = await desk.ask(locale="fr")
    await until(lambda: "step 0" in sheet.lines)

    await desk.following.close()
    desk.following.follow(job)

    assert sheet.lines[-1] == "The bot is restarting; your picture will follow"
    assert sheet.say(sheet.lines[-1]).startswith("Le bot redémarre")
    assert [each.id for each in await desk.bot.service.answers.undelivered("paper")] == [job.id]


async def test_a_silent_end_tells_nobody_anything(desk):
    _, sheet = await desk.ask()
    await until(lambda: "step 0" in sheet.lines)

    await desk.following.close(is_silent=True)

    assert sheet.lines[-1] == "step 0"


async def test_leaving_waits_for_no_platform_that_hangs(desk, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_LEAVE", 0.01)
    _, sheet = await desk.ask()
    await until(lambda: "step 0" in sheet.lines)
    sheet.hangs = True

    async with asyncio.timeout(5):
        await desk.following.close()


async def test_a_last_word_that_was_begun_is_said_before_leaving(desk, gate):
    desk.prepared["hangs"] = True
    desk.following._sleep = lambda seconds: asyncio.sleep(0 if seconds < 5 else 3600)
    _, sheet = await desk.ask()
    await until(lambda: ("show", None) in sheet.attempts)
    gate.open()
    await until(lambda: sheet.letters)

    await desk.following.close()

    assert [what for what, _ in sheet.letters] == ["edit", "edit"]


# Called to what is done


async def waited(desk, gate, seconds=31.0, **settings):
    """A job that took so many seconds, whose end is delivered, with its sheet."""
    if settings:
        await desk.bot.service.own_settings.change(EVE, ImagineCommand(), **settings)
    job, sheet = await desk.ask()
    await at_step(job, 0)
    desk.bot.clock.advance(seconds)
    gate.open()
    await desk.settled(job)
    return sheet


@pytest.mark.parametrize(
    ("seconds", "settings", "calls"),
    [
        (31.0, {}, [("Your picture is ready.", False)]),
        (29.0, {}, []),
        (29.0, {"beside": {"notify": "always"}}, [("Your picture is ready.", False)]),
        (31.0, {"beside": {"notify": "never"}}, []),
        (31.0, {"beside": {"notify": "dm"}}, [("Your picture is ready.", True)]),
        (29.0, {"beside": {"notify": "dm"}}, []),
    ],
)
async def test_people_are_called_after_a_long_wait_unless_they_want_it_otherwise(
    desk, gate, seconds, settings, calls
):
    sheet = await waited(desk, gate, seconds, **settings)

    assert sheet.calls == calls


async def test_a_call_that_fails_is_not_made_again(desk, gate):
    desk.prepared["faults"] = {"call": [Paper(Meaning.PASSES)]}

    sheet = await waited(desk, gate)

    assert sheet.calls == []
    assert [what for what, _ in sheet.attempts].count("call") == 1


async def test_nobody_is_called_again_after_a_restart(desk, gate):
    await waited(desk, gate)
    await stepping(gate, desk.bot.restart())
    again = Desk(desk.bot)

    await again.following.follow_all()

    assert again.sheets == {}


async def test_a_new_message_has_called_them_already(desk, gate):
    desk.prepared["names"] = ("letter",)

    assert (await waited(desk, gate)).calls == []


async def test_who_has_cancelled_a_picture_is_not_called_to_it(desk, gate):
    job, sheet = await desk.ask()
    await at_step(job, 0)
    desk.bot.clock.advance(31)
    await stepping(gate, desk.bot.service.cancel(Source(EVE), job.id))
    await desk.settled(job)

    assert sheet.calls == []


async def test_a_picture_that_failed_calls_too(desk, gate):
    gate.fault = GenerationError("the GPU fell off")

    assert (await waited(desk, gate)).calls == [("Your picture could not be drawn.", False)]
