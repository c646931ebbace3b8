"""FLUX.2-klein, on a random model of its classes, beside diffusers' own pipeline."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinInpaintPipeline, Flux2KleinPipeline
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from PIL import Image
from safetensors.torch import load_file, save_file
from torch._dynamo.utils import counters

from generation import masks
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.diffusion.tensors import plain_tensors, stored_bytes
from generation.errors import (
    DegenerateResult,
    GenerationCancelled,
    InvalidRequest,
    ModelUnavailable,
)
from generation.families import flux2, flux2_text
from generation.families.flux2 import Flux2
from generation.families.flux2_preview import Flux2Preview
from generation.kinds import Edit, ImageToImage, Inpaint, TextToImage
from generation.tokens import CHAT, TokenCounter
from generation.types import GenerationRequest
from tests.generation.engines import (
    computing_on_its_device,
    drawn_by,
    ignore,
    model,
    new_engine,
    offloading,
    on_small_device,
    pixels,
    same,
)
from tests.generation.hub_on_loopback import Hub, Repository
from tests.samples import opened, picture

TOKENS = 48

CAT = GenerationRequest(
    prompt="a cat", num_inference_steps=3, guidance_scale=1.0, width=96, height=64, seed=7
)


def engine_for(klein, **changes):
    engine = new_engine(klein, **{"max_sequence_length": TOKENS, **changes})
    engine.load()
    return engine


def elsewhere(klein, **changes):
    return on_small_device(klein, max_sequence_length=TOKENS, **changes)


@pytest.fixture(scope="module")
def engine(klein):
    """The engine that the tests share: what one does to it, the next must not notice."""
    engine = engine_for(klein)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bare(klein):
    """diffusers' own pipeline over the same files."""
    return Flux2KleinPipeline.from_pretrained(klein, local_files_only=True)


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    """A LoRA under BFL's names, as ai-toolkit writes them, of a layer of each sort."""
    dice = torch.Generator().manual_seed(5)
    tensors = {}
    for name, rows, columns in (
        ("double_blocks.0.img_attn.qkv", 96, 32),
        ("double_blocks.0.txt_mlp.2", 32, 96),
        ("single_blocks.1.linear1", 288, 32),
        ("single_blocks.1.linear2", 32, 128),
        ("final_layer.adaLN_modulation.1", 64, 32),
    ):
        for part, shape in (("lora_A", (2, columns)), ("lora_B", (rows, 2))):
            tensors[f"diffusion_model.{name}.{part}.weight"] = torch.randn(shape, generator=dice)
    file = tmp_path_factory.mktemp("lora") / "style.safetensors"
    save_file(tensors, file)
    return file


def pixels_by(pipe, request, **changes):
    """The pixels that *pipe*, one of diffusers' own, makes of *request*, without guidance."""
    how = {"guidance_scale": 1.0, "max_sequence_length": TOKENS, **changes}
    return np.asarray(drawn_by(pipe, request, **how))


@pytest.mark.parametrize(
    "change",
    [{}, {"seed": 8}, {"width": 64, "height": 112}, {"num_inference_steps": 4},
     {"prompt": "a cat on a mat, and much more than the model reads of any prompt, by far"}],
    ids=str,
)  # fmt: skip
def test_a_picture_is_that_of_diffusers_own_pipeline_bit_for_bit(engine, bare, change):
    request = replace(CAT, **change)
    steps = []

    drawn = engine.generate(request, steps.append)

    assert np.array_equal(pixels(drawn), pixels_by(bare, request))
    assert [step.number for step in steps] == list(range(1, request.num_inference_steps + 1))


@pytest.fixture
def edited(square):
    """A request to change a picture of its own size."""
    return replace(CAT, prompt="make it night", kind=Edit(), pictures={"control_image": square})


def test_an_edit_is_that_of_diffusers_own_pipeline_bit_for_bit(engine, bare, edited):
    shown = opened(edited.control_image.read_bytes())

    drawn = engine.generate(edited, ignore)

    assert np.array_equal(pixels(drawn), pixels_by(bare, edited, image=[shown]))
    words = replace(edited, kind=TextToImage(), pictures={})
    assert not same(drawn, engine.generate(words, ignore))


def test_an_edit_is_shown_several_pictures_in_their_order(engine, bare, edited, tmp_path):
    """One of another shape is shown whole, with as many pixels as the result."""
    second = tmp_path / "second.png"
    second.write_bytes(picture(128, 64, "blue"))
    pictures = {"control_image": edited.control_image, "control_image_2": second}
    both = replace(edited, kind=Edit(references=1), pictures=pictures)
    shown = (
        opened(edited.control_image.read_bytes()),
        opened(second.read_bytes()).resize((112, 64), Image.Resampling.LANCZOS),
    )

    drawn = engine.generate(both, ignore)

    assert np.array_equal(pixels(drawn), pixels_by(bare, edited, image=list(shown)))
    turned = {**pictures, "control_image": second, "control_image_2": edited.control_image}
    assert not same(drawn, engine.generate(replace(both, pictures=turned), ignore))


def test_a_model_that_edits_one_picture_says_so(tiny, fox, edited):
    with pytest.raises(InvalidRequest, match="either a kontext or references, not both"):
        Edit(kontext="a/b", references=2)
    first = new_engine(tiny)
    first.load()
    with pytest.raises(ModelUnavailable, match="shown one picture when it edits: leave references"):
        first.generate(replace(edited, kind=Edit(references=1)), ignore)


def test_a_picture_of_any_shape_is_edited(engine, edited, tmp_path):
    """diffusers refuses those that are more than eight times as wide as high."""
    narrow = tmp_path / "narrow.png"
    narrow.write_bytes(picture(1600, 64))

    request = replace(edited, width=256, height=256, pictures={"control_image": narrow})

    drawn = engine.generate(replace(request, num_inference_steps=1), ignore)

    assert drawn.image.size == (256, 256)


@pytest.fixture
def inpainted(masked):
    """A request for a part of a noisy picture of 96 x 64 pixels."""
    return replace(masked, prompt=CAT.prompt, guidance_scale=1.0)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_part_of_a_picture_is_that_of_diffusers_own_pipeline(engine, bare, inpainted, strength):
    request = replace(inpainted, kind=Inpaint(strength=strength, mask_feather=0))
    original, mask = (opened(request.pictures[name].read_bytes()) for name in Inpaint.pictures)
    pipe = Flux2KleinInpaintPipeline(**bare.components, is_distilled=True)

    steps = []
    drawn = pixels(engine.generate(request, steps.append))

    shown = masks.whole_tokens(mask.convert("L"))
    expected = pixels_by(pipe, request, image=original, mask_image=shown, strength=strength)
    inside = np.asarray(mask.convert("L")) > 0
    assert np.array_equal(drawn[inside], expected[inside])
    assert np.array_equal(drawn[~inside], np.asarray(original.convert("RGB"))[~inside])
    assert len(steps) == request.steps_taken


@pytest.fixture
def redrawn(square):
    """A request to draw over a picture of its own size."""
    kind, pictures = ImageToImage(strength=0.5), {"control_image": square}
    return replace(CAT, kind=kind, pictures=pictures, num_inference_steps=4)


@pytest.mark.parametrize("strength", [0.25, 0.6, 1.0])
def test_a_picture_is_drawn_over_by_the_last_steps_of_diffusers_own_pipeline(
    engine, bare, redrawn, strength
):
    """From its latents on, with the noise of a picture of words alone: at 1 that is all of it."""
    request = replace(redrawn, kind=ImageToImage(strength=strength))
    steps, count = [], request.num_inference_steps
    begin = count - request.steps_taken
    shown = bare.image_processor.preprocess(opened(request.control_image.read_bytes()))
    with torch.no_grad():
        encoded = bare._encode_vae_image(shown, torch.Generator("cpu"))
    noise = torch.randn(encoded.shape, generator=torch.Generator("cpu").manual_seed(request.seed))
    mu = compute_empirical_mu(encoded.shape[2] * encoded.shape[3], count)
    sigmas = np.linspace(1.0, 1 / count, count)
    bare.scheduler.set_timesteps(sigmas=sigmas, mu=mu)
    noised = bare.scheduler.scale_noise(encoded, bare.scheduler.timesteps[begin : begin + 1], noise)

    drawn = engine.generate(request, steps.append)

    expected = pixels_by(bare, request, latents=noised, sigmas=sigmas[begin:])
    assert np.array_equal(pixels(drawn), expected)
    assert len(steps) == request.steps_taken == {0.25: 1, 0.6: 3, 1.0: 4}[strength]
    words = replace(request, kind=TextToImage(), pictures={})
    assert same(drawn, engine.generate(words, ignore)) == (strength == 1.0)


@pytest.mark.parametrize(
    "kind", [Inpaint(sees_picture=True), Edit(), TextToImage(), ImageToImage(strength=1.0)]
)
def test_a_price_counts_the_tokens_that_the_transformer_computes(
    engine, edited, inpainted, redrawn, kind
):
    of_pictures = {Inpaint: inpainted, Edit: edited, ImageToImage: redrawn}
    base = of_pictures.get(type(kind), CAT)
    request = replace(base, kind=kind, num_inference_steps=2, width=96, height=64)
    given = []

    def count(module, args, kwargs):
        given.append(kwargs["hidden_states"].shape[1])

    watch = model(engine).text_to_image.transformer.register_forward_pre_hook(
        count, with_kwargs=True
    )
    engine.generate(request, ignore)
    watch.remove()

    priced = kind.pixels_drawn(96, 64, len(request.pictures))
    assert given == [priced // 16**2] * 2


def test_a_part_of_a_picture_of_more_than_a_megapixel_is_drawn_at_its_size(
    engine, inpainted, tmp_path
):
    """diffusers makes such pictures smaller."""
    pictures = {name: tmp_path / f"{name}.png" for name in Inpaint.pictures}
    large = Image.new("RGB", (1264, 1040), "teal")
    pictures["control_image"].write_bytes(masks.encoded(large))
    pictures["mask_image"].write_bytes(masks.encoded(masks.region("left", *large.size)))
    request = replace(inpainted, width=1264, height=1040, num_inference_steps=1, pictures=pictures)

    drawn = engine.generate(request, ignore)

    assert drawn.image.size == large.size
    assert drawn.image.crop((640, 0, 1264, 1040)) == large.crop((640, 0, 1264, 1040))


def test_a_quarter_of_the_text_encoder_is_neither_loaded_nor_counted(engine, klein, bare):
    encoder = model(engine).text_to_image.text_encoder
    sizes = Flux2.read_sizes(klein, model(engine).options.precision)

    assert len(encoder.layers) == flux2_text.LAYERS[-1] < len(bare.text_encoder.model.layers)
    assert sizes.text_encoders == sum(weight.nbytes for weight in encoder.parameters())
    assert sizes.transformer == stored_bytes([bare.transformer])
    assert sizes.block == stored_bytes([bare.transformer.transformer_blocks[0]])


def test_guidance_has_no_effect_and_a_negative_prompt_is_followed_all_the_same(engine, bare):
    """diffusers follows one where the model's index does not say that it is distilled."""
    plain = engine.generate(CAT, ignore)
    assert same(engine.generate(replace(CAT, guidance_scale=9.0), ignore), plain)
    unlike = replace(CAT, negative_prompt="a dog", true_cfg_scale=2.5)
    embeds, _ = bare.encode_prompt("a dog", max_sequence_length=TOKENS)

    drawn = engine.generate(unlike, ignore)

    assert not same(drawn, plain)
    undistilled = Flux2KleinPipeline(**bare.components, is_distilled=False)
    expected = pixels_by(undistilled, CAT, guidance_scale=2.5, negative_prompt_embeds=embeds)
    assert np.array_equal(pixels(drawn), expected)


def test_a_prompt_is_encoded_once(engine):
    calls = []
    encoder = model(engine).text_to_image.text_encoder
    hook = encoder.register_forward_hook(lambda *args: calls.append(1))

    for seed in (1, 2):
        engine.generate(replace(CAT, prompt="a prompt of its own", seed=seed), ignore)

    hook.remove()
    assert calls == [1]


@pytest.mark.parametrize("level", OFFLOAD_LEVELS)
def test_every_offload_level_draws_the_same_pixels(
    klein, engine, lora, edited, inpainted, redrawn, level
):
    small = elsewhere(klein, offload_level=level)
    requests = {
        "words": CAT,
        "negative": replace(CAT, negative_prompt="a dog", true_cfg_scale=2.5),
        "lora": replace(CAT, lora=str(lora)),
        "edit": edited,
        "inpaint": inpainted,
        "redraw": redrawn,
    }

    for _ in range(2):  # what the first use loads, the second finds
        for name, request in requests.items():
            with computing_on_its_device(small):
                drawn = small.generate(request, ignore)
            assert same(drawn, engine.generate(request, ignore)), name

    assert small.current_offload_level == level


def test_a_picture_that_finds_no_room_is_drawn_one_level_further_down(klein, engine):
    small = elsewhere(klein)
    failures = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")]

    def exhaust(module, args):
        if failures:
            raise failures.pop()

    transformer = model(small).text_to_image.transformer
    transformer.single_transformer_blocks[1].register_forward_pre_hook(exhaust)

    drawn = small.generate(CAT, ignore)

    assert small.current_offload_level == "text-offload"
    assert same(drawn, engine.generate(CAT, ignore))


def test_a_picture_is_given_up_within_a_step(klein, engine):
    small = elsewhere(klein, offload_level="group-offload")
    at_rest = offloading(small).device.state["used"]
    calls = []
    transformer = model(small).text_to_image.transformer
    transformer.register_forward_hook(lambda *args: calls.append(1))

    def cancel(step):
        raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        small.generate(replace(CAT, num_inference_steps=9), cancel)

    assert len(calls) <= 2
    assert offloading(small).device.state["used"] == at_rest
    assert same(small.generate(CAT, ignore), engine.generate(CAT, ignore))


def test_numbers_that_degenerate_are_told_with_their_step(klein):
    engine = engine_for(klein)
    calls = []

    def spoil(module, args, output):
        calls.append(1)
        return (output[0] * float("nan"),) if len(calls) == 2 else output

    model(engine).text_to_image.transformer.register_forward_hook(spoil)

    with pytest.raises(DegenerateResult, match="step 2"):
        engine.generate(CAT, ignore)


def test_a_vae_short_of_memory_decodes_in_tiles(klein, engine):
    small = elsewhere(klein)
    vae, seen = model(small).text_to_image.vae, []

    def exhaust(module, args):
        seen.append(vae.use_tiling)
        if len(seen) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    vae.decoder.register_forward_pre_hook(exhaust)

    drawn = small.generate(CAT, ignore)

    assert seen == [False, True]
    assert same(drawn, engine.generate(CAT, ignore)), "one tile holds such a small picture"


def test_a_draft_has_the_coarse_parts_of_its_final_pictures_noise(engine):
    begun = []
    transformer = model(engine).text_to_image.transformer
    hook = transformer.register_forward_pre_hook(
        lambda module, args, kwargs: begun.append(kwargs["hidden_states"]), with_kwargs=True
    )
    final = replace(CAT, width=128, height=128, num_inference_steps=1)
    engine.generate(final, ignore)
    engine.generate(replace(final, width=64, height=64, final_width=128, final_height=128), ignore)
    hook.remove()
    pipe = model(engine).text_to_image

    def unpacked(tokens):
        side = int(tokens.shape[1] ** 0.5)
        return pipe._unpatchify_latents(tokens.mT.reshape(1, -1, side, side))

    whole, reduced = map(unpacked, begun)
    assert torch.allclose(2 * torch.nn.functional.avg_pool2d(whole, 2), reduced, atol=1e-5)


def test_a_lora_does_what_its_changes_do_that_are_merged_by_hand(klein, engine, lora):
    """BFL's last norm makes shift and scale, diffusers' scale and shift."""
    of = {name.removeprefix("diffusion_model."): each for name, each in load_file(lora).items()}

    def change(name):
        return of[f"{name}.lora_B.weight"] @ of[f"{name}.lora_A.weight"]

    merged = Flux2KleinPipeline.from_pretrained(klein, local_files_only=True)
    double, single = (
        merged.transformer.transformer_blocks[0],
        merged.transformer.single_transformer_blocks[1],
    )
    q, k, v = change("double_blocks.0.img_attn.qkv").chunk(3)
    shift, scale = change("final_layer.adaLN_modulation.1").chunk(2)
    with torch.no_grad():
        for layer, delta in (
            (double.attn.to_q, q),
            (double.attn.to_k, k),
            (double.attn.to_v, v),
            (double.ff_context.linear_out, change("double_blocks.0.txt_mlp.2")),
            (single.attn.to_qkv_mlp_proj, change("single_blocks.1.linear1")),
            (single.attn.to_out, change("single_blocks.1.linear2")),
            (merged.transformer.norm_out.linear, torch.cat([scale, shift])),
        ):
            layer.weight += 0.5 * delta

    drawn = engine.generate(replace(CAT, lora=str(lora), lora_scale=0.5), ignore)

    assert np.abs(pixels(drawn).astype(int) - pixels_by(merged, CAT)).max() <= 1
    assert not same(drawn, engine.generate(CAT, ignore))


@pytest.mark.parametrize("setting", ["fp8", "int8", "4bit"])
def test_a_quantized_model_draws_nearly_the_same_and_takes_what_was_planned(klein, engine, setting):
    quantized = engine_for(klein, quantized=setting, text_quantized=setting.replace("fp8", "int8"))

    drawn, plain = (each.generate(CAT, ignore) for each in (quantized, engine))

    assert 0 < np.abs(pixels(drawn).astype(int) - pixels(plain)).mean() < 12
    pipe = model(quantized).text_to_image
    kept = {
        name.split(".")[0]
        for name, layer in pipe.transformer.named_modules()
        if isinstance(layer, torch.nn.Linear) and len(list(plain_tensors(layer.weight))) == 1
    }
    assert kept == set(flux2.KEPT)
    sizes = Flux2.read_sizes(klein, model(quantized).options.precision)
    # Layers are 16 and 32 wide here, so that scales of rows weigh, and NF4's tables more.
    assert sizes.transformer <= stored_bytes([pipe.transformer]) < 1.2 * sizes.transformer
    assert (
        sizes.text_encoders
        <= stored_bytes([pipe.text_encoder])
        < (6 if setting == "4bit" else 1.5) * sizes.text_encoders
    )


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_its_blocks_are_compiled_by_their_classes(klein, engine):
    import torch.fx.experimental._config as shapes

    before = shapes.use_duck_shape, torch._dynamo.config.recompile_limit
    torch._dynamo.reset()
    counters.clear()
    try:
        compiled = engine_for(klein, compiled="on", compiler="aot_eager", pixels=64 * 64)
        made = counters["stats"]["unique_graphs"]
        compiled._current.compiling.stance = "fail_on_recompile"

        drawn = compiled.generate(CAT, ignore)

        assert made == 3, "a block of each kind, and the VAE's decoder"
        assert compiled._current.compiling.failures == {}
        off = np.abs(pixels(drawn).astype(int) - pixels(engine.generate(CAT, ignore)))
        assert off.max() <= 1
    finally:
        shapes.use_duck_shape, torch._dynamo.config.recompile_limit = before
        torch._dynamo.reset()


class LinearVae:
    """A stand-in whose decoder is linear, and which encodes nothing that it could not decode."""

    device, dtype = torch.device("cpu"), torch.float32

    class config:
        batch_norm_eps = 1e-4

    def __init__(self):
        dice = torch.Generator().manual_seed(1)
        self.factors = torch.randn(32, 3, generator=dice) / 8
        self.bn = torch.nn.BatchNorm2d(128, affine=False)
        self.bn.running_mean = torch.randn(128, generator=dice)
        self.bn.running_var = 0.5 + torch.rand(128, generator=dice)

    def encode(self, pictures):
        small = torch.nn.functional.avg_pool2d(pictures, 8)
        latents = torch.einsum("bkhw,ck->bchw", small, torch.linalg.pinv(self.factors).T)
        self.latent_dist = self
        self.mode = lambda: latents
        return self

    def decode(self, latents):
        self.sample = torch.einsum("bchw,ck->bkhw", latents, self.factors)
        self.sample = torch.nn.functional.interpolate(self.sample, scale_factor=8)
        return self


def test_a_preview_shows_what_the_vae_would_decode_in_its_place():
    """Tokens are normalised by statistics for each of their 128 channels, and hold 2 x 2 latents;
    the packing is diffusers' own, and unequal sides would show a transposition."""
    vae = LinearVae()
    latents = torch.randn(1, 32, 4, 6, generator=torch.Generator().manual_seed(2))
    patches = Flux2KleinPipeline._patchify_latents(latents)
    mean, variance = (each.view(1, -1, 1, 1) for each in (vae.bn.running_mean, vae.bn.running_var))
    normalised = (patches - mean) / torch.sqrt(variance + vae.config.batch_norm_eps)

    shown = Flux2Preview(vae, torch.device("cpu")).pixels(
        Flux2KleinPipeline._pack_latents(normalised), width=48, height=32
    )

    colours = torch.einsum("chw,ck->hwk", latents[0], vae.factors) / 2 + 0.5
    expected = (colours.clamp(0, 1) * 255).round()
    assert shown.shape == (4, 6, 3)
    assert (shown.float() - expected).abs().max() <= 1


def test_tokens_are_counted_with_those_around_the_prompt(klein, bare):
    counter = TokenCounter(klein)

    text = bare.tokenizer.apply_chat_template(
        [{"role": "user", "content": "a cat"}],
        tokenize=False, add_generation_prompt=True, enable_thinking=False,
    )  # fmt: skip
    assert text == CHAT.replace("{}", "a cat")
    assert counter("a cat") == len(bare.tokenizer(text)["input_ids"])


FETCH = """
import os, pathlib, sys
from generation import weights
folder = pathlib.Path(sys.argv[1])
weights.prepare_environment(folder, os.environ)
print(weights.resolve("lab/klein", role="pipeline", download_dir=folder))
"""


def test_it_is_fetched_from_the_hub_whole_and_without_what_nobody_reads(klein, engine, tmp_path):
    """With the template for chats, without which no prompt can be encoded."""
    files = {
        str(file.relative_to(klein)): file.read_bytes()
        for file in klein.rglob("*")
        if file.is_file()
    }
    hub = Hub()
    hub.repositories["lab/klein"] = Repository(
        {**files, "flux-2-klein-4b.safetensors": bytes(9999), "README.md": b"a card"}
    )
    hidden = ("HF_", "HUGGINGFACE", "TRANSFORMERS_CACHE", "DIFFUSERS_CACHE")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    try:
        told = subprocess.run(
            [sys.executable, "-c", FETCH, tmp_path],
            cwd=Path(__file__).parents[3],
            env={**environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        hub.close()

    fetched = engine_for(Path(told.stdout.splitlines()[-1]))
    assert same(fetched.generate(CAT, ignore), engine.generate(CAT, ignore))
    assert set(hub.fetched) == set(files)
