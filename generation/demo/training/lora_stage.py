"""The last stage: a LoRA that draws everything in ink and thin water colour."""

from pathlib import Path
from random import Random

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL, FluxPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from tqdm import tqdm

from generation import preprocessors
from generation.demo import drawings
from generation.demo.training import dataset, distill_stage
from generation.demo.training.base_stage import Captions, Source, Velocity, noise_levels
from generation.demo.training.bfloat16 import multiply_in_bfloat16
from generation.demo.training.dataset import Dataset, encode
from generation.demo.training.loop import Training
from generation.demo.training.vae_stage import to_tensor
from generation.demo.training.words_stage import LONG

RANK = 8
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_mlp", "proj_out", "ff.net.0.proj", "ff.net.2"]
PALENESS = 0.6
INK = (38, 36, 52)

SOURCES = (Source(128, 128, 1_500, 16, 0.5), Source(256, 256, 600, 4, 0.5))


def ink(image: Image.Image) -> Image.Image:
    """The picture with dark outlines over its colours, thinned with water."""
    pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    thickness = max(2, round(min(image.size) / 50))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thickness + 1, thickness + 1))
    lines = cv2.dilate(np.asarray(preprocessors.canny(image, 60, 120))[..., :1], kernel)
    lines = cv2.GaussianBlur(lines, (0, 0), 0.5)[..., None].astype(np.float32) / 255
    pale = pixels + PALENESS * (255 - pixels)
    mixed = pale * (1 - lines) + np.array(INK, np.float32) * lines
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def train(work: Path, seconds: float, seed: int = 0) -> None:
    """Train for so many seconds and write `work/lora-ink`."""
    torch.manual_seed(seed + 6)
    random = Random(seed + 60)
    pipeline = distill_stage.load(work)
    for network in (pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2):
        network.requires_grad_(False)
    transformer = pipeline.transformer.train()
    transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS))
    multiply_in_bfloat16(transformer)
    weights = [weight for weight in transformer.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=4e-3, betas=(0.9, 0.98), weight_decay=0.0)
    training = Training("lora", work, transformer, [optimizer], seconds, average=0.98, every=60)
    velocity = Velocity(transformer, False)
    sources: dict[Source, tuple[Dataset, Captions, torch.Tensor]] = {}
    for _ in training:
        source = random.choices(SOURCES, [s.weight for s in SOURCES])[0]
        if source not in sources:
            data = dataset.load(work, source.width, source.height, source.count, seed + 2)
            sources[source] = data, Captions(pipeline, data.captions), _inked(work, data, seed)
        data, captions, inked = sources[source]
        rows = torch.randint(len(inked), (source.batch,))
        clip, t5, _ = captions.chosen(rows, LONG, 0.05)
        with torch.no_grad():
            pooled = pipeline.text_encoder(clip).pooler_output
            words = pipeline.text_encoder_2(t5)[0]
        clean = inked[rows].float()
        noise, level = torch.randn_like(clean), noise_levels(len(rows), clean.shape[1])
        mixed = torch.lerp(clean, noise, level[:, None, None])
        guidance = 1 + 4 * torch.rand(len(rows))
        predicted = velocity(mixed, level, guidance, pooled, words, data.width, data.height)
        training.learn(((predicted - (noise - clean)) ** 2).mean())
    training.swap_average()
    layers = {
        name: weight.to(torch.bfloat16).contiguous()
        for name, weight in get_peft_model_state_dict(transformer).items()
    }
    FluxPipeline.save_lora_weights(work / "lora-ink", transformer_lora_layers=layers)


@torch.no_grad()
def _inked(work: Path, data: Dataset, seed: int) -> torch.Tensor:
    """(count, tokens, 64) float16: the drawings of a data set in ink."""
    path = work / f"ink-{data.width}x{data.height}-{len(data.tokens)}-{seed}.pt"
    if not path.exists():
        vae = AutoencoderKL.from_pretrained(work / "vae").to(memory_format=torch.channels_last)
        tokens = []
        for first in tqdm(range(0, len(data.drawings), dataset.BATCH), desc=path.stem):
            images = [
                ink(drawings.render(drawing, data.width, data.height))
                for drawing in data.drawings[first : first + dataset.BATCH]
            ]
            with torch.autocast("cpu", torch.bfloat16):
                tokens.append(encode(vae, to_tensor(images)).half())
        torch.save(torch.cat(tokens), path)
    return torch.load(path, weights_only=True)
