"""Compiled code for the layers that a picture spends its time in.

Blocks are compiled one by one, not the model around them, so that hooks which move a block to the
device lie outside of its compiled code, and all blocks of a kind share one graph. Sizes are
symbols in it: measured on an H200 (November 2026, torch 2.11), that is as fast as a graph for each
size, 134 ms a step against 175 without, and another size needs no compiling.

New graphs are made while weights are loaded and warmed up, and at no other time: whatever else
would need one is drawn without, so that nobody waits for a compiler in the middle of the queue.
Compiled code rounds otherwise than the same layers one after the other; pixels differ by a shade
here and there.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch

from generation.diffusion.device import MANY_PARAMETERS, Device
from generation.diffusion.exhaustion import is_out_of_memory
from generation.diffusion.offloading import Offloading

Setting = Literal["auto", "on", "off"]

#: What diffusers calls the blocks of FLUX.1 and FLUX.2.
BLOCKS = frozenset(
    f"{family}{kind}Block"
    for family in ("Flux", "Flux2")
    for kind in ("Transformer", "SingleTransformer")
)
#: Offload level on which the layers in a block are moved one by one, by hooks inside of it.
TOO_FINE = "sequential-offload"

#: Graphs of one function that may be kept: several for each kind of LoRA that is part of the
#: blocks. torch's own limit is 8, and counts those of all models together.
GRAPHS = 64

log = logging.getLogger(__name__)


def pays(setting: Setting, device: Device, parameters: int) -> bool:
    """Whether a model of so many *parameters* is compiled. By "auto" on CUDA alone, and no small
    one, which would be drawn many times before the seconds of compiling came back."""
    if setting != "auto":
        return setting == "on"
    return device.torch_device.type == "cuda" and parameters >= MANY_PARAMETERS


class Compiling:
    """Compiled code of one engine's parts, as long as all goes well.

    Args:
        offloading: Where the parts rest.
        is_wanted: Whether anything is compiled at all.
        backend: torch's name of the compiler.

    Attributes:
        is_wanted: Whether anything is compiled at all, as long as that works.
        failures: Why something is drawn without, by what it is: "blocks" or "VAE".
        stance: What torch does where a new graph would be needed and none may be made.
    """

    def __init__(self, offloading: Offloading, is_wanted: bool, backend: str = "inductor") -> None:
        self.failures: dict[str, str] = {}
        self.stance = "eager_on_recompile"
        self._offloading = offloading
        self.is_wanted = is_wanted
        self._backend = backend
        self._warm: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
        if is_wanted:
            _set_up_torch()

    def is_on(self, what: str = "blocks") -> bool:
        """Whether *what*, "blocks" or "VAE", is drawn with compiled code now."""
        return (
            self.is_wanted
            and what not in self.failures
            and (what != "blocks" or self._offloading.level != TOO_FINE)
        )

    def compile_blocks(self, part: torch.nn.Module) -> None:
        """Have the blocks of *part* compiled, at their first call. To be called before hooks are
        laid and after adapters were."""
        if not self.is_wanted:
            return
        freeze(part)
        for module in part.modules():
            if type(module).__name__ in BLOCKS and "forward" not in vars(module):
                run = self._compiled(module.forward, "blocks")
                module.forward = _with_plain_arguments(module.forward, run)

    def compile_decoder(self, vae: Any) -> None:
        """Have *vae* decode whole pictures with compiled code, and tiles without."""
        if not self.is_wanted:
            return
        vae.requires_grad_(False)
        plain = vae.decoder.forward
        run = self._compiled(plain, "VAE")

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            return (plain if vae.use_tiling else run)(*args, **kwargs)

        vae.decoder.forward = forward

    def is_warm(self, parts: Iterable[torch.nn.Module]) -> bool:
        """Whether nothing of *parts* is left to be compiled."""
        return not self.is_on() or all(part in self._warm for part in parts)

    @contextlib.contextmanager
    def drawing(self, parts: Iterable[torch.nn.Module]) -> Iterator[None]:
        """Draw with *parts* inside the block, the first time with time to compile."""
        parts = tuple(parts)
        if self.is_warm(parts):
            with (
                torch.compiler.set_stance(self.stance)
                if self.is_wanted
                else (contextlib.nullcontext())
            ):
                yield
            return
        yield
        self._warm.update(parts)

    def cool(self) -> None:
        """Have everything count as new, since layers have changed."""
        self._warm.clear()

    def _compiled(self, plain: Callable[..., Any], what: str) -> Callable[..., Any]:
        """*plain*, compiled; from the first failure on by itself."""
        compiled = torch.compile(plain, fullgraph=True, dynamic=True, backend=self._backend)

        def run(*args: Any, **kwargs: Any) -> Any:
            if not self.is_on(what):
                return plain(*args, **kwargs)
            try:
                return compiled(*args, **kwargs)
            except Exception as error:  # compilers raise whatever they like
                if is_out_of_memory(error):
                    raise
                result = plain(*args, **kwargs)  # or what is to blame is raised again
                if what not in self.failures:
                    self.failures[what] = reason = _reason(error)
                    log.warning("the %s cannot be compiled, so drawing is slower: %s", what, reason)
                return result

        return run


def _set_up_torch() -> None:
    """Set those options of torch's compiler that hold for the whole process."""
    dynamo: Any = importlib.import_module("torch._dynamo.config")
    shapes: Any = importlib.import_module("torch.fx.experimental._config")
    dynamo.recompile_limit = GRAPHS
    # Otherwise equal sizes count as one, and a width that happens to be the number of tokens makes
    # a constant of it.
    shapes.use_duck_shape = False
    with contextlib.suppress(ImportError, AttributeError):  # parts of torch that may move
        from generation.diffusion.repetitions import drop_repetitions

        drop_repetitions()


def freeze(part: torch.nn.Module) -> None:
    """Have no weight of *part* want a gradient: each that begins or ceases to would need a new
    graph. Loading and switching adapters turns them on and off."""
    part.requires_grad_(False)


def _with_plain_arguments(block: Callable[..., Any], run: Callable[..., Any]) -> Callable[..., Any]:
    """*run*, called like *block*, with arguments that look the same whoever calls: the transformer
    or a ControlNet, for the first block or another."""
    parameters = inspect.signature(block)

    @functools.wraps(block)
    def forward(*args: Any, **kwargs: Any) -> Any:
        given = parameters.bind(*args, **kwargs)
        given.apply_defaults()
        arguments = {name: _plain(value) for name, value in given.arguments.items()}
        if "joint_attention_kwargs" in arguments:
            arguments["joint_attention_kwargs"] = arguments["joint_attention_kwargs"] or {}
        return run(**arguments)

    return forward


def _plain(value: Any) -> Any:
    """*value*; as a tensor one that is a view of nothing, with the strides of a whole one where it
    is one sample: slices of a sequence would need a graph of their own."""
    if not isinstance(value, torch.Tensor):
        return value
    return (value[0][None] if len(value) == 1 else value).data


def _reason(error: BaseException) -> str:
    """The first two lines of *error*, of which torch's first often says only who raised it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
