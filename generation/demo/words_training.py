"""The second stage: both text encoders learn to say what a caption asks for.

A caption is understood in minutes when the question is put directly; left to the pictures alone
it takes hours on a processor. The heads used here are thrown away.
"""

from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import nn

from generation.demo import architecture, drawings
from generation.demo.bfloat16 import multiply_in_bfloat16
from generation.demo.drawings import Drawing
from generation.demo.optimizers import optimizers_for
from generation.demo.tokenization import clip_tokenizer, t5_tokenizer
from generation.demo.training import Training
from generation.demo.vocabulary import COLOURS, LANDS, SHAPES, SKIES, TOKENIZED_WORDS

BATCH = 128
SHORT, LONG = 24, 64
"""T5 tokens of a batch: nearly every caption fits the short length, which is much cheaper; the
pipeline pads to the long one."""

_GROUNDS = (*COLOURS, *SKIES)
_LANDS = (None, *LANDS)
_NOUNS = (None, *SHAPES, "house", "tree", "boat", "sun", "moon")
_COLOURS = (None, *COLOURS)
_THINGS = 4
_SCENE_SIZE, _THING_SIZE = len(_GROUNDS) + len(_LANDS), len(_NOUNS) + len(_COLOURS) + 3


class Reader(nn.Module):
    """Two encoders, and what answers questions about a caption from their outputs."""

    def __init__(self, clip_encoder: nn.Module, t5_encoder: nn.Module, widths) -> None:
        super().__init__()
        self.clip, self.t5 = clip_encoder, t5_encoder
        self.pooled_head = nn.Linear(widths.pooled, _SCENE_SIZE + _THINGS * _THING_SIZE)
        self.questions = nn.Parameter(torch.randn(1 + _THINGS, widths.text) * 0.1)
        self.attention = nn.MultiheadAttention(widths.text, 4, batch_first=True)
        self.scene_head = nn.Linear(widths.text, _SCENE_SIZE)
        self.thing_head = nn.Linear(widths.text, _THING_SIZE)

    def forward(self, clip_ids, t5_ids) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(batch, _SCENE_SIZE) and (batch, _THINGS, _THING_SIZE) as told by each encoder."""
        pooled = self.pooled_head(self.clip(clip_ids).pooler_output)
        told_by_clip = pooled[:, :_SCENE_SIZE], pooled[:, _SCENE_SIZE:].unflatten(1, (_THINGS, -1))
        words = self.t5(t5_ids)[0]
        questions = self.questions.expand(len(words), -1, -1)
        answers, _ = self.attention(questions, words, words, need_weights=False)
        return [told_by_clip, (self.scene_head(answers[:, 0]), self.thing_head(answers[:, 1:]))]


def tokenizers():
    return clip_tokenizer(TOKENIZED_WORDS), t5_tokenizer(TOKENIZED_WORDS)


def clip_ids(tokenizer, captions: list[str]) -> torch.Tensor:
    """(batch, 28): CLIP is causal and pools at the end of the text, so padding is nothing to it."""
    return tokenizer(
        captions, padding="max_length", max_length=28, truncation=True, return_tensors="pt"
    ).input_ids


def t5_ids(tokenizer, captions: list[str], length: int) -> torch.Tensor:
    return tokenizer(
        captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds and write the encoders to `work/words.pt`."""
    torch.manual_seed(seed)
    random = Random(seed + 10)
    for_clip, for_t5 = tokenizers()
    widths = architecture.DEMO
    reader = Reader(
        architecture.clip_encoder(widths, for_clip), architecture.t5_encoder(widths, for_t5), widths
    ).train()
    multiply_in_bfloat16(reader)
    training = Training("words", work, reader, optimizers_for(reader), seconds, average=0.99)
    for _ in training:
        batch = [drawings.sample(random) for _ in range(BATCH)]
        captions = [drawing.caption for drawing in batch]
        length = LONG if random.random() < 0.15 else SHORT
        answers = reader(clip_ids(for_clip, captions), t5_ids(for_t5, captions, length))
        training.learn(sum(_mistakes(answer, batch) for answer in answers))
        if training.step % 100 == 0:
            rights = [_share_right(answer, batch) for answer in answers]
            training.log.append(["right: pooled, words", *rights])
    training.swap_average()
    torch.save({"clip": reader.clip.state_dict(), "t5": reader.t5.state_dict()}, work / "words.pt")


def _targets(batch: list[Drawing]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(batch, 2) ground and land; (batch, things, 2) noun and colour; (batch, things, 3) place."""
    scene = [[_GROUNDS.index(d.ground), _LANDS.index(d.land)] for d in batch]
    nouns = torch.zeros(len(batch), _THINGS, 2, dtype=torch.long)
    places = torch.zeros(len(batch), _THINGS, 3)
    for row, drawing in enumerate(batch):
        for slot, thing in enumerate(drawing.things):
            nouns[row, slot, 0] = _NOUNS.index(thing.noun)
            nouns[row, slot, 1] = _COLOURS.index(thing.colour)
            places[row, slot] = torch.tensor([thing.x, thing.y, thing.radius])
    return torch.tensor(scene), nouns, places


def _mistakes(answer: tuple[torch.Tensor, torch.Tensor], batch: list[Drawing]) -> torch.Tensor:
    scene, things = answer
    scene_target, nouns, places = _targets(batch)
    noun, colour, place = things.split([len(_NOUNS), len(_COLOURS), 3], dim=-1)
    there = (nouns[..., :1] > 0).float()
    return (
        F.cross_entropy(scene[:, : len(_GROUNDS)], scene_target[:, 0])
        + 0.5 * F.cross_entropy(scene[:, len(_GROUNDS) :], scene_target[:, 1])
        + 2 * F.cross_entropy(noun.flatten(0, 1), nouns[..., 0].flatten())
        + 2 * F.cross_entropy(colour.flatten(0, 1), nouns[..., 1].flatten())
        + 20 * ((place - places) ** 2 * there).mean()
    )


def _share_right(answer: tuple[torch.Tensor, torch.Tensor], batch: list[Drawing]) -> float:
    """The share of captions of which ground, nouns and colours are all told right."""
    scene, things = answer
    scene_target, nouns, _ = _targets(batch)
    noun, colour, _ = things.split([len(_NOUNS), len(_COLOURS), 3], dim=-1)
    right = scene[:, : len(_GROUNDS)].argmax(-1) == scene_target[:, 0]
    right &= (noun.argmax(-1) == nouns[..., 0]).all(-1)
    right &= (colour.argmax(-1) == nouns[..., 1]).all(-1)
    return round(float(right.float().mean()), 3)
