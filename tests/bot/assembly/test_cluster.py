"""What is said of the nodes of a cluster."""

import pytest

from bot.assembly.cluster import node_verdicts
from bot.config import Config
from generation.errors import ModelUnavailable
from generation.ray_nodes import NodeReport
from generation.wanted import Wanted

CONFIG = Config(
    engine={"ray": "10.0.0.1:6379"},
    model={"repository": "black-forest-labs/FLUX.1-dev", "accept_license": True},
)


@pytest.fixture
def say(monkeypatch):
    """Have the cluster answer with these reports; returns how it was asked."""
    asked = []

    def say(*reports):
        def nodes(address, wanted, download_dir, **options):
            asked.append((address, list(wanted), options))
            return list(reports)

        monkeypatch.setattr("bot.assembly.cluster.nodes", nodes)
        return asked

    return say


def test_each_node_says_what_it_lacks_and_how_it_gets_it(say):
    say(
        NodeReport("10.0.0.2", 2),
        NodeReport("10.0.0.3", 1, ("black-forest-labs/FLUX.1-dev",)),
        NodeReport("10.0.0.4", 1, error="it has another version of the bot: update it"),
    )

    assert list(node_verdicts(CONFIG)) == [
        (True, "10.0.0.2 has 2 GPUs, and all weights"),
        (
            False,
            "10.0.0.3 has 1 GPU, and lacks black-forest-labs/FLUX.1-dev:"
            " python -m bot download --all-nodes",
        ),
        (
            False,
            "10.0.0.4 has 1 GPU, and cannot draw: it has another version of the bot: update it",
        ),
    ]


def test_nodes_are_asked_for_the_model_and_fetch_it_where_that_is_wanted(say):
    asked = say(NodeReport("10.0.0.2", 1))

    list(node_verdicts(CONFIG, fetches=True, token="hf_x"))

    ((address, wanted, options),) = asked
    assert address == "10.0.0.1:6379"
    assert Wanted("black-forest-labs/FLUX.1-dev", "pipeline") in wanted
    assert options == {"fetches": True, "token": "hf_x"}


def test_a_cluster_without_gpus_and_one_that_gives_no_answer_are_told(say, monkeypatch):
    say()
    (without,) = node_verdicts(CONFIG)

    def nodes(*arguments, **options):
        raise ModelUnavailable("the head cannot be reached")

    monkeypatch.setattr("bot.assembly.cluster.nodes", nodes)
    (silent,) = node_verdicts(CONFIG)

    assert without == (False, "no node of the cluster at 10.0.0.1:6379 has a GPU")
    assert silent == (False, "the head cannot be reached")
    assert list(node_verdicts(Config())) == [(False, "engine.ray names no cluster")]
