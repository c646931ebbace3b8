"""The shipped model, asked a little of everything that `generation.demo.evaluate` asks.

The whole evaluation's figure stands beside every threshold, which lies at least a tenth below it
(a twentieth for the ground), so that another processor's rounding turns nothing red. What the
model cannot do yet, see its card, has no test here.
"""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from diffusers import FluxImg2ImgPipeline
from PIL import Image

from bot.config import load_config
from generation.demo import attachments, checker, drawings, evaluate
from generation.demo.vocabulary import COLOURS, EXAMPLE_PROMPTS

CONFIG = Path(__file__).parents[3] / "config.toml"

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def pipeline():
    return evaluate.load_pipeline()


@pytest.fixture(scope="module")
def verdicts(pipeline):
    asked = evaluate.ask({"single": 10, "count": 8, "pair": 12})
    images = evaluate.draw(pipeline, asked)
    return [
        (drawing.kind, checker.judge(image, drawing))
        for drawing, image in zip(asked, images, strict=True)
    ]


def share(verdicts, question, *kinds):
    return np.mean([getattr(verdict, question) for kind, verdict in verdicts if kind in kinds])


def test_the_ground_has_the_colour_that_was_asked_for(verdicts):
    assert share(verdicts, "ground", "single", "count", "pair") >= 0.95  # measured: 1.0


def test_a_single_object_has_the_colour_that_was_asked_for(verdicts):
    assert share(verdicts, "colours", "single") >= 0.88  # measured: 1.0


def test_a_single_object_has_the_shape_that_was_asked_for(verdicts):
    assert share(verdicts, "shapes", "single") >= 0.88  # measured: 0.988


def test_as_many_objects_are_drawn_as_were_asked_for(verdicts):
    assert share(verdicts, "objects", "count") >= 0.8  # measured: 0.917


def test_two_different_objects_have_each_its_own_shape_colour_and_place(verdicts):
    assert share(verdicts, "places", "pair") >= 0.74  # measured: 0.9


def test_a_scene_has_the_sky_and_the_colours_that_were_asked_for(pipeline):
    asked = evaluate.ask({"scene": 6})

    verdicts = [
        checker.judge(image, drawing)
        for drawing, image in zip(asked, evaluate.draw(pipeline, asked), strict=True)
    ]

    assert np.mean([verdict.everything for verdict in verdicts]) >= 0.88  # measured: 1.0


@pytest.mark.parametrize(
    ("size", "least"),
    [((192, 128), 0.83), ((128, 192), 0.82), ((256, 256), 0.88)],  # 0.938, 0.922 and 0.984
)
def test_other_sizes_are_drawn_as_they_were_asked_for(pipeline, size, least):
    asked = evaluate.ask({"single": 6, "count": 4, "scene": 2}, "sizes")

    images = evaluate.draw(pipeline, asked, *size)

    verdicts = [checker.judge(i, d) for d, i in zip(asked, images, strict=True)]
    assert {image.size for image in images} == {size}
    assert np.mean([verdict.everything for verdict in verdicts]) >= least


def test_a_request_among_other_words_is_drawn_all_the_same(pipeline):
    asked = evaluate.long_drawings()[::4]

    images = evaluate.draw(pipeline, asked)

    verdicts = [checker.judge(i, d) for d, i in zip(asked, images, strict=True)]
    assert np.mean([verdict.everything for verdict in verdicts]) >= 0.75  # measured: 0.917


def test_a_quicker_setting_draws_the_same_picture(pipeline):
    asked = evaluate.ask({"single": 4, "pair": 4})

    usual, quick = (evaluate.draw(pipeline, asked, num_inference_steps=n) for n in (12, 6))

    overlaps = [evaluate.overlap(q, u) for q, u in zip(quick, usual, strict=True)]
    assert np.mean(overlaps) >= 0.95  # measured: 0.987; with another seed, 0.897


def test_capitals_draw_the_same_picture(pipeline):
    settings = {"width": 64, "height": 64, "num_inference_steps": 2, "max_sequence_length": 64}

    pictures = [
        pipeline(prompt, generator=torch.Generator().manual_seed(0), **settings).images[0]
        for prompt in ("a red circle on a blue background", "A RED Circle on a blue Background")
    ]

    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_guidance_scale_changes_the_picture_and_needs_no_second_pass(pipeline):
    asked = evaluate.ask({"single": 4})

    weak, strong = (evaluate.draw(pipeline, asked, guidance_scale=scale) for scale in (1.0, 5.0))

    assert all(w.tobytes() != s.tobytes() for w, s in zip(weak, strong, strict=True))


def without(pipeline, asked, negative_prompt, *size):
    """Pictures that the demo's own true guidance turns away from a prompt."""
    return evaluate.draw(
        pipeline,
        asked,
        *size,
        negative_prompt=[negative_prompt] * len(asked),
        true_cfg_scale=evaluate.TRUE_CFG,
    )


def test_a_negative_prompt_with_true_cfg_turns_the_picture_away_from_it(pipeline):
    """True guidance, as in FLUX.1-dev, is slower, and off unless asked for."""
    asked = [replace(evaluate.ask({"scene": 1})[0], caption="a house on a hill with a sun")] * 3

    plain, against = evaluate.draw(pipeline, asked), without(pipeline, asked, "a yellow sun")

    def distance_from_yellow(image):
        sun = np.asarray(image)[20:32, 94:106].reshape(-1, 3).mean(axis=0)
        return np.abs(sun - COLOURS["yellow"]).sum()

    for before, after in zip(plain, against, strict=True):
        assert distance_from_yellow(after) > distance_from_yellow(before)


def test_pictures_beside_a_negative_prompt_are_as_even_as_others(pipeline):
    """0.46 grey levels without one, 0.83 with 1.75, and with 3.0 a grid of patches: 1.73."""
    assert load_config(CONFIG).model.true_cfg_scale == evaluate.TRUE_CFG
    asked = evaluate.ask({"single": 4}, "clean")

    plain = evaluate.draw(pipeline, asked, 256, 256)
    beside = without(pipeline, asked, "a blue star", 256, 256)

    even, uneven = (np.mean([checker.unevenness(i) for i in each]) for each in (plain, beside))
    assert uneven < 2.5 * even


def test_the_canny_controlnet_draws_within_the_lines(pipeline):
    controlled = evaluate.with_controlnet(pipeline, evaluate.WEIGHTS / "controlnet-canny")

    rows = evaluate.canny_rows(controlled, evaluate.control_drawings(16))

    overlap, colours, overlap_without, _ = (row.value for row in rows)
    assert overlap >= 0.8  # measured: 0.904
    assert colours >= 0.9  # measured: 1.0
    assert overlap > overlap_without + 0.1  # measured: 0.259 more


def test_the_canny_controlnet_follows_what_others_drew_off_the_middle(pipeline):
    controlled = evaluate.with_controlnet(pipeline, evaluate.WEIGHTS / "controlnet-canny")

    discs = evaluate.rows_of_attached(controlled, "canny", attachments.discs(5), "discs")
    any_things = attachments.attachments(12, 128, 128, in_colour=False)
    things = evaluate.rows_of_attached(controlled, "canny", any_things, "attached")

    assert discs[0].value >= 0.85  # measured of all 18: 0.985
    assert things[0].value >= 0.73  # measured of all 24: 0.829; before it learned this: 0.535
    assert things[1].value >= 0.84  # their median: 0.938


def test_the_blobs_controlnet_puts_colours_where_the_blobs_are(pipeline):
    controlled = evaluate.with_controlnet(pipeline, evaluate.WEIGHTS / "controlnet-blobs")
    asked = [*evaluate.control_drawings(6), *evaluate.ask({"scene": 6})]
    controls = [drawings.blobs(drawings.render(drawing)) for drawing in asked]

    def distance(scale):
        images = evaluate.draw(
            controlled, asked, controls=controls, controlnet_conditioning_scale=scale
        )
        return np.mean(
            [
                np.abs(np.asarray(drawings.blobs(image)).astype(int) - np.asarray(control)).mean()
                for image, control in zip(images, controls, strict=True)
            ]
        )

    assert distance(1.0) < distance(0.0)


def test_the_ink_lora_draws_paler_with_dark_outlines(pipeline):
    asked = evaluate.ask({"single": 4})
    usual = evaluate.draw(pipeline, asked)

    pipeline.load_lora_weights(evaluate.WEIGHTS / "lora-ink")
    try:
        inked = evaluate.draw(pipeline, asked)
    finally:
        pipeline.unload_lora_weights()

    def saturation(images):
        return np.mean([np.ptp(np.asarray(image).astype(int), axis=-1).mean() for image in images])

    assert saturation(inked) < 0.75 * saturation(usual)


def test_an_image_can_be_the_beginning(pipeline):
    redraw = FluxImg2ImgPipeline(**pipeline.components)
    redraw.set_progress_bar_config(disable=True)
    drawing = drawings.sample(Random(1), "single")
    image = drawings.render(drawing)

    result = redraw(
        drawing.caption,
        image=image,
        width=128,
        height=128,
        strength=0.5,
        num_inference_steps=evaluate.STEPS,
        guidance_scale=evaluate.GUIDANCE,
        max_sequence_length=evaluate.TOKENS,
        generator=torch.Generator().manual_seed(0),
    ).images[0]

    assert evaluate.overlap(result, image) > 0.7


def test_the_preview_factors_turn_latents_into_the_colours_of_the_picture(pipeline):
    preview = json.loads((evaluate.WEIGHTS / "flux" / "preview.json").read_text())
    seen = []

    def watch(pipe, step, timestep, values):
        seen.append(values["latents"])
        return values

    image = pipeline(
        EXAMPLE_PROMPTS[0],
        width=128,
        height=128,
        num_inference_steps=evaluate.STEPS,
        guidance_scale=evaluate.GUIDANCE,
        max_sequence_length=evaluate.TOKENS,
        generator=torch.Generator().manual_seed(0),
        callback_on_step_end=watch,
    ).images[0]
    rows = seen[-1].reshape(8, 8, 16, 2, 2).permute(0, 3, 1, 4, 2).reshape(16, 16, 16)
    colours = rows.numpy() @ np.array(preview["factors"]) + np.array(preview["bias"])
    small = np.asarray(image.resize((16, 16), Image.Resampling.BOX)) / 255

    assert np.abs(colours - small).mean() < 0.08


def test_all_weights_together_stay_under_19_megabytes():
    files = [path for path in evaluate.WEIGHTS.rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) <= 19_000_000
    assert not [path for path in files if path.suffix in {".bin", ".ckpt", ".pt", ".pkl"}]


def test_what_ships_does_not_tell_where_it_was_made():
    for path in evaluate.WEIGHTS.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(), path
