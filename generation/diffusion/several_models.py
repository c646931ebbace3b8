"""Several models on one device: each is loaded when it is first wanted, what fits stays, and what
was used longest ago goes."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from generation.checks import public_name
from generation.diffusion import memory
from generation.diffusion.engine import DiffusionEngine
from generation.diffusion.exhaustion import as_out_of_memory, is_out_of_memory
from generation.diffusion.loaded import Note
from generation.diffusion.others import Others
from generation.errors import ModelUnavailable, OutOfMemory
from generation.preprocessors import Preprocessors
from generation.protocols import OnStep
from generation.results import GenerationResult
from generation.types import GenerationRequest, Step

log = logging.getLogger(__name__)


class SeveralModels:
    """An `Engine` for one device that draws with several models. Blocking; touched by exactly one
    thread.

    A model has the offload level that it would have alone on the device. Others stay beside it as
    long as there is room for that.

    Args:
        models: Makers of an engine for each, which is given the others, by the names that requests
            have for them. The first is the main one, which also draws what names no model.
    """

    def __init__(self, models: Mapping[str, Callable[[Others], DiffusionEngine]]) -> None:
        self._engines = {name: make(_OthersOf(self, name)) for name, make in models.items()}
        self._main = next(iter(models))
        #: Names of the models in memory, the one used longest ago first.
        self._in_memory: OrderedDict[str, None] = OrderedDict()

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes in memory of each model, by its name, and of each repository beside them, all
        models together. Any thread may ask."""
        total: Counter[str] = Counter()
        for name, engine in self._engines.items():
            for each, size in engine.loaded.items():
                total[name if each == engine.repository else each] += size
        return dict(total)

    @property
    def device(self) -> str:
        """The device as torch calls it; before loading, as it was asked for. Any thread may ask."""
        return self._engines[self._latest].device

    @property
    def is_alive(self) -> bool:
        """Always, since it lives in this process."""
        return True

    @property
    def current_offload_level(self) -> str | None:
        """The levels on which the models in memory rest now; None before one is loaded."""
        names = self._in_memory
        levels = [f"{name}: {self._engines[name].current_offload_level}" for name in sorted(names)]
        return ", ".join(levels) or None

    @property
    def held_memory(self) -> int | None:
        """Bytes of the device that are taken between two pictures; None where that is not known."""
        return self._engines[self._latest].held_memory

    def load(self) -> None:
        """Bring the main model's weights into memory. The others wait for their first use.

        Raises:
            ModelUnavailable: They are missing, refused or damaged, or of no known family.
            OutOfMemory: They do not fit.
        """
        if self._main not in self._in_memory:
            self._load(self._main, log.info)

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        """Make one picture, with the model that *request* names; the same request makes the same
        pixels, whatever was drawn before. *on_step* is told of a model that is loaded first.

        Raises:
            ModelUnavailable, OutOfMemory, DegenerateResult: As for `DiffusionEngine.generate`, or
                the model cannot be loaded.
        """
        name = request.model if request.model in self._engines else self._main
        engine = self._engines[name]
        if name not in self._in_memory:

            def note(sentence: str) -> None:
                on_step(Step(0, note=sentence))

            known = public_name(name)
            note(f"loading {known}")
            try:
                with as_out_of_memory("there is no memory to read it into"):
                    self._load(name, note)
            except (ModelUnavailable, OutOfMemory) as error:
                log.error("%s cannot be loaded: %s", name, error)
                # People learn no path of the operator's machine.
                reason = str(error).replace(engine.repository, public_name(engine.repository))
                raise type(error)(f"the model {known} cannot be loaded: {reason}") from error
        elif name != self._latest:
            engine.make_room()
        self._in_memory.move_to_end(name)
        return engine.generate(request, on_step)

    def planned(self) -> dict[str, memory.Plan | None]:
        """The plan of each model for an empty device, as `DiffusionEngine.planned`; of those beside
        the main one None also where they are damaged, or of no known family.

        Raises:
            ModelUnavailable: The main one is, or there is no such device.
        """
        plans: dict[str, memory.Plan | None] = dict.fromkeys(self._engines)
        plans[self._main] = self._engines[self._main].planned()
        for name in self._engines:
            with suppress(ModelUnavailable):
                plans[name] = plans[name] or self._engines[name].planned()
        return plans

    def forget_prompts(self) -> None:
        """Empty the caches of embeddings, so that every prompt is encoded anew."""
        for engine in self._engines.values():
            engine.forget_prompts()

    def close(self) -> None:
        """Give the memory back. May be called more than once; `load` works again after it."""
        self._in_memory.clear()
        for engine in self._engines.values():
            engine.close()

    @property
    def _latest(self) -> str:
        """The name of the model that was used last."""
        return next(reversed(self._in_memory), self._main)

    def _load(self, name: str, note: Note) -> None:
        """Load a model; where that takes memory that others have, these go first."""
        while True:
            try:
                self._engines[name].load(note)
            except Exception as error:
                is_full = isinstance(error, OutOfMemory) or is_out_of_memory(error)
                if not is_full or not self.close_one(name):
                    raise
                log.warning("%s did not fit beside another model: %s", name, error)
            else:
                self._in_memory[name] = None
                return

    def resting_bytes(self, name: str) -> int:
        """Bytes of the device that the models beside *name* take between two pictures."""
        return sum(engine.resting_bytes for each, engine in self._engines.items() if each != name)

    def close_one(self, name: str) -> bool:
        """Close the model used longest ago, but for *name*; False where there is none."""
        oldest = next((each for each in self._in_memory if each != name), None)
        if oldest is None:
            return False
        del self._in_memory[oldest]
        self._engines[oldest].close()
        log.info("%s made room", oldest)
        return True


class _OthersOf:
    """The `Others` of the model *name*."""

    def __init__(self, models: SeveralModels, name: str) -> None:
        self._models = models
        self._name = name

    @property
    def resting_bytes(self) -> int:
        return self._models.resting_bytes(self._name)

    def close_one(self) -> bool:
        return self._models.close_one(self._name)


def engine_of(
    *,
    models: Mapping[str, Mapping[str, Any]],
    preprocessors: Preprocessors | Mapping[str, Any],
    **arguments: Any,
) -> SeveralModels:
    """An engine from values that a pipe can carry, for a child process.

    Args:
        models: Arguments of `DiffusionEngine` for each model, by the name that requests have for
            it, the main one first.
        preprocessors: Make control maps; or arguments for them.
        arguments: Those that hold for all.
    """
    if not isinstance(preprocessors, Preprocessors):
        preprocessors = Preprocessors(**preprocessors)

    def maker(own: Mapping[str, Any]) -> Callable[[Others], DiffusionEngine]:
        own = {
            **own,
            "controlnets": tuple(map(tuple, own.get("controlnets", ()))),
            "loras": tuple(own.get("loras", ())),
        }
        make = partial(DiffusionEngine, **arguments, **own, preprocessors=preprocessors)
        return lambda others: make(others=others)

    return SeveralModels({name: maker(own) for name, own in models.items()})
