"""The nodes of the cluster: whether each can draw, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator

from bot.assembly.parts import faulty_loras, faulty_presets, wanted
from bot.config import Config
from generation.errors import FluxbotError
from generation.ray_nodes import NodeReport, nodes


def node_verdicts(
    config: Config, *, fetches: bool = False, token: str | None = None
) -> Iterator[tuple[bool, str]]:
    """For each node of the cluster that has a GPU: whether it can draw, and what it lacks.

    Args:
        fetches: Whether they fetch what they lack first, which takes its time.
        token: For gated repositories on the Hub.
    """
    address = config.engine.ray
    if address is None:
        yield False, "engine.ray names no cluster"
        return
    of_presets, of_loras = faulty_presets(config), faulty_loras(config)
    try:
        found = nodes(
            address,
            wanted(
                config,
                [name for name in config.presets if name not in of_presets],
                [name for name in config.loras if name not in of_loras],
            ),
            config.storage.download_dir,
            fetches=fetches,
            token=token,
        )
    except FluxbotError as error:
        yield False, str(error)
        return
    if not found:
        yield False, f"no node of the cluster at {address} has a GPU"
    yield from map(_verdict, found)


def _verdict(node: NodeReport) -> tuple[bool, str]:
    has = f"{node.name} has {node.gpus} GPU{'' if node.gpus == 1 else 's'}"
    if node.error:
        return False, f"{has}, and cannot draw: {node.error}"
    if node.missing:
        missing = ", ".join(node.missing)
        return False, f"{has}, and lacks {missing}: python -m bot download --all-nodes"
    return True, f"{has}, and all weights"
