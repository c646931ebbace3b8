"""The nodes of a Ray cluster that draw, as they come and go.

A process of its own asks the head every few seconds, since Ray may end whoever it has lost its
head for. Run as a program, this module is that process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.errors import ModelUnavailable
from generation.ray_executor import ENVIRONMENT, SECONDS_FOR_HEAD, check_reachable, check_token

#: Seconds between two looks at the cluster.
LOOK_EVERY = 2.0
#: Seconds until a process that has ended is started anew.
WATCH_AGAIN_AFTER = 5.0


@dataclass(frozen=True, slots=True, order=True)
class RayNode:
    """A machine of the cluster, which is not about to leave it.

    Attributes:
        name: Its address in the cluster.
        id: Ray's id, another one each time that it joins.
        gpus: How many it has, at least one.
    """

    name: str
    id: str
    gpus: int


async def watched(
    address: str, look_every: float = LOOK_EVERY
) -> AsyncGenerator[tuple[RayNode, ...] | ModelUnavailable, None]:
    """The nodes with GPUs of the cluster at *address*, whenever they are others than before; or
    why they cannot be told. It is asked every *look_every* seconds."""
    while True:
        watching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "generation.ray_watch", address, str(look_every)),
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **ENVIRONMENT},
            stdin=asyncio.subprocess.PIPE,  # whose end tells it that this process has ended
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert watching.stdout is not None
            async for line in watching.stdout:
                answer = json.loads(line)
                if "error" in answer:
                    yield ModelUnavailable(answer["error"])
                else:
                    yield tuple(RayNode(*values) for values in answer["nodes"])
        finally:
            if watching.returncode is None:
                watching.kill()
            await watching.wait()
        yield ModelUnavailable(f"the cluster's head at {address} cannot be asked")
        await asyncio.sleep(WATCH_AGAIN_AFTER)


class _Head:
    """The head of a cluster, which is asked again and again."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None

    def answer(self) -> dict[str, Any]:
        """Its nodes, or why it does not tell."""
        try:
            check_reachable(self._address)
            return {"nodes": self._nodes()}
        except Exception as error:
            self._client = None
            return {"error": str(error).strip().splitlines()[0]}

    def _nodes(self) -> list[tuple[str, str, int]]:
        from ray._raylet import (  # type: ignore[attr-defined]
            AuthenticationTokenLoader,
            GcsClient,
        )
        from ray.core.generated import autoscaler_pb2 as messages

        if self._client is None:
            check_token(AuthenticationTokenLoader)
            self._client = GcsClient(address=self._address)
        reply = messages.GetClusterStatusReply()
        reply.ParseFromString(self._client.get_cluster_status(timeout_s=SECONDS_FOR_HEAD))
        stays = messages.NodeStatus.RUNNING, messages.NodeStatus.IDLE
        return sorted(
            (node.node_ip_address, node.node_id.hex(), int(gpus))
            for node in reply.cluster_resource_state.node_states
            if node.status in stays and (gpus := node.total_resources.get("GPU", 0)) >= 1
        )


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


def main() -> None:
    """Print a line whenever there are other nodes than before."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _, address, look_every = sys.argv
    head, told = _Head(address), None
    while True:
        answer = head.answer()
        if answer != told:
            told = answer
            print(json.dumps(answer), flush=True)
        time.sleep(float(look_every))


if __name__ == "__main__":
    main()
