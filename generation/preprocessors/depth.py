"""Depth maps by Depth Anything V2, through transformers, on the CPU.

The small model has 25 million parameters: a CPU takes about a second for a map, and the
GPU's memory stays with the pipelines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForDepthEstimation

from generation.preprocessors.reading import read_model, read_side

#: Pixels to which the shorter side is brought where the model does not say, and what sides
#: must be multiples of: its patches.
SIDE, MULTIPLE = 518, 14
#: Of ImageNet, in red, green and blue.
MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DepthEstimator:
    """Depth maps: near is bright, far is dark, from 0 to 255 in every picture.

    Args:
        folder: A DepthAnythingForDepthEstimation in transformers' format.
    """

    def __init__(self, folder: Path) -> None:
        self._model = read_model(AutoModelForDepthEstimation, folder)
        self._side = read_side(folder, SIDE)

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> Image.Image:
        """The depth map of an RGB *image*, RGB and of the same size."""
        scale = self._side / min(image.size)
        size = [max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in image.size]
        small = image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(small, np.float32) / 255)
        pixels = (pixels - torch.tensor(MEAN)) / torch.tensor(STANDARD_DEVIATION)
        depth = self._model(pixels.permute(2, 0, 1)[None]).predicted_depth
        depth = torch.nn.functional.interpolate(
            depth[None], (image.height, image.width), mode="bicubic", align_corners=False
        )[0, 0]
        spread = (depth.max() - depth.min()).clamp(min=1e-6)
        shades = ((depth - depth.min()) / spread * 255).round().to(torch.uint8)
        return Image.fromarray(shades.numpy()).convert("RGB")
