"""Plays: what people do on Slack, with one call that meets a trouble, and what came of it."""

from __future__ import annotations

import ast
import asyncio
import logging
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

import adapters.slack_chat
from adapters.slack_chat.chat import SlackChat
from adapters.slack_chat.pace import Pace
from adapters.slack_chat.workspaces import Workspace
from bot.config import Secrets
from bot.following import Following
from bot.source import Source
from tests.adapters.slack_chat.troubles import TIMEOUT, Trouble
from tests.conftest import Bot, Clock, Gate, stepping
from tests.fakes.slack import FakeSlack
from tests.fakes.slack.world import buttons, images, shown_text
from tests.judges import Judge

SMALL = "--size 64x64 --steps 3"
#: Seconds in which everything must have come to its end.
PATIENCE = 8.0
#: Seconds that a person looks for progress, which a fault may keep from them.
GLANCE = 0.2
#: Seconds that time at Slack and in the bot's patience is shortened to.
SHORT = {
    "adapters.slack_chat.chat.TIMEOUT": TIMEOUT,
    "adapters.slack_chat.workspaces.TIMEOUT": TIMEOUT,
    "bot.following.FIRST_PAUSE": 0.005,
    "bot.following.LONGEST_PAUSE": 0.02,
    "bot.following.LONGEST_PAUSE_OF_ROUNDS": 0.02,
    "bot.following.MOST_ROUNDS": 3,
    "bot.following.SECONDS_BETWEEN_LOOKS": 0.3,
    "bot.following.SECONDS_FOR_AN_ATTEMPT": 10 * TIMEOUT,
    "bot.following.SECONDS_FOR_AN_EDIT": 0.05,
    "bot.following.SECONDS_UNTIL_ARRIVED": 0.3,
    "bot.moderation_log.SECONDS_BETWEEN_LOOKS": 0.02,
    "bot.showcase.SECONDS_BETWEEN_LOOKS": 0.02,
    "bot.showcase.SECONDS_AFTER_A_FAULT": 0.05,
    "bot.moderation_log.SECONDS_AFTER_A_FAULT": 0.05,
}
FOLDER = Path(adapters.slack_chat.__file__).parent
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


async def _soon(seconds):
    """Sleeps; a second and more, which Slack asks for, a hundred times as fast."""
    await asyncio.sleep(seconds if seconds < 1 else seconds / 100)


class _Hurry:
    """asyncio, as the library that waits for Slack's rate limits is to know it."""

    sleep = staticmethod(_soon)


# The adapter's calls


def call_sites():
    """(file, first line, last line) of every call to Slack in the adapter's code."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            on, verb = ast.unparse(node.func.value), node.func.attr
            is_call = verb == "call" or (verb in ("get", "post") and on.endswith("session"))
            if is_call:
                found.append((path.name, node.lineno, node.end_lineno))
    return found


def _noting(sites, call):
    """*call*, which adds the line of the adapter that it is called from to *sites*."""

    def noted(*args, **kwargs):
        frame = sys._getframe(1)
        path = Path(frame.f_code.co_filename)
        if path.parent == FOLDER:
            sites.add((path.name, frame.f_lineno))
        return call(*args, **kwargs)

    return noted


# What came of a play


@dataclass
class Outcome:
    """What stands in Slack and in the bot's books once everything is over.

    Attributes:
        problems: What is wrong with it, a sentence each.
        labels: The calls that were made, by the label of `Trouble`.
        sites: Lines of the adapter that called.
        places: For each job, in order: how it ended, and the conversation in which it is shown.
        is_met: Whether the trouble came up.
    """

    problems: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    sites: set = field(default_factory=set)
    places: list = field(default_factory=list)
    is_met: bool = False


class Stage:
    """A bot in a Slack, and the people there.

    Attributes:
        asked: Pictures that people have asked for.
        expected: Words that somebody must have read, in the end.
        deleted: Ids of jobs that their people have deleted.
        hidden: Ids of jobs whose pictures not everybody wants to see.
        shown_again: How often somebody has asked to see the picture of a job once more, by id.
        told: Texts that people saw elsewhere than in conversations.
        delay: Seconds between the end of a job and its answer, at most.
    """

    def __init__(self, slack, bot, gate, judge, trouble, hangs_after):
        self.slack, self.bot, self.gate, self.judge = slack, bot, gate, judge
        self.trouble, self.hangs_after = trouble, hangs_after
        self.asked, self.expected, self.deleted, self.told = 0, [], set(), []
        self.shown_again, self.hidden = Counter(), set()
        self.delay = 0.0
        self.ada = slack.person("ada")
        self.boss = slack.person("boss", is_admin=True)
        self.general = slack.channel("general")
        self.mods = slack.channel("mods")
        self.between = slack.conversation_of_two()

    async def open(self):
        """Have the bot listen."""
        settings = self.bot.config.slack.model_copy(
            update={
                "api_base": self.slack.api_base,
                "file_hosts": (self.slack.host,),
                "connections": 1,
            }
        )
        secrets = Secrets(
            slack_bot_tokens=(self.slack.team.token,),
            slack_app_token=self.slack.app_token,
            slack_signing_secret=self.slack.signing_secret,
        )
        self.secrets, self.settings = secrets, settings
        self.chat = SlackChat(
            self.bot.service,
            settings,
            secrets,
            make_pace=lambda: Pace(self.slack.time, self.slack.time.sleep),
            patience=10.0,
        )
        await self.chat.start()

    async def restart(self):
        """Another process: what was not on disk is forgotten."""
        await self.chat.close()
        await stepping(self.gate, self.bot.restart())
        await self.open()

    # What there is

    async def jobs(self):
        rows = await self.bot.rows("SELECT id FROM jobs ORDER BY number")
        return [await self.bot.service.lookups.job(Source("web:local"), row["id"]) for row in rows]

    async def newest(self):
        """The job that was asked for last, as the running process knows it."""
        return next(reversed(await self.jobs()), None)

    def messages(self, job=None):
        """(conversation, message) of all messages of the bot; of those about *job*, if given."""
        return [
            (channel, message)
            for channel in self.slack.team.channels.values()
            for message in channel.messages.values()
            if "bot_id" in message and (job is None or _is_about(job, shown_text(message)))
        ]

    def whispers(self, job=None):
        """(conversation, message) of all that one person alone was shown."""
        return [
            (channel, message)
            for channel in self.slack.team.channels.values()
            for _, message in channel.whispers
            if job is None or job.id in shown_text(message)
        ]

    def texts(self):
        """All that can be read."""
        read = [shown_text(message) for _, message in (*self.messages(), *self.whispers())]
        return [*read, *self.told, str(self.ada.home)]

    # What people do

    async def see(self, is_there, seconds=None):
        """Look for something, at most for a while; returns it, or None."""
        began = time.monotonic()
        while not (found := is_there()):
            limit = seconds or (GLANCE if self.trouble.met else 3.0)
            if time.monotonic() > began + limit:
                break
            await asyncio.sleep(0.001)
        return found

    @property
    def patience(self):
        """Seconds for what must come, unless its fault lasts."""
        return GLANCE if self.trouble.is_lasting else PATIENCE

    async def shows(self, words, button=None, seconds=None):
        """Look for a message that says *words*, with *button*, wherever it is."""

        def found():
            return next(
                (
                    (channel, message)
                    for channel, message in self.messages()
                    if words in shown_text(message)
                    and (button is None or button in buttons(message))
                ),
                None,
            )

        return await self.see(found, seconds)

    async def ask(self, act):
        """Ask for a picture by *act*; returns its job, None where it was refused."""
        before = len(await self.jobs())
        self.asked += 1
        self.gate.close_again()
        await act
        began = time.monotonic()
        while len(jobs := await self.jobs()) == before:
            if time.monotonic() > began + (GLANCE if self.trouble.met else 3.0):
                return None
            await asyncio.sleep(0.005)
        return jobs[-1]

    async def draw(self, act):
        """Ask for a picture, watch how it is drawn, and have it."""
        job = await self.ask(act)
        if job is None:
            return await self.settled()
        await self.watch(job)
        await self.have(job)
        return job

    async def watch(self, job):
        """Watch *job* being drawn, with a preview."""
        await self.shows("step 0 of")
        self.gate.allow()
        await self.shows("step 1 of")
        await self.slack.advance(11)
        self.gate.allow()
        await self.see(lambda: any(images(message) for _, message in self.messages(job)))

    async def have(self, job):
        """Let *job* be drawn, and wait until its person has it."""
        if job is not None:
            self.gate.allow(100)
            await job.finished()
            ended = time.monotonic()
            await self.see(lambda: self.is_answered(job), PATIENCE)
            self.delay = max(self.delay, time.monotonic() - ended)
        await self.settled()

    def is_answered(self, job):
        """Whether the picture of *job* is there, or never will be."""
        there = (*self.messages(), *self.whispers())
        is_over = not self.chat.following.is_following(job)
        return is_over or any(_shows(self, message, job) for _, message in there)

    async def settled(self):
        """Wait until nothing more is going on."""

        async def is_busy():
            jobs = await self.jobs()
            return self.trouble.held or any(
                (not job.status.is_final and job.status != "held")
                or self.chat.following.is_following(job)
                or (job.delivery == "owed" and job.status.is_final)
                for job in jobs
            )

        until = time.monotonic() + PATIENCE
        while await is_busy() and time.monotonic() < until:
            await asyncio.sleep(0.005)

    @asynccontextmanager
    async def no_progress(self):
        """Within it nobody is shown progress."""

        async def tick():
            while True:
                await self.slack.time.advance(0.5)
                await asyncio.sleep(0.001)

        self.slack.time.hold()
        for workspace in self.chat.workspaces.values():
            workspace.pace.hold("elsewhere", 1e6)
        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            self.slack.time.release()

    def expect(self, *words):
        self.expected += words


class _Records(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.records = []

    def emit(self, record):
        self.records.append(record)


async def play(folder, scenario, *, plant=None, hangs_after=None, **trouble):
    """Play *scenario* once; returns the `Outcome`, judged.

    *trouble* says which call meets what, as in `Trouble`. *plant* may break the bot by a
    MonkeyPatch. *hangs_after* are the seconds after which a call
    hangs, by default few.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if hangs_after is None:
        hangs_after = TIMEOUT if trouble else PATIENCE
    records = _Records()
    outcome = Outcome()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHORT.items():
            patch.setattr(name, hangs_after if name.endswith(".TIMEOUT") else value)
        for name in PROXIES:
            patch.delenv(name, raising=False)
        patch.setitem(Following.__init__.__kwdefaults__, "sleep", _soon)
        patch.setattr("slack_sdk.http_retry.builtin_async_handlers.asyncio", _Hurry)
        patch.setattr(Workspace, "call", _noting(outcome.sites, Workspace.call))
        for verb in ("get", "post"):
            method = getattr(aiohttp.ClientSession, verb)
            patch.setattr(aiohttp.ClientSession, verb, _noting(outcome.sites, method))
        if plant is not None:
            plant(patch)
        logging.getLogger().addHandler(records)
        try:
            async with _stage(folder, trouble, hangs_after) as stage:
                try:
                    async with asyncio.timeout(4 * PATIENCE):
                        await scenario(stage)
                        await stage.settled()
                except TimeoutError:
                    outcome.problems.append("it never came to an end")
                stage.gate.open()
                outcome.labels = stage.trouble.labels[:]
                await stage.chat.close()
                outcome.is_met = stage.trouble.met > 0
                await _judge(stage, outcome)
        finally:
            logging.getLogger().removeHandler(records)
    for record in records.records:
        if record.exc_info or record.name == "asyncio":
            outcome.problems.append(f"logged: {record.getMessage()} {record.exc_info}")
    return outcome


@asynccontextmanager
async def _stage(folder, trouble, hangs_after):
    clock, gate, judge = Clock(), Gate(), Judge()
    slack = await FakeSlack(clock).start()
    slack.api.trouble = Trouble(slack, **trouble)
    # The bot's patience is shortened, and Slack's time is not.
    slack.enforces_rates = not slack.api.trouble.is_lasting
    bot = Bot(folder, gate, clock)
    stage = Stage(slack, bot, gate, judge, slack.api.trouble, hangs_after)
    bot.settings["moderation"] = {"slack_channel": stage.mods.id}
    bot.settings["showcase"] = {"votes": 1}
    bot.judges = {"judge": lambda: judge}
    try:
        await bot.start()
        await stage.open()
        yield stage
    finally:
        gate.open()
        await stage.chat.close()
        await bot.stop()
        stage.trouble.is_over.set()
        await slack.close()


# The judge

#: Words of a message whose job is on its way.
ON_ITS_WAY = ("Drawing", "ahead of you", "Almost done", "restarting", "moderator looks")
#: And of one that says where the picture is, or why there is none.
LAST_WORDS = ("Answered in", "Not delivered", "shown to you alone")
#: Calls that a trouble may cost, beyond those that are made without it; one for good, for each job.
MOST_MORE, MOST_MORE_FOR_GOOD = 16, 250


async def _judge(stage, outcome):
    """Say in the outcome what is wrong: one picture and one charge for each request, or a refund
    and words; nothing doubled, and no message in a state that is over."""
    say = outcome.problems.append
    jobs = await stage.jobs()
    spent = Counter()
    for row in await stage.bot.rows("SELECT job_id, kind, credits FROM entries"):
        spent[row["job_id"]] += row["credits"]
    for number, job in enumerate(jobs, start=1):
        name = f"picture {number} ({job.status})"
        if job.is_spoiler:
            stage.hidden.add(job.id)
        if not job.status.is_final:
            say(f"{name} never ended")
            continue
        if job.delivery == "owed":
            say(f"{name} is still owed")
        there = (*stage.messages(), *stage.whispers())
        shown = [channel for channel, message in there if _shows(stage, message, job)]
        most = 1 + stage.shown_again[job.id] + stage.trouble.may_double
        is_cancelled = job.status == "cancelled" and job.error is None
        outcome.places.append((str(job.status), _where(stage, shown)))
        if job.id in stage.deleted:
            if shown:
                say(f"{name} is shown, though it was deleted")
        elif len(shown) > most:
            say(f"{name} is shown {len(shown)} times")
        elif shown and not spent[job.id]:
            say(f"{name} is shown, and costs nothing")
        elif not shown and not is_cancelled:
            if spent[job.id]:
                say(f"{name} is shown nowhere, and costs {spent[job.id]}")
            if not any(job.error and job.error in text for text in stage.texts()):
                say(f"nobody was told why there is no {name}: {job.error}")
        told = [
            message
            for channel, message in stage.messages(job)
            if channel is not stage.mods
            and not any(words in shown_text(message) for words in LAST_WORDS)
        ]
        if len(told) > most:
            say(f"{name} has {len(told)} messages")
    for _, message in stage.messages():
        text = shown_text(message)
        if "Cancel" in buttons(message) or any(word in text for word in ON_ITS_WAY):
            say(f"a message is left in a state that is over: {text!r}")
    if len(jobs) > stage.asked:
        say(f"{len(jobs)} jobs for {stage.asked} requests")
    if len(jobs) < stage.asked and not stage.texts():
        say("a request was not answered")
    for words in stage.expected:
        # What fails for good is said in other words, or told by its absence.
        if not stage.trouble.is_lasting and not any(words in text for text in stage.texts()):
            say(f"nobody read {words!r}")
    left = [file.name for file in stage.slack.files.values() if _is_left(stage, file)]
    if left and not stage.trouble.keeps_files:
        say(f"files are left at Slack that nobody sees: {left}")
    for violation in stage.slack.violations:
        say(f"Slack objects: {violation}")
    for method in stage.slack.api.limited:
        say(f"{method} was called too often")
    if stage.hangs_after > 1 and stage.delay > stage.hangs_after / 2:
        say(f"the picture waited {stage.delay:.2f} s for its progress")


def _is_about(job, text):
    """Whether a message is about *job*, and does not only say what its picture came of."""
    return job.id in text.replace(f"from {job.id}", "")


def _shows(stage, message, job):
    """Whether *message* shows the picture of *job*, and no unfinished one; or has a button that
    shows it, where not everybody wants to see it."""
    if job.is_spoiler:
        return "Show" in buttons(message) and job.id in shown_text(message)
    files = [stage.slack.files.get(id) for id in images(message)]
    return any(
        file is not None and file.name.startswith(job.id) and "unfinished" not in file.name
        for file in files
    )


def _where(stage, shown):
    names = {stage.general: "general", stage.ada.direct: "direct", stage.between: "between"}
    return sorted({names.get(channel, channel.name) for channel in shown})


def _is_left(stage, file):
    """Whether *file* is the bot's, and in no message or conversation."""
    if not file.is_complete or file.channel or file.owner != stage.slack.team.bot_user:
        return False
    if any(file.name.startswith(id) for id in stage.hidden):
        return False  # whoever presses "Show" is shown it
    shown = (*stage.messages(), *stage.whispers())
    return not any(file.id in images(message) for _, message in shown)


def cases(undisturbed):
    """(label, number) of the calls in *undisturbed*: the first and the last one of each label, and
    of progress one between, since the last may not be shown any more another time."""
    found = []
    for label, count in Counter(undisturbed.labels).items():
        numbers = {0, count - 1}
        if label == "chat.update: progress":
            numbers.add(min(2, count - 1))
        found += [(label, number) for number in sorted(numbers)]
    return found


def unlike(outcome, undisturbed, is_lasting=False):
    """What a trouble has changed that it must not: a lasting one may change the places of
    pictures, and none may cost more than so many calls."""
    if not is_lasting and outcome.places != undisturbed.places:
        yield f"it ended as {outcome.places}, and else as {undisturbed.places}"
    more = MOST_MORE_FOR_GOOD * max(1, len(outcome.places)) if is_lasting else MOST_MORE
    most = len(undisturbed.labels) + more
    if len(outcome.labels) > most:
        yield f"{len(outcome.labels)} calls, and else {len(undisturbed.labels)}"


__all__ = ["PATIENCE", "SMALL", "Outcome", "Stage", "call_sites", "cases", "play", "unlike"]
