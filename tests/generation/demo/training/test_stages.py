from random import Random

import cv2
import numpy as np
import pytest
import torch
from diffusers import FluxControlNetModel
from torch import nn

from generation.demo import architecture, drawings, evaluate, tokenization
from generation.demo.training import (
    control_stage,
    dataset,
    elaboration,
    restoration,
    tracings,
    words_stage,
)
from generation.demo.training.loop import Training, take_average
from generation.demo.training.optimizers import optimizers_for
from generation.demo.vocabulary import COLOURS, SHAPES, TOKENIZED_WORDS, has_subject

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def stage(folder, **more):
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    return module, Training("stage", folder, module, optimizers_for(module), seconds=600, **more)


def test_a_stage_that_was_stopped_goes_on_where_it_was(tmp_path):
    module, training = stage(tmp_path)
    for _ in range(3):
        training.learn((module(torch.ones(1, 4)) ** 2).sum())
    training.spent = 17.0
    training.save()

    again, resumed = stage(tmp_path)

    assert (resumed.step, resumed.spent) == (3, 17.0)
    assert torch.equal(again[0].weight, module[0].weight)
    training.swap_average()
    resumed.swap_average()
    assert torch.equal(again[0].weight, module[0].weight)


def test_the_stages_behind_one_take_its_averaged_weights(tmp_path):
    module, training = stage(tmp_path)
    for _ in range(3):
        training.learn((module(torch.ones(1, 4)) ** 2).sum())
    training.save()
    other, last = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), module[0].weight.clone()

    take_average(tmp_path, "stage", other.parameters())

    assert not torch.equal(other[0].weight, last)
    training.swap_average()
    assert torch.equal(other[0].weight, module[0].weight)


def test_a_stage_has_taken_as_long_as_it_ran_and_not_as_it_was_stopped(tmp_path):
    """A laptop that was shut, or a process that was stopped, has learned nothing meanwhile."""
    times = iter([0.0, 1.0, 5001.0])
    _, training = stage(tmp_path, clock=lambda: next(times))

    spent = [training.spent for _, _ in zip(range(3), training, strict=False)]

    assert spent == [0.0, 1.0, 61.0]


def test_training_can_begin_with_the_weights_that_ship(tmp_path):
    restoration.restore(evaluate.WEIGHTS, tmp_path)

    begun = restoration.beginning(tmp_path)

    shipped = evaluate.load_pipeline()
    for name, weight in shipped.transformer.state_dict().items():
        assert torch.equal(begun.transformer.state_dict()[name], weight), name
    assert (tmp_path / "vae" / "preview.json").exists()


def test_a_controlnet_goes_on_from_the_one_that_ships(tmp_path):
    restoration.restore(evaluate.WEIGHTS, tmp_path)
    pipeline = restoration.beginning(tmp_path)

    begun = control_stage.start(pipeline, tmp_path).state_dict()

    shipped = FluxControlNetModel.from_pretrained(evaluate.WEIGHTS / "controlnet-canny")
    for name, weight in shipped.state_dict().items():
        assert torch.equal(begun[name], weight.float()), name
    new = begun.keys() - shipped.state_dict().keys()
    assert not any(begun[name].any() for name in new if "controlnet" in name)


@pytest.mark.parametrize("name", ["canny", "blobs"])
def test_tracings_are_of_the_size_and_of_captions_that_training_may_see(name):
    random = Random(3)
    for width, height in ((128, 128), (192, 128), (128, 192)) * 12:
        traced = tracings.trace(random, name, width, height)

        assert traced.picture.size == traced.control.size == (width, height)
        assert not drawings.is_held_out(traced.caption)
        assert has_subject(traced.caption), traced.caption


def test_the_edges_of_a_tracing_are_those_of_the_picture_that_is_wanted():
    """Whatever it was traced from, and but for gaps: an outline lies to both sides of it."""
    random = Random(5)
    shares = []
    for _ in range(60):
        traced = tracings.trace(random, "canny", 128, 128)
        wanted = cv2.dilate(np.asarray(drawings.edges(traced.picture))[..., 0], np.ones((9, 9)))
        shown = np.asarray(traced.control)[..., 0] > 127
        if shown.any() and wanted.any():
            shares.append((shown & (wanted > 0)).sum() / shown.sum())

    assert len(shares) > 50
    assert np.median(shares) > 0.99
    assert np.mean(shares) > 0.9


def test_training_from_nothing_begins_with_a_transformer_that_predicts_zero(tmp_path):
    pipeline = restoration.beginning(tmp_path)

    predicted = pipeline.transformer(
        hidden_states=torch.randn(1, 4, architecture.PACKED_CHANNELS),
        timestep=torch.ones(1),
        guidance=torch.ones(1),
        pooled_projections=torch.randn(1, architecture.DEMO.pooled),
        encoder_hidden_states=torch.randn(1, 3, architecture.DEMO.text),
        txt_ids=torch.zeros(3, 3),
        img_ids=architecture.image_ids(2, 2),
    ).sample

    assert not predicted.any()


def test_packed_latents_come_back_as_they_were():
    latents = torch.randn(2, architecture.LATENT_CHANNELS, 6, 4)

    assert torch.equal(architecture.unpack(architecture.pack(latents), 6, 4), latents)


@pytest.mark.parametrize("size", [(128, 128), (192, 128), (256, 256)])
def test_the_atlas_tells_what_the_renderer_painted_at_every_place(size):
    random = Random(4)
    for kind in ("single", "count", "pair", "between"):
        drawing = drawings.sample(random, kind)
        image = np.asarray(drawings.render(drawing, *size))

        atlas = dataset.atlas_of(drawing, *size).reshape(size[1] // 16, size[0] // 16, 4)

        centres = image[8::16, 8::16]
        empty = atlas[..., 0] == 0
        assert (centres[empty] == COLOURS[drawing.ground]).all(), drawing.caption
        found = {int(noun) for noun in atlas[..., 0][~empty]}
        assert found == {1 + SHAPES.index(thing.noun) for thing in drawing.things}


def test_of_two_things_each_is_named_by_its_own_word():
    """The transformer looks there: swapped, it would draw both of them wrong."""
    tokenizer = tokenization.t5_tokenizer(TOKENIZED_WORDS)
    nouns = words_stage.noun_pieces(tokenizer)
    random = Random(6)
    batch = [drawings.sample(random, kind) for kind in ("pair", "between") for _ in range(40)]
    ids = words_stage.t5_ids(tokenizer, [drawing.caption for drawing in batch], 64)

    named = words_stage.named_things(ids, batch, nouns)

    for row, column, things in named:
        before = tokenizer.convert_ids_to_tokens(int(ids[row, column - 1]))
        assert before == "▁" + things[0].colour, batch[row].caption
    assert sum(len(things) for _, _, things in named) == sum(len(d.things) for d in batch)


def test_an_elaborated_caption_is_whole_and_short_enough_for_the_model():
    tokenizer = tokenization.t5_tokenizer(TOKENIZED_WORDS)
    random = Random(8)

    for _ in range(300):
        caption = drawings.sample(random).caption
        prompt = elaboration.elaborate(random, caption)

        assert caption in prompt
        assert len(prompt.split()) > len(caption.split())
        assert len(tokenizer(prompt).input_ids) <= evaluate.TOKENS, prompt


def test_the_long_prompts_of_the_evaluation_fill_what_the_model_reads():
    tokenizer = tokenization.t5_tokenizer(TOKENIZED_WORDS)

    for drawing in evaluate.long_drawings():
        assert 40 <= len(tokenizer(drawing.caption).input_ids) <= evaluate.TOKENS, drawing.caption
