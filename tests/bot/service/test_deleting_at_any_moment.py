"""Deleting one's data at any moment of a job's life leaves nothing behind (H6 of the faults)."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.commands import ImagineCommand
from bot.refusals import Refused
from bot.source import Source
from tests.bot.service.test_own_data import MARKER, traces
from tests.conftest import ADA, BOB, Bot, Clock, Gate, examples
from tests.samples import picture

COMMAND = ImagineCommand(f"a {MARKER} fox", num_inference_steps=3, width=64, height=64, seed=7)
ACT = st.sampled_from(["ask", "attach", "again", "step", "steps", "breathe", "export", "delete"])


@pytest.fixture
def folders(tmp_path_factory):
    return lambda: tmp_path_factory.mktemp("life")


@settings(
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(ACT, min_size=1, max_size=12), breaths=st.integers(0, 40))
def test_deleting_at_any_moment_leaves_nothing_and_nothing_comes_late(folders, acts, breaths):
    asyncio.run(live(folders(), acts, breaths))


async def live(folder, acts, breaths):
    gate = Gate()
    bot = Bot(folder, gate, Clock())
    service = await bot.start()
    asked = []
    try:
        for act in acts:
            match act:
                case "ask" | "attach":
                    attached = (picture(),) if act == "attach" else ()
                    preset = "canny" if attached else "plain"
                    command = replace(COMMAND, preset=preset)
                    asked.append(
                        asyncio.create_task(service.submit(Source(ADA), command, attached))
                    )
                case "again":
                    asked.append(asyncio.create_task(service.again(Source(ADA))))
                case "step":
                    gate.allow(1)
                case "steps":
                    gate.allow(3)
                case "breathe":
                    for _ in range(breaths):
                        await asyncio.sleep(0)
                case "export":
                    asked.append(asyncio.create_task(service.own_data.export(ADA)))
                case "delete":
                    asked.append(asyncio.create_task(service.own_data.delete(ADA)))
        deleting = asyncio.create_task(service.own_data.delete(ADA))
        async with asyncio.timeout(30):
            while not deleting.done():
                gate.allow(1)
                await asyncio.sleep(0)
            await deleting
        results = await asyncio.gather(*asked, return_exceptions=True)
        faults = [each for each in results if isinstance(each, Exception)]
        assert [fault for fault in faults if not isinstance(fault, Refused)] == []
        for each in results:
            if hasattr(each, "close"):
                await each.close()
        # Those that were asked for after it are new ones, and somebody else's go on.
        gate.open()
        other = await service.submit(Source(BOB), replace(COMMAND, prompt="a square"))
        await other.finished()
        late = await bot.rows("SELECT * FROM jobs WHERE user = ?", ADA)
        assert late == []
        assert traces(bot, MARKER, ADA) == []
        assert {path.name.partition("-")[0] for path in bot.gallery.images.iterdir()} <= {other.id}
    finally:
        gate.open()
        await bot.stop()
