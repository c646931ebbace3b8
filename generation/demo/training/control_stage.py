"""The sixth and seventh stage: ControlNets that follow edges, or blobs of colour.

The finished base model is frozen; it stays one set of weights for every preset.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL, FluxControlNetModel, FluxPipeline

from generation.demo import architecture, evaluate
from generation.demo.training import distill_stage, restoration
from generation.demo.training.base_stage import DECIDING, Source, Velocity, noise_levels
from generation.demo.training.bfloat16 import multiply_in_bfloat16
from generation.demo.training.dataset import detail_of, encode
from generation.demo.training.elaboration import elaborate
from generation.demo.training.loop import Training, take_average
from generation.demo.training.optimizers import optimizers_for
from generation.demo.training.tracings import Tracing, trace
from generation.demo.training.vae_stage import to_tensor
from generation.demo.training.words_stage import ELABORATE, LONG, SHORT, clip_ids, t5_ids

SOURCES = (
    Source(128, 128, 6_000, 16, 0.27),
    Source(192, 128, 1_500, 10, 0.08),
    Source(128, 192, 1_500, 10, 0.08),
    Source(256, 256, 4_000, 6, 0.57),
)
"""Batches half as big as the base model's: a ControlNet gains more from more steps."""

FIRST = 24
"""A source begins with so many batches of tracings."""

FRESH = 0.13
"""The share of a batch that a source gains with every step, until it has its count."""

USUAL_GUIDANCE = 0.6
"""The share of the steps that are told the demo's own scale. The others are told any."""


def train_canny(work: Path, seconds: float, seed: int = 0) -> None:
    train("canny", work, seconds, seed)


def train_blobs(work: Path, seconds: float, seed: int = 0) -> None:
    train("blobs", work, seconds, seed)


def train(name: str, work: Path, seconds: float, seed: int) -> None:
    """Train for so many seconds; `work/<name>.ckpt` holds the result.

    `canny` begins with the one that ships, if that was restored; `blobs` with `canny`.
    """
    torch.manual_seed(seed + 4)
    random = Random(seed + 40)
    pipeline = finished(work)
    for network in (pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2):
        network.requires_grad_(False)
    controlnet = start(pipeline, work).train()
    if name != "canny":
        controlnet.load_state_dict(load(work, "canny", pipeline).state_dict())
    multiply_in_bfloat16(pipeline.transformer)
    multiply_in_bfloat16(controlnet)
    training = Training(
        name, work, controlnet, optimizers_for(controlnet), seconds, average=0.995, every=60
    )
    velocity = Velocity(pipeline.transformer, False)
    vae = AutoencoderKL.from_pretrained(work / "vae").to(memory_format=torch.channels_last)
    pools = {s: _Pool(name, s, vae, Random(f"{seed} {s} {training.step}")) for s in SOURCES}
    for share in training:
        source = random.choices(SOURCES, [s.weight for s in SOURCES])[0]
        batch = pools[source].batch(random)
        length = LONG if random.random() < 0.4 or share > 0.8 else SHORT
        with torch.no_grad():
            pooled, words = _said(pipeline, random, batch.captions, length)
        clean = batch.tokens.float()
        noise = torch.randn_like(clean)
        level = noise_levels(len(clean), clean.shape[1], DECIDING)
        mixed = torch.lerp(clean, noise, level[:, None, None])
        is_usual = torch.rand(len(clean)) < USUAL_GUIDANCE
        guidance = torch.where(is_usual, evaluate.GUIDANCE, 1 + 4 * torch.rand(len(clean)))
        side = architecture.PIXELS_PER_TOKEN
        blocks, singles = controlnet(
            hidden_states=mixed,
            controlnet_cond=batch.controls.float(),
            conditioning_scale=1.0,
            encoder_hidden_states=words,
            pooled_projections=pooled,
            timestep=level,
            guidance=guidance,
            img_ids=architecture.image_ids(source.height // side, source.width // side),
            txt_ids=torch.zeros(words.shape[1], 3),
            return_dict=False,
        )
        predicted = velocity(
            mixed,
            level,
            guidance,
            pooled,
            words,
            source.width,
            source.height,
            controlnet_block_samples=blocks,
            controlnet_single_block_samples=singles,
        )
        wrong = ((predicted - (noise - clean)) ** 2).mean(dim=-1)
        weight = 1 + 2 * batch.detail.float()
        training.learn((wrong * weight).sum() / weight.sum())


@dataclass(frozen=True)
class _Batch:
    """Captions; (batch, tokens, 64) latents of pictures and of control images; which of the
    (batch, tokens) hold more than one colour."""

    captions: list[str]
    tokens: torch.Tensor
    controls: torch.Tensor
    detail: torch.Tensor


class _Pool:
    """Tracings of one size, of which there are more with every step."""

    def __init__(self, name: str, source: Source, vae: AutoencoderKL, random: Random) -> None:
        self._name, self._source, self._vae = name, source, vae
        self._tracings = self._endless(random)
        self._rows: list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._owed = 0.0

    def batch(self, random: Random) -> _Batch:
        count = self._source.batch
        self._owed += FRESH * count if self._rows else FIRST * count
        while self._owed >= 1 and len(self._rows) < self._source.count:
            self._grow(min(count, int(self._owed)))
        captions, *parts = zip(*random.choices(self._rows, k=count), strict=True)
        return _Batch(list(captions), *(torch.stack(part) for part in parts))

    def _endless(self, random: Random) -> Iterator[Tracing]:
        while True:
            yield trace(random, self._name, self._source.width, self._source.height)

    @torch.no_grad()
    def _grow(self, count: int) -> None:
        new = [tracing for _, tracing in zip(range(count), self._tracings, strict=False)]
        self._owed -= count
        pictures = to_tensor([tracing.picture for tracing in new])
        controls = to_tensor([tracing.control for tracing in new])
        with torch.autocast("cpu", torch.bfloat16):
            encoded = [encode(self._vae, each).half() for each in (pictures, controls)]
        captions = [tracing.caption for tracing in new]
        self._rows += zip(captions, *encoded, detail_of(pictures), strict=True)


def _said(pipeline: FluxPipeline, random: Random, captions: list[str], length: int):
    """The pooled meaning and the words of some captions, of which a few are left out."""
    captions = ["" if random.random() < 0.05 else caption for caption in captions]
    if length == LONG:
        captions = [elaborate(random, c) if random.random() < ELABORATE else c for c in captions]
    clip = pipeline.text_encoder(clip_ids(pipeline.tokenizer, captions, length)).pooler_output
    return clip, pipeline.text_encoder_2(t5_ids(pipeline.tokenizer_2, captions, length))[0]


def finished(work: Path) -> FluxPipeline:
    """The pipeline that was distilled in `work`, or the one that was restored there."""
    if (work / "distill.ckpt").exists():
        return distill_stage.load(work)
    return restoration.beginning(work)


def start(pipeline: FluxPipeline, work: Path) -> FluxControlNetModel:
    """The ControlNet for edges that ships, where it was restored, or one that changes nothing.

    Of a new one only the last layers start at zero; an embedder of zeros as well would learn
    nothing at first. Blocks that the restored one does not have start as those of a new one.
    """
    controlnet = architecture.controlnet(pipeline.transformer, architecture.DEMO)
    with torch.no_grad():
        controlnet.controlnet_x_embedder.weight.copy_(controlnet.x_embedder.weight)
    restored = work / "start-controlnet-canny"
    if restored.exists():
        shipped = FluxControlNetModel.from_pretrained(restored, torch_dtype=torch.float32)
        controlnet.load_state_dict(shipped.state_dict(), strict=False)
    return controlnet


def load(work: Path, name: str, pipeline: FluxPipeline) -> FluxControlNetModel:
    """The ControlNet with the averaged weights of its last checkpoint."""
    controlnet = architecture.controlnet(pipeline.transformer, architecture.DEMO)
    take_average(work, name, controlnet.parameters())
    return controlnet
