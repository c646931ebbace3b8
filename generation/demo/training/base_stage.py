"""The third stage: the transformer, by flow matching. The encoders stay as they are."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import FluxPipeline
from torch import nn

from generation.demo import architecture
from generation.demo.training import dataset, restoration
from generation.demo.training.bfloat16 import multiply_in_bfloat16
from generation.demo.training.dataset import Dataset
from generation.demo.training.elaboration import elaborate
from generation.demo.training.loop import Training, take_average
from generation.demo.training.optimizers import optimizers_for
from generation.demo.training.words_stage import LONG, SHORT, clip_ids, t5_ids

UNCONDITIONAL = 0.08
"""Share of captions left out, so that there is something to guide away from."""

DETAIL_WEIGHT = 2.0
"""How much more a token counts that holds an outline. What is best there does not change with
it; plain ground is learned in minutes anyway."""

DECIDING = 0.4
"""Share of the noise levels between 0.8 and 1, where the caption alone decides what is drawn."""

ATLAS_WEIGHT = 0.1
"""How much it counts to know, in the middle of the network, which thing is at which place."""

KIND_WEIGHTS = {"single": 1.5, "count": 1.0, "pair": 1.2, "between": 2.5, "scene": 1.0}
"""How often a drawing is shown, beside its share of the data set: what is learned last, oftener."""

ELABORATE = 0.4
"""Share of the captions of a long batch that stand in the middle of other words."""


@dataclass(frozen=True)
class Source:
    """A size to train on: `batch` pictures a step, chosen with `weight` in the mixed phase."""

    width: int
    height: int
    count: int
    batch: int
    weight: float


SOURCES = (
    Source(128, 128, 36_000, 32, 0.42),
    Source(192, 128, 5_000, 20, 0.09),
    Source(128, 192, 5_000, 20, 0.07),
    Source(256, 256, 4_000, 8, 0.42),
)


class Painter(nn.Module):
    """Everything that learns in this stage.

    `atlas` reads from the image tokens behind the last double-stream block what is at their place.
    It is thrown away afterwards. Asking there, and not only for the picture, teaches in thousands
    of steps fewer which of two shapes belongs where.
    """

    def __init__(self, pipeline: FluxPipeline) -> None:
        super().__init__()
        self.clip, self.t5 = pipeline.text_encoder, pipeline.text_encoder_2
        self.transformer = pipeline.transformer
        self.atlas = nn.Linear(self.transformer.inner_dim, sum(dataset.ATLAS_SIZES))


class Captions:
    """The token ids of a data set's captions, and of no caption at all."""

    def __init__(self, pipeline: FluxPipeline, captions: list[str], seed: int = 0) -> None:
        random = Random(seed + 21)
        wordy = [elaborate(random, caption) for caption in captions]
        self._plain = {length: _ids(pipeline, captions, length) for length in (SHORT, LONG)}
        self._wordy = _ids(pipeline, wordy, LONG)
        self._none = {length: _ids(pipeline, [""], length) for length in (SHORT, LONG)}

    def chosen(self, rows: torch.Tensor, length: int, left_out: float):
        """CLIP and T5 ids of some captions, a share of them replaced by none; which are not.

        Some of the LONG ones stand in the middle of other words.
        """
        is_wordy = torch.rand(len(rows), 1) < ELABORATE
        is_told = torch.rand(len(rows), 1) >= left_out
        ids = [plain[rows] for plain in self._plain[length]]
        if length == LONG:
            ids = [
                torch.where(is_wordy, wordy[rows], plain)
                for wordy, plain in zip(self._wordy, ids, strict=True)
            ]
        clip, t5 = (
            torch.where(is_told, said, none)
            for said, none in zip(ids, self._none[length], strict=True)
        )
        return clip, t5, is_told[:, 0]

    def none(self, count: int, length: int):
        return tuple(ids.expand(count, -1) for ids in self._none[length])


def _ids(pipeline: FluxPipeline, captions: list[str], length: int):
    clip = clip_ids(pipeline.tokenizer, captions, length)
    return clip, t5_ids(pipeline.tokenizer_2, captions, length)


def noise_levels(count: int, tokens: int, deciding: float = 0.0) -> torch.Tensor:
    """(count,) of noise, 0 to 1: evenly spread over a logit-normal, higher for big pictures.

    What is drawn is decided between 0.6 and 1; below 0.3 next to nothing is left to learn.
    Spreading the levels evenly within a batch takes most of the chance out of the loss.

    Args:
        count: How many.
        tokens: Image tokens of the picture.
        deciding: The share that lies evenly between 0.8 and 1 instead.
    """
    even = (torch.randperm(count) + torch.rand(count)) / count
    normal = torch.erfinv((2 * even - 1).clamp(-0.9999, 0.9999)) * 2**0.5
    centre = 1.1 if tokens <= 64 else 1.2 if tokens < 256 else 1.5
    high = 0.8 + 0.2 * torch.rand(count)
    return torch.where(torch.rand(count) < deciding, high, torch.sigmoid(normal + centre))


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds; `work/base.ckpt` holds the result."""
    torch.manual_seed(seed)
    random = Random(seed + 20)
    pipeline = start(work)
    painter = Painter(pipeline).train()
    painter.clip.requires_grad_(False)
    painter.t5.requires_grad_(False)
    multiply_in_bfloat16(painter)
    training = Training(
        "base",
        work,
        painter,
        optimizers_for(painter, matrix_lr=3e-3),
        seconds,
        decay_from=0.6,
        average=0.997,
        every=90,
    )
    velocity = Velocity(painter.transformer)
    sources: dict[Source, tuple[Dataset, Captions, torch.Tensor]] = {}
    for _ in training:
        source = random.choices(SOURCES, [s.weight for s in SOURCES])[0]
        if source not in sources:
            data = dataset.load(work, source.width, source.height, source.count, seed)
            chances = torch.tensor([KIND_WEIGHTS[drawing.kind] for drawing in data.drawings])
            sources[source] = data, Captions(pipeline, data.captions), chances
        data, captions, chances = sources[source]
        is_long = source is not SOURCES[0] or random.random() < 0.3
        rows = torch.multinomial(chances, source.batch, replacement=True)
        clip, t5, is_told = captions.chosen(rows, LONG if is_long else SHORT, UNCONDITIONAL)
        clean = data.tokens[rows].float()
        noise = torch.randn_like(clean)
        level = noise_levels(len(rows), clean.shape[1], DECIDING)
        mixed = torch.lerp(clean, noise, level[:, None, None])
        said = say(painter, clip, t5)
        predicted = velocity(mixed, level, torch.ones(len(rows)), *said, data.width, data.height)
        weight = 1 + DETAIL_WEIGHT * data.detail[rows].float()
        wrong = ((predicted - (noise - clean)) ** 2).mean(dim=-1)
        astray = dataset.atlas_mistakes(painter.atlas(velocity.features), data.atlas[rows])
        astray = (astray * is_told[:, None]).mean()
        training.learn((wrong * weight).sum() / weight.sum() + ATLAS_WEIGHT * astray)
        training.note(astray)


@torch.no_grad()
def say(painter: Painter, clip: torch.Tensor, t5: torch.Tensor):
    """Pooled meaning and words. With a gradient, or a compiled network would be compiled twice."""
    said = painter.clip(clip).pooler_output, painter.t5(t5)[0]
    return tuple(part.requires_grad_() for part in said)


COMPILED = {(64, SHORT), (64, LONG), (256, LONG)}
"""The common (image tokens, text tokens)."""


class Velocity:
    """A transformer's prediction, compiled for the common shapes.

    Compiling takes a minute for each shape and saves a quarter of every step.

    Attributes:
        features: What the image tokens held behind the last double-stream block, last time.
    """

    def __init__(self, transformer: nn.Module, is_compiled: bool = True) -> None:
        self.features: torch.Tensor | None = None
        transformer.transformer_blocks[-1].register_forward_hook(self._keep)
        self._plain = transformer
        self._fast = torch.compile(transformer, dynamic=False) if is_compiled else transformer

    def _keep(self, block: nn.Module, inputs, outputs) -> None:
        self.features = outputs[1]

    def __call__(self, mixed, level, guidance, pooled, words, width, height, **residuals):
        """(batch, tokens, 64): the direction from the clean latents to the noise."""
        side = architecture.PIXELS_PER_TOKEN
        is_common = (mixed.shape[1], words.shape[1]) in COMPILED
        return (self._fast if is_common else self._plain)(
            hidden_states=mixed,
            timestep=level,
            guidance=guidance,
            pooled_projections=pooled,
            encoder_hidden_states=words,
            txt_ids=torch.zeros(words.shape[1], 3),
            img_ids=architecture.image_ids(height // side, width // side),
            return_dict=False,
            **residuals,
        )[0]


def start(work: Path) -> FluxPipeline:
    """The pipeline before this stage: trained words and VAE, the transformer as it began."""
    pipeline = restoration.beginning(work)
    pipeline.vae = pipeline.vae.from_pretrained(work / "vae")
    words = torch.load(work / "words.pt", weights_only=True)
    pipeline.text_encoder.load_state_dict(words["clip"])
    pipeline.text_encoder_2.load_state_dict(words["t5"])
    return pipeline


def load(work: Path) -> FluxPipeline:
    """The pipeline with the averaged weights of the last checkpoint of this stage."""
    pipeline = start(work)
    atlas = Painter(pipeline).atlas
    take_average(work, "base", [*pipeline.transformer.parameters(), *atlas.parameters()])
    return pipeline
