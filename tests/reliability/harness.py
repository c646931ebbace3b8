"""Kills the bot again and again while jobs come in, and says what was lost, doubled or left."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from tests.reliability import bot_process
from tests.reliability.bot_process import Life
from tests.reliability.platform import Event, Platform
from tests.samples import picture

#: Every commit that a job makes on its way, every file, every message.
POINTS = tuple(
    f"{what}: {when}"
    for what in (
        "commit admit",
        "commit begin",
        "commit write",
        "commit draw_again",
        "commit close_delivery",
        "file",
        "tell",
        "send",
    )
    for when in ("before", "after")
)
#: On the way of a stop that gives a running job back.
STOPS = (
    *("stop: asked", "stop: finished", "commit give_back: before", "commit give_back: after"),
    *("stop: idle", "stop: silent", "stop: closed"),
)
FAULTS = {
    # The point at which a kill shows it, and the words of the finding.
    "split transaction": ("commit charge: before", "the ledger says"),
    "no recovery": ("commit begin: after", "never ended"),
    "no deduplication": ("tell: before", "jobs for one event"),
    "no nonce": ("send: after", "messages for one event"),
    "told before durable": ("commit admit: before", "and there is none"),
    "ended by the stop": ("commit give_back: after", "the ledger says"),
}

#: Events without their answer, at most.
MOST_UNANSWERED = 40
#: Seconds that a bot lives that never comes to its point, and one that must load something first.
OLD_AGE, OLD_AGE_OF_OTHERS = 5.0, 60.0
#: Seconds in which the platform may have the last life of the bot to itself, and in which
#: a bot with a fault may be silent before it counts as done.
MOST_SECONDS, SILENCE = 60.0, 1.0


@dataclass
class Kill:
    """The end of one life of the bot: at a point of it, or after so many seconds, counted from
    its first word or from its birth; or asked to stop then (SIGTERM), and killed if it comes to
    its point on the way."""

    life: Life = field(default_factory=Life)
    after: float | None = None
    is_counted_from_birth: bool = False
    is_polite: bool = False


@dataclass
class Report:
    """The findings of a run.

    Attributes:
        pictures: Digests of pixels, by the event.
    """

    kills: int = 0
    accepted: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    redelivered: int = 0
    answers_lost: int = 0
    duplicates_refused: int = 0
    seconds: float = 0.0
    pictures: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Harness:
    """One folder, one platform, and one life of the bot after the other.

    Args:
        fault: What is planted in all lives.
        engine: What draws; people write for the demo only what it can draw.
        cluster: Address of the cluster, for its engines.
        environment: What is needed to join it.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        fault: str | None = None,
        engine: str = "stub",
        *,
        cluster: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._is_demo = engine.startswith("demo")
        self._draws_several = engine in ("children", "ray")
        self._old_age = OLD_AGE if engine == "stub" else OLD_AGE_OF_OTHERS
        self._life = {
            "engine": engine,
            "fault": fault,
            "cluster": cluster,
            "environment": environment or {},
        }
        self._dice = random.Random(seed)
        self._fault = fault
        self._platform = Platform(random.Random(seed + 1))
        self._events = 0
        self._processes = bot_process.processes(
            "tests.reliability.bot_process", "generation.diffusion.engine"
        )

    @property
    def answered(self) -> int:
        """Messages of the bot so far."""
        return len(self._platform.messages)

    async def run(self, kills: Sequence[Kill], most_events: int) -> Report:
        """Let people write while the bot is killed as *kills* say, then let it finish."""
        report, began = Report(), time.monotonic()
        self._port = await self._platform.start()
        if self._is_demo:  # which draws slowly, and always the same
            for _ in range(most_events):
                self._write_one()
        writing = asyncio.create_task(self._write(most_events))
        try:
            for kill in kills:
                report.kills += await self._live(kill)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._finish(report)
        finally:
            writing.cancel()
            await self._platform.close()
        self._judge(report)
        report.seconds = time.monotonic() - began
        return report

    async def _write(self, most: int) -> None:
        """People write as fast as they are answered, and a little ahead of that."""
        while True:
            nothing_to_come = sum(job is None for job in self._platform.told.values())
            unanswered = self._events - nothing_to_come - len(self._platform.messages)
            if self._events < most and unanswered < MOST_UNANSWERED:
                self._write_one()
            await asyncio.sleep(self._dice.uniform(0.001, 0.01))

    def _write_one(self) -> None:
        self._events += 1
        if self._is_demo:
            text = f"a red circle --size 64x64 --steps 6 --seed {self._events}"
            self._platform.write(Event(f"e{self._events}", f"{bot_process.USERS}:ada", text))
            return
        user = f"{bot_process.USERS}:{self._dice.randrange(6)}"
        mood = self._dice.choices(("", " fails", " dies"), (86, 4, 10))[0]
        text = f"a fox{mood} --size 64x64 --steps 2 --seed {self._events}"
        image = None
        if self._dice.random() < 0.1:
            text, image = f"{text} --preset canny", picture(64, 64).hex()
        elif self._dice.random() < 0.1:
            text = "cancel"
        elif self._draws_several and self._dice.random() < 0.4:
            text = text.replace("dies", "falters") + " --images 3"
        self._platform.write(Event(f"e{self._events}", user, text, image))

    def _start(self, kill: Kill) -> multiprocessing.process.BaseProcess:
        life = replace(kill.life, **self._life)
        process = self._processes.Process(
            target=bot_process.main,
            args=(self._folder, self._port, life),
        )
        process.start()
        return process

    async def _live(self, kill: Kill) -> bool:
        """One life; whether it ended by a kill, and not of old age."""
        heard = self._platform.heard
        process = self._start(kill)
        longest = kill.after or self._old_age
        deadline = time.monotonic() + longest
        while process.is_alive() and time.monotonic() < deadline:
            if self._platform.heard == heard and not kill.is_counted_from_birth:
                deadline = time.monotonic() + longest
            await asyncio.sleep(0.005)
        killed_itself = not process.is_alive()
        if kill.is_polite:
            process.terminate()
            patience = time.monotonic() + MOST_SECONDS
            while process.is_alive() and time.monotonic() < patience:
                await asyncio.sleep(0.005)
        process.kill()
        process.join()
        # Asked to stop before it is up, it ends as any process does.
        if process.exitcode not in ((0, -9, -15) if kill.is_polite else (-9,)):
            raise AssertionError(f"the bot ended with status {process.exitcode}")
        return killed_itself or kill.after is not None

    async def _finish(self, report: Report) -> None:
        """A last life, in which everything that was accepted must come to its end."""
        process = self._start(Kill())
        deadline = time.monotonic() + MOST_SECONDS
        platform, heard = self._platform, self._platform.heard
        # Not before it is up: until then a signal ends it as it ends any process.
        while time.monotonic() < deadline and not (platform.heard > heard and self._is_done()):
            await asyncio.sleep(0.02)
            is_silent = time.monotonic() - platform.changed_at > SILENCE
            if self._fault is not None and platform.heard > heard and is_silent:
                break
        process.terminate()
        process.join(20)
        if process.exitcode != 0:
            report.problems.append(f"the last life ended with status {process.exitcode}")
            process.kill()
            process.join()
        # One more start clears away what the kills have left.
        process = self._start(Kill())
        await asyncio.sleep(0.3)
        process.terminate()
        process.join(20)

    def _is_done(self) -> bool:
        platform = self._platform
        if len(platform.told) < self._events:
            return False
        answered = {message["event"] for message in platform.messages}
        if any(job and event not in answered for event, job in platform.told.items()):
            return False
        with closing(sqlite3.connect(f"file:{self._folder}/bot.sqlite3?mode=ro", uri=True)) as db:
            query = (
                "SELECT count(*) FROM jobs"
                " WHERE status IN ('queued', 'running') OR delivery = 'owed'"
            )
            return db.execute(query).fetchone() == (0,)

    def _judge(self, report: Report) -> None:
        platform, problems = self._platform, report.problems
        with closing(sqlite3.connect(self._folder / "bot.sqlite3")) as db:
            db.row_factory = sqlite3.Row
            jobs = db.execute("SELECT * FROM jobs").fetchall()
            spent = dict(
                db.execute("SELECT job_id, -sum(credits) FROM entries GROUP BY job_id").fetchall()
            )
            verdict = db.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            problems.append(f"the database is damaged: {verdict}")
        ids = {job["id"] for job in jobs}
        by_event = Counter(job["reply_to"] for job in jobs)
        messages = Counter(message["event"] for message in platform.messages)
        for event, job_id in platform.told.items():
            if job_id is not None and job_id not in ids and job_id != "soon":
                problems.append(f"{event} was told that {job_id} is queued, and there is none")
            if job_id == "soon" and f'{{"event": "{event}"}}' not in by_event:
                problems.append(f"{event} was told that it is queued, and there is none")
            if job_id is not None and not messages[event]:
                problems.append(f"{event} was accepted and never answered")
        for event, count in by_event.items():
            if count > 1:
                problems.append(f"{count} jobs for one event: {event}")
        for event, count in messages.items():
            if count > 1:
                problems.append(f"{count} messages for one event: {event}")
        for job in jobs:
            report.statuses[job["status"]] += 1
            if job["status"] not in ("succeeded", "failed", "cancelled"):
                problems.append(f"{job['id']} is {job['status']} and never ended")
            elif job["delivery"] != "delivered":
                problems.append(f"{job['id']} is still owed")
            expected = _to_be_paid(job)
            if spent.get(job["id"], 0) != expected:
                problems.append(
                    f"the ledger says {spent.get(job['id'], 0)} for {job['id']}, which"
                    f" {job['status']} and costs {job['cost']}"
                )
        problems.extend(self._files_that_do_not_fit(jobs))
        report.accepted = sum(job is not None for job in platform.told.values())
        report.redelivered = sum(event.deliveries - 1 for event in platform.events.values())
        report.answers_lost = platform.answers_lost
        report.duplicates_refused = platform.duplicates_refused
        report.pictures = {each["event"]: each["picture"] for each in platform.messages}

    def _files_that_do_not_fit(self, jobs: Sequence[sqlite3.Row]) -> list[str]:
        kept = {job["id"]: _kept(job) for job in jobs}
        images = {path.name for path in (self._folder / "images").iterdir()}
        controls = {path.name for path in (self._folder / "control-images").iterdir()}
        attached = {name for name in controls if any(name in job["request"] for job in jobs)}
        return [
            *(
                f"{id} lacks picture {number}"
                for id, numbers in kept.items()
                for number in numbers
                if f"{id}-{number}.png" not in images
            ),
            *(f"{name} is an orphan" for name in images if not _belongs(name, kept)),
            *(f"{name} is attached to nothing" for name in controls - attached),
        ]


def _kept(job: sqlite3.Row) -> set[int]:
    """Numbers of the pictures that a job, which has ended, must have."""
    if job["status"] == "succeeded":
        return set(range(1, job["images"] + 1))
    return set(json.loads(job["ready"]))


def _belongs(name: str, kept: Mapping[str, set[int]]) -> bool:
    """Whether the file *name* is of a job that has pictures, and of one of these."""
    id, _, which = name.partition("-")
    number = which.removesuffix(".png")
    return int(number) in kept.get(id, ()) if number.isdecimal() else bool(kept.get(id))


def _to_be_paid(job: sqlite3.Row) -> int:
    """Credits that a job, which has ended, costs: of one that its person cancelled, the share of
    the steps that were drawn, rounded down, and never less than that of its pictures."""
    if job["status"] == "succeeded":
        return int(job["cost"])
    steps = json.loads(job["request"])["num_inference_steps"] * job["images"]
    share = max(Fraction(job["steps_drawn"] or 0, steps), Fraction(len(_kept(job)), job["images"]))
    return int(job["cost"] * share)


def kills_at_points(
    dice: random.Random, latest: int = 3, points: Sequence[str] = POINTS
) -> list[Kill]:
    """One life that ends at each of *points*, at one of its first visits."""
    return [Kill(Life(point, dice.randint(1, latest))) for point in points]


def kills_for(fault: str) -> list[Kill]:
    """Lives that bring *fault* to light."""
    point, _ = FAULTS[fault]
    if point in STOPS:
        return [kill_while_stopping(point)] * 2
    return [Kill(Life(point, visit)) for visit in (5, 2)]


def kill_while_stopping(point: str) -> Kill:
    """A life that is asked to stop while it draws, does not wait for that, and is killed then."""
    life = Life(point, seconds_per_step=0.1, seconds_to_finish=0.0)
    return Kill(life, after=0.3, is_polite=True)


def kills_while_drawing(dice: random.Random, count: int, *, kills_engine: bool) -> list[Kill]:
    """Lives in which a process dies in the middle of a picture, or right after its last step."""
    return [
        Kill(Life(point, dice.randint(1, 1 if point == "drawn" else 9), kills_engine))
        for point in ("step", "drawn", *["step"] * count)[:count]
    ]


def kills_at_random(dice: random.Random, count: int, longest: float = 0.5) -> list[Kill]:
    """Three of four of them while it works, the others also while it starts."""
    return [
        Kill(after=dice.uniform(0, longest), is_counted_from_birth=dice.random() < 0.25)
        for _ in range(count)
    ]


def stops_at_random(dice: random.Random, count: int, longest: float = 0.5) -> list[Kill]:
    return [Kill(after=dice.uniform(0, longest), is_polite=True) for _ in range(count)]
