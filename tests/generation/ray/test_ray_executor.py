"""Promises of an engine on a GPU of a cluster, with a real one on loopback."""

import asyncio
import contextlib
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from bot.assembly.fleet import RayFleet
from bot.jobs import JobStatus
from bot.source import Source
from generation.errors import EngineLost, ModelUnavailable
from generation.kinds import ControlNet
from generation.ray_executor import Place, RayExecutor
from generation.ray_nodes import NodeReport, nodes
from generation.ray_watch import watched
from generation.wanted import Wanted

pytest.importorskip("ray", reason="ray is not installed: pip install '.[ray]'")
if sys.platform != "linux":
    pytest.skip("nodes as processes need Linux", allow_module_level=True)

from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, BOB, at_step, finished, until
from tests.generation.ray.cluster import CONTINUE, STOP, Cluster

STUB = "generation.stub:StubEngine"
ACTOR = "ray::EngineActor"


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster()
    try:
        cluster.start_node().wait_until_it_runs()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
async def make(cluster, monkeypatch):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    executors = []

    def make(name="engine-1", kind=STUB, arguments=None, address=cluster.address, **options):
        arguments = {"seconds_per_step": 0.05} if arguments is None else arguments
        executor = RayExecutor(address, name, kind, arguments, silence=3, **options)
        executors.append(executor)
        return executor

    yield make
    for executor in executors:
        await executor.close()


class Drawing:
    """A long picture that is being drawn."""

    def __init__(self, executor, fox):
        self.steps = []
        request = replace(fox, num_inference_steps=50)
        self.task = asyncio.create_task(executor.generate(request, self.steps.append))

    async def begun(self):
        while not self.steps:
            assert not self.task.done(), self.task.exception()
            await asyncio.sleep(0.01)
        return self


async def test_a_picture_is_the_same_as_on_this_machine(make, fox, square, tmp_path):
    from generation.diffusion.several_models import engine_of

    arguments = {
        "models": {"demo": {"repository": "demo", "max_sequence_length": 64}},
        "preprocessors": {},
        "device": "cpu",
        "threads": 1,
        "download_dir": tmp_path,
    }
    controlled = replace(
        fox,
        kind=ControlNet(controlnet="demo/controlnet-canny", preprocessor="canny"),
        pictures={"control_image": square},
    )
    local = engine_of(**arguments)
    local.load()
    executor = make(kind="generation.diffusion.several_models:engine_of", arguments=arguments)
    await executor.start()

    for request in (fox, controlled):
        here, there = [], []
        expected = local.generate(request, here.append)
        result = await executor.generate(request, there.append)

        assert result.files().opened().tobytes() == expected.image.tobytes()
        assert there == here
    assert result.files().control_map == expected.files().control_map
    assert executor.loaded == local.loaded
    local.close()


@pytest.mark.soak
async def test_a_bot_that_restarts_finds_its_engine_loaded_and_ends_what_it_drew(
    cluster, make, fox
):
    first, second = make(), make()
    await first.start()
    (actor,) = (each for node in cluster.nodes for each in node.processes(ACTOR))
    drawing = await Drawing(first, fox).begun()

    await second.start()

    with pytest.raises(EngineLost, match="another bot has taken"):
        await drawing.task
    told = len(drawing.steps)
    assert told < 50
    assert (await second.generate(fox, lambda step: None)).files().opened().size == (64, 64)
    assert len(drawing.steps) == told, "a late step of the first one's"
    assert actor.is_running()
    assert actor.children(), "the engine that was loaded"


async def test_a_cancelled_picture_ends_within_a_step_and_the_engine_draws_on(make, fox):
    executor = make()
    await executor.start()
    drawing = await Drawing(executor, replace(fox, model="another")).begun()

    drawing.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing.task

    assert len(drawing.steps) < 10
    assert "another" in executor.loaded
    assert (await executor.generate(fox, lambda step: None)).files().opened().size == (64, 64)


@pytest.mark.soak
@pytest.mark.parametrize("how", ["killed", "silenced"])
async def test_an_actor_that_is_lost_is_noticed_and_made_anew(cluster, make, fox, how):
    executor = make()
    await executor.start()
    drawing = await Drawing(executor, fox).begun()
    node = cluster.nodes[-1]
    (actor,) = node.processes(ACTOR)

    began = time.monotonic()
    if how == "killed":
        actor.kill()
    else:
        node.signal(STOP, ACTOR)
    with pytest.raises(EngineLost) as caught:
        await drawing.task

    assert time.monotonic() - began < 10
    assert not caught.value.is_unrelated, "the picture may be the cause"
    await executor.start()
    assert (await executor.generate(fox, lambda step: None)).files().opened().size == (64, 64)


@pytest.mark.soak
async def test_an_idle_actor_that_dies_is_found_dead(cluster, make):
    executor = make()
    await executor.start()

    cluster.nodes[-1].signal(9, ACTOR)

    await asyncio.wait_for(executor.died(), 15)


@pytest.mark.soak
@pytest.mark.parametrize("how", ["killed", "silenced"])
async def test_a_node_that_is_lost_is_noticed_and_one_that_joins_draws(cluster, make, fox, how):
    executor = make()
    await executor.start()
    drawing = await Drawing(executor, fox).begun()
    node = cluster.nodes[-1]

    began = time.monotonic()
    node.signal(9 if how == "killed" else STOP)
    with pytest.raises(EngineLost) as caught:
        await drawing.task

    assert time.monotonic() - began < 15
    assert caught.value.is_unrelated or how == "silenced"
    told = len(drawing.steps)
    starting = asyncio.create_task(executor.start())
    cluster.start_node()
    node.signal(CONTINUE)
    await starting
    assert (await executor.generate(fox, lambda step: None)).files().opened().size == (64, 64)
    assert len(drawing.steps) == told, "a late step of the lost node's"
    node.kill()


@pytest.mark.soak
async def test_a_head_that_is_silent_for_a_while_ends_nothing(cluster, make, fox):
    executor = make()
    await executor.start()

    cluster.head.signal(STOP, "gcs_server")
    try:
        assert (await executor.generate(fox, lambda step: None)).files().opened().size == (64, 64)
    finally:
        cluster.head.signal(CONTINUE, "gcs_server")


@pytest.mark.soak
async def test_a_head_that_dies_costs_an_engine_and_never_the_bot(cluster, make, fox):
    """Ray ends its driver then, which is a process of its own."""
    executor = make()
    await executor.start()

    for node in cluster.nodes:
        node.kill()
    await asyncio.wait_for(executor.died(), 30)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await executor.start()
    cluster.start_head()
    cluster.start_node().wait_until_it_runs()

    await executor.start()
    assert (await executor.generate(fox, lambda step: None)).files().opened().size == (64, 64)


async def test_the_nodes_that_draw_are_told_with_their_gpus(cluster, make):
    async with contextlib.aclosing(watched(cluster.address)) as told:
        (node,) = await anext(told)

    assert (node.name, node.gpus) == ("127.0.0.1", 1)


@pytest.mark.soak
async def test_a_node_that_joins_draws_and_the_jobs_of_one_that_dies_are_drawn_elsewhere(
    cluster, make, bot
):
    def on(number, place):
        return make(f"engine-{number}", place=place)

    bot.engines = []
    bot.fleet = RayFleet(lambda: watched(cluster.address, 0.2), on)
    service = await bot.restart()
    await until(lambda: statuses(service) == ["ready"])
    slow = replace(CIRCLE, num_inference_steps=50)
    first = await service.submit(Source(ADA), slow)
    await at_step(first, 1)

    node = cluster.start_node()
    await until(lambda: statuses(service)[1:] == ["ready"])
    assert [each.name for each in service.engines()] == ["engine-1", "engine-2"]
    await finished(first)
    jobs = [await service.submit(Source(user), slow) for user in (ADA, BOB)]
    for job in jobs:
        await at_step(job, 1)
    node.kill()

    assert [await finished(job) for job in jobs] == [JobStatus.SUCCEEDED] * 2
    assert sorted(job.unrelated_losses for job in jobs) == [0, 1]
    assert [(job.attempts, job.engine_losses) for job in jobs] == [(1, 0), (1, 0)]
    await until(lambda: len(service.engines()) == 1)
    assert service.state.status == "ready"


def statuses(service):
    return [each.status for each in service.engines()]


@pytest.mark.soak
async def test_the_actors_of_a_bot_that_counted_its_workers_give_way(cluster, make, fox):
    counted = make()
    await counted.start()
    async with contextlib.aclosing(watched(cluster.address)) as told:
        (node,) = await anext(told)

    placed = make(place=Place(node.id, node.name, 1))
    await placed.start()

    assert placed.device == node.name
    assert (await placed.generate(fox, lambda step: None)).files()
    await asyncio.wait_for(counted.died(), 15)


@pytest.mark.soak
async def test_every_node_says_which_weights_it_lacks(cluster, make, tmp_path):
    (report,) = nodes(cluster.address, [Wanted("somebody/something", "lora")], tmp_path)

    assert report == NodeReport("127.0.0.1", 1, ("somebody/something",))
    assert nodes(cluster.address, [], tmp_path) == [NodeReport("127.0.0.1", 1)]


async def test_nothing_is_joined_without_a_token(cluster, make, monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(ModelUnavailable, match="needs the cluster's token"):
        await make().start()
    async with contextlib.aclosing(watched(cluster.address)) as told:
        assert "needs the cluster's token" in str(await anext(told))


async def test_a_cluster_that_lets_everybody_in_is_refused(make, monkeypatch):
    cluster = Cluster(mode="disabled")
    try:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", cluster.environment["RAY_AUTH_TOKEN_PATH"])
        executor = make(address=cluster.address)

        with pytest.raises(ModelUnavailable, match="lets in everybody"):
            await executor.start()
    finally:
        cluster.close()


def test_ray_is_imported_by_none_of_the_bots_own_processes():
    words = "import sys, bot.__main__, bot.assembly.engine; assert 'ray' not in sys.modules"

    subprocess.run([sys.executable, "-c", words], check=True)


def test_nothing_of_a_cluster_listens_beyond_loopback(cluster):
    listening = {
        connection.laddr.ip
        for node in cluster.nodes
        for process in node.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert listening
