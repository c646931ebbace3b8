"""Engines on the random model, and what tests say of their pictures."""

import contextlib
import weakref

import numpy as np
import torch

from generation.diffusion.device import Device
from generation.diffusion.engine import DiffusionEngine


def ignore(step):
    pass


def pixels(result):
    return np.asarray(result.image)


def same(a, b):
    return np.array_equal(pixels(a), pixels(b))


def alike(a, b):
    """Whether no value is further off than a shade. Weights that lie elsewhere in memory, as those
    of another file do, are multiplied in another order."""
    return np.abs(pixels(a).astype(int) - pixels(b)).max() <= 1


def new_engine(tiny, **changes):
    """An engine for FLUX.1's random model in the folder *tiny*, or for the pipeline that it is."""
    options = {"device": "cpu", "max_sequence_length": 32, "threads": 1, **changes}
    pipeline = tiny if (tiny / "model_index.json").is_file() else tiny / "flux"
    return DiffusionEngine(str(pipeline), **options)


def on_small_device(tiny, budget=None, free=None, dtype=torch.float32, **changes):
    """A loaded engine on a `SmallDevice`."""
    device = SmallDevice(budget, free, dtype)
    engine = new_engine(tiny, choose_device=lambda *asked: device, **changes)
    engine.load()
    return engine


@contextlib.contextmanager
def computing_on_its_device(engine):
    """Fails where a layer has computed in the block with weights that were not on the device of
    *engine*: a card could not, and a `SmallDevice` draws the same all the same."""
    device, astray = offloading(engine).device, set()

    def look(layer, given, made):
        if not all(map(device.holds, layer.parameters(recurse=False))):
            astray.add(type(layer).__name__)

    hook = torch.nn.modules.module.register_module_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()
    assert not astray, f"they have computed elsewhere: {sorted(astray)}"


def drawn_by(pipe, request, **changes):
    """What *pipe*, one of diffusers' own, makes of *request*: of its words, unless *changes* are
    arguments for pictures."""
    pipe.set_progress_bar_config(disable=True)
    arguments = {
        "prompt": request.prompt,
        "width": request.width,
        "height": request.height,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "generator": torch.Generator().manual_seed(request.seed),
        "max_sequence_length": 32,
    }
    return pipe(**{**arguments, **changes}).images[0]


def model(engine):
    """The model that *engine* has in memory, of whatever family."""
    return engine._current.model


def offloading(engine):
    return engine._current.offloading


class Stretch(bytearray):
    """Memory of a `SmallDevice`, which lives as long as a tensor over it."""


class SmallDevice(Device):
    """A device with memory of its own, which is really the CPU: its tensors lie in memory that is
    counted, and more than `budget` bytes at once do not fit.

    Attributes:
        state: ``budget``: bytes that fit, None means any; ``used``: bytes that are taken now;
            ``brought``: bytes that were ever taken.

    With ``state["fails_next"]`` set, the next tensor does not fit.
    """

    def __init__(self, budget=None, free=None, dtype=torch.float32):
        super().__init__(torch.device("cpu"), dtype)
        state = {"budget": budget, "free": free, "used": 0, "brought": 0}
        object.__setattr__(self, "state", state)
        object.__setattr__(self, "stretches", {})

    @property
    def has_own_memory(self):
        return True

    @property
    def free_memory(self):
        free = self.state["free"]
        return None if free is None else free - self.state["used"]

    def holds(self, tensor):
        start = tensor.data_ptr()
        return any(first <= start < end for first, end in self.stretches.values())

    def moved(self, tensor):
        there = self.empty(tensor.nbytes)[: tensor.nbytes].view(tensor.dtype)
        return there.view(tensor.shape).copy_(tensor)

    def empty(self, size):
        used = self.state["used"] + size
        if self.state.pop("fails_next", False):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4.00 GiB")
        if self.state["budget"] is not None and used > self.state["budget"]:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")
        self.state["used"] = used
        self.state["brought"] += size
        # Aligned as torch's own memory is, since a sum may come out differently otherwise.
        stretch = Stretch(size + 64)
        memory = torch.frombuffer(stretch, dtype=torch.uint8)
        start = -memory.data_ptr() % 64
        first = memory.data_ptr() + start
        self.stretches[id(stretch)] = (first, first + size)
        weakref.finalize(stretch, self._given_back, id(stretch), size)
        return memory[start : start + size]

    def _given_back(self, key, size):
        del self.stretches[key]
        self.state["used"] -= size


def in_float8(layer):
    """*layer* as `quantization.quantize` leaves it by "fp8" on a card: torchao makes these there
    alone, but a CPU computes with them."""
    from torchao.float8.inference import Float8MMConfig
    from torchao.quantization import PerRow
    from torchao.quantization.quantize_.workflows.float8.float8_tensor import (
        Float8Tensor,
        QuantizeTensorToFloat8Kwargs,
    )

    products = Float8MMConfig(use_fast_accum=True)
    given = QuantizeTensorToFloat8Kwargs(granularity=PerRow(), mm_config=products)
    weight = Float8Tensor.from_hp(
        layer.weight.detach(), granularity=PerRow(), mm_config=products, act_quant_kwargs=given
    )
    layer.weight = torch.nn.Parameter(weight, False)
    return layer
