"""Sharing, swapping and eviction, on the weights that ship: they must not be seen in a picture."""

from dataclasses import replace
from random import Random

import pytest

from generation.demo import checker, drawings, evaluate
from generation.diffusion.engine import DiffusionEngine
from generation.kinds import ControlNet
from generation.types import GenerationRequest
from tests.generation.engines import ignore, same

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def drawing():
    return drawings.sample(Random(5), "pair", for_evaluation=True)


@pytest.fixture(scope="module")
def plain(drawing):
    return GenerationRequest(
        prompt=drawing.caption,
        num_inference_steps=evaluate.STEPS,
        guidance_scale=evaluate.GUIDANCE,
        width=128,
        height=128,
        seed=3,
    )


@pytest.fixture(scope="module")
def conditioned(plain, drawing, tmp_path_factory):
    """Requests that follow the same drawing with either ControlNet."""
    file = tmp_path_factory.mktemp("control") / "drawing.png"
    drawings.render(drawing).save(file)
    return [
        replace(
            plain,
            kind=ControlNet(
                controlnet=f"demo/controlnet-{name}",
                preprocessor=preprocessor,
                controlnet_conditioning_scale=1.0,
            ),
            pictures={"control_image": file},
        )
        for name, preprocessor in (("canny", "canny"), ("blobs", "blur"))
    ]


def test_presets_that_take_each_others_place_draw_what_they_drew(
    plain, conditioned, drawing, tmp_path
):
    engine = DiffusionEngine(
        download_dir=tmp_path, device="cpu", max_sequence_length=64, max_controlnets=1, threads=1
    )
    engine.load()
    requests = [plain, *conditioned, replace(plain, lora="demo/lora-ink")]

    first = [engine.generate(request, ignore) for request in requests]
    held = dict(engine.loaded)
    again = [engine.generate(request, ignore) for request in requests]

    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert len({result.image.tobytes() for result in first}) == len(requests)
    # Of two ControlNets one at a time, and the base weights once for all of them.
    assert {name for name in held if "controlnet" in name} == {"demo/controlnet-blobs"}
    assert held == engine.loaded
    for result in first[:3]:
        assert checker.judge(result.image, drawing).everything
    engine.close()
