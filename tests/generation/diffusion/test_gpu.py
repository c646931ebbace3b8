"""Behaviour on a CUDA device alone: streams, and weights that really move."""

import pytest

from generation.diffusion.memory import OFFLOAD_LEVELS
from tests.generation.engines import ignore, model, new_engine, same

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def resident(tiny):
    engine = new_engine(tiny, device="cuda", dtype="float32", offload_level="resident")
    engine.load()
    yield engine
    engine.close()


@pytest.mark.parametrize("level", OFFLOAD_LEVELS[1:])
def test_every_offload_level_draws_the_same_pixels_on_a_real_card(
    tiny, resident, fox, canny, level
):
    engine = new_engine(tiny, device="cuda", dtype="float32", offload_level=level)
    engine.load()

    for request in (fox, canny, fox):
        assert same(engine.generate(request, ignore), resident.generate(request, ignore))

    engine.close()


@pytest.mark.parametrize("setting", ["fp8", "int8", "4bit"])
def test_quantized_weights_draw_the_same_on_every_offload_level(tiny, fox, setting):
    engine = new_engine(tiny, device="cuda", dtype="bfloat16", quantized=setting)
    engine.load()
    first = engine.generate(fox, ignore)

    while engine._current.step_down():
        engine.forget_prompts()
        assert same(engine.generate(fox, ignore), first), engine.current_offload_level

    engine.close()


def test_what_rests_is_pinned(tiny):
    engine = new_engine(tiny, device="cuda", dtype="float32", offload_level="group-offload")
    engine.load()

    block = model(engine).text_to_image.transformer.transformer_blocks[0]

    assert all(weight.is_pinned() for weight in block.parameters())
    engine.close()


def test_the_peak_of_the_memory_is_told(resident, fox):
    assert resident.generate(fox, ignore).peak_memory > 0
