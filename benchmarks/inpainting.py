"""How well the demo model draws a part of a picture anew, by its own checker.

    python -m benchmarks.inpainting            20 pictures, a minute or two
    python -m benchmarks.inpainting --count 3

Each picture is one of two things whose words are held out of training. Below a mask around the
first, the words ask for another colour. The picture is right if the checker finds both things as
asked, and nothing else, on the old ground; outside of the mask no pixel may have changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from generation import masks
from generation.demo import checker, drawings
from generation.demo.drawings import Drawing
from generation.diffusion.engine import DiffusionEngine
from generation.kinds import Inpaint
from generation.types import GenerationRequest

SIDE = 256
#: The mask's side over the thing's own, and its feather in pixels, as the shipped preset has it.
MARGIN, FEATHER = 1.35, 4
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "black")


@dataclass(frozen=True)
class Case:
    """A picture of two things, a mask around the first, and words with another colour for it."""

    drawing: Drawing
    picture: Image.Image
    mask: Image.Image
    prompt: str
    wanted: list[tuple[str, str | None]]


@dataclass(frozen=True)
class Outcome:
    """Whether the picture is right, and the same outside of the mask."""

    is_right: bool
    is_kept: bool


def cases(count: int, seed: str = "inpainting-heldout") -> Iterator[Case]:
    """So many cases, always the same ones for a seed."""
    dice = Random(seed)
    while count:
        drawing = drawings.sample(dice, "pair", for_evaluation=True)
        first, other = drawing.things
        if first.colour is None or first.colour not in drawing.caption:
            continue
        if first.colour == other.colour:
            continue
        count -= 1
        reach = first.radius * SIDE * MARGIN
        sides = [first.x * SIDE - reach, first.y * SIDE - reach]
        sides += [first.x * SIDE + reach, first.y * SIDE + reach]
        mask = Image.new("L", (SIDE, SIDE))
        left, top, right, bottom = (int(min(SIDE, max(0, side))) for side in sides)
        mask.paste(255, (left, top, right, bottom))
        taken = {first.colour, other.colour, drawing.ground}
        colour = dice.choice([each for each in COLOURS if each not in taken])
        yield Case(
            drawing,
            drawings.render(drawing, SIDE, SIDE),
            mask,
            drawing.caption.replace(first.colour, colour, 1),
            sorted([(first.noun, colour), (other.noun, other.colour)]),
        )


def outcome(engine: DiffusionEngine, case: Case, seed: int, folder: Path) -> Outcome:
    """What *engine* makes of *case*; *folder* has room for its pictures."""
    pictures = {name: folder / f"{name}.png" for name in Inpaint.pictures}
    pictures["control_image"].write_bytes(masks.encoded(case.picture))
    pictures["mask_image"].write_bytes(masks.encoded(case.mask))
    request = GenerationRequest(
        prompt=case.prompt,
        num_inference_steps=12,
        guidance_scale=3.5,
        width=SIDE,
        height=SIDE,
        seed=seed,
        kind=Inpaint(mask_feather=FEATHER),
        pictures=pictures,
    )
    image = engine.generate(request, lambda step: None).image
    ground, found = checker.look(image)
    outside = np.asarray(case.mask) == 0
    return Outcome(
        ground == case.drawing.ground
        and sorted((each.shape, each.colour) for each in found) == case.wanted,
        bool((np.asarray(image)[outside] == np.asarray(case.picture)[outside]).all()),
    )


def main(count: Annotated[int, typer.Option(help="Pictures.")] = 20) -> None:
    engine = DiffusionEngine("demo", device="cpu", max_sequence_length=64)
    engine.load()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, case in enumerate(cases(count)):
            outcomes.append(outcome(engine, case, seed, Path(folder)))
            print(f"{case.prompt}: {outcomes[-1]}", flush=True)
    right = sum(each.is_right for each in outcomes)
    kept = sum(each.is_kept for each in outcomes)
    print(f"right below the mask {right}, the same outside {kept}, of {count}")


if __name__ == "__main__":
    typer.run(main)
