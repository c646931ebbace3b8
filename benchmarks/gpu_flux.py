"""FLUX.1-dev at full size on a GPU: seconds and peak memory, beside a bare diffusers call.

The weights are random and made here, since neither time nor memory depends on them: no
download, no token, no licence. The model is written to a folder once (35 GB; a ControlNet of
Union-Pro-2.0's shape and the demo's tokenizers with it), because the engine is measured along
its real path, from files.

    python -m benchmarks.gpu_flux --folder /scratch/flux-random
    python -m benchmarks.gpu_flux --folder /scratch/flux-random --levels resident text-offload
    python -m benchmarks.gpu_flux --folder tiny --tiny --device cpu    # tries the script itself

It prints a table, and with ``--save`` writes it to ``benchmarks/results/`` together with
the names of GPU, driver and libraries. Nothing in it is estimated.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import FluxControlNetModel, FluxControlNetPipeline, FluxPipeline
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from generation.demo import architecture, tiny
from generation.demo.tokenization import clip_tokenizer, t5_tokenizer
from generation.demo.vocabulary import TOKENIZED_WORDS
from generation.diffusion import engine as flux_engine
from generation.diffusion.engine import DiffusionEngine
from generation.diffusion.memory import OFFLOAD_LEVELS
from generation.errors import OutOfMemory
from generation.kinds import ControlNet
from generation.types import GenerationRequest, Step

RESULTS = Path(__file__).parent / "results"
PROMPT = "a red fox in snow"
UNION_BLOCKS = 6


def main() -> None:
    options = _options()
    # What random weights draw may well be of one colour, which no person would be shown.
    flux_engine.is_blank_image = lambda image: False
    if not (options.folder / "flux" / "model_index.json").exists():
        print(f"writing random weights to {options.folder}")
        (tiny.build if options.tiny else build)(options.folder)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options, _square(Path(folder) / "square.png"))
    setting = {
        "device": _device_name(options.device),
        "size": f"{options.size} x {options.size}",
        "steps": options.steps,
        "runs": options.runs,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "weights": "random, tiny" if options.tiny else "random, of FLUX.1-dev's sizes",
    }
    show(rows, setting)
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"gpu_flux-{time.strftime('%Y%m%d-%H%M%S')}.json"
        file.write_text(json.dumps({"setting": setting, "rows": rows}, indent=2) + "\n")
        print(f"written to {file}")


def build(folder: Path) -> None:
    """Write FLUX.1-dev's shapes with random bfloat16 weights to *folder*."""
    from diffusers import AutoencoderKL, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    words = list(TOKENIZED_WORDS)
    clip_words, t5_words = clip_tokenizer(words), t5_tokenizer(words)
    clip = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12,
        projection_dim=768, vocab_size=49408, bos_token_id=clip_words.bos_token_id,
        eos_token_id=clip_words.eos_token_id, pad_token_id=clip_words.pad_token_id,
    )  # fmt: skip
    t5 = T5Config(
        d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=32128,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False, tie_word_embeddings=False,
    )  # fmt: skip
    vae = {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "latent_channels": 16,
        "layers_per_block": 2,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        pipe = FluxPipeline(
            scheduler=architecture.scheduler(),
            vae=AutoencoderKL(**vae),
            text_encoder=CLIPTextModel(clip),
            tokenizer=clip_words,
            text_encoder_2=T5EncoderModel(t5),
            tokenizer_2=t5_words,
            transformer=FluxTransformer2DModel(guidance_embeds=True),
        )
        pipe.save_pretrained(folder / "flux")
        del pipe
        gc.collect()
        net = FluxControlNetModel(
            guidance_embeds=True, num_layers=UNION_BLOCKS, num_single_layers=0
        )
        net.save_pretrained(folder / "controlnet")
    finally:
        torch.set_default_dtype(before)


def measure(options: argparse.Namespace, square: Path) -> list[dict[str, object]]:
    """Rows of the table: bare diffusers first, then the engine on each offload level."""
    text = GenerationRequest(
        prompt=PROMPT, num_inference_steps=options.steps, guidance_scale=3.5,
        width=options.size, height=options.size, seed=0,
    )  # fmt: skip
    conditioned = replace(
        text,
        kind=ControlNet(controlnet=str(options.folder / "controlnet"), preprocessor="canny"),
        pictures={"control_image": square},
    )
    rows = bare(options, text, square)
    _free()
    for level in options.levels:
        engine = DiffusionEngine(
            str(options.folder / "flux"),
            device=options.device,
            dtype=options.dtype,
            offload_level=level,
            max_sequence_length=options.tokens,
            pixels=options.size**2,
        )
        started = time.perf_counter()
        engine.load()
        loading = time.perf_counter() - started
        kinds = {"text": text, "controlnet": conditioned}
        for kind, request in kinds.items():
            draw = partial(_fresh, engine, request)
            rows.append({"by": "engine", "level": level, "what": kind} | timed(draw, options))
        rows.append({"by": "engine", "level": level, "what": "load", "seconds": loading})
        rows.append(
            {"by": "engine", "level": level, "what": "swap", "seconds": swap(engine, kinds)}
        )
        if engine.current_offload_level != level:
            rows[-1]["note"] = f"in the end on {engine.current_offload_level}"
        engine.close()
        _free()
    return rows


def bare(
    options: argparse.Namespace, text: GenerationRequest, square: Path
) -> list[dict[str, object]]:
    """The same pictures by diffusers alone, everything on the device."""
    dtype = getattr(torch, options.dtype)
    try:
        pipe = FluxPipeline.from_pretrained(options.folder / "flux", dtype=dtype)
        pipe.to(options.device)
        pipe.set_progress_bar_config(disable=True)
        net = FluxControlNetModel.from_pretrained(options.folder / "controlnet", dtype=dtype)
        conditioned = FluxControlNetPipeline(**pipe.components, controlnet=net.to(options.device))
        conditioned.set_progress_bar_config(disable=True)
    except torch.OutOfMemoryError as error:
        _free()
        return [{"by": "diffusers", "what": "text", "note": str(error).splitlines()[0]}]
    shared = {
        "prompt": text.prompt,
        "width": text.width,
        "height": text.height,
        "num_inference_steps": text.num_inference_steps,
        "guidance_scale": text.guidance_scale,
        "max_sequence_length": options.tokens,
    }
    shown = Image.open(square).convert("RGB").resize((text.width, text.height))
    rows: list[dict[str, object]] = []
    for kind, draw in {
        "text": partial(pipe, **shared),
        "controlnet": partial(conditioned, **shared, control_image=shown),
    }.items():
        rows.append({"by": "diffusers", "level": "resident", "what": kind} | timed(draw, options))
    return rows


def timed(draw: Callable[[], object], options: argparse.Namespace) -> dict[str, object]:
    """Median seconds and peak bytes of *draw*, after one call that warms it up."""
    on_gpu = options.device.startswith("cuda")
    seconds = []
    try:
        draw()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        for _ in range(options.runs):
            if on_gpu:
                torch.cuda.synchronize()
            started = time.perf_counter()
            draw()
            if on_gpu:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except (torch.OutOfMemoryError, OutOfMemory) as error:
        return {"note": str(error).splitlines()[0]}
    peak = torch.cuda.max_memory_allocated() if on_gpu else None
    return {"seconds": statistics.median(seconds), "peak": peak}


def swap(engine: DiffusionEngine, kinds: dict[str, GenerationRequest]) -> float:
    """Seconds that changing the preset costs: pictures by turns, less pictures in a row."""
    short = {kind: replace(request, num_inference_steps=1) for kind, request in kinds.items()}

    def draw(*order: str) -> float:
        started = time.perf_counter()
        for kind in order:
            engine.generate(short[kind], _ignore)
        return time.perf_counter() - started

    draw("text", "controlnet")
    in_a_row = draw("text", "text", "text") + draw("controlnet", "controlnet", "controlnet")
    by_turns = draw("text", "controlnet", "text", "controlnet", "text", "controlnet")
    return max(0.0, (by_turns - in_a_row) / 5)


def show(rows: list[dict[str, object]], setting: dict[str, object]) -> None:
    """Print the table; a ratio below 1 means that the engine was faster."""
    console = Console()
    console.print(", ".join(f"{key} {value}" for key, value in setting.items()))
    table = Table("by", "level", "what", "seconds", "peak GB", "ratio to diffusers", "note")
    bare_seconds = {row["what"]: row.get("seconds") for row in rows if row["by"] == "diffusers"}
    for row in rows:
        seconds, base = row.get("seconds"), bare_seconds.get(row["what"])
        ratio = f"{seconds / base:.2f}" if seconds and base and row["by"] == "engine" else ""
        peak = row.get("peak")
        table.add_row(
            str(row["by"]), str(row.get("level", "")), str(row["what"]),
            "" if seconds is None else f"{seconds:.2f}",
            "" if peak is None else f"{peak / 1e9:.1f}", ratio, str(row.get("note", "")),
        )  # fmt: skip
    console.print(table)


def _fresh(engine: DiffusionEngine, request: GenerationRequest) -> None:
    """A picture for which the prompt is encoded anew, as bare diffusers does each time."""
    engine.forget_prompts()
    engine.generate(request, _ignore)


def _ignore(step: Step) -> None:
    """Nobody watches."""


def _square(file: Path) -> Path:
    image = Image.new("RGB", (512, 512))
    ImageDraw.Draw(image).rectangle((100, 100, 400, 400), fill="white")
    image.save(file)
    return file


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{device} ({platform.processor() or platform.machine()})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the random weights")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--size", type=int, default=1024, help="pixels, both ways")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--levels", nargs="+", choices=OFFLOAD_LEVELS, default=OFFLOAD_LEVELS)
    parser.add_argument("--tiny", action="store_true", help="weights of next to no size")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/")
    options = parser.parse_args()
    options.folder = options.folder.absolute()
    return options


if __name__ == "__main__":
    main()
