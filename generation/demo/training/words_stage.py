"""The second stage: both text encoders learn to say what a caption asks for.

A caption is understood in minutes when the question is put directly; left to the pictures alone
it takes hours on a processor. The heads used here are thrown away.

CLIP says it all in one vector, which reaches every place of the picture alike. T5 must say it
where the transformer can look it up: the word that names a thing holds that thing's colour, size
and places, and the ground's colour. Without that, two things come out as a mixture of both.
"""

from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import nn

from generation.demo import architecture, drawings
from generation.demo.drawings import Drawing, Thing
from generation.demo.training import restoration
from generation.demo.training.bfloat16 import multiply_in_bfloat16
from generation.demo.training.elaboration import elaborate
from generation.demo.training.loop import Training
from generation.demo.training.optimizers import optimizers_for
from generation.demo.vocabulary import COLOURS, LANDS, SHAPES, SKIES, plural

BATCH = 128
SHORT, LONG = 24, 64
"""T5 tokens of a batch: nearly every caption fits the short length, which is much cheaper; the
pipeline pads to the long one."""

ELABORATE = 0.5
"""Share of the captions of a long batch that stand in the middle of other words."""

_GROUNDS = (*COLOURS, *SKIES)
_LANDS = (None, *LANDS)
_NOUNS = (None, *SHAPES, "house", "tree", "boat", "sun", "moon")
_COLOURS = (None, *COLOURS)
_THINGS = 4
_NOUN_SIZES = (len(_NOUNS), len(_COLOURS), len(_GROUNDS), 3 * _THINGS)
"""Answers of a word that names a thing: what it is, its colour, the ground's; x, y and radius of
each thing it stands for."""
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
        self.noun_head = nn.Linear(widths.text, sum(_NOUN_SIZES))

    def forward(self, clip_ids, t5_ids):
        """(batch, _SCENE_SIZE) and (batch, _THINGS, _THING_SIZE) as told by each encoder; and
        (batch, tokens, sum(_NOUN_SIZES)) as told by every word of T5."""
        pooled = self.pooled_head(self.clip(clip_ids).pooler_output)
        told_by_clip = pooled[:, :_SCENE_SIZE], pooled[:, _SCENE_SIZE:].unflatten(1, (_THINGS, -1))
        words = self.t5(t5_ids)[0]
        questions = self.questions.expand(len(words), -1, -1)
        answers, _ = self.attention(questions, words, words, need_weights=False)
        told_by_t5 = self.scene_head(answers[:, 0]), self.thing_head(answers[:, 1:])
        return [told_by_clip, told_by_t5], self.noun_head(words)


def clip_ids(tokenizer, captions: list[str], length: int) -> torch.Tensor:
    """(batch, 28), or the pipeline's 77 for captions that fill `length` LONG.

    CLIP is causal and pools at the end of the text, so padding is nothing to it.
    """
    most = 28 if length == SHORT else tokenizer.model_max_length
    return tokenizer(
        captions, padding="max_length", max_length=most, truncation=True, return_tensors="pt"
    ).input_ids


def t5_ids(tokenizer, captions: list[str], length: int) -> torch.Tensor:
    return tokenizer(
        captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds and write the encoders to `work/words.pt`."""
    torch.manual_seed(seed)
    random = Random(seed + 10)
    pipeline = restoration.beginning(work)
    for_clip, for_t5 = pipeline.tokenizer, pipeline.tokenizer_2
    reader = Reader(pipeline.text_encoder, pipeline.text_encoder_2, architecture.DEMO).train()
    multiply_in_bfloat16(reader)
    nouns = noun_pieces(for_t5)
    training = Training("words", work, reader, optimizers_for(reader), seconds, average=0.99)
    for _ in training:
        batch = [drawings.sample(random) for _ in range(BATCH)]
        captions = [drawing.caption for drawing in batch]
        length = LONG if random.random() < 0.5 else SHORT
        if length == LONG:
            captions = [
                elaborate(random, caption) if random.random() < ELABORATE else caption
                for caption in captions
            ]
        ids = t5_ids(for_t5, captions, length)
        answers, told_by_words = reader(clip_ids(for_clip, captions, length), ids)
        named = named_things(ids, batch, nouns)
        loss = sum(_mistakes(answer, batch) for answer in answers)
        training.learn(loss + _noun_mistakes(told_by_words, named, batch))
        if training.step % 100 == 0:
            rights = [_share_right(answer, batch) for answer in answers]
            rights.append(_share_of_nouns_right(told_by_words, named, batch))
            training.log.append(["right: pooled, words, nouns", *rights])
    training.swap_average()
    torch.save({"clip": reader.clip.state_dict(), "t5": reader.t5.state_dict()}, work / "words.pt")


def noun_pieces(tokenizer) -> dict[int, str]:
    """The noun that a token of the T5 tokenizer names, singular or plural."""
    return {
        tokenizer.convert_tokens_to_ids("▁" + word): noun
        for noun in _NOUNS[1:]
        for word in (noun, plural(noun))
    }


def named_things(
    ids: torch.Tensor, batch: list[Drawing], nouns: dict[int, str]
) -> list[tuple[int, int, list[Thing]]]:
    """(caption, token, things) for every word that names things: alike ones share a word."""
    found = []
    for row, drawing in enumerate(batch):
        groups: dict[tuple[str, str | None], list[Thing]] = {}
        for thing in drawing.things:
            groups.setdefault((thing.noun, thing.colour), []).append(thing)
        waiting = list(groups.values())
        if drawing.kind == "between":
            waiting.reverse()
        for column, piece in enumerate(ids[row].tolist()):
            meant = [group for group in waiting if group[0].noun == nouns.get(piece)]
            if meant:
                found.append((row, column, meant[0]))
                waiting.remove(meant[0])
    return found


def _noun_mistakes(told: torch.Tensor, named, batch: list[Drawing]) -> torch.Tensor:
    noun, colour, ground, places = _noun_answers(told, named)
    names, asked = _noun_targets(named, batch)
    return (
        2 * F.cross_entropy(noun, names[:, 0])
        + 2 * F.cross_entropy(colour, names[:, 1])
        + F.cross_entropy(ground, names[:, 2])
        + 40 * F.mse_loss(places, asked)
    )


def _noun_answers(told: torch.Tensor, named) -> tuple[torch.Tensor, ...]:
    rows, columns = torch.tensor([[row, column] for row, column, _ in named]).T
    return told[rows, columns].split(_NOUN_SIZES, dim=-1)


def _noun_targets(named, batch: list[Drawing]):
    """(words, 3) noun, colour, ground; (words, 3 * things) places, those
    that nobody takes outside of the picture."""
    names, places = [], torch.full((len(named), _THINGS, 3), -0.3)
    for index, (row, _, things) in enumerate(named):
        noun, colour = things[0].noun, things[0].colour
        ground = _GROUNDS.index(batch[row].ground)
        names.append([_NOUNS.index(noun), _COLOURS.index(colour), ground])
        for slot, thing in enumerate(things):
            places[index, slot] = torch.tensor([thing.x, thing.y, thing.radius])
    return torch.tensor(names), places.flatten(1)


def _share_of_nouns_right(told: torch.Tensor, named, batch: list[Drawing]) -> float:
    names, _ = _noun_targets(named, batch)
    answers = torch.stack([a.argmax(-1) for a in _noun_answers(told, named)[:3]], dim=-1)
    return round(float((answers == names).all(-1).float().mean()), 3)


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
