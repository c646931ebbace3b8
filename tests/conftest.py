import asyncio
import contextlib
import gc
import os
import threading
from dataclasses import replace

import pytest
from hypothesis import settings
from PIL import Image

from bot.config import ENVIRONMENT_PREFIX, SECRET_VARIABLES, Config
from bot.database import Database
from bot.gallery import Gallery
from bot.jobs import new_id
from bot.screens import Screens
from bot.service import Service
from bot.views import About
from generation.control_images import PillowControlImages
from generation.errors import EngineLost
from generation.executor import ThreadExecutor
from generation.kinds import ControlNet, ControlNets, ImageToImage, Inpaint
from generation.stub import StubEngine
from generation.types import GenerationRequest, Preset
from tests.fakes import documents

# Beside others, threads of torch that wait for each other wait for the other processes too.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

#: Whether hostile input and random acts are tried at length.
IS_THOROUGH = bool(os.environ.get("THOROUGH"))


def examples(count):
    """So many examples of a property in a thorough run, and a few of them in any other."""
    return count if IS_THOROUGH else max(4, count // 5)


# How long an example takes says more about the machine than about what is tested.
settings.register_profile("patient", deadline=None, max_examples=examples(100))
settings.load_profile("patient")

ADA, BOB, EVE = "web:ada", "web:bob", "discord:eve"
ADMIN = "web:local"

PRESETS = {
    "plain": Preset(name="plain", description="Your words alone"),
    "canny": Preset(
        name="canny",
        kind=ControlNet(
            controlnet="demo/controlnet-canny",
            preprocessor="canny",
            controlnet_conditioning_scale=1.0,
        ),
    ),
    "redraw": Preset(name="redraw", kind=ImageToImage(strength=0.5)),
}
#: And one that draws a part of a picture anew.
#: Two ControlNets at once, of one attached picture or two.
BOTH = Preset(
    name="both",
    kind=ControlNets(
        controlnets=(
            ControlNet(controlnet="demo/controlnet-canny", preprocessor="canny"),
            ControlNet(
                controlnet="demo/controlnet-blobs",
                preprocessor="blur",
                controlnet_conditioning_scale=0.4,
                control_guidance_end=0.5,
            ),
        )
    ),
)
FOLLOWING = {**PRESETS, "both": BOTH}
INPAINTING = {**PRESETS, "inpaint": Preset(name="inpaint", kind=Inpaint(mask_feather=4))}


class Gate(StubEngine):
    """An engine that takes one denoising step per `allow`, so that a test is the clock.

    Attributes:
        threads: The thread of each call, in order.
        drawn: Every request that was begun.
        fault: What drawing raises, if anything: at once, or with its next step.
        is_noisy: Whether it draws noise, which no format makes small.
        seconds: How long its results say that they took; None for the time that they did.
        loads: How often it was loaded.
        waits: Set whenever a step waits to be allowed.
        report: Tells of something else than a step, while a picture is being drawn.
        is_alive: Whether it could draw; loading brings it back.
    """

    is_alive = True

    def __init__(self):
        super().__init__()
        self.threads = []
        self.drawn = []
        self.fault = None
        self.is_noisy = False
        self.seconds = None
        self.loads = 0
        self.is_busy = False
        self.is_closed = False
        self.waits = threading.Event()
        self._allowed = threading.Semaphore(0)

    def allow(self, steps=1):
        self._allowed.release(steps)

    def open(self):
        """Allow every further step."""
        self.allow(10_000)

    def close_again(self):
        """Allow no further step."""
        while self._allowed.acquire(blocking=False):
            pass

    def load(self):
        self.loads += 1
        self.is_alive = True
        self.threads.append(threading.current_thread())
        super().load()

    def generate(self, request, on_step):
        self.threads.append(threading.current_thread())
        self.drawn.append(request)
        if not self.is_alive:
            raise EngineLost("it is dead")
        if self.fault is not None:
            raise self.fault

        self.report = on_step

        def gated(step):
            self.waits.set()
            assert self._allowed.acquire(timeout=20), "the test never allowed this step"
            if self.fault is not None:
                raise self.fault
            on_step(step)

        self.is_busy = True
        try:
            result = super().generate(request, gated)
            if self.is_noisy:
                noise = Image.effect_noise(result.image.size, 120).convert("RGB")
                result = replace(result, image=noise)
            if self.seconds is not None:
                result = replace(result, seconds=self.seconds)
            return result
        finally:
            self.is_busy = False

    def close(self):
        self.threads.append(threading.current_thread())
        self.is_closed = True
        super().close()


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self, now=1_700_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class Bot:
    """The whole bot but for its adapters, on an engine that a test steps.

    `restart` ends the process's life as a kill would: what is not on disk is lost.
    """

    def __init__(self, folder, engine, clock, *, control_images_by=None, **settings):
        self.folder = folder
        self.engine = engine
        self.engines = [engine]
        self.fleet = None
        self.clock = clock
        self.settings = {"presets": PRESETS, **settings}
        self.about = About("A test.", ("a red circle",))
        self.new_id = new_id
        # In this very process, since what tests attach is as they have made it.
        self.control_images = control_images_by or PillowControlImages()
        self.judges = {}
        self.reserve = None

    async def start(self):
        storage = {"data_dir": self.folder, **self.settings.get("storage", {})}
        self.config = Config(**{**self.settings, "storage": storage})
        self.database = await Database.open(self.folder / "bot.sqlite3", reserve=self.reserve)
        self.gallery = Gallery(self.folder)
        self.service = Service(
            self.config,
            [
                ThreadExecutor(lambda engine=engine: engine, name=f"engine-{number}")
                for number, engine in enumerate(self.engines, start=1)
            ],
            self.database,
            self.gallery,
            self.control_images,
            about=self.about,
            screens=Screens(self.judges),
            read_config=lambda: self.read_config(),
            fleet=self.fleet,
            now=self.clock,
            new_id=lambda: self.new_id(),
        )
        await self.service.start()
        self.running = asyncio.create_task(self.service.run())
        return self.service

    def read_config(self):
        """What the configuration says by now."""
        return Config(**self.settings)

    async def stop(self):
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running
        await self.database.close()

    async def restart(self, **settings):
        await self.stop()
        self.settings |= settings
        return await self.start()

    async def rows(self, sql, *values):
        """The rows that a query finds, as dicts."""
        rows = await self.database.read(lambda db: db.execute(sql, values).fetchall())
        return [dict(row) for row in rows]


@pytest.fixture(scope="session", autouse=True)
def environment():
    """Settings and secrets of the person who runs the suite, whether in variables or in
    files beside the code, are not seen by tests, nor by processes that tests start."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.upper().startswith(ENVIRONMENT_PREFIX) or name in SECRET_VARIABLES:
                environment.delenv(name)
        environment.setenv("PYTHON_DOTENV_DISABLED", "1")
        environment.setenv("FLUXBOT_LOCAL_FILE", "no")
        yield environment


def pytest_terminal_summary(terminalreporter):
    """Nobody should take for judged what was not."""
    if documents.LACKING:
        terminalreporter.write_line(
            f"Not judged, for want of {len(documents.LACKING)} documents of the platforms: "
            + "; ".join(document.what for document in documents.LACKING)
            + ". How to get them: python -m pytest -rs tests/fakes/test_documents.py"
        )


#: What slack_sdk's own ping meets where a socket is closed at that very moment.
AT_CLOSE = "ClientConnectionResetError('Cannot write to closing transport')"


@pytest.fixture(autouse=True)
def nothing_lost(caplog):
    """asyncio only logs exceptions that nobody retrieved; here they fail the test."""
    yield
    gc.collect(1)  # the young are enough, and the rest costs half a second beside torch
    records = [*caplog.get_records("call"), *caplog.records]
    lost = [record.message for record in records if record.name == "asyncio"]
    assert [message for message in lost if AT_CLOSE not in message] == []


@pytest.fixture(autouse=True)
def places_are_told_at_once(monkeypatch):
    """And not twice a second, for which tests would wait."""
    monkeypatch.setattr("bot.places.TOLD_EVERY", 0.0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
async def make_bot(tmp_path, gate, clock):
    """Starts a bot with settings of one's own: ``await make_bot(quota={"credits": 3})``."""
    bots = []

    async def make(**settings):
        bot = Bot(tmp_path, gate, clock, **settings)
        await bot.start()
        bots.append(bot)
        return bot

    yield make
    gate.open()
    for bot in bots:
        await bot.stop()


@pytest.fixture
async def bot(make_bot):
    return await make_bot()


@pytest.fixture
async def service(bot):
    return bot.service


@pytest.fixture
def fox():
    return GenerationRequest(
        prompt="a fox in snow",
        num_inference_steps=3,
        guidance_scale=3.5,
        width=64,
        height=64,
        seed=1,
        preset="plain",
    )


@pytest.fixture
def foxes(fox):
    """Requests that differ in their seed."""
    return lambda seed: replace(fox, seed=seed)


async def finished(job):
    async with asyncio.timeout(30):
        return (await job.finished()).status


async def at_step(job, step, picture=1):
    """Wait until *job* has come that far."""
    async with asyncio.timeout(30):
        async for progress in job.watch():
            if (progress.picture, progress.step) >= (picture, step):
                return progress
    raise AssertionError(f"{job.id} ended as {job.status}: {job.error}")


async def stepping(gate, ending):
    """Await *ending* while the engine takes a step now and then, as a real one does: it
    notices a cancellation after its next step, whenever that comes."""
    task = asyncio.ensure_future(ending)
    async with asyncio.timeout(30):
        while not task.done():
            await asyncio.sleep(0)
            gate.allow(1)
    return await task


async def until(is_true):
    """Give way to the bot until something is the case."""
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0)
