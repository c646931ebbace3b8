"""Weights by their names: found, downloaded if need be, loaded, and fetched anew where damaged."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from generation import weights
from generation.diffusion.device import first_line
from generation.diffusion.exhaustion import is_out_of_memory
from generation.errors import ModelUnavailable, OutOfMemory
from generation.types import GenerationRequest
from generation.wanted import WORDS, WeightsRole, progress_sentence

Opened = TypeVar("Opened")

log = logging.getLogger(__name__)


class WeightsDamaged(ModelUnavailable):
    """The weights are here and do not load."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The way to weights.

    Attributes:
        download_dir: Folder for all that has to be built or downloaded.
        token: For gated repositories; None looks in the environment.
    """

    download_dir: Path
    token: str | None

    def __call__(
        self,
        name: str,
        role: WeightsRole,
        load: Callable[[Path], Opened],
        note: Callable[[str], None],
        request: GenerationRequest | None = None,
        revision: str | None = None,
    ) -> Opened:
        """Find the weights *name*, downloading them if need be, and load them.

        Weights that do not load are compared with the Hub's checksums, and fetched again once
        if they are damaged.
        """
        what = name if request is None else f"{request.preset or name}'s {WORDS[role]}"

        def find() -> Path:
            return weights.resolve(
                name,
                revision,
                role=role,
                download_dir=self.download_dir,
                token=self.token,
                on_progress=lambda done, size: note(progress_sentence(what, done, size)),
            )

        folder = find()
        if request is not None:
            note(f"loading {what}")
        try:
            with damage_as_sentence(folder):
                return load(folder)
        except WeightsDamaged as error:
            bad = weights.remove_damaged(folder)
            if not bad:
                raise
            log.warning("%s; fetching again: %s", error, ", ".join(bad))
        folder = find()
        with damage_as_sentence(folder):
            return load(folder)


@contextlib.contextmanager
def damage_as_sentence(folder: Path) -> Iterator[None]:
    """Raise `WeightsDamaged` where the block cannot make anything of what is in *folder*."""
    try:
        yield
    except (ModelUnavailable, OutOfMemory):
        raise
    except Exception as error:  # the libraries raise a dozen types on damaged folders
        if is_out_of_memory(error):
            raise
        raise WeightsDamaged(
            f"the weights in {folder} cannot be loaded: {first_line(error)}"
        ) from error
