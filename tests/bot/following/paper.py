"""A platform of paper: what following needs of one, as lists that a test can read."""

import asyncio
from dataclasses import dataclass, field, replace

from bot.commands import ImagineCommand
from bot.following import Following
from bot.reasons import LeftBehind
from bot.source import Source
from bot.windows import Fault, Way

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
        hanging: Ways that wait for ever when they are tried next.
        is_found_again: Whether a later process would find what the ways have sent.
        on_note: Called as a last word is said.
        hangs_at_note: What the last word waits for, if anything.
    """

    job: object
    say: object
    names: tuple = ("edit", "letter")
    lines: list = field(default_factory=list)
    letters: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)
    attempts: list = field(default_factory=list)
    calls: list = field(default_factory=list)
    hangs: bool = False
    hanging: list = field(default_factory=list)
    is_found_again: bool = False
    on_note: object = None
    hangs_at_note: asyncio.Event | None = None
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
            left_behind = LeftBehind.DIRECTLY if is_new else ""
            yield Way(self._finishing(name), is_new, left_behind, self.is_found_again)

    async def call(self, sentence, *, is_direct):
        self._do("call")
        self.calls.append((sentence, is_direct))

    async def note(self, sentence):
        self._do("note")
        if self.on_note is not None:
            self.on_note()
        if self.hangs_at_note is not None:
            await self.hangs_at_note.wait()
        self.lines.append(sentence)

    def judge(self, error):
        return error.fault if isinstance(error, Paper) else None

    def _finishing(self, name):
        async def finish(attempt):
            self._do(name, attempt)
            if name in self.hanging:
                self.hanging.remove(name)
                await asyncio.Event().wait()
            self.letters.append((name, self.job.status))
            if name == "edit":
                self.lines.append(f"{self.job.status}")

        return finish

    def _do(self, what, attempt=None):
        self.attempts.append((what, attempt))
        if self.faults.get(what):
            raise self.faults[what].pop(0)


def replaced(paper, **changes):
    paper.fault = replace(paper.fault, **changes)
    return paper


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
        return (await self.bot.service.lookups.history(EVE)).jobs[0]


async def until(true):
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0)
