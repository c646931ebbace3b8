"""Every kind of preset, over one set of base weights."""

from dataclasses import replace
from functools import wraps

import pytest
import torch
from diffusers import FluxControlNetModel, FluxControlNetPipeline, FluxControlPipeline, FluxPipeline

from generation.control_images import shown_to_model
from generation.diffusion.drafts import reduced_noise
from generation.diffusion.memory import read_sizes
from generation.errors import GenerationCancelled, InvalidRequest, ModelUnavailable
from generation.kinds import ControlLora, ImageToImage, Inpaint, Upscale
from generation.types import Preset
from tests.generation.engines import drawn_by, ignore, model, new_engine, pixels, same


@pytest.fixture(scope="module")
def engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    yield engine
    engine.close()


@pytest.fixture
def conditioned(canny, control_lora):
    """A request for a Control LoRA."""
    return replace(canny, kind=ControlLora(control_lora=str(control_lora), preprocessor="canny"))


@pytest.fixture
def kinds(fox, canny, conditioned, lora, union):
    """A request of every kind of preset there is."""
    return {
        "text": fox,
        "controlnet": canny,
        "union": replace(canny, kind=replace(canny.kind, controlnet=str(union), control_mode=1)),
        "control_lora": conditioned,
        "redraw": replace(canny, kind=ImageToImage(strength=0.7)),
        "upscale": replace(
            canny, kind=replace(canny.kind, preprocessor="none"), width=192, height=128
        ),
        "lora": replace(fox, lora=str(lora), prompt_template="{prompt}, red"),
    }


def storages(module):
    return {weight.untyped_storage().data_ptr() for weight in module.parameters()}


def test_seven_presets_hold_one_base_and_each_controlnet_once(engine, kinds, tiny):
    """Six of them name a ControlNet or are named like one, but only three are distinct."""
    for request in (*kinds.values(), *kinds.values()):
        engine.generate(request, ignore)

    pipelines = model(engine)
    base = pipelines.text_to_image
    everyone = [base, pipelines.image_to_image, *pipelines.conditioned.values()]
    for name in ("text_encoder", "text_encoder_2", "vae", "scheduler", "tokenizer"):
        assert {id(pipe.components[name]) for pipe in everyone} == {id(base.components[name])}
    assert sorted(pipelines.conditioned) == sorted(
        {kinds[kind].kind.conditioning_model
         for kind in ("controlnet", "union", "control_lora", "upscale")}
    )  # fmt: skip
    plain = FluxPipeline.from_pretrained(tiny / "flux", local_files_only=True).transformer
    names = {name for name, _ in plain.named_parameters()}
    transformers = [pipe.transformer for pipe in everyone]
    merged = set.union(*map(storages, transformers))
    lora_layers = {
        weight.untyped_storage().data_ptr()
        for transformer in transformers
        for name, weight in transformer.named_parameters()
        if "lora_" in name
    }
    # Over the base: the Control LoRA's wider first layer, and the four norms that it may replace.
    own = {"x_embedder.weight"} | {name for name in names if "norm_q" in name or "norm_k" in name}
    own |= {name for name in names if "norm_added" in name}
    assert len(merged - lora_layers) == len(names) + len(own)


def test_a_control_lora_draws_what_diffusers_draws_with_it(engine, conditioned, tiny, control_lora):
    pipe = FluxControlPipeline.from_pretrained(tiny / "flux", local_files_only=True)
    pipe.load_lora_weights(control_lora, weight_name="pytorch_lora_weights.safetensors")

    result = engine.generate(conditioned, ignore)

    assert result.image == drawn_by(pipe, conditioned, **shown_to_model(conditioned))
    assert result.control_map == shown_to_model(conditioned)["control_image"]


def test_a_control_lora_is_noticed_by_no_other_preset(tiny, kinds):
    engine = new_engine(tiny)
    engine.load()
    others = [request for kind, request in kinds.items() if kind != "control_lora"]
    before = [pixels(engine.generate(request, ignore)) for request in others]

    engine.generate(kinds["control_lora"], ignore)

    after = [pixels(engine.generate(request, ignore)) for request in others]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_a_style_is_no_control_lora(engine, conditioned, lora):
    with pytest.raises(ModelUnavailable, match="is no Control LoRA"):
        engine.generate(
            replace(conditioned, kind=ControlLora(control_lora=str(lora), preprocessor="canny")),
            ignore,
        )


def test_a_control_lora_follows_no_negative_prompt_and_says_so(conditioned):
    with pytest.raises(InvalidRequest, match="follows no negative prompt") as refusal:
        replace(conditioned, negative_prompt="blurry", true_cfg_scale=3.0)

    assert refusal.value.field == "negative_prompt"


@pytest.mark.parametrize("other", ["controlnet", "lora", "strength"])
def test_a_preset_is_of_one_kind(other):
    with pytest.raises(InvalidRequest, match=f"either a control_lora or a {other}.*, not both"):
        Preset.from_dict(
            {"name": "x", "control_lora": "a/b", other: 0.5 if other == "strength" else "c/d"}
        )


@pytest.mark.parametrize(
    ("start", "end", "calls"), [(0.0, 1.0, 10), (0.0, 0.5, 5), (0.3, 0.8, 5), (0.0, 0.05, 0)]
)
def test_outside_its_share_of_the_steps_a_controlnet_does_not_compute(
    engine, canny, tiny, start, end, calls
):
    request = replace(
        canny,
        num_inference_steps=10,
        kind=replace(canny.kind, control_guidance_start=start, control_guidance_end=end),
    )
    engine.generate(canny, ignore)
    net = model(engine).conditioned[canny.kind.controlnet].controlnet
    seen = []
    hook = net.controlnet_x_embedder.register_forward_hook(lambda *args: seen.append(1))

    result = engine.generate(request, ignore)

    hook.remove()
    assert len(seen) == calls
    pipe = FluxControlNetPipeline.from_pretrained(
        tiny / "flux",
        controlnet=FluxControlNetModel.from_pretrained(tiny / "controlnet", local_files_only=True),
        local_files_only=True,
    )
    assert result.image == drawn_by(
        pipe,
        request,
        **shown_to_model(request),
        controlnet_conditioning_scale=1.0,
        control_guidance_start=start,
        control_guidance_end=end,
    )


def test_the_upscaler_is_shown_the_enlarged_picture(engine, kinds, square):
    result = engine.generate(kinds["upscale"], ignore)

    assert result.image.size == result.control_map.size == (192, 128)
    from PIL import Image

    enlarged = Image.open(square).resize((192, 128), Image.Resampling.LANCZOS)
    assert result.control_map == enlarged


def test_a_lora_has_the_weight_that_the_preset_says(engine, fox, lora):
    plain = engine.generate(fox, ignore)
    none, half, full = (
        engine.generate(replace(fox, lora=str(lora), lora_scale=scale), ignore)
        for scale in (0.0, 0.5, 1.0)
    )

    assert same(none, plain)
    assert not same(half, full)


def test_of_a_folder_with_several_loras_one_is_named(engine, fox, lora, tmp_path):
    (name,) = (file.name for file in lora.iterdir())
    for copy in ("a.safetensors", "b.safetensors"):
        (tmp_path / copy).write_bytes((lora / name).read_bytes())

    with pytest.raises(ModelUnavailable, match="there are 2 LoRAs in"):
        engine.generate(replace(fox, lora=str(tmp_path)), ignore)

    chosen = engine.generate(replace(fox, lora=str(tmp_path / "b.safetensors")), ignore)
    assert same(chosen, engine.generate(replace(fox, lora=str(lora)), ignore))


def test_what_is_in_memory_is_told_by_repository(engine, kinds, tiny):
    for request in kinds.values():
        engine.generate(request, ignore)

    loaded = engine.loaded

    sizes = read_sizes(tiny / "flux", 4)
    assert loaded[str(tiny / "flux")] >= sizes.transformer + sizes.text_encoders + sizes.vae
    file = tiny / "controlnet" / "diffusion_pytorch_model.safetensors"
    assert 0 < file.stat().st_size - loaded[kinds["controlnet"].kind.controlnet] < 20_000
    assert 0 < loaded[kinds["control_lora"].kind.control_lora] < sizes.transformer


def test_a_download_is_told_in_the_message_of_whoever_asked(tiny, canny, monkeypatch):
    engine = new_engine(tiny)
    engine.load()
    steps = []

    def resolve(name, revision, *, on_progress, **options):
        for percent in (0, 43, 100):
            on_progress(percent, 100)
        return tiny / "controlnet"

    monkeypatch.setattr("generation.weights.resolve", resolve)

    engine.generate(
        replace(canny, preset="canny", kind=replace(canny.kind, controlnet="lab/net")), steps.append
    )

    assert [step.note for step in steps if not step.number][:2] == [
        "downloading canny's ControlNet, 0 %", "downloading canny's ControlNet, 43 %",
    ]  # fmt: skip
    assert [step.number for step in steps if step.number] == [1, 2, 3]


def test_a_download_ends_when_the_person_cancels(tiny, canny, monkeypatch):
    engine = new_engine(tiny)
    engine.load()

    def resolve(name, revision, *, on_progress, **options):
        on_progress(1, 100)
        raise AssertionError("it went on")

    def cancel(step):
        raise GenerationCancelled

    monkeypatch.setattr("generation.weights.resolve", resolve)
    with pytest.raises(GenerationCancelled):
        engine.generate(replace(canny, kind=replace(canny.kind, controlnet="lab/net")), cancel)


def test_what_holds_a_first_use_up_is_told_before_the_first_step(tiny, canny):
    engine = new_engine(tiny)
    engine.load()
    steps = []

    engine.generate(replace(canny, preset="canny"), steps.append)

    assert [(step.number, step.note) for step in steps][:2] == [
        (0, "loading canny's ControlNet"), (1, ""),
    ]  # fmt: skip
    assert steps[0].preview is None


# Larger, in tiles


@pytest.fixture
def larger(canny):
    """A request for two tiles side by side, 6 steps of which 3 are taken."""
    kind = Upscale(tile_size=64, strength=0.5)
    return replace(canny, kind=kind, width=112, height=64, num_inference_steps=6)


@pytest.fixture
def guided(larger, canny):
    """The same, with a ControlNet that is shown each tile."""
    return replace(larger, kind=replace(larger.kind, controlnet=canny.kind.controlnet))


def test_a_picture_of_one_tile_is_drawn_as_image_to_image_draws_it(engine, guided, monkeypatch):
    monkeypatch.setattr(
        "generation.families.flux1.with_low_frequencies", lambda image, original: image
    )
    whole = replace(guided, width=64)
    without_effect = replace(whole.kind, controlnet_conditioning_scale=0)
    in_a_tile = engine.generate(replace(whole, kind=without_effect), ignore)

    as_a_whole = engine.generate(replace(whole, kind=ImageToImage(strength=0.5)), ignore)

    assert same(in_a_tile, as_a_whole)


def test_each_step_goes_over_all_tiles_and_tells_of_each(engine, guided):
    calls, told = [], []
    pipe = model(engine).controlnet_pipeline(guided.kind.controlnet, None)
    hooks = [
        part.register_forward_hook(lambda module, *_: calls.append(type(module).__name__))
        for part in (pipe.transformer, pipe.controlnet)
    ]
    try:
        engine.generate(guided, lambda step: told.append((step.number, step.preview is not None)))
    finally:
        for hook in hooks:
            hook.remove()

    steps = [step for step in told if step[1]]
    assert steps == [(1, True), (2, True), (3, True)]
    between = [step for step in told if not step[1]]
    assert between[-3:] == [(0, False), (1, False), (2, False)]
    assert calls.count("FluxTransformer2DModel") == calls.count("StoppingControlNet") == 2 * 3


@pytest.mark.parametrize("kind", ["text", "controlnet", "control_lora"])
def test_a_draft_of_the_final_size_is_drawn_as_any_other_picture(engine, kinds, kind):
    request = kinds[kind]
    size = {"final_width": request.width, "final_height": request.height}
    draft = replace(request, final_num_inference_steps=20, **size)

    assert same(engine.generate(draft, ignore), engine.generate(request, ignore))


def test_a_smaller_draft_begins_with_the_noise_of_its_final_picture(engine, fox, monkeypatch):
    reduced = []

    def reduce(noise, height, width):
        reduced.append((noise, height, width))
        return reduced_noise(noise, height, width)

    monkeypatch.setattr("generation.families.flux1.reduced_noise", reduce)
    size = {"final_width": 2 * fox.width, "final_height": 2 * fox.height}
    draft = replace(fox, final_num_inference_steps=20, **size)

    drawn = engine.generate(draft, ignore)

    ((noise, height, width),) = reduced
    assert (8 * height, 8 * width) == (fox.height, fox.width)
    seeded = torch.Generator().manual_seed(fox.seed)
    assert torch.equal(noise, torch.randn(noise.shape, generator=seeded))
    assert drawn.image.size == (fox.width, fox.height)
    assert not same(drawn, engine.generate(fox, ignore))


def test_without_a_controlnet_no_tile_draws_what_the_prompt_names(engine, larger, guided):
    fox, boat = (replace(larger, prompt=prompt) for prompt in ("a fox", "a boat"))
    assert same(engine.generate(fox, ignore), engine.generate(boat, ignore))

    fox, boat = (replace(guided, prompt=prompt) for prompt in ("a fox", "a boat"))
    assert not same(engine.generate(fox, ignore), engine.generate(boat, ignore))


def test_a_cancel_ends_it_between_two_tiles_and_leaves_nothing_behind(engine, larger, fox):
    before = engine.generate(fox, ignore)
    told = []

    def cancel(step):
        told.append(step.number)
        if len(told) == 2:
            raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        engine.generate(larger, cancel)

    assert told == [0, 1]
    assert model(engine).text_to_image.scheduler.mu is None
    assert same(engine.generate(fox, ignore), before)


def test_the_noise_of_a_step_is_that_of_a_tile_and_not_of_the_whole(engine, larger, monkeypatch):
    scheduler, shifts = model(engine).text_to_image.scheduler, []
    original = type(scheduler).set_timesteps

    @wraps(original)
    def watched(self, *arguments, **more):
        original(self, *arguments, **more)
        shifts.append(self.sigmas.clone())

    monkeypatch.setattr(type(scheduler), "set_timesteps", watched)
    engine.generate(larger, ignore)
    engine.generate(replace(larger, kind=ImageToImage(strength=0.5), width=64), ignore)

    assert torch.equal(*shifts)


def test_a_controlnet_that_needs_a_mode_is_refused_before_anything_is_drawn(engine, guided, union):
    with pytest.raises(ModelUnavailable, match="must set control_mode"):
        engine.generate(replace(guided, kind=replace(guided.kind, controlnet=str(union))), ignore)


def test_a_negative_prompt_is_refused(larger):
    with pytest.raises(InvalidRequest, match="follows no negative prompt"):
        replace(larger, negative_prompt="blue", true_cfg_scale=3.0)


@pytest.mark.parametrize(
    "kind", ["text", "controlnet", "control_lora", "redraw", "tiles", "inpaint", "negative"]
)
def test_guessed_steps_ask_no_model_and_leave_nothing_behind(engine, kinds, guided, masked, kind):
    """Every kind through the same cache; a picture that is given up midway changes no other."""
    kinds |= {
        "tiles": guided,
        "inpaint": replace(masked, kind=Inpaint(strength=0.9)),
        "negative": replace(kinds["text"], negative_prompt="blurry", true_cfg_scale=3.0),
    }
    whole = replace(kinds[kind], num_inference_steps=12)
    guessing = replace(whole, step_cache_tolerance=2.0)
    plain = engine.generate(whole, ignore)
    call = model(engine).prepare(whole, None)
    calls = []
    hooks = [part.register_forward_hook(lambda *_: calls.append(1)) for part in call.denoisers]

    try:
        first = engine.generate(guessing, ignore)
        of_the_guessed = len(calls)
        with pytest.raises(GenerationCancelled):
            engine.generate(guessing, cancelled_at(6))
        del calls[:]
        second = engine.generate(whole, ignore)
    finally:
        for hook in hooks:
            hook.remove()

    assert of_the_guessed < len(calls)
    assert same(second, plain)
    assert same(engine.generate(guessing, ignore), first)
    assert not same(first, plain)
    assert call.pipe.transformer is call.denoisers[0]


def cancelled_at(number):
    def on_step(step):
        if step.number == number:
            raise GenerationCancelled

    return on_step
