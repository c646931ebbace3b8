"""The last stage: a LoRA that edits, as FLUX.1-Kontext does, with the finished base model frozen.

The tokens of the picture that is shown stand behind those of the noise, at the same places, with 1
in the first of the three position axes (`FluxKontextPipeline`).
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb
from torch import nn

from generation.demo import architecture, drawings, edits, evaluate
from generation.demo.drawings import Drawing
from generation.demo.training import control_stage
from generation.demo.training.base_stage import DECIDING, Source, noise_levels
from generation.demo.training.bfloat16 import multiply
from generation.demo.training.dataset import detail_of, encode
from generation.demo.training.loop import Training, take_average
from generation.demo.training.optimizers import BatchedMuon
from generation.demo.training.vae_stage import to_tensor
from generation.demo.training.words_stage import LONG, clip_ids, t5_ids

RANK = 48

UNADAPTED = "time_text_embed"
"""What says how far the noise is, and what CLIP read, is the same for an edit."""

SOURCES = (
    Source(128, 128, 10_000, 16, 0.56),
    Source(304, 208, 1_000, 5, 0.03),
    Source(208, 304, 1_000, 5, 0.03),
    Source(256, 256, 4_000, 5, 0.38),
)
"""The oblong ones are those that an edit has of a picture of 3 : 2, see `kinds.editing`."""

FIRST = 24
"""A source begins with so many batches of edits."""

FRESH = 0.15
"""The share of a batch that a source gains with every step, until it has its count."""

CHANGED_WEIGHT = 3.0
"""How much more a token counts where the picture changes."""

READING_WEIGHT = 1.5
"""How much it counts that, in the middle of the network, the picture that is shown has become the
one that is wanted."""

LOOKING_WEIGHT = 0.1
"""How much it counts that some heads look from each place of the noise at the same place of the
picture that is shown."""

LOOKING_HEADS = 2
"""Heads of each single-stream block that are to look there: wide enough for a whole token."""

ROUGHNESS = 0.2
"""The most noise in the picture that is shown: those that people edit are not exact either."""

REVERSIBLE = ("recolour", "ground")
"""Sorts of which the way back is an edit as well."""

PLAIN = 0.4
"""The share of instructions in the usual wording."""

USUAL_GUIDANCE = 0.9
"""The share of the steps that are told the demo's own scale. The others are told any."""


class Adapted(nn.Linear):
    """A frozen linear layer and what a LoRA adds to its weight.

    The sum is formed before the product, which costs nothing on matrices as small as these and
    saves two products with every token.
    """

    down: nn.Parameter
    up: nn.Parameter

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return multiply(inputs, self.weight + self.up @ self.down, self.bias)


def adapt(transformer: FluxTransformer2DModel, rank: int = RANK) -> list[nn.Parameter]:
    """Freeze a transformer and give its linear layers a LoRA that changes nothing yet."""
    transformer.requires_grad_(False)
    learning = []
    for name, module in transformer.named_modules():
        if type(module) is not nn.Linear or name.startswith(UNADAPTED):
            continue
        module.__class__ = Adapted
        down = torch.empty(rank, module.in_features)
        module.down = nn.Parameter(nn.init.orthogonal_(down))
        module.up = nn.Parameter(torch.zeros(module.out_features, rank))
        learning += [module.down, module.up]
    return learning


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds and write `work/lora-edit`."""
    torch.manual_seed(seed + 7)
    random = Random(seed + 70)
    pipeline = control_stage.finished(work)
    for network in (pipeline.text_encoder, pipeline.text_encoder_2):
        network.requires_grad_(False)
    transformer = pipeline.transformer.train()
    learning = Learning(transformer)
    optimizers = [
        BatchedMuon(adapt(transformer), lr=4e-3, weight_decay=0.0),
        torch.optim.AdamW(learning.reading.parameters(), lr=1e-3, weight_decay=0.0),
    ]
    training = Training(
        "edit", work, learning, optimizers, seconds, decay_from=0.7, average=0.995, every=60
    )
    editor = _Editor(transformer)
    vae = AutoencoderKL.from_pretrained(work / "vae").to(memory_format=torch.channels_last)
    pools = {s: _Pool(s, vae, Random(f"{seed} {s} {training.step}")) for s in SOURCES}
    for _ in training:
        source = random.choices(SOURCES, [s.weight for s in SOURCES])[0]
        batch = pools[source].batch(random)
        pooled, words = _said(pipeline, batch.captions)
        clean = batch.after.float()
        rough = ROUGHNESS * torch.rand(len(clean), 1, 1) * torch.randint(2, (len(clean), 1, 1))
        shown = batch.before.float() + rough * torch.randn_like(clean)
        noise = torch.randn_like(clean)
        level = noise_levels(len(clean), clean.shape[1], DECIDING)
        mixed = torch.lerp(clean, noise, level[:, None, None])
        is_usual = torch.rand(len(clean)) < USUAL_GUIDANCE
        guidance = torch.where(is_usual, evaluate.GUIDANCE, 1 + 4 * torch.rand(len(clean)))
        predicted = editor(mixed, shown, level, guidance, pooled, words, source)
        wrong = ((predicted - (noise - clean)) ** 2).mean(dim=-1)
        weight = 1 + 2 * batch.detail.float() + CHANGED_WEIGHT * batch.changed.float()
        misread = ((learning.reading(editor.features) - clean) ** 2).mean(dim=-1)
        misread = (misread * weight).sum() / weight.sum()
        astray = editor.astray(clean.shape[1])
        loss = (wrong * weight).sum() / weight.sum()
        training.learn(loss + READING_WEIGHT * misread + LOOKING_WEIGHT * astray)
        training.note(loss)
    export(work)


class Learning(nn.Module):
    """All that learns in this stage.

    `reading` tells from the tokens of the picture that is shown, behind the last double-stream
    block, the latents of the picture that is wanted. It is thrown away afterwards. Each of these
    tokens stands where its change belongs, so that the words are understood there first, and the
    rest of the network has only to move what it finds.
    """

    def __init__(self, transformer: FluxTransformer2DModel) -> None:
        super().__init__()
        self.transformer = transformer
        self.reading = nn.Linear(transformer.inner_dim, architecture.PACKED_CHANNELS)


class _Looking:
    """What a single-stream block attends with, as diffusers' own, whose queries and keys of some
    heads are there to be judged."""

    query: torch.Tensor
    key: torch.Tensor

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        image_rotary_emb: Any = None,
    ) -> torch.Tensor:
        query, key, value = (
            layer(hidden_states).unflatten(-1, (-1, attn.head_dim))
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        query = apply_rotary_emb(attn.norm_q(query), image_rotary_emb, sequence_dim=1)
        key = apply_rotary_emb(attn.norm_k(key), image_rotary_emb, sequence_dim=1)
        self.query, self.key = query[:, :, :LOOKING_HEADS], key[:, :, :LOOKING_HEADS]
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).flatten(2)

    def astray(self, tokens: int) -> torch.Tensor:
        """How far the attention of so many tokens of noise is from the tokens of the picture at
        their places: the cross entropy, nothing where all of it is there."""
        query = self.query[:, -2 * tokens : -tokens]
        looked = torch.einsum("bqhd,bkhd->bhqk", query, self.key) / query.shape[-1] ** 0.5
        there = looked[..., -tokens:].diagonal(dim1=-2, dim2=-1)
        return (looked.logsumexp(dim=-1) - there).mean()


class _Editor:
    """The prediction for a picture beside which another is shown, compiled for common shapes.

    Attributes:
        features: What the tokens of that picture held behind the last double-stream block, last
            time.
    """

    COMPILED = frozenset({64, 256})
    """Image tokens."""

    def __init__(self, transformer: nn.Module, is_compiled: bool = True) -> None:
        self.features: torch.Tensor | None = None
        transformer.transformer_blocks[-1].register_forward_hook(self._keep)
        self._looking = [_Looking() for _ in transformer.single_transformer_blocks]
        for block, looking in zip(
            transformer.single_transformer_blocks, self._looking, strict=True
        ):
            block.attn.processor = looking
        self._plain = transformer
        self._fast = torch.compile(transformer, dynamic=False) if is_compiled else transformer

    def astray(self, tokens: int) -> torch.Tensor:
        """See `_Looking`; of all blocks, last time."""
        return torch.stack([looking.astray(tokens) for looking in self._looking]).mean()

    def _keep(self, block: nn.Module, inputs, outputs) -> None:
        self.features = outputs[1][:, outputs[1].shape[1] // 2 :]

    def __call__(self, mixed, shown, level, guidance, pooled, words, source: Source):
        """(batch, tokens, 64): the direction from the clean latents to the noise."""
        side = architecture.PIXELS_PER_TOKEN
        places = architecture.image_ids(source.height // side, source.width // side)
        beside = places.clone()
        beside[:, 0] = 1
        is_common = mixed.shape[1] in self.COMPILED
        return (self._fast if is_common else self._plain)(
            hidden_states=torch.cat([mixed, shown], dim=1),
            timestep=level,
            guidance=guidance,
            pooled_projections=pooled,
            encoder_hidden_states=words,
            txt_ids=torch.zeros(words.shape[1], 3),
            img_ids=torch.cat([places, beside]),
            return_dict=False,
        )[0][:, : mixed.shape[1]]


@torch.no_grad()
def _said(pipeline: FluxPipeline, captions: list[str]):
    """The pooled meaning and the words of some instructions."""
    clip = pipeline.text_encoder(clip_ids(pipeline.tokenizer, captions, LONG)).pooler_output
    return clip, pipeline.text_encoder_2(t5_ids(pipeline.tokenizer_2, captions, LONG))[0]


@dataclass(frozen=True)
class _Batch:
    """Instructions; (batch, tokens, 64) latents of the pictures before and after; which of the
    (batch, tokens) hold more than one colour afterwards, and which change."""

    captions: list[str]
    before: torch.Tensor
    after: torch.Tensor
    detail: torch.Tensor
    changed: torch.Tensor


class _Pool:
    """Edits of one size, of which there are more with every step."""

    def __init__(self, source: Source, vae: AutoencoderKL, random: Random) -> None:
        self._source, self._vae, self._random = source, vae, random
        self._rows: list[tuple[str, tuple[Drawing, ...], torch.Tensor, ...]] = []
        self._owed = 0.0

    def batch(self, random: Random) -> _Batch:
        count = self._source.batch
        self._owed += FRESH * count if self._rows else FIRST * count
        while self._owed >= 1 and len(self._rows) < self._source.count:
            self._grow(min(count, int(self._owed)))
        captions, rows = [], []
        for sort, pair, tokens, details, changed in random.choices(self._rows, k=count):
            old, new = (1, 0) if sort in REVERSIBLE and random.random() < 0.5 else (0, 1)
            plainly = random.random() < PLAIN
            captions.append(edits.describe(random, pair[old], pair[new], sort, plainly))
            rows.append((tokens[old], tokens[new], details[new], changed))
        return _Batch(captions, *map(torch.stack, zip(*rows, strict=True)))

    @torch.no_grad()
    def _grow(self, count: int) -> None:
        """Draw and encode new edits."""
        self._owed -= count
        new = [
            edits.sample(self._random, freedom=self._random.choice((1, 1.5))) for _ in range(count)
        ]
        size = self._source.width, self._source.height
        pictures = to_tensor(
            [drawings.render(d, *size) for each in new for d in (each.before, each.after)]
        )
        with torch.autocast("cpu", torch.bfloat16):
            tokens = encode(self._vae, pictures).half()
        details = detail_of(pictures)
        changed = changed_tokens(pictures[::2], pictures[1::2])
        for k, each in enumerate(new):
            both = slice(2 * k, 2 * k + 2)
            pair = (each.before, each.after)
            self._rows.append((each.sort, pair, tokens[both], details[both], changed[k]))


def changed_tokens(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """(batch, tokens) of bool: where (batch, 3, height, width) pictures differ."""
    side = architecture.PIXELS_PER_TOKEN
    differs = nn.functional.max_pool2d((after - before).abs(), side).amax(dim=1)
    return (differs > 0.1).flatten(1)


def load(work: Path) -> FluxTransformer2DModel:
    """The transformer with the averaged LoRA of the last checkpoint, as `Adapted` layers."""
    transformer = control_stage.finished(work).transformer
    reading = Learning(transformer).reading
    take_average(work, "edit", [*adapt(transformer), *reading.parameters()])
    return transformer


def export(work: Path) -> None:
    """Write the averaged LoRA of the last checkpoint to `work/lora-edit`."""
    layers = {}
    for name, module in load(work).named_modules():
        if isinstance(module, Adapted):
            layers[f"{name}.lora_A.weight"] = module.down.detach().to(torch.bfloat16).contiguous()
            layers[f"{name}.lora_B.weight"] = module.up.detach().to(torch.bfloat16).contiguous()
    FluxPipeline.save_lora_weights(work / "lora-edit", transformer_lora_layers=layers)
