import pytest

from bot.commands import ImagineCommand
from tests.conftest import ADA
from tests.processes import Process

CIRCLE = ImagineCommand("a red circle", num_inference_steps=3, width=64, height=64, seed=7)
#: Where a platform is to answer.
HERE = {"channel": "c1"}


async def left(service, user=ADA):
    return (await service.quota(user)).left


@pytest.fixture
async def run(tmp_path):
    """Runs ``python -m bot ARGUMENTS`` to its end: (exit status, output)."""

    async def run(*arguments, **variables):
        process = await Process(tmp_path, **variables).start(*arguments)
        return await process.ended(), process.output

    return run


@pytest.fixture
async def started(tmp_path):
    processes = []

    async def start(*arguments, **variables):
        process = await Process(tmp_path, **variables).start("run", *arguments)
        processes.append(process)
        process.address = (await process.until(r"(http://127\.0\.0\.1:\d+)"))[1]
        return process

    yield start
    for process in processes:
        if process.process.returncode is None:
            process.process.kill()
        await process.ended()
