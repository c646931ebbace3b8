import json
import time

import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline
from PIL import Image

from generation.preview import (
    FLUX_BIAS,
    FLUX_FACTORS,
    FLUX_SCALING,
    PredictingScheduler,
    Preview,
    jpeg_of,
)
from tests.samples import opened


@pytest.fixture
def vae(tiny):
    return AutoencoderKL.from_pretrained(tiny / "flux" / "vae", local_files_only=True)


def packed(latents):
    return FluxPipeline._pack_latents(latents, *latents.shape)


def test_each_latent_becomes_the_pixel_at_its_place():
    """The packing is diffusers' own, and unequal sides would show a transposition."""
    latents = torch.zeros(1, 16, 4, 6)
    latents[0, 3, 1, 4] = 1.0
    latents[0, 5, 2, 0] = 1.0
    factors = torch.zeros(16, 3)
    factors[3], factors[5] = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])

    pixels = Preview(factors, torch.zeros(3)).pixels(packed(latents), width=48, height=32)
    image = Image.fromarray(pixels.numpy())

    assert image.size == (6, 4)
    assert (image.getpixel((4, 1)), image.getpixel((0, 2))) == ((255, 0, 0), (0, 0, 255))
    assert sum(sum(pixel) > 0 for pixel in image.get_flattened_data()) == 2


def test_colours_beyond_black_and_white_do_not_wrap_around():
    latents = torch.full((1, 16, 2, 2), 9.0)

    for sign, shade in ((1, 255), (-1, 0)):
        preview = Preview(sign * torch.ones(16, 3), torch.zeros(3))
        pixels = preview.pixels(packed(latents), 16, 16)
        assert pixels[0, 0].tolist() == [shade] * 3


def test_a_model_may_bring_its_own_map(vae, tmp_path):
    for folder in (tmp_path, tmp_path / "vae"):
        folder.mkdir(exist_ok=True)
        values = {"factors": [[0.1, 0.2, 0.3]] * 16, "bias": [0.4, 0.5, 0.6]}
        (folder / "preview.json").write_text(json.dumps(values))

        preview = Preview.of(tmp_path, vae)

        assert torch.allclose(preview.bias, torch.tensor([0.4, 0.5, 0.6]))
        assert torch.allclose(preview.factors[7], torch.tensor([0.1, 0.2, 0.3]))
        (folder / "preview.json").unlink()


def test_the_vae_of_flux_gets_the_published_map_between_black_and_white(vae, tmp_path):
    vae.register_to_config(scaling_factor=FLUX_SCALING[0], shift_factor=FLUX_SCALING[1])

    preview = Preview.of(tmp_path, vae)

    latents = torch.linspace(-1, 1, 16)
    rgb = latents @ torch.tensor(FLUX_FACTORS) + torch.tensor(FLUX_BIAS)
    assert torch.allclose(latents @ preview.factors + preview.bias, (rgb + 1) / 2)


def test_any_other_vae_gets_a_map_that_is_fitted_to_it(tmp_path):
    """A stand-in whose decoder is linear must be found exactly."""
    factors, bias = torch.randn(16, 3, generator=torch.Generator().manual_seed(1)), 0.3

    class Linear:
        device, dtype = torch.device("cpu"), torch.float32

        class config:
            scaling_factor, shift_factor = 2.0, 0.5

        def decode(self, latents):
            self.sample = torch.einsum("bchw,ck->bkhw", latents, factors).add(bias)
            self.sample = torch.nn.functional.interpolate(self.sample, scale_factor=8)
            return self

    preview = Preview.of(tmp_path, Linear())

    scaled = torch.randn(5, 16)
    rgb = (scaled / 2.0 + 0.5) @ factors + bias
    assert torch.allclose(scaled @ preview.factors + preview.bias, rgb / 2 + 0.5, atol=1e-4)


def test_fitting_leaves_the_random_state_alone(vae, tmp_path):
    before = torch.random.get_rng_state()

    first = Preview.of(tmp_path, vae)

    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.allclose(Preview.of(tmp_path, vae).factors, first.factors, atol=1e-5)


def test_a_step_predicts_the_clean_picture_exactly_where_the_model_is_right():
    """On the straight path from noise to a clean picture, every step sees the same one."""
    noise, clean = torch.randn(2, 1, 4, 64)
    scheduler = PredictingScheduler(use_dynamic_shifting=True)
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25], mu=0.8)
    assert scheduler.predicted is None
    latents = noise

    for time_ in scheduler.timesteps:
        latents = scheduler.step(noise - clean, time_, latents, return_dict=False)[0]

        assert torch.allclose(scheduler.predicted, clean, atol=1e-5)
    assert torch.allclose(latents, clean, atol=1e-5)


def test_predicting_changes_no_step():
    from diffusers import FlowMatchEulerDiscreteScheduler

    results = []
    for kind in (PredictingScheduler, FlowMatchEulerDiscreteScheduler):
        scheduler = kind()
        scheduler.set_timesteps(3)
        latents = torch.ones(1, 4, 64)
        for time_ in scheduler.timesteps:
            latents = scheduler.step(latents.sin(), time_, latents, return_dict=False)[0]
        results.append(latents)

    assert torch.equal(*results)


def test_no_channel_alone_decides_about_a_colour():
    """A number with another leading digit would draw every preview in one colour."""
    shares = torch.tensor(FLUX_FACTORS).abs()

    assert shares.shape == (16, 3)
    assert shares.max() < 0.2


def test_a_preview_is_a_small_jpeg_and_costs_next_to_nothing():
    """A step of the demo takes some 50 ms; the bound is generous for busy machines."""
    torch.set_num_threads(1)
    preview = Preview(torch.randn(16, 3) / 9, torch.full((3,), 0.5))
    latents = torch.randn(1, 64 * 64, 64)

    def seconds():
        started = time.perf_counter()
        jpeg = jpeg_of(preview.pixels(latents, 1024, 1024))
        assert opened(jpeg).size == (128, 128)
        assert len(jpeg) < 20_000
        return time.perf_counter() - started

    assert min(seconds() for _ in range(20)) < 0.01
