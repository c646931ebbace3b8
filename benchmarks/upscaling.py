"""Pictures of the demo model made twice as large in tiles: seams, layout and sharpness.

    python -m benchmarks.upscaling

Beside each stands the picture that is merely enlarged (Lanczos), and one of tiles that do not
overlap, which shows what a seam is. Layout is the PSNR in dB of averages over an eighth of the
side; sharpness the mean of the Laplacian, next to that of the enlarged picture.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from generation.demo import evaluate
from generation.diffusion.engine import DiffusionEngine
from generation.kinds import Upscale, tile_starts
from generation.types import GenerationRequest

SIDE = 256
STRENGTHS = (0.3, 0.5)


def seam(image: Image.Image, enlarged: Image.Image, tile_size: int) -> float:
    """The mean gradient of what *image* adds to *enlarged* where tiles begin or end, over that
    elsewhere: 1 without seams."""
    added = (np.asarray(image, float) - np.asarray(enlarged, float)).mean(2)
    near: list[float] = []
    far: list[float] = []
    for axis in (0, 1):
        steps = np.abs(np.diff(added, axis=axis)).mean(1 - axis)
        length = image.size[1 - axis]
        starts = tile_starts(length, tile_size)
        cuts = {cut for start in starts for cut in (start, start + tile_size) if 0 < cut < length}
        at_a_cut = np.zeros(len(steps), bool)
        for cut in cuts:
            at_a_cut[cut - 2 : cut + 1] = True
        near += list(steps[at_a_cut])
        far += list(steps[~at_a_cut])
    return float(np.mean(near) / np.mean(far))


def layout(image: Image.Image, enlarged: Image.Image) -> float:
    """The PSNR in dB of both, each reduced to an eighth of its side."""
    small = [
        np.asarray(each.resize((each.width // 8, each.height // 8), Image.Resampling.BOX), float)
        for each in (image, enlarged)
    ]
    return 10 * math.log10(255**2 / float(((small[0] - small[1]) ** 2).mean()))


def sharpness(image: Image.Image) -> float:
    """The mean of the absolute Laplacian of the luminance, 0 to 1020."""
    light = np.asarray(image.convert("L"), float)
    middle = light[1:-1, 1:-1]
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    return float(np.abs(around - 4 * middle).mean())


def main() -> None:
    engine = DiffusionEngine(max_sequence_length=64)
    engine.load()
    print("| picture | drawn | seam | layout, dB | sharpness, × enlarged |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for drawing in evaluate.ask({"scene": 2, "single": 1}):
            path = Path(folder) / "original.png"
            asked = GenerationRequest(
                prompt=drawing.caption,
                num_inference_steps=12,
                guidance_scale=3.5,
                width=SIDE,
                height=SIDE,
                seed=1,
            )
            original = engine.generate(asked, lambda step: None).image
            original.save(path)
            enlarged = original.resize((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
            for strength in STRENGTHS:
                request = replace(
                    asked,
                    num_inference_steps=20,
                    width=2 * SIDE,
                    height=2 * SIDE,
                    kind=Upscale(tile_size=SIDE, strength=strength),
                    pictures={"control_image": path},
                )
                for name, starts in (("tiles", tile_starts), ("no overlap", _side_by_side)):
                    with patch("generation.diffusion.tiles.tile_starts", starts):
                        drawn = engine.generate(request, lambda step: None).image
                    print(
                        f"| {drawing.caption} | {name}, strength {strength:g}"
                        f" | {seam(drawn, enlarged, SIDE):.2f} | {layout(drawn, enlarged):.1f}"
                        f" | {sharpness(drawn) / sharpness(enlarged):.2f} |"
                    )


def _side_by_side(length: int, tile_size: int) -> tuple[int, ...]:
    return tuple(range(0, length, tile_size))


if __name__ == "__main__":
    main()
