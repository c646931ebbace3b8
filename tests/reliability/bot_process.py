"""The whole bot as a process, for being killed: its own adapter, a stub of the engine or the demo.

The adapter goes through the service exactly as one for a real platform does. Failpoints
sit here and not in the product: around every commit, every file and every message.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

import bot.database
import bot.following
from bot.assembly.engine import Plan
from bot.config import Config, Secrets
from bot.conversation import converse
from bot.database import Database
from bot.following import Following
from bot.gallery import Gallery
from bot.job_store import JobStore, Unfinished
from bot.jobs import Job, JobStatus, Progress
from bot.languages import Language
from bot.ledger import Ledger
from bot.screens import Screens
from bot.service import Service
from bot.source import Source
from bot.views import About
from bot.windows import Attempt, Fault, Meaning, Way
from generation.child import ChildEngine
from generation.control_images import PillowControlImages
from generation.executor import ThreadExecutor
from generation.kinds import ControlNet
from generation.preprocessors import Preprocessors
from generation.protocols import Engine, Executor, OnStep
from generation.ray_executor import RayExecutor
from generation.results import Result
from generation.types import GenerationRequest, Preset, Step
from tests.reliability.moody import MoodyEngine
from tests.reliability.platform import ask
from tests.samples import opened

USERS = "loop"
PRESETS = {
    "plain": Preset(name="plain"),
    "canny": Preset(
        name="canny", kind=ControlNet(controlnet="demo/controlnet-canny", preprocessor="canny")
    ),
}
GENEROUS = {
    "quota": {"credits": 10**9},
    "queue": {"max_waiting": 10**6, "max_waiting_per_user": 10**6},
    "presets": PRESETS,
    "web": {"enabled": False},
}


def processes(*imported: str) -> Any:
    """Makes processes by forking one that has *imported* everything: a start takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    # Each runs the main module once more, whose own imports take seconds.
    main = sys.modules["__main__"].__spec__
    context.set_forkserver_preload([*imported, *([] if main is None else [main.name])])
    return context


def new_service(
    folder: Path,
    database: Database,
    executors: Sequence[Executor],
    now: Callable[[], float] = time.time,
    **config: Any,
) -> Service:
    """The bot without any adapter, in *folder*; *config* has sections beside the generous ones."""
    return Service(
        Config(**{**GENEROUS, **config}),
        executors,
        database,
        Gallery(folder),
        PillowControlImages(),
        about=About("A test."),
        screens=Screens({}),
        read_config=lambda: Config(**{**GENEROUS, **config}),
        now=now,
    )


#: Steps that a bot has drawn with a fresh engine when it is killed itself.
STEPS_AFTER_THE_ENGINE = 4


@dataclass(frozen=True)
class Life:
    """How the bot lives, and where it dies.

    Attributes:
        point: Name of the point at which a process is killed; None for none.
        visit: Number of the visit of that point, from 1.
        kills_engine: Whether it is an engine's process, and the bot's own only a few steps later.
        engine: One of `ENGINES`.
        cluster: Address of the cluster, for its engines.
        environment: What is needed to join it.
        seconds_per_step: Of the stub.
        seconds_to_finish: How long a stop waits for the running picture.
        fault: What is planted.
    """

    point: str | None = None
    visit: int = 1
    kills_engine: bool = False
    engine: str = "stub"
    cluster: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds_per_step: float = 0.0005
    seconds_to_finish: float = 5.0
    fault: str | None = None


class Failpoints:
    """Kills a process at the given visit of a named point."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._last_step: int | None = None
        self._visits: Counter[str] = Counter()

    def __call__(self, name: str) -> None:
        self._visits[name] += 1
        life = self._life
        if name == life.point and self._visits[name] == life.visit:
            if not life.kills_engine:
                os.kill(os.getpid(), signal.SIGKILL)
            self._last_step = self._visits["step"] + STEPS_AFTER_THE_ENGINE
            kill_an_engine()
        if self._visits["step"] == self._last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Around every commit of the database and every file that is put in its place."""
        together, replace = bot.database._together, os.replace

        def committed(db: Any, works: list[Callable[..., Any]]) -> list[Any]:
            names = {_name(work) for work in works}

            def before(db: Any) -> None:
                for name in names:
                    self(f"commit {name}: before")

            outcomes = together(db, [*works, before])[:-1]
            for name in names:
                self(f"commit {name}: after")
            return outcomes

        def replaced(source: Any, target: Any) -> None:
            self("file: before")
            replace(source, target)
            self("file: after")

        bot.database._together = committed
        os.replace = replaced


def kill_an_engine() -> None:
    """Kill the first of this process's engines that lives."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # a zombie that nobody has waited for yet
            if "generation.engine_process" in child.cmdline():
                child.kill()
                return


def _name(work: Any) -> str:
    inner = work.func if isinstance(work, partial) else work
    return str(getattr(inner, "__name__", "other"))


class WatchedExecutor:
    """*executor*, whose steps are failpoints."""

    def __init__(self, executor: Executor, failpoint: Callable[[str], None]) -> None:
        self._executor = executor
        self._failpoint = failpoint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Result:
        def stepped(step: Step) -> None:
            self._failpoint("step")
            on_step(step)

        result = await self._executor.generate(request, stepped)
        self._failpoint("drawn")
        return result


MOODY = "tests.reliability.moody:MoodyEngine"

#: What draws, as makers of the executors of a life.
ENGINES: dict[str, Callable[[Life], list[Executor]]] = {
    "stub": lambda life: [_executor(partial(MoodyEngine, life.seconds_per_step))],
    "children": lambda life: [
        _executor(partial(ChildEngine, MOODY, _arguments(life)), name)
        for name in ("engine-1", "engine-2")
    ],
    "ray": lambda life: [
        RayExecutor(life.cluster, f"engine-{number}", MOODY, _arguments(life)) for number in (1, 2)
    ],
    "demo on a thread": lambda life: [_executor(_demo)],
    "demo in a child": lambda life: [_executor(_demo_in_child)],
}


def _executor(make: Callable[[], Engine], name: str = "engine-1") -> Executor:
    return ThreadExecutor(make, name=name, seconds_to_close=10.0)


def _arguments(life: Life) -> dict[str, Any]:
    return {"seconds_per_step": life.seconds_per_step}


def _demo() -> Engine:
    from generation.diffusion.several_models import engine_of

    plan = _demo_plan()
    return engine_of(**plan.arguments, threads=1, preprocessors=plan.preprocessors)


def _demo_in_child() -> Engine:
    arguments = {**_demo_plan().portable_arguments, "threads": 1}
    return ChildEngine("generation.diffusion.several_models:engine_of", arguments)


def _demo_plan() -> Plan:
    return Plan(Config(**GENEROUS), Secrets(), Preprocessors(), "cpu")


class LoopbackWindow:
    """The one message that *job* ends in; the platform tells by its nonce whether it has it."""

    def __init__(
        self,
        service: Service,
        ask: Callable[..., Any],
        failpoint: Callable[[str], None],
        fault: str | None,
        job: Job,
    ) -> None:
        self._service = service
        self._ask = ask
        self._failpoint = failpoint
        self._fault = fault
        self._job = job

    async def open(self, attempt: Attempt) -> None:
        """The message is posted at the end."""

    async def ready(self) -> None:
        """Progress costs nothing, since nothing is shown of it."""

    async def show(self, progress: Progress, why_not: str) -> None:
        """Nobody looks."""

    def ways(self) -> list[Way]:
        return [Way(self._finish)]

    async def call(self, sentence: str, *, is_direct: bool) -> None:
        """Nobody needs to be called."""

    async def note(self, sentence: str) -> None:
        """There is no message that could say it."""

    def judge(self, error: Exception) -> Fault | None:
        return Fault(Meaning.UNKNOWN) if isinstance(error, ConnectionError) else None

    async def _finish(self, attempt: Attempt) -> None:
        job, picture = self._job, None
        if job.status is JobStatus.SUCCEEDED:
            path = await self._service.lookups.picture(Source(job.user), job.id)
            picture = hashlib.sha256(opened(path).convert("RGB").tobytes()).hexdigest()
        self._failpoint("send: before")
        message = {
            "nonce": secrets.token_hex(8) if self._fault == "no nonce" else job.id,
            "event": job.reply_to["event"],
            "status": job.status,
            "picture": picture,
        }
        await self._ask("send", message)
        self._failpoint("send: after")


class LoopbackAdapter:
    """The least adapter: it hears, has words carried out, answers, and has jobs followed."""

    def __init__(
        self, service: Service, port: int, failpoint: Callable[[str], None], fault: str | None
    ) -> None:
        self._service = service
        self._ask = partial(ask, port)
        self._failpoint = failpoint
        self._fault = fault
        self._tasks: set[asyncio.Task[None]] = set()
        self._following = Following(service, USERS, self._open_window)

    def _open_window(self, job: Job, say: Language) -> LoopbackWindow:
        return LoopbackWindow(self._service, self._ask, self._failpoint, self._fault, job)

    async def run(self) -> None:
        self._begin(self._following.run())
        while True:
            for event in await self._until_answered("events", {}):
                self._begin(self._carry_out(event))

    async def close(self) -> None:
        """Leave what is being followed to the next life."""
        await self._following.close()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, event: dict[str, Any]) -> None:
        if self._fault == "told before durable":
            await self._until_answered("tell", {"event": event["id"], "job": "soon"})
        reply = await converse(
            self._service,
            Source(
                event["user"],
                reply_to={"event": event["id"]},
                event_id=None if self._fault == "no deduplication" else event["id"],
            ),
            event["text"],
            () if event["image"] is None else (bytes.fromhex(event["image"]),),
        )
        job = reply.job if reply.is_new else None
        job_id = None if job is None else job.id
        self._failpoint("tell: before")
        await self._until_answered("tell", {"event": event["id"], "job": job_id})
        self._failpoint("tell: after")
        if job is not None:
            self._following.follow(job)

    async def _until_answered(self, path: str, body: dict[str, Any]) -> Any:
        while True:
            try:
                return await self._ask(path, body)
            except ConnectionError:
                await asyncio.sleep(0.01)


def plant(fault: str | None) -> None:
    """Break the bot as its writers might have; the harness must notice."""
    if fault == "split transaction":
        charge, write = Ledger.charge, Database.write
        owed: list[Callable[[Any], None]] = []

        def put_off(self: Ledger, db: Any, job: Job, now: float) -> None:
            owed.append(partial(charge, self, job=job, now=now))

        async def split(self: Database, work: Callable[[Any], Any]) -> Any:
            outcome = await write(self, work)
            while owed:
                await write(self, owed.pop())
            return outcome

        Ledger.charge = put_off
        Database.write = split
    elif fault == "no recovery":
        JobStore.unfinished = lambda self, db: Unfinished([], [], [], [], [], 0, [])
    elif fault == "ended by the stop":

        def end(self: JobStore, db: Any, job_id: str, fence: int) -> None:
            end = "UPDATE jobs SET status = 'cancelled', finished_at = submitted_at WHERE id = ?"
            db.execute(end, (job_id,))

        JobStore.give_back = end


async def _run(folder: Path, port: int, failpoint: Failpoints, life: Life) -> None:
    database = await Database.open(folder / "bot.sqlite3", is_checked=True)
    executors = [WatchedExecutor(each, failpoint) for each in ENGINES[life.engine](life)]
    service = new_service(folder, database, executors)
    await service.start()
    loopback = LoopbackAdapter(service, port, failpoint, life.fault)
    adapter = asyncio.create_task(loopback.run())
    working = asyncio.create_task(service.run())
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    waiting = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([adapter, working, waiting], return_when=asyncio.FIRST_COMPLETED)
    if waiting not in done:
        await asyncio.gather(*done)  # raises
    failpoint("stop: asked")
    await service.finish(life.seconds_to_finish)
    failpoint("stop: finished")
    for task in (adapter, working):
        task.cancel()
    await asyncio.gather(adapter, working, return_exceptions=True)
    failpoint("stop: idle")
    await loopback.close()
    failpoint("stop: silent")
    await database.close()
    failpoint("stop: closed")


def main(folder: Path, port: int, life: Life) -> None:
    """Run until killed, or until SIGTERM."""
    os.environ |= life.environment
    bot.following.FIRST_PAUSE = 0.01
    plant(life.fault)
    failpoint = Failpoints(life)
    failpoint.install()
    asyncio.run(_run(folder, port, failpoint, life))
    os._exit(0)  # as the bot does where an engine is still being loaded
