"""The demo's picture made larger in tiles: sharper, without seams, and still the same picture.

`python -m benchmarks.upscaling` measures more of it.
"""

import numpy as np
import pytest
from PIL import Image

from benchmarks.upscaling import layout, seam, sharpness
from generation.demo import drawings, evaluate
from generation.diffusion.engine import DiffusionEngine
from generation.kinds import Upscale
from generation.types import GenerationRequest

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_a_larger_picture_is_sharper_without_seams_and_still_the_same(tmp_path):
    (drawing,) = evaluate.ask({"scene": 1})
    original = drawings.render(drawing, 256, 256)
    original.save(tmp_path / "original.png")
    engine = DiffusionEngine(max_sequence_length=64, download_dir=tmp_path)
    engine.load()
    request = GenerationRequest(
        prompt=drawing.caption,
        num_inference_steps=8,  # of which 3 are taken
        guidance_scale=3.5,
        width=512,
        height=512,
        seed=1,
        kind=Upscale(tile_size=256),
        pictures={"control_image": tmp_path / "original.png"},
    )

    drawn = engine.generate(request, lambda step: None).image

    enlarged = original.resize((512, 512), Image.Resampling.LANCZOS)
    assert seam(drawn, enlarged, 256) < 1.6
    assert layout(drawn, enlarged) > 27
    assert sharpness(drawn) > 0.8 * sharpness(enlarged)
    assert np.ptp(np.asarray(drawn)) > 100
