"""The engine, on a random model that goes through the code paths of FLUX.1-dev."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FluxControlNetModel
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from generation.diffusion.engine import DiffusionEngine, is_blank_image
from generation.errors import (
    GenerationCancelled,
    GenerationError,
    InvalidRequest,
    ModelUnavailable,
    OutOfMemory,
)
from generation.kinds import ImageToImage
from generation.types import GenerationRequest, Step
from tests.generation.engines import ignore, model, new_engine, pixels, same


@pytest.fixture(scope="module")
def shared_engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine):
    """The engine that all tests share: what one does to it, the next must not notice."""
    return shared_engine


def test_a_picture_has_the_size_that_was_asked_for_and_tells_each_step(engine, fox):
    steps = []

    result = engine.generate(replace(fox, width=96, height=64), steps.append)

    assert (result.image.mode, result.image.size) == ("RGB", (96, 64))
    assert [step.number for step in steps] == [1, 2, 3]
    assert all(step.preview.startswith(b"\xff\xd8\xff") for step in steps)
    assert result.control_map is None
    assert result.seconds > 0


def test_all_pipelines_share_the_weights_of_one(engine, canny):
    engine.generate(canny, ignore)
    text = model(engine).text_to_image
    others = [model(engine).image_to_image, *model(engine).conditioned.values()]

    for name, module in text.components.items():
        assert all(other.components[name] is module for other in others), name
    addresses = [
        {
            weight.untyped_storage().data_ptr()
            for part in (pipe.transformer, pipe.text_encoder, pipe.text_encoder_2, pipe.vae)
            for weight in part.parameters()
        }
        for pipe in (text, *others)
    ]
    assert addresses == [addresses[0]] * 3
    assert {weight.dtype for weight in text.transformer.parameters()} == {torch.float32}


def test_the_weights_keep_the_format_that_was_asked_for_whatever_is_drawn(tiny, fox, canny):
    """Casting the shared weights behind our back would double the memory they take."""
    engine = new_engine(tiny, dtype="bfloat16")
    engine.load()

    for request in (fox, canny, replace(canny, kind=ImageToImage(strength=0.7))):
        engine.generate(request, ignore)

    pipe = model(engine).text_to_image
    parts = [pipe.transformer, pipe.text_encoder, pipe.text_encoder_2, pipe.vae]
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.bfloat16}


def test_the_same_request_makes_the_same_pixels_whatever_was_drawn_in_between(
    engine, fox, canny, lora
):
    first = engine.generate(fox, ignore)

    def cancel(step):
        raise GenerationCancelled

    for other in (
        canny,
        replace(canny, kind=ImageToImage(strength=0.7)),
        replace(fox, lora=str(lora)),
        replace(fox, num_inference_steps=5, width=96),
    ):
        engine.generate(other, ignore)
        assert same(engine.generate(fox, ignore), first)
        with pytest.raises(GenerationCancelled):
            engine.generate(other, cancel)
        assert same(engine.generate(fox, ignore), first)


@pytest.mark.parametrize("kind", ["canny", "redrawn", "negative"])
def test_every_kind_of_request_repeats_itself(engine, fox, canny, kind):
    request = {
        "canny": canny,
        "redrawn": replace(canny, kind=ImageToImage(strength=0.7)),
        "negative": replace(fox, negative_prompt="blurry", true_cfg_scale=4.0),
    }[kind]

    assert same(engine.generate(request, ignore), engine.generate(request, ignore))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"prompt": "a blue square"},
        {"num_inference_steps": 4},
        {"guidance_scale": 9.0},
        {"true_cfg_scale": 4.0},
        {"prompt_template": "{prompt} in snow"},
    ],
    ids=str,
)
def test_every_number_of_a_text_request_counts(engine, fox, change):
    assert not same(engine.generate(replace(fox, **change), ignore), engine.generate(fox, ignore))


@pytest.mark.parametrize(
    "change",
    [
        {"controlnet_conditioning_scale": 0.0},
        {"control_guidance_start": 0.5},
        {"control_guidance_end": 0.5},
        {"preprocessor": "none"},
        {"fit": "pad"},
        {"guidance_scale": 9.0},
        {"true_cfg_scale": 4.0},
    ],
    ids=str,
)
def test_every_number_of_a_controlnet_request_counts(engine, canny, change):
    changed = GenerationRequest.from_dict({**canny.to_dict(), **change}, canny.control_image.parent)

    assert not same(engine.generate(changed, ignore), engine.generate(canny, ignore))


def test_the_negative_prompt_counts_once_true_guidance_is_on(engine, fox):
    guided = replace(fox, true_cfg_scale=4.0)

    assert not same(
        engine.generate(guided, ignore),
        engine.generate(replace(guided, negative_prompt="red"), ignore),
    )
    assert same(
        engine.generate(fox, ignore), engine.generate(replace(fox, negative_prompt="red"), ignore)
    )


def test_a_controlnet_is_shown_the_map_that_the_result_holds(engine, canny):
    result = engine.generate(replace(canny, width=96, height=96), ignore)

    assert (result.control_map.mode, result.control_map.size) == ("RGB", (96, 96))
    shades = {colour for _, colour in result.control_map.getcolors()}
    assert shades == {(0, 0, 0), (255, 255, 255)}


@pytest.mark.parametrize(
    ("steps", "strength", "taken"), [(4, 0.5, 2), (4, 1.0, 4), (10, 0.1, 1), (10, 0.65, 7)]
)
def test_redrawing_takes_the_steps_that_were_told(engine, canny, steps, strength, taken):
    request = replace(canny, kind=ImageToImage(strength=strength), num_inference_steps=steps)
    seen = []

    result = engine.generate(request, seen.append)

    assert [step.number for step in seen] == list(range(1, taken + 1))
    assert request.steps_taken == taken
    assert result.control_map is None


def test_redrawing_with_more_strength_leaves_the_picture_further(engine, canny, square):
    """A random VAE reproduces nothing, so the weakest redrawing stands for the original."""
    redrawn = replace(canny, kind=ImageToImage(strength=1.0), num_inference_steps=20)
    results = [
        pixels(
            engine.generate(replace(redrawn, kind=ImageToImage(strength=strength)), ignore)
        ).astype(float)
        for strength in (0.05, 0.2, 1.0)
    ]

    near, far = (np.abs(other - results[0]).mean() for other in results[1:])

    assert 0 < near < far


def test_what_a_step_raises_ends_the_generation_at_that_step(engine, fox):
    seen = []

    def stop(step):
        seen.append(step.number)
        if step.number == 2:
            raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        engine.generate(fox, stop)

    assert seen == [1, 2]


def test_nothing_of_a_picture_is_kept_when_its_generation_is_cancelled(engine, fox):
    def stop(step):
        raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        engine.generate(fox, stop)

    assert model(engine).text_to_image.scheduler.predicted is None


def test_numbers_that_overflow_are_told_at_once_and_not_drawn(engine, fox):
    steps = []

    def poison(module, args, output):
        return (output[0] * float("nan"),)

    hook = model(engine).text_to_image.transformer.register_forward_hook(poison)
    try:
        with pytest.raises(GenerationError, match="overflowed at step 1"):
            engine.generate(fox, steps.append)
    finally:
        hook.remove()

    assert steps == []


def test_a_blank_picture_is_refused(engine, fox):
    def blank(module, args, output):
        return output * 0

    hook = model(engine).text_to_image.vae.decoder.register_forward_hook(blank)
    try:
        with pytest.raises(GenerationError, match="blank"):
            engine.generate(fox, ignore)
    finally:
        hook.remove()


def test_a_faint_picture_is_not_a_blank_one():
    image = Image.new("RGB", (64, 64), (200, 10, 10))
    assert is_blank_image(image)

    ImageDraw.Draw(image).rectangle((0, 0, 9, 9), fill=(200, 20, 10))

    assert not is_blank_image(image)


def test_running_out_of_memory_says_what_to_ask_for_instead(engine, fox):
    def exhaust(module, args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")

    hook = model(engine).text_to_image.transformer.register_forward_pre_hook(exhaust)
    try:
        with pytest.raises(OutOfMemory, match=r"64 × 64 pixels do not fit.*smaller.*2\.00 GiB"):
            engine.generate(fox, ignore)
    finally:
        hook.remove()

    engine.generate(fox, ignore)


def test_a_lora_counts_where_it_is_asked_for_and_nowhere_else(engine, fox, lora):
    plain = engine.generate(fox, ignore)
    with_lora = engine.generate(replace(fox, lora=str(lora)), ignore)

    assert not same(plain, with_lora)
    assert same(engine.generate(fox, ignore), plain)
    assert same(engine.generate(replace(fox, lora=str(lora)), ignore), with_lora)


def test_only_so_many_loras_and_controlnets_are_kept_and_the_oldest_goes(
    tiny, fox, canny, lora, tmp_path
):
    engine = new_engine(tiny, max_controlnets=1, max_loras=1)
    engine.load()
    for name in ("lora", "net"):
        (tmp_path / name).symlink_to(lora if name == "lora" else tiny / "controlnet")
    first = engine.generate(replace(canny, lora=str(lora)), ignore)

    again = engine.generate(
        replace(
            canny,
            kind=replace(canny.kind, controlnet=str(tmp_path / "net")),
            lora=str(tmp_path / "lora"),
        ),
        ignore,
    )

    assert same(first, again)
    assert list(model(engine).conditioned) == [str(tmp_path / "net")]
    assert list(model(engine).loras.adapters) == [str(tmp_path / "lora")]
    adapters = model(engine).text_to_image.get_list_adapters()
    assert [len(names) for names in adapters.values()] == [1]
    assert same(engine.generate(replace(canny, lora=str(lora)), ignore), first)


def test_a_controlnet_in_use_is_not_the_one_that_goes(tiny, canny, tmp_path):
    engine = new_engine(tiny, max_controlnets=2)
    engine.load()
    requests = []
    for name in ("a", "b", "c"):
        (tmp_path / name).symlink_to(tiny / "controlnet")
        requests.append(replace(canny, kind=replace(canny.kind, controlnet=str(tmp_path / name))))
    a, b, c = requests

    for request in (a, b, a, c):
        engine.generate(request, ignore)

    assert list(model(engine).conditioned) == [a.kind.controlnet, c.kind.controlnet]


def test_a_union_controlnet_is_told_its_mode(engine, canny, union):
    results = [
        engine.generate(
            replace(canny, kind=replace(canny.kind, controlnet=str(union), control_mode=mode)),
            ignore,
        )
        for mode in (0, 2)
    ]

    assert not same(*results)


@pytest.mark.parametrize("mode", [None, 3])
def test_a_union_controlnet_without_a_mode_that_it_has_is_refused(engine, canny, union, mode):
    """An index beyond the table would kill the CUDA context for everybody."""
    with pytest.raises(ModelUnavailable, match="must set control_mode, 0 to 2"):
        engine.generate(
            replace(canny, kind=replace(canny.kind, controlnet=str(union), control_mode=mode)),
            ignore,
        )


def test_other_controlnets_are_told_no_mode(engine, canny):
    assert same(
        engine.generate(replace(canny, kind=replace(canny.kind, control_mode=1)), ignore),
        engine.generate(canny, ignore),
    )


def test_a_controlnet_for_another_model_is_refused_by_name(engine, canny, tiny, tmp_path):
    net = FluxControlNetModel.from_pretrained(tiny / "controlnet", local_files_only=True)
    other = FluxControlNetModel.from_config({**net.config, "joint_attention_dim": 48})
    other.save_pretrained(tmp_path)

    with pytest.raises(ModelUnavailable, match="joint_attention_dim is 48, that of the model 32"):
        engine.generate(replace(canny, kind=replace(canny.kind, controlnet=str(tmp_path))), ignore)


def test_damaged_weights_are_told_with_their_folder(tiny, tmp_path, fox, engine):
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(ModelUnavailable, match=f"the weights in {tmp_path} cannot be loaded"):
        DiffusionEngine(str(tmp_path), device="cpu").load()

    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(b"\0" * 64)
    before = engine.generate(fox, ignore)
    with pytest.raises(ModelUnavailable, match=f"the weights in {tmp_path} cannot be loaded"):
        engine.generate(replace(fox, lora=str(tmp_path)), ignore)
    assert same(engine.generate(fox, ignore), before)


def in_the_cache(source, cache):
    """The files of *source* as the Hub's client keeps them: named by their checksums."""
    snapshot, blobs = cache / "snapshots" / "0123456789", cache / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    for file in source.rglob("*"):
        if file.is_file():
            blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
            link = snapshot / file.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                blob.write_bytes(file.read_bytes())
                link.symlink_to(blob)
    return snapshot


@pytest.mark.parametrize("comes_whole", [True, False])
def test_what_does_not_load_is_checked_and_fetched_again_once(
    tiny, canny, tmp_path, monkeypatch, comes_whole
):
    engine = new_engine(tiny)
    engine.load()
    expected = engine.generate(canny, ignore)
    fetched = []

    def resolve(name, *args, **options):
        folder = in_the_cache(tiny / "controlnet", tmp_path / "models--lab--net")
        fetched.append(name)
        if len(fetched) == 1 or not comes_whole:
            damaged = folder / "diffusion_pytorch_model.safetensors"
            damaged.resolve().write_bytes(b"\0" * damaged.stat().st_size)
        return folder

    monkeypatch.setattr("generation.weights.resolve", resolve)
    request = replace(canny, kind=replace(canny.kind, controlnet="lab/net"))

    if comes_whole:
        assert same(engine.generate(request, ignore), expected)
    else:
        with pytest.raises(ModelUnavailable, match="cannot be loaded"):
            engine.generate(request, ignore)
    assert fetched == ["lab/net", "lab/net"]


def test_weights_in_a_format_that_can_run_code_are_refused(
    engine, fox, canny, tiny, lora, tmp_path
):
    net = FluxControlNetModel.from_pretrained(tiny / "controlnet", local_files_only=True)
    net.save_pretrained(tmp_path / "net", safe_serialization=False)
    (tmp_path / "lora").mkdir()
    layers = load_file(lora / "pytorch_lora_weights.safetensors")
    torch.save(layers, tmp_path / "lora" / "pytorch_lora_weights.bin")

    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        engine.generate(
            replace(canny, kind=replace(canny.kind, controlnet=str(tmp_path / "net"))), ignore
        )
    with pytest.raises(ModelUnavailable, match="only safetensors files are read"):
        engine.generate(replace(fox, lora=str(tmp_path / "lora")), ignore)


def test_a_device_that_is_not_there_is_refused(tiny):
    for device in ("cuda:63", *([] if torch.backends.mps.is_available() else ["mps"])):
        with pytest.raises(ModelUnavailable, match=f"device {device} is not there"):
            DiffusionEngine(str(tiny / "flux"), device=device).load()


def test_an_engine_that_is_closed_says_so_and_may_be_loaded_again(tiny, fox):
    engine = new_engine(tiny)
    engine.close()
    with pytest.raises(ModelUnavailable, match="not loaded"):
        engine.generate(fox, ignore)
    engine.load()
    first = engine.generate(fox, ignore)
    engine.close()
    engine.close()
    with pytest.raises(ModelUnavailable, match="not loaded"):
        engine.generate(fox, ignore)

    engine.load()

    assert same(engine.generate(fox, ignore), first)


def test_nothing_is_written_to_the_terminal(tiny, fox, canny, capfd):
    engine = new_engine(tiny)
    engine.load()

    engine.generate(replace(fox, prompt="red " * 400), ignore)
    engine.generate(canny, ignore)

    assert capfd.readouterr() == ("", "")


def test_the_process_wide_random_state_is_left_alone(engine, fox):
    before = torch.random.get_rng_state()

    engine.generate(fox, ignore)

    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_step_carries_a_preview_of_an_eighth_of_the_size(engine, fox):
    import io

    steps: list[Step] = []
    engine.generate(replace(fox, width=96, height=64), steps.append)

    for step in steps:
        assert Image.open(io.BytesIO(step.preview)).size == (12, 8)


def test_an_impossible_request_never_reaches_the_engine(fox):
    with pytest.raises(InvalidRequest):
        replace(fox, width=100)
