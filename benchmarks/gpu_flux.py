"""FLUX.1-dev at full size on a GPU: seconds and memory beside bare diffusers, and beside the floor
that the card's own kernels set.

The weights are random and made on the card (`benchmarks/random_flux.py`): 36 GB, which go to a
folder in memory, because the engine is measured along its real path, from files. The sections come
in the order of their weight, each is left out where the time is short, and each row is printed and
written as it comes, so that a run which is cut off has told what it knew. Nothing is estimated.

    python -m benchmarks.gpu_flux --folder /dev/shm/flux --save        # 6 minutes at most
    python -m benchmarks.gpu_flux --folder /dev/shm/flux --only floor bare fp8
    python -m benchmarks.gpu_flux --folder tiny --tiny --device cpu    # tries the script itself
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import FluxPipeline
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from benchmarks import random_flux
from generation.demo import tiny
from generation.diffusion import engine as flux_engine
from generation.diffusion.device import Device
from generation.diffusion.device import choose_device as found_device
from generation.diffusion.engine import DiffusionEngine
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.kinds import ControlNet
from generation.types import GenerationRequest, Step
from generation.weights import prepare_environment

RESULTS = Path(__file__).parent / "results"
PROMPT = "a red fox in snow"
LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "peft", "torchao", "bitsandbytes")

#: Products of one step at 1024 x 1024 with 512 tokens: rows, columns and depth, and how often. A
#: double block has its own weights for the picture's 4,096 tokens and the words' 512, a single
#: block has them for all 4,608 together.
DOUBLE, SINGLE = 19, 38
PRODUCTS = (
    *((tokens, *shape, DOUBLE) for tokens in (4096, 512)
      for shape in ((9216, 3072), (3072, 3072), (12288, 3072), (3072, 12288))),
    (4608, 9216, 3072, SINGLE),
    (4608, 12288, 3072, SINGLE),
    (4608, 3072, 15360, SINGLE),
)  # fmt: skip
HEADS, TOKENS, WIDTH = 24, 4608, 128


@dataclass
class Run:
    """One run of the benchmark.

    Attributes:
        text: The picture of words alone.
        conditioned: The same with a ControlNet to the last step.
        rows: What was measured so far.
        floor: Seconds of a picture's products and attention, by the number format of the products.
        bare: Seconds of a picture by bare diffusers.
    """

    options: argparse.Namespace
    text: GenerationRequest
    conditioned: GenerationRequest
    file: Path | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    floor: dict[str, float] = field(default_factory=dict)
    bare: float | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def on_gpu(self) -> bool:
        return str(self.options.device).startswith("cuda")

    def tell(self, section: str, what: str, **figures: Any) -> None:
        """Keep a row and print it."""
        row = {"section": section, "what": what, **figures}
        self.rows.append(row)
        line = json.dumps(row)
        print(line, flush=True)
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def engine(self, **changes: Any) -> DiffusionEngine:
        """An engine over the random weights, not loaded."""
        options = self.options
        given = {
            "device": options.device,
            "dtype": options.dtype,
            "offload_level": "resident",
            "max_sequence_length": options.tokens,
            "pixels": options.size**2,
            "download_dir": options.folder / "download",
        }
        return DiffusionEngine(str(options.folder / "flux"), **{**given, **changes})


def floor(run: Run) -> None:
    """The products of one step, and its attention, alone."""
    if not run.on_gpu or run.options.tiny:
        run.tell("floor", "needs a GPU and full size")
        return
    attention = _attention_seconds(run)
    for name, seconds in (("bf16", _product_seconds(run)), ("fp8", _float8_seconds(run))):
        if seconds is not None:
            run.floor[name] = run.options.steps * (seconds + attention)
            run.tell("floor", name, seconds=run.floor[name], step=seconds + attention)


def bare(run: Run) -> None:
    """The same picture by diffusers alone, eager, everything on the device."""
    options = run.options
    pipe = FluxPipeline.from_pretrained(
        options.folder / "flux", dtype=getattr(torch, options.dtype)
    )
    pipe.to(options.device)
    pipe.set_progress_bar_config(disable=True)
    draw = partial(
        pipe,
        prompt=run.text.prompt,
        width=run.text.width,
        height=run.text.height,
        num_inference_steps=run.text.num_inference_steps,
        guidance_scale=run.text.guidance_scale,
        max_sequence_length=options.tokens,
    )
    figures = timed(run, draw)
    run.bare = figures["seconds"]
    run.tell("bare", "words", **figures)


def bf16(run: Run) -> None:
    """The engine as it is by default."""
    with loaded(run, "bf16") as engine:
        _told(run, "bf16", "words", engine, run.text)
        _told(run, "bf16", "ControlNet", engine, run.conditioned)
        until = replace(run.conditioned.kind, control_guidance_end=0.8)
        _told(run, "bf16", "ControlNet to 0.8", engine, replace(run.conditioned, kind=until))
        for width, height in ((832, 1216), (512, 512), (1024, 1024)):
            if run.options.tiny:
                width, height = width // 64 * 16, height // 64 * 16
            other = replace(run.text, width=width, height=height)
            for number in ("first", "second"):
                _told(run, "bf16", f"{number} of {width} x {height}", engine, other, times=1)
        lora = replace(run.text, lora=str(run.options.folder / "lora"))
        for number in ("first", "second", "third"):
            _told(run, "bf16", f"{number} with a LoRA", engine, lora, times=1)
        _told(run, "bf16", "without it again", engine, run.text, times=1)


def fp8(run: Run) -> None:
    """Weights and activations in eight bits, and with guessed steps."""
    with loaded(run, "fp8", quantized="fp8") as engine:
        _told(run, "fp8", "words", engine, run.text)
        _told(run, "fp8", "ControlNet", engine, run.conditioned)
        guessing = replace(run.text, step_cache_tolerance=0.6)
        # Random weights bend in other ways than trained ones, so that the share says little.
        _told(run, "fp8", "step cache of 0.6", engine, guessing)


def levels(run: Run) -> None:
    """Each offload level: a step, and what is around the steps, beside the plan."""
    pinned = _copy_seconds(run)
    short = replace(run.text, num_inference_steps=min(8, run.options.steps))
    for level in OFFLOAD_LEVELS[1:]:
        with loaded(run, "levels", level, offload_level=level) as engine:
            _told(run, "levels", level, engine, short, times=1, copy_of_the_transformer=pinned)


def cards(run: Run) -> None:
    """Smaller cards, played by a share of this one's memory, with what suits each."""
    if not run.on_gpu:
        run.tell("cards", "needs a GPU")
        return
    short = replace(run.text, num_inference_steps=min(8, run.options.steps))
    for size, quantized in ((24, "fp8"), (16, "fp8"), (12, "4bit"), (8, "4bit"), (24, "none")):
        total = torch.cuda.get_device_properties(run.options.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, size * 1e9 / total))
        try:
            with loaded(
                run,
                "cards",
                f"{size} GB, {quantized}",
                quantized=quantized,
                offload_level="auto",
                choose_device=partial(_smaller, size * 10**9),
            ) as engine:
                _told(run, "cards", f"{size} GB, {quantized}", engine, short, times=1)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)


def restart(run: Run) -> None:
    """A fresh process with what the compiler has kept: seconds until it is ready."""
    program = (
        "import sys, time; from pathlib import Path; began = time.perf_counter();"
        "from generation.weights import prepare_environment; import os;"
        "prepare_environment(Path(sys.argv[1]) / 'download', os.environ);"
        "from generation.diffusion.engine import DiffusionEngine;"
        "imported = time.perf_counter();"
        "engine = DiffusionEngine(str(Path(sys.argv[1]) / 'flux'), device=sys.argv[2],"
        " offload_level='resident', max_sequence_length=int(sys.argv[3]));"
        "engine.load(); print(imported - began, time.perf_counter() - imported)"
    )
    arguments = (str(run.options.folder), run.options.device, str(run.options.tokens))
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    importing, loading = map(float, ended.stdout.split()[-2:])
    run.tell("restart", "import", seconds=importing)
    run.tell("restart", "load and warm up", seconds=loading)


#: The sections in the order of their weight, and the seconds that each takes at least.
SECTIONS: dict[str, tuple[Callable[[Run], None], float]] = {
    "floor": (floor, 5),
    "bare": (bare, 30),
    "bf16": (bf16, 60),
    "fp8": (fp8, 60),
    "cards": (cards, 40),
    "levels": (levels, 40),
    "restart": (restart, 30),
}


def main() -> None:
    options = _options()
    # What random weights draw may well be of one colour, which no person would be shown.
    flux_engine.is_blank_image = lambda image: False
    prepare_environment(options.folder / "download", os.environ)
    run = _run(options)
    run.tell("setting", _device_name(options.device), **_setting(options))
    if not (options.folder / "flux" / "model_index.json").exists():
        began = time.perf_counter()
        _build(options)
        run.tell("setting", "weights written", seconds=time.perf_counter() - began)
    for name in options.only:
        section, needed = SECTIONS[name]
        left = options.limit - (time.perf_counter() - run.began)
        if left < needed:
            run.tell(name, "left out", note=f"{left:.0f} s are left of {options.limit:g}")
            continue
        try:
            section(run)
        except Exception as error:  # one section's trouble is not the next one's
            run.tell(name, "failed", note=f"{type(error).__name__}: {str(error)[:300]}")
        _free()
    show(run)


def show(run: Run) -> None:
    """Print the table of ratios: below 1 the engine was faster than what it stands beside."""
    table = Table("section", "what", "s", "a step, s", "around, s", "peak GB", "plan GB")
    for heading in ("of bare", "of the floor", "note"):
        table.add_column(heading)
    for row in run.rows:
        if row["section"] == "setting":
            continue
        seconds = row.get("seconds")
        is_whole = seconds is not None and row.get("steps") == run.options.steps
        products = "fp8" if row["section"] == "fp8" else "bf16"
        beside = (run.bare, run.floor.get(products)) if is_whole else (None, None)
        table.add_row(
            row["section"],
            row["what"],
            *(_shown(row.get(name)) for name in ("seconds", "step", "around")),
            *(_shown(row.get(name), 1e9) for name in ("peak", "plan")),
            *(_shown(seconds / each if each and seconds else None) for each in beside),
            str(row.get("note", "")),
        )
    Console(width=150).print(table)


@contextlib.contextmanager
def loaded(run: Run, section: str, what: str = "", **changes: Any) -> Iterator[DiffusionEngine]:
    """An engine, loaded, whose time to load and to warm up is told."""
    engine = run.engine(**changes)
    began = time.perf_counter()
    engine.load()
    run.tell(section, f"{what} load and warm up".strip(), seconds=time.perf_counter() - began)
    try:
        yield engine
    finally:
        engine.close()
        _free()


def _told(
    run: Run,
    section: str,
    what: str,
    engine: DiffusionEngine,
    request: GenerationRequest,
    *,
    times: int | None = None,
    **more: Any,
) -> None:
    """Measure pictures of *request* and tell of them: of all, of one step, and of what is around
    the steps; with *times* 1 that is the very first."""
    plan, level = engine._current.plan, engine.current_offload_level
    moments: list[float] = []

    def on_step(step: Step) -> None:
        if step.number:
            moments.append(time.perf_counter())

    def draw() -> None:
        moments.clear()
        engine.forget_prompts()  # as bare diffusers encodes each time
        engine.generate(request, on_step)

    figures = timed(run, draw, times=times)
    if len(moments) > 2:
        steps = [later - earlier for earlier, later in pairwise(moments)]
        figures["step"] = statistics.median(steps)
        figures["around"] = figures["seconds"] - request.steps_taken * figures["step"]
    after = engine.current_offload_level
    note = "" if after == level else f"in the end on {after}"
    run.tell(
        section,
        what,
        steps=request.steps_taken,
        level=after,
        plan=plan.needs[after],
        note=note or f"on {after}",
        **figures,
        **more,
    )


def timed(run: Run, draw: Callable[[], object], *, times: int | None = None) -> dict[str, Any]:
    """Median seconds and peak bytes of *draw*, after one call that warms it up; with *times* 1
    those of the first."""
    if times is None:
        draw()
    if run.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(times or run.options.runs):
        _wait(run)
        began = time.perf_counter()
        draw()
        _wait(run)
        seconds.append(time.perf_counter() - began)
    figures: dict[str, Any] = {"seconds": statistics.median(seconds)}
    if run.on_gpu:
        figures |= {
            "peak": torch.cuda.max_memory_allocated(),
            "reserved": torch.cuda.max_memory_reserved(),
        }
    return figures


@dataclass(frozen=True, slots=True)
class _Smaller(Device):
    """This device, with less memory."""

    size: int = 0

    @property
    def free_memory(self) -> int | None:
        return self.size - torch.cuda.memory_allocated(self.torch_device)

    @property
    def total_memory(self) -> int | None:
        return self.size


def _smaller(size: int, device: str, dtype: str, parameters: int) -> Device:
    found = found_device(device, dtype, parameters)
    return _Smaller(found.torch_device, found.dtype, size)


def _product_seconds(run: Run) -> float:
    """Seconds of one step's products in bfloat16."""
    total = 0.0
    for rows, columns, depth, count in PRODUCTS:
        left = torch.randn(rows, depth, device=run.options.device, dtype=torch.bfloat16)
        right = torch.randn(columns, depth, device=run.options.device, dtype=torch.bfloat16)
        total += count * _seconds(run, partial(torch.nn.functional.linear, left, right))
    return total


def _float8_seconds(run: Run) -> float | None:
    """Seconds of the same products in float8 with a scale for each row; None where the card has
    none of them."""
    total = 0.0
    for rows, columns, depth, count in PRODUCTS:
        ones = partial(torch.ones, device=run.options.device)
        left = torch.randn(rows, depth, device=run.options.device).to(torch.float8_e4m3fn)
        right = torch.randn(columns, depth, device=run.options.device).to(torch.float8_e4m3fn)
        multiply = partial(
            torch._scaled_mm,
            left,
            right.t(),
            scale_a=ones(rows, 1),
            scale_b=ones(1, columns),
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        try:
            total += count * _seconds(run, multiply)
        except RuntimeError as error:
            run.tell("floor", "fp8", note=str(error)[:200])
            return None
    return total


def _attention_seconds(run: Run) -> float:
    """Seconds of one step's attention, by the kernel that torch chooses."""
    query, key, value = (
        torch.randn(1, HEADS, TOKENS, WIDTH, device=run.options.device, dtype=torch.bfloat16)
        for _ in range(3)
    )
    attend = partial(torch.nn.functional.scaled_dot_product_attention, query, key, value)
    return (DOUBLE + SINGLE) * _seconds(run, attend)


def _copy_seconds(run: Run) -> float | None:
    """Seconds in which as many bytes as the transformer has reach the card from pinned memory."""
    if not run.on_gpu:
        return None
    piece, size = 2**30, 23.8e9
    pinned = torch.empty(piece, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(pinned, device=run.options.device)
    return size / piece * _seconds(run, partial(there.copy_, pinned, non_blocking=True), count=4)


def _seconds(run: Run, work: Callable[[], object], count: int = 20) -> float:
    """Median seconds of *work* in rows of *count*."""
    work()
    found = []
    for _ in range(3):
        _wait(run)
        began = time.perf_counter()
        for _ in range(count):
            work()
        _wait(run)
        found.append((time.perf_counter() - began) / count)
    return statistics.median(found)


def _wait(run: Run) -> None:
    if run.on_gpu:
        torch.cuda.synchronize()


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _shown(value: float | None, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:.2f}"


def _run(options: argparse.Namespace) -> Run:
    """A run of *options*, whose results go to a file of their own where they are to be saved."""
    square = options.folder / "square.png"
    options.folder.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (512, 512))
    ImageDraw.Draw(image).rectangle((100, 100, 400, 400), fill="white")
    image.save(square)
    text = GenerationRequest(
        prompt=PROMPT,
        num_inference_steps=options.steps,
        guidance_scale=3.5,
        width=options.size,
        height=options.size,
        seed=0,
    )
    conditioned = replace(
        text,
        kind=ControlNet(controlnet=str(options.folder / "controlnet"), preprocessor="canny"),
        pictures={"control_image": square},
    )
    file = None
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"gpu_flux-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    return Run(options, text, conditioned, file)


def _build(options: argparse.Namespace) -> None:
    if not options.tiny:
        random_flux.build(options.folder, options.device)
        _free()
        return
    tiny.build(options.folder)
    transformer = diffusers.FluxTransformer2DModel.from_pretrained(
        options.folder / "flux", subfolder="transformer"
    )
    random_flux.write_lora(transformer, options.folder / "lora", rank=2)


def _setting(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on beside the code."""
    installed = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return {
        "size": f"{options.size} x {options.size}",
        "steps": options.steps,
        "tokens": options.tokens,
        "runs": options.runs,
        "weights": "random, tiny" if options.tiny else "random, of FLUX.1-dev's sizes",
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        **installed,
    }


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{device} ({platform.processor() or platform.machine()})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the random weights")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--size", type=int, default=1024, help="pixels, both ways")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=340, help="seconds for all of it")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--tiny", action="store_true", help="weights of next to no size")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/")
    options = parser.parse_args()
    options.folder = options.folder.absolute()
    return options


if __name__ == "__main__":
    main()
