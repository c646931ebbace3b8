"""The sixth and seventh stage: ControlNets that follow edges, or blobs of colour.

The finished base model is frozen; it stays one set of weights for every preset.
"""

from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL, FluxControlNetModel, FluxPipeline
from tqdm import tqdm

from generation.demo import architecture, drawings
from generation.demo.training import dataset, distill_stage
from generation.demo.training.base_stage import DECIDING, Captions, Source, Velocity, noise_levels
from generation.demo.training.bfloat16 import multiply_in_bfloat16
from generation.demo.training.dataset import Dataset, encode
from generation.demo.training.loop import Training, take_average
from generation.demo.training.optimizers import optimizers_for
from generation.demo.training.vae_stage import to_tensor
from generation.demo.training.words_stage import LONG, SHORT

FREEDOM = 2.5
"""Things stray further here than in the base model's pictures, so that lines must be read."""

SMALL_ONLY_UNTIL = 0.6

SOURCES = (
    Source(128, 128, 3_000, 16, 0.5),
    Source(192, 128, 300, 10, 0.1),
    Source(128, 192, 300, 10, 0.1),
    Source(256, 256, 600, 5, 0.3),
)
"""Batches half as big as the base model's: a new ControlNet gains more from more steps."""

CONTROLS = {"canny": drawings.edges, "blobs": drawings.blobs}
"""From a drawing to the control image of each ControlNet."""


def train_canny(work: Path, seconds: float, seed: int = 0) -> None:
    train("canny", work, seconds, seed)


def train_blobs(work: Path, seconds: float, seed: int = 0) -> None:
    train("blobs", work, seconds, seed)


def train(name: str, work: Path, seconds: float, seed: int) -> None:
    """Train for so many seconds; `work/<name>.ckpt` holds the result."""
    torch.manual_seed(seed + 4)
    random = Random(seed + 40)
    pipeline = distill_stage.load(work)
    for network in (pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2):
        network.requires_grad_(False)
    controlnet = start(pipeline).train()
    if name != "canny":
        controlnet.load_state_dict(load(work, "canny", pipeline).state_dict())
    multiply_in_bfloat16(pipeline.transformer)
    multiply_in_bfloat16(controlnet)
    training = Training(
        name, work, controlnet, optimizers_for(controlnet), seconds, average=0.99, every=90
    )
    velocity = Velocity(pipeline.transformer, False)
    sources: dict[Source, tuple[Dataset, Captions, torch.Tensor]] = {}
    for share in training:
        is_mixed = share > SMALL_ONLY_UNTIL
        source = random.choices(SOURCES, [s.weight for s in SOURCES])[0] if is_mixed else SOURCES[0]
        if source not in sources:
            data = dataset.load(
                work, source.width, source.height, source.count, seed + 1, freedom=FREEDOM
            )
            controls = _control_tokens(work, data, name, seed)
            sources[source] = data, Captions(pipeline, data.captions), controls
        data, captions, controls = sources[source]
        rows = torch.randint(len(data.tokens), (source.batch,))
        clip, t5, _ = captions.chosen(
            rows, LONG if random.random() < 0.3 or share > 0.8 else SHORT, 0.05
        )
        with torch.no_grad():
            pooled = pipeline.text_encoder(clip).pooler_output
            words = pipeline.text_encoder_2(t5)[0]
        clean = data.tokens[rows].float()
        noise = torch.randn_like(clean)
        level = noise_levels(len(rows), clean.shape[1], DECIDING)
        mixed = torch.lerp(clean, noise, level[:, None, None])
        guidance = 1 + 4 * torch.rand(len(rows))
        side = architecture.PIXELS_PER_TOKEN
        blocks, _ = controlnet(
            hidden_states=mixed,
            controlnet_cond=controls[rows].float(),
            conditioning_scale=1.0,
            encoder_hidden_states=words,
            pooled_projections=pooled,
            timestep=level,
            guidance=guidance,
            img_ids=architecture.image_ids(data.height // side, data.width // side),
            txt_ids=torch.zeros(words.shape[1], 3),
            return_dict=False,
        )
        predicted = velocity(
            mixed,
            level,
            guidance,
            pooled,
            words,
            data.width,
            data.height,
            controlnet_block_samples=blocks,
        )
        wrong = ((predicted - (noise - clean)) ** 2).mean(dim=-1)
        weight = 1 + 2 * data.detail[rows].float()
        training.learn((wrong * weight).sum() / weight.sum())


def start(pipeline: FluxPipeline) -> FluxControlNetModel:
    """A ControlNet that changes nothing yet.

    Only its last layer starts at zero; an embedder of zeros as well would learn nothing at first.
    """
    controlnet = architecture.controlnet(pipeline.transformer, architecture.DEMO.controlnet_blocks)
    with torch.no_grad():
        controlnet.controlnet_x_embedder.weight.copy_(controlnet.x_embedder.weight)
    return controlnet


def load(work: Path, name: str, pipeline: FluxPipeline) -> FluxControlNetModel:
    """The ControlNet with the averaged weights of its last checkpoint."""
    controlnet = start(pipeline)
    take_average(work, name, controlnet.parameters())
    return controlnet


@torch.no_grad()
def _control_tokens(work: Path, data: Dataset, name: str, seed: int) -> torch.Tensor:
    """(count, tokens, 64) float16: the control images as the pipeline encodes them."""
    path = work / f"{name}-{data.width}x{data.height}-{len(data.tokens)}-{seed}.pt"
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(work / "vae").to(memory_format=torch.channels_last)
        tokens = []
        for first in tqdm(range(0, len(data.drawings), dataset.BATCH), desc=path.stem):
            images = [
                CONTROLS[name](drawings.render(drawing, data.width, data.height))
                for drawing in data.drawings[first : first + dataset.BATCH]
            ]
            with torch.autocast("cpu", torch.bfloat16):
                tokens.append(encode(vae, to_tensor(images)).half())
        torch.save(torch.cat(tokens), path)
    return torch.load(path, weights_only=True)
