"""What each node of a Ray cluster has of the weights that are wanted, and fetching the rest.

Ray is asked in a process of its own, which it may end. From there, a task goes to every node that
has a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from generation import weights
from generation.errors import FluxbotError, ModelUnavailable
from generation.ray_actor import code
from generation.ray_executor import joined
from generation.wanted import Wanted

#: Not ``-m``: nodes import what they run by the name of its module, which must not be __main__.
ASK = "from generation.ray_nodes import main; main()"
#: Seconds that a node may take to say what it has; fetching takes as long as it takes.
SECONDS_TO_TELL = 60.0


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node with a GPU.

    Attributes:
        name: Its address in the cluster.
        gpus: How many it has.
        missing: Repositories that are not complete there.
        error: Why it cannot draw; empty where it can.
    """

    name: str
    gpus: int
    missing: tuple[str, ...] = ()
    error: str = ""


def nodes(
    address: str,
    wanted: Iterable[Wanted],
    download_dir: Path,
    *,
    fetches: bool = False,
    token: str | None = None,
) -> list[NodeReport]:
    """What the nodes of the cluster at *address* say.

    Args:
        wanted: Weights that each should have.
        download_dir: The folder of weights on every node.
        fetches: Whether they fetch what is missing, each for itself.
        token: For gated repositories.

    Raises:
        ModelUnavailable: The cluster cannot be asked.
    """
    question = {
        "address": address,
        "wanted": [asdict(each) for each in wanted],
        "download_dir": str(download_dir.absolute()),
        "fetches": fetches,
        "token": token,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            cwd=Path(__file__).parent.parent,
            input=json.dumps(question),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=None if fetches else 3 * SECONDS_TO_TELL,
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError) as error:
        raise ModelUnavailable(f"the cluster at {address} gives no answer") from error
    if "error" in answer:
        raise ModelUnavailable(answer["error"])
    return [NodeReport(**{**each, "missing": tuple(each["missing"])}) for each in answer["nodes"]]


def looked_after(question: dict[str, Any]) -> dict[str, Any]:
    """What this machine lacks, after it has fetched where *question* wants that. On a node."""
    weights.prepare_environment(Path(question["download_dir"]), os.environ)
    from generation import hub

    missing = []
    for values in question["wanted"]:
        each = Wanted(**values)
        if hub.cached(each) is not None:
            continue
        if question["fetches"]:
            try:
                hub.fetch(each, question["token"] or weights.find_token(os.environ), None)
                continue
            except FluxbotError as error:
                return {"code": code(), "missing": [each.repository], "error": str(error)}
        missing.append(each.repository)
    return {"code": code(), "missing": missing, "error": ""}


def reports(question: dict[str, Any]) -> list[dict[str, Any]]:
    """`NodeReport` of every node with a GPU, as a dictionary."""
    ray = joined(question["address"])
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = []
    for node in ray.nodes():
        gpus = int(node["Resources"].get("GPU", 0))
        if node["Alive"] and gpus:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(looked_after).options(
                num_cpus=0, max_retries=0, scheduling_strategy=there
            )
            asked.append((node["NodeManagerAddress"], gpus, task.remote(question)))
    found = []
    for name, gpus, answer in asked:
        try:
            patience = None if question["fetches"] else SECONDS_TO_TELL
            said = ray.get(answer, timeout=patience)
        except ray.exceptions.RayError as error:
            said = {"code": code(), "missing": [], "error": str(error).splitlines()[0]}
        theirs = said.pop("code")
        if theirs != code():
            said["error"] = "it has another version of the bot: update it"
        found.append({"name": name, "gpus": gpus, **said})
    return found


def main() -> None:
    """Answer the question on standard input."""
    try:
        answer = {"nodes": reports(json.load(sys.stdin))}
    except FluxbotError as error:
        answer = {"error": str(error)}  # type: ignore[dict-item]
    print(json.dumps(answer), flush=True)
    os._exit(0)  # Ray's threads take a second to end
