"""What a step cache saves and what it costs, beside the same work spent on fewer steps.

Pictures of the demo model, on prompts that nothing was tuned on. Each is drawn with all its steps,
then with guesses at several tolerances, and for each of these with as many steps as the cache
computed, so that both have done the same work. Figures are peak signal-to-noise ratios to the
picture with all steps, in dB: the mean and the worst.

    python -m benchmarks.step_cache
    python -m benchmarks.step_cache --pictures 4 --steps 28
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.demo_pictures import COLOURS, SHAPES
from generation.diffusion.engine import DiffusionEngine
from generation.kinds import ControlNet, ImageToImage
from generation.types import GenerationRequest

NEGATIVE_PROMPT = "a grey square on a grey background"
SORTS = ("words", "ControlNet", "negative prompt", "image to image")


@dataclass(frozen=True)
class Row:
    """One sort of pictures at one number of steps and one tolerance.

    Attributes:
        computed: Mean number of steps that were computed.
        expected: What `GenerationRequest.expected_evaluations` says of it.
        cached: Ratios of the pictures with guesses, in dB.
        fewer: Ratios of those with as many steps as were computed.
    """

    sort: str
    steps: int
    tolerance: float
    computed: float
    expected: float
    cached: tuple[float, ...]
    fewer: tuple[float, ...]


def main() -> None:
    options = _options()
    engine = DiffusionEngine(max_sequence_length=64, device=options.device)
    engine.load()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(engine, options, Path(folder)))
    engine.close()
    table = Table("pictures", "steps", "tolerance", "computed", "expected", title="Step cache, dB")
    for heading in ("cached, mean", "worst", "fewer steps, mean", "worst"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.sort,
            str(row.steps),
            f"{row.tolerance:g}",
            f"{row.computed:.1f} ({row.computed / row.steps:.0%})",
            f"{row.expected:.1f}",
            *(f"{value:.1f}" for ratios in (row.cached, row.fewer) for value in summary(ratios)),
        )
    Console(width=120).print(table)


def measure(engine: DiffusionEngine, options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Rows for all sorts, steps and tolerances."""
    for steps in options.steps:
        for sort in options.sorts:
            requests = list(requested(engine, sort, steps, options.pictures, folder))
            whole = [engine.generate(request, lambda step: None).image for request in requests]
            for tolerance in options.tolerances:
                yield compared(engine, sort, requests, whole, tolerance)


def compared(
    engine: DiffusionEngine,
    sort: str,
    requests: list[GenerationRequest],
    whole: list[Image.Image],
    tolerance: float,
) -> Row:
    """The row of *requests*, whose pictures with all steps are *whole*."""
    computed: list[int] = []
    cached, fewer = [], []
    for request, picture in zip(requests, whole, strict=True):
        guessed = replace(request, step_cache_tolerance=tolerance)
        cached.append(ratio(engine.generate(guessed, lambda step: None).image, picture))
        # What the engine has forgotten by then is counted at its last step.
        computed.append(steps_computed(engine, guessed))
        share = computed[-1] / request.steps_taken
        shorter = replace(
            request, num_inference_steps=max(1, round(request.num_inference_steps * share))
        )
        fewer.append(ratio(engine.generate(shorter, lambda step: None).image, picture))
    passes = 2 if requests[0].true_cfg_scale > 1 else 1
    return Row(
        sort,
        requests[0].steps_taken,
        tolerance,
        sum(computed) / len(computed),
        replace(requests[0], step_cache_tolerance=tolerance).expected_evaluations / passes,
        tuple(cached),
        tuple(fewer),
    )


def steps_computed(engine: DiffusionEngine, request: GenerationRequest) -> int:
    """Steps that *engine* computes of *request*."""
    counts = []

    def count(step: object) -> None:
        counts.append(engine._current.model.step_cache.computed)  # type: ignore[union-attr]

    engine.generate(request, count)
    return counts[-1]


def requested(
    engine: DiffusionEngine, sort: str, steps: int, count: int, folder: Path
) -> Iterator[GenerationRequest]:
    """*count* requests of *sort*, with prompts and seeds that are the same in each run."""
    random = Random(2)
    for number in range(count):
        first, second = random.sample(COLOURS, 2)
        one, other = random.sample(SHAPES, 2)
        prompt = random.choice(
            (
                f"a {first} {one} on a {second} background",
                f"a {first} {one} beside a {second} {other}",
                f"two {first} {one}s above a {second} {other}",
            )
        )
        request = GenerationRequest(
            prompt=prompt,
            num_inference_steps=steps,
            guidance_scale=3.5,
            width=256,
            height=256,
            seed=random.randrange(2**32),
        )
        if sort in ("ControlNet", "image to image"):
            file = folder / f"{number}.png"
            if not file.exists():
                source = replace(request, seed=request.seed ^ 1, num_inference_steps=12)
                engine.generate(source, lambda step: None).image.save(file)
            kind = (
                ControlNet(controlnet="demo/controlnet-canny", preprocessor="canny")
                if sort == "ControlNet"
                else ImageToImage(strength=0.7)
            )
            request = replace(request, kind=kind, pictures={"control_image": file})
        elif sort == "negative prompt":
            request = replace(request, negative_prompt=NEGATIVE_PROMPT, true_cfg_scale=3.0)
        yield request


def ratio(image: Image.Image, reference: Image.Image) -> float:
    """Peak signal-to-noise ratio of *image* to *reference* in dB; 99 for equal ones."""
    error = np.asarray(image, np.float64) - np.asarray(reference, np.float64)
    mean = float((error**2).mean())
    return 99.0 if mean == 0 else 10 * math.log10(255**2 / mean)


def summary(ratios: tuple[float, ...]) -> tuple[float, float]:
    """Mean and worst of *ratios*."""
    return sum(ratios) / len(ratios), min(ratios)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=8, help="of each sort")
    parser.add_argument("--steps", type=int, nargs="+", default=[12, 28])
    parser.add_argument("--tolerances", type=float, nargs="+", default=[0.3, 0.6])
    parser.add_argument("--sorts", nargs="+", choices=SORTS, default=list(SORTS))
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
