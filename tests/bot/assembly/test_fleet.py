"""The engines of a cluster as its nodes come and go."""

import pytest

from bot.assembly.fleet import RayFleet, fleet
from bot.config import Config, Secrets
from generation.errors import ModelUnavailable
from generation.preprocessors import Preprocessors
from generation.ray_watch import RayNode

A, B, C = (RayNode(f"10.0.0.{number}", f"{number}" * 56, gpus=2) for number in (1, 2, 3))


@pytest.fixture
def follow():
    """The names of the engines after each word about the nodes, and the fleet."""

    async def follow(*told, closes=True):
        async def nodes():
            for each in told:
                yield each

        def make(number, place):
            return f"engine-{number} on {place.name}, {place.actor}"

        following, before, seen = RayFleet(nodes, make), set(), []
        async for members in following.members():
            if closes:
                for gone in before - set(members.executors):
                    following.has_left(gone)
            before = set(members.executors)
            seen.append([*(each.split(",")[0] for each in members.executors), members.problem])
        return seen

    return follow


async def test_each_gpu_has_an_engine_whose_name_stays(follow):
    assert await follow((A,), (A, B), (B,), (B, C)) == [
        ["engine-1 on 10.0.0.1", "engine-2 on 10.0.0.1", ""],
        [*(f"engine-{number} on 10.0.0.{1 + (number > 2)}" for number in (1, 2, 3, 4)), ""],
        ["engine-3 on 10.0.0.2", "engine-4 on 10.0.0.2", ""],
        [
            *("engine-3 on 10.0.0.2", "engine-4 on 10.0.0.2"),
            *("engine-1 on 10.0.0.3", "engine-2 on 10.0.0.3", ""),
        ],
    ]


async def test_a_name_is_given_to_no_other_before_its_engine_is_closed(follow):
    *_, last = await follow((A,), (B,), closes=False)

    assert last == ["engine-3 on 10.0.0.2", "engine-4 on 10.0.0.2", ""]


async def test_a_node_that_joins_again_has_engines_of_its_own(follow):
    again = RayNode(A.name, "9" * 56, 1)

    assert await follow((A,), (again,), closes=False) == [
        ["engine-1 on 10.0.0.1", "engine-2 on 10.0.0.1", ""],
        ["engine-3 on 10.0.0.1", ""],
    ]


async def test_nodes_that_cannot_be_told_are_taken_to_be_there(follow):
    assert await follow((A,), ModelUnavailable("no head")) == [
        ["engine-1 on 10.0.0.1", "engine-2 on 10.0.0.1", ""],
        ["engine-1 on 10.0.0.1", "engine-2 on 10.0.0.1", "no head"],
    ]


@pytest.mark.parametrize(
    ("engine", "is_followed"),
    [({}, False), ({"ray": "head:6379"}, True), ({"ray": "head:6379", "workers": 2}, False)],
)
def test_a_cluster_is_followed_unless_its_workers_are_counted(tmp_path, engine, is_followed):
    found = fleet(Config(engine=engine), Secrets(), Preprocessors(download_dir=tmp_path))

    assert (found is not None) is is_followed
