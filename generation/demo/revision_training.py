"""Between two sittings of `base`: both encoders learn to keep two objects apart.

While the transformer learns ground, colour and shape it pulls the encoders towards those and lets
go of which object is which. Here they are asked for that again, on captions of two objects only;
what they say to every other caption is held where it is, so that the transformer loses nothing.
"""

import os
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import nn

from generation.demo import architecture, base_training, drawings
from generation.demo.base_training import Painter
from generation.demo.bfloat16 import multiply_in_bfloat16
from generation.demo.drawings import Drawing
from generation.demo.optimizers import optimizers_for
from generation.demo.training import Training
from generation.demo.vocabulary import COLOURS, SHAPES
from generation.demo.words_training import LONG, SHORT, clip_ids, t5_ids

BATCH = 64
OTHER_KINDS = ("single", "count", "scene", None)

_COLOURS = list(COLOURS)
_PARTS = [len(SHAPES), len(_COLOURS), len(_COLOURS), 3]
_SIZE = sum(_PARTS)
"""Answers for one object: its shape, its colour, the ground's; x, y and radius."""


class Pupil(nn.Module):
    """The encoders; a reader of pooled meanings; a reader of the word that names an object."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self.clip, self.t5 = painter.clip, painter.t5
        self.pooled_head = nn.Linear(architecture.DEMO.pooled, 2 * _SIZE)
        self.word_head = nn.Linear(architecture.DEMO.text, _SIZE)


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds, then put the encoders back into `work/base.ckpt`."""
    torch.manual_seed(seed + 7)
    random = Random(seed + 70)
    pipeline = base_training.load(work)
    before = base_training.load(work)
    pupil = Pupil(Painter(pipeline)).train()
    multiply_in_bfloat16(pupil)
    tokenizer, tokenizer_2 = pipeline.tokenizer, pipeline.tokenizer_2
    nouns = torch.tensor([tokenizer_2.convert_tokens_to_ids("▁" + shape) for shape in SHAPES])
    training = Training(
        "revise", work, pupil, optimizers_for(pupil), seconds, average=0.98, every=60
    )
    for _ in training:
        length = LONG if random.random() < 0.15 else SHORT
        pairs = [_pair(random) for _ in range(BATCH)]
        others = [drawings.sample(random, random.choice(OTHER_KINDS)) for _ in range(BATCH)]
        others = [drawing for drawing in others if drawing.kind != "pair"]
        captions = [drawing.caption for drawing in pairs + others]
        clip, t5 = clip_ids(tokenizer, captions), t5_ids(tokenizer_2, captions, length)
        pooled, words = pupil.clip(clip).pooler_output, pupil.t5(t5)[0]
        with torch.no_grad():
            old_pooled = before.text_encoder(clip[BATCH:]).pooler_output
            old_words = before.text_encoder_2(t5[BATCH:])[0]
        rows, columns = torch.isin(t5[:BATCH], nouns).nonzero(as_tuple=True)
        by_pooled = pupil.pooled_head(pooled[:BATCH]).unflatten(1, (2, _SIZE))
        by_words = pupil.word_head(words[rows, columns]).unflatten(0, (-1, 2))
        moved = F.mse_loss(pooled[BATCH:], old_pooled) + F.mse_loss(words[BATCH:], old_words)
        training.learn(_mistakes(by_pooled, pairs) + _mistakes(by_words, pairs) + 10 * moved)
        if training.step % 50 == 0:
            rights = [_share_right(answer, pairs) for answer in (by_pooled, by_words)]
            training.log.append(["right: pooled, words; moved", *rights, round(moved.item(), 4)])
    training.swap_average()
    _put_back(pupil, work / "base.ckpt")


def _pair(random: Random) -> Drawing:
    """Two objects whose caption has no other word in it that could be taken for a shape."""
    while True:
        pair = drawings.sample(random, "pair")
        if sum(pair.caption.count(shape) for shape in SHAPES) == 2:
            return pair


def _targets(pairs: list[Drawing]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of both objects in the order of mention: (batch, 2, 3) names and (batch, 2, 3) places."""
    names = [
        [
            (SHAPES.index(t.noun), _COLOURS.index(t.colour), _COLOURS.index(d.ground))
            for t in d.things
        ]
        for d in pairs
    ]
    places = [[(t.x, t.y, t.radius) for t in d.things] for d in pairs]
    return torch.tensor(names), torch.tensor(places)


def _mistakes(answers: torch.Tensor, pairs: list[Drawing]) -> torch.Tensor:
    *named, place = answers.split(_PARTS, dim=-1)
    names, places = _targets(pairs)
    wrong = [
        F.cross_entropy(answer.flatten(0, 1), names[..., part].flatten())
        for part, answer in enumerate(named)
    ]
    return sum(wrong) + 20 * F.mse_loss(place, places)


def _share_right(answers: torch.Tensor, pairs: list[Drawing]) -> float:
    """The share of captions of which ground, shapes and colours are all told right."""
    *named, _ = answers.split(_PARTS, dim=-1)
    names, _ = _targets(pairs)
    told = torch.stack([answer.argmax(-1) for answer in named], dim=-1)
    return round(float((told == names).all(-1).all(-1).float().mean()), 3)


def _put_back(pupil: Pupil, checkpoint: Path) -> None:
    """Replace the encoders in a checkpoint of `base`, the averaged ones too."""
    state = torch.load(checkpoint, weights_only=True)
    for part in ("clip", "t5"):
        for name, weight in getattr(pupil, part).state_dict().items():
            state["module"][f"{part}.{name}"] = weight
    # `Painter` lists the encoders' parameters first, in this very order.
    weights = [*pupil.clip.parameters(), *pupil.t5.parameters()]
    state["averaged"][: len(weights)] = [weight.detach() for weight in weights]
    aside = checkpoint.with_suffix(".part")
    torch.save(state, aside)
    os.replace(aside, checkpoint)
