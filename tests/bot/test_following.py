"""Following a job and delivering how it ends, on a platform that is one class of lists."""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

import pytest

from bot import following as module
from bot.commands import ImagineCommand
from bot.following import Attempt, Fault, Following, Meaning, Way
from bot.jobs import Delivery, JobStatus
from bot.reasons import LeftBehind
from bot.refusals import StorageTrouble
from bot.source import Source
from tests.conftest import at_step, finished, stepping

EVE = "paper:eve"
FOX = ImagineCommand("a fox", num_inference_steps=3, width=64, height=64, seed=7)


class Paper(Exception):
    """A fault of the paper platform."""

    def __init__(self, meaning, why="", retry_in=0.0):
        super().__init__(meaning)
        self.fault = Fault(meaning, why, retry_in)


@dataclass(eq=False)
class Sheet:
    """A window of paper: all that a platform is.

    Attributes:
        lines: What it has said, the newest last.
        letters: Pictures that went out, with the way that they took.
        faults: What goes wrong the next times, by what is done: ``open``, ``show``, ``note`` or
            the name of a way.
        attempts: What was tried, and how.
        hangs: Set while showing progress waits for ever.
    """

    job: object
    say: object
    names: tuple = ("edit", "letter")
    lines: list = field(default_factory=list)
    letters: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)
    attempts: list = field(default_factory=list)
    hangs: bool = False
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, attempt):
        self._do("open", attempt)

    async def ready(self):
        await self.is_ready.wait()

    async def show(self, progress, why_not):
        self._do("show")
        if self.hangs:
            await asyncio.Event().wait()
        self.lines.append(progress.note or f"step {progress.step}")

    def ways(self):
        for name in self.names:
            is_new = name != "edit"
            yield Way(self._finishing(name), is_new, LeftBehind.DIRECTLY if is_new else "")

    async def note(self, sentence):
        self._do("note")
        self.lines.append(sentence)

    def judge(self, error):
        return error.fault if isinstance(error, Paper) else None

    def _finishing(self, name):
        async def finish(attempt):
            self._do(name, attempt)
            self.letters.append((name, self.job.status))
            if name == "edit":
                self.lines.append(f"{self.job.status}")

        return finish

    def _do(self, what, attempt=None):
        self.attempts.append((what, attempt))
        if self.faults.get(what):
            raise self.faults[what].pop(0)


class Desk:
    """Where the sheets lie. *pauses* are those that were slept, which took no time."""

    def __init__(self, bot):
        self.bot = bot
        self.sheets = {}
        self.prepared = {"is_ready": True}
        self.pauses = []
        self.gone = []
        self.opens = True
        self.following = Following(
            bot.service, "paper", self.open, on_gone=self.on_gone, sleep=self.sleep
        )

    def open(self, job, say):
        if not self.opens:
            return None
        sheet = self.sheets[job.id] = Sheet(job, say)
        for name, value in self.prepared.items():
            setattr(sheet, name, value)
        sheet.is_ready = asyncio.Event()
        if self.prepared["is_ready"]:
            sheet.is_ready.set()
        return sheet

    async def on_gone(self, job):
        self.gone.append(job)

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def ask(self, **reply_to):
        job = await self.bot.service.submit(Source(EVE, reply_to={"sheet": 1, **reply_to}), FOX)
        self.following.follow(job, is_new=True)
        return job, self.sheets.get(job.id)

    async def settled(self, job):
        """Wait until nobody is owed *job*, and its sheet has the last word."""
        await until(lambda: not self.following.is_following(job))
        return (await self.bot.service.history(EVE)).jobs[0]


async def until(true):
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0)


@pytest.fixture
async def desk(bot):
    desk = Desk(bot)
    yield desk
    await desk.following.close(is_silent=True)


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


# What faults mean


@pytest.mark.parametrize(
    ("meaning", "is_repeated"), [(Meaning.PASSES, False), (Meaning.UNKNOWN, True)]
)
async def test_what_passes_is_tried_again_and_what_is_unknown_looked_for_first(
    desk, gate, meaning, is_repeated
):
    desk.prepared["faults"] = {"edit": [Paper(meaning, retry_in=7.0), Paper(meaning)]}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.letters == [("edit", JobStatus.SUCCEEDED)]
    tries = [attempt for what, attempt in sheet.attempts if what == "edit"]
    assert [each.is_repeated for each in tries] == [False, is_repeated, is_repeated]
    assert desk.pauses == [7.0, 2.0], "what the platform wants, and longer each time"


async def test_what_is_followed_again_may_have_been_posted_before(desk):
    job = await desk.bot.service.submit(Source(EVE, reply_to={"sheet": 1}), FOX)

    await desk.following.follow_all()
    await until(lambda: desk.sheets[job.id].attempts)

    assert desk.sheets[job.id].attempts[0] == ("open", Attempt(is_repeated=True))


async def test_a_way_that_is_closed_leads_to_the_next_and_the_message_says_so(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.CLOSED)]}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED
    assert sheet.letters == [("letter", JobStatus.SUCCEEDED)]
    assert sheet.lines[-1] == "Answered in a direct message."


async def test_a_last_word_is_tried_until_the_platform_takes_it_or_refuses_it(desk, gate):
    passing = [Paper(Meaning.PASSES)] * 2
    desk.prepared["faults"] = {"edit": [Paper(Meaning.CLOSED)], "note": passing}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.lines[-1] == "Answered in a direct message."


async def test_what_can_be_delivered_nowhere_is_refunded_in_the_persons_language(desk, gate):
    why = "der Kanal wurde archiviert"
    closed = {"edit": [Paper(Meaning.CLOSED)], "letter": [Paper(Meaning.CLOSED, why)]}
    desk.prepared["faults"] = closed
    gate.open()

    job, sheet = await desk.ask(locale="de")
    job = await desk.settled(job)

    assert (job.delivery, job.error) == (Delivery.NONE, why)
    assert (await desk.bot.service.quota(EVE)).used == 0
    assert sheet.lines[-1] == f"Nicht zugestellt: {why}. Du hast deine Credits zurück."


async def test_what_is_refused_for_good_goes_no_other_way(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.REFUSED, "no foxes here")]}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert (sheet.letters, job.error) == ([], "no foxes here")
    assert "no foxes here" in sheet.lines[-1]


async def test_a_file_that_is_too_large_is_made_smaller_and_then_goes_another_way(desk, gate):
    faults = [Paper(Meaning.TOO_LARGE)] * (module.MOST_SHRINKS + 1)
    desk.prepared["faults"] = {"edit": faults}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    tries = [attempt.shrunk for what, attempt in sheet.attempts if what == "edit"]
    assert tries == list(range(module.MOST_SHRINKS + 1))
    assert sheet.letters == [("letter", JobStatus.SUCCEEDED)]


async def test_a_way_on_which_every_attempt_fails_lets_the_others_try(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.UNKNOWN)] * 1000}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.letters == [("letter", JobStatus.SUCCEEDED)]
    assert sum(desk.pauses) > 500, "not before the platform had its minutes to come back"


async def test_while_the_platform_is_down_nobody_is_refunded(desk, gate):
    down = [Paper(Meaning.UNKNOWN)] * (3 * module.TRIES_ON_A_WAY)
    desk.prepared["faults"] = {"edit": list(down), "letter": list(down)}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert (job.delivery, len(sheet.letters)) == (Delivery.DELIVERED, 1)
    assert max(desk.pauses) == module.LONGEST_PAUSE


async def test_a_platform_that_does_not_know_the_bot_is_owed_the_answer(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.GONE)]}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert (desk.gone, sheet.letters) == ([job], [])
    assert [each.id for each in await desk.bot.service.answers.undelivered("paper")] == [job.id]


async def test_progress_tells_too_that_the_platform_does_not_know_the_bot(desk):
    desk.prepared["faults"] = {"show": [Paper(Meaning.GONE)]}

    job, _ = await desk.ask()
    await desk.settled(job)

    assert desk.gone == [job]


async def test_the_people_of_a_platform_that_is_gone_get_their_credits_back(desk, gate):
    job, _ = await desk.ask()
    other = await desk.bot.service.submit(
        Source(EVE, reply_to={"sheet": 2}), replace(FOX, prompt="a cat")
    )

    ending = desk.following.abandon(lambda job: job.reply_to["sheet"] == 1, "the token was revoked")
    await stepping(gate, ending)

    ended = await desk.bot.service.job(Source(EVE), job.id)
    assert ended.error == "Paper could not be reached: the token was revoked"
    assert [each.id for each in await desk.bot.service.answers.undelivered("paper")] == [other.id]


async def test_where_nothing_can_be_shown_nothing_is_drawn(desk, gate):
    desk.prepared["faults"] = {"open": [Paper(Meaning.CLOSED, "the channel was archived")]}

    job, sheet = await desk.ask()
    job = await stepping(gate, desk.settled(job))

    assert (job.status, job.error) == (JobStatus.CANCELLED, "the channel was archived")
    assert "the channel was archived" in sheet.lines[-1]


async def test_a_fault_of_our_own_leaves_the_answer_owed(desk, gate, caplog):
    desk.prepared["faults"] = {"edit": [ZeroDivisionError()]}
    gate.open()

    job, _ = await desk.ask()
    await desk.settled(job)
    assert "still owed" in caplog.text
    await desk.following.follow_all()
    job = await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED


async def test_trouble_of_the_disk_only_delays_the_answer(desk, gate):
    desk.prepared["faults"] = {"edit": [OSError(24, "Too many open files"), StorageTrouble("full")]}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.letters == [("edit", JobStatus.SUCCEEDED)]


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
    (job,) = (await desk.bot.service.history(EVE)).jobs
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
