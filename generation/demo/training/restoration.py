"""Train on from the weights that ship, where no checkpoint of their training is left.

    python -m generation.demo.training.restoration --work download/demo-training

Afterwards `words`, `base` and the ControlNets begin with what ships instead of with nothing, the
ControlNets upon the pipeline that ships; the autoencoder stays as it is. The guidance need not be
undone: at a scale of 1 the distilled transformer predicts what it did before.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import FluxPipeline
from torch import nn

from generation.demo import architecture
from generation.demo.vocabulary import TOKENIZED_WORDS


def restore(weights: Path, work: Path) -> None:
    """Copy the pipeline of `weights` to `work/start`, its autoencoder to `work/vae`, and its
    ControlNets beside them."""
    pipeline = FluxPipeline.from_pretrained(weights / "flux", torch_dtype=torch.float32)
    pipeline.save_pretrained(work / "start")
    pipeline.vae.save_pretrained(work / "vae")
    shutil.copy(weights / "flux" / "preview.json", work / "vae")
    for folder in weights.glob("controlnet-*"):
        shutil.copytree(folder, work / f"start-{folder.name}", dirs_exist_ok=True)
    figures = json.loads((weights / "figures.json").read_text())
    (work / "vae_figures.json").write_text(json.dumps(figures["autoencoder"]))
    before = {**figures["stages"], "before": figures.get("stages_before")}
    (work / "restored.json").write_text(json.dumps(before))


def beginning(work: Path) -> FluxPipeline:
    """The pipeline before any stage in `work`: restored, or new with a transformer that says 0."""
    if (work / "start").exists():
        return FluxPipeline.from_pretrained(work / "start", torch_dtype=torch.float32)
    pipeline = architecture.pipeline(architecture.DEMO, TOKENIZED_WORDS)
    for name, module in pipeline.transformer.named_modules():
        is_modulation = name.endswith((".norm1.linear", ".norm1_context.linear", ".norm.linear"))
        if is_modulation or name in ("norm_out.linear", "proj_out"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, default=Path(__file__).parent.parent / "weights")
    parser.add_argument("--work", type=Path, default=Path("download/demo-training"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    restore(arguments.weights, arguments.work)


if __name__ == "__main__":
    main()
