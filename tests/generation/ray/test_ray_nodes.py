"""Weights on the nodes of a real cluster on loopback, from a Hub on loopback."""

import shutil
import sys

import pytest
from typer.testing import CliRunner

from bot.__main__ import app
from bot.assembly.cluster import node_verdicts
from bot.config import load_config

pytest.importorskip("ray", reason="ray is not installed: pip install '.[ray]'")
if sys.platform != "linux":
    pytest.skip("nodes as processes need Linux", allow_module_level=True)

from tests.generation.hub_on_loopback import Hub, Repository
from tests.generation.ray.cluster import Cluster

pytestmark = pytest.mark.soak

#: Both nodes have the address of loopback: they are told by their GPUs.
NODES = {"one": "127.0.0.1 has 1 GPU", "two": "127.0.0.1 has 2 GPUs"}
WEIGHTS = {"model_index.json": b"{}", "transformer/model.safetensors": bytes(range(256)) * 40}
LACKS = "{}, and lacks owner/model: python -m bot download --all-nodes"
HAS = "{}, and all weights"


@pytest.fixture
def hub():
    hub = Hub()
    hub.repositories["owner/model"] = Repository(WEIGHTS, is_gated=True)
    yield hub
    hub.close()


@pytest.fixture
def cluster(hub, tmp_path, monkeypatch):
    """Two nodes, each with a folder of its own for weights, as on two machines."""
    cluster = Cluster()
    try:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        for gpus, name in enumerate(NODES, start=1):
            own = {"HF_HOME": str(tmp_path / name), "HF_HUB_CACHE": str(tmp_path / name / "hub")}
            there = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", **own}
            cluster.start_node(gpus, there).wait_until_it_runs()
        yield cluster
    finally:
        cluster.close()


def test_each_node_fetches_its_weights_for_itself(cluster, hub, tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text(
        f'[engine]\nray = "{cluster.address}"\n[model]\nrepository = "owner/model"\n'
        f'[storage]\ndata_dir = "{tmp_path}/data"\ndownload_dir = "{tmp_path}/download"\n'
    )
    config = load_config(path)
    download = ["download", "--all-nodes", "--config", str(path)]

    def held(name):
        folders = (tmp_path / name / "hub").glob("models--owner--model/snapshots/*")
        return {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for folder in folders
            for file in folder.rglob("*")
            if file.is_file()
        }

    before = sorted(node_verdicts(config))
    refused = CliRunner().invoke(app, download, env={"HF_TOKEN": "hf_new", "COLUMNS": "300"})
    done = CliRunner().invoke(app, download, env={"HF_TOKEN": "hf_good", "COLUMNS": "300"})

    assert before == [(False, LACKS.format(node)) for node in NODES.values()]
    assert (refused.exit_code, done.exit_code) == (1, 0)
    for name, node in NODES.items():
        assert f"{node}, and cannot draw: owner/model is gated" in refused.output
        assert HAS.format(node) in done.output
        assert held(name) == WEIGHTS
    assert sorted(hub.fetched) == sorted([*WEIGHTS, *WEIGHTS])

    shutil.rmtree(tmp_path / "two")
    assert sorted(node_verdicts(config)) == [
        (False, LACKS.format(NODES["two"])),
        (True, HAS.format(NODES["one"])),
    ]
