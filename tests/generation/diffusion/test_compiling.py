"""Compiled blocks: one graph for each kind of block, and none while people wait.

Quick tests compile a block of one layer. Those that draw every kind of picture leave out the last
part of compiling, which makes machine code: what would need another graph is decided before it.
"""

import shutil
from dataclasses import replace

import pytest
import torch
from torch._dynamo.utils import counters

from generation.diffusion import compiling, how
from generation.diffusion.compiling import Compiling, pays
from generation.diffusion.device import MANY_PARAMETERS, Device
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.diffusion.offloading import Offloading
from generation.kinds import ControlLora, ImageToImage, Upscale
from tests.generation.engines import SmallDevice, ignore, new_engine, offloading, pixels

#: As far as graphs, which are then run by torch's own layers.
GRAPHS_ALONE = "aot_eager"


@pytest.fixture
def fresh_torch():
    """torch without any compiled code, with its options put back afterwards."""
    import torch.fx.experimental._config as shapes
    from torch._inductor import config

    before = shapes.use_duck_shape, torch._dynamo.config.recompile_limit
    passes = config.post_grad_custom_pre_pass
    torch._dynamo.reset()
    counters.clear()
    yield
    shapes.use_duck_shape, torch._dynamo.config.recompile_limit = before
    config.post_grad_custom_pre_pass = passes
    torch._dynamo.reset()


def graphs():
    return counters["stats"]["unique_graphs"]


class FluxTransformerBlock(torch.nn.Module):
    """A block of one layer, by the name of a real one."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)

    def forward(
        self,
        hidden_states,
        encoder_hidden_states,
        temb,
        image_rotary_emb=None,
        joint_attention_kwargs=None,
    ):
        joint_attention_kwargs = joint_attention_kwargs or {}
        both = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        both = self.layer(both) + temb[:, None]
        return both[:, : encoder_hidden_states.shape[1]], both[:, encoder_hidden_states.shape[1] :]


@pytest.fixture
def block():
    return FluxTransformerBlock()


def drawn(block, tokens=8, **more):
    """What *block* makes of so many tokens, beside those of a text."""
    dice = torch.Generator().manual_seed(tokens)
    with torch.no_grad():
        text, image = torch.randn(1, 3 + tokens, 8, generator=dice).split([3, tokens], dim=1)
        return block(hidden_states=image, encoder_hidden_states=text, temb=torch.ones(1, 8), **more)


def made_ready(block, backend=GRAPHS_ALONE, level="resident"):
    compiled = Compiling(Offloading(SmallDevice(), level), True, backend)
    compiled.compile_blocks(torch.nn.ModuleList([block]))
    return compiled


def alike(a, b):
    return all(torch.allclose(x, y, atol=1e-5) for x, y in zip(a, b, strict=True))


def test_a_block_has_one_graph_whoever_calls_it_and_with_how_many_tokens(fresh_torch, block):
    """Width 8 and 8 tokens, whole tensors as the first block gets them and slices of one, with and
    without arguments for nobody."""
    plain = {tokens: drawn(block, tokens) for tokens in (8, 12, 30)}
    compiled = made_ready(block)
    with torch.no_grad():
        block(torch.zeros(1, 8, 8), torch.zeros(1, 3, 8), torch.ones(1, 8))

    for tokens, expected in plain.items():
        assert alike(drawn(block, tokens), expected)
        assert alike(drawn(block, tokens, joint_attention_kwargs={}), expected)

    assert graphs() == 1
    assert compiled.failures == {}


def test_gradients_that_adapters_turn_on_are_turned_off_again_before_compiling(fresh_torch, block):
    made_ready(block)

    assert not block.layer.weight.requires_grad


def test_parts_are_compiled_when_they_first_draw_and_never_later(fresh_torch, block):
    plain = drawn(block)
    compiled = made_ready(block)
    assert not compiled.is_warm([block])

    with compiled.drawing([block]):
        drawn(block)
    assert compiled.is_warm([block])
    block.layer = torch.nn.Sequential(block.layer)  # another structure
    with compiled.drawing([block]):
        assert alike(drawn(block), plain)
    assert graphs() == 1
    compiled.cool()
    with compiled.drawing([block]):
        assert alike(drawn(block), plain)

    assert graphs() == 2
    assert compiled.failures == {}


def test_a_picture_that_ends_early_leaves_its_parts_to_be_compiled(fresh_torch, block):
    compiled = made_ready(block)

    with pytest.raises(KeyError), compiled.drawing([block]):
        raise KeyError

    assert not compiled.is_warm([block])


def test_what_cannot_be_compiled_is_drawn_without_and_said_once(fresh_torch, block, caplog):
    def no_compiler(graph, inputs):
        raise RuntimeError("no compiler is there\nand more")

    plain = drawn(block)
    compiled = made_ready(block, no_compiler)

    for _ in range(2):
        assert all(map(torch.equal, drawn(block), plain))

    (said,) = [record.message for record in caplog.records if "compiled" in record.message]
    assert said.startswith("the blocks cannot be compiled, so drawing is slower: ")
    assert "no compiler is there" in said
    assert not compiled.is_on()
    assert compiled.is_on("VAE")


def test_running_out_of_memory_is_no_failure_to_compile(fresh_torch, block):
    def exhausted(graph, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    compiled = made_ready(block, exhausted)

    with pytest.raises(RuntimeError, match="out of memory"):
        drawn(block)

    assert compiled.is_on()


def test_blocks_whose_layers_are_moved_one_by_one_are_not_compiled(fresh_torch, block):
    compiled = made_ready(block, level="sequential-offload")

    drawn(block)

    assert graphs() == 0
    assert not compiled.is_on()
    assert how.compiled(compiled) == {"compiled": "VAE"}


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ makes machine code, and is not here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
def test_machine_code_draws_the_same(fresh_torch, block):
    plain = drawn(block)
    compiled = made_ready(block, "inductor")

    assert alike(drawn(block), plain)
    assert compiled.failures == {}
    assert how.compiled(compiled) == {"compiled": "blocks, VAE"}


@pytest.mark.parametrize(
    ("setting", "device", "parameters", "is_compiled"),
    [
        ("auto", "cuda", MANY_PARAMETERS, True),
        ("auto", "cuda", MANY_PARAMETERS - 1, False),
        ("auto", "cpu", MANY_PARAMETERS, False),
        ("auto", "mps", MANY_PARAMETERS, False),
        ("off", "cuda", MANY_PARAMETERS, False),
        ("on", "cpu", 1, True),
    ],
)
def test_large_models_are_compiled_on_cuda_unless_the_operator_says(
    setting, device, parameters, is_compiled
):
    on = Device(torch.device(device), torch.float32)

    assert pays(setting, on, parameters) == is_compiled


def test_without_compiling_nothing_of_torch_is_touched(tiny, fox, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    monkeypatch.setattr(compiling, "_set_up_torch", None)
    engine = new_engine(tiny)
    engine.load()

    engine.generate(fox, ignore)

    assert isinstance(compiling_of(engine), Compiling)
    assert not compiling_of(engine).is_on()


# The engine, on a random model


def compiled_engine(tiny, compiler=GRAPHS_ALONE, **changes):
    engine = new_engine(tiny, compiled="on", compiler=compiler, pixels=64 * 64, **changes)
    engine.load()
    return engine


def compiling_of(engine):
    return engine._current.compiling


def shades(a, b):
    """By how many of 255 shades two pictures differ at most."""
    return abs(pixels(a).astype(int) - pixels(b).astype(int)).max()


@pytest.fixture
def kinds(fox, canny, union, control_lora, edited):
    """Requests of every kind that brings no LoRA, and sizes that are all different."""
    guided = replace(fox, negative_prompt="blue", true_cfg_scale=3.0)
    return {
        "words": fox,
        "wider": replace(fox, width=96),
        "negative": guided,
        "redrawn": replace(canny, kind=ImageToImage(strength=0.7), height=80),
        "ControlNet": canny,
        "its half": replace(canny, kind=replace(canny.kind, control_guidance_end=0.5)),
        "union": replace(
            canny, kind=replace(canny.kind, controlnet=str(union), control_mode=1), width=112
        ),
        "Control LoRA": replace(
            canny, kind=ControlLora(control_lora=str(control_lora), preprocessor="canny")
        ),
        "tiles": replace(
            canny,
            kind=Upscale(tile_size=64, strength=0.5, controlnet=canny.kind.controlnet),
            width=112,
        ),
        "edit": edited,
    }


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_after_the_first_of_each_kind_nothing_is_compiled_any_more(tiny, fresh_torch, kinds):
    engine, plain = compiled_engine(tiny), new_engine(tiny)
    plain.load()
    assert graphs() == 3, "a block of each kind, and the VAE's decoder"

    for _ in range(2):
        for kind, request in kinds.items():
            drawn = engine.generate(request, ignore)
            assert shades(drawn, plain.generate(request, ignore)) <= 1, kind
        # What is drawn from here on may not even try.
        compiling_of(engine).stance = "fail_on_recompile"

    # Control LoRAs alone change a block.
    assert graphs() == 4
    assert compiling_of(engine).failures == {}


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("level", OFFLOAD_LEVELS)
def test_compiled_blocks_draw_on_every_level_and_all_the_way_down(tiny, fresh_torch, fox, level):
    device = SmallDevice()
    engine = compiled_engine(tiny, choose_device=lambda *asked: device, offload_level=level)
    other = compiled_engine(tiny)

    drawn = engine.generate(fox, ignore)

    assert shades(drawn, other.generate(fox, ignore)) <= 1
    assert compiling_of(engine).failures == {}
    assert compiling_of(engine).is_on() == (level != "sequential-offload")
    if offloading(engine).step_down():
        assert shades(engine.generate(fox, ignore), drawn) <= 1
        assert compiling_of(engine).failures == {}
