"""Write what training made into `generation/demo/weights`, as bfloat16 safetensors.

python -m generation.demo.training.export --work download/demo-training
"""

import argparse
import json
import shutil
from pathlib import Path
from random import Random

import torch
from diffusers import FluxPipeline
from PIL import Image, ImageDraw

from generation.demo import drawings, edits, evaluate
from generation.demo.tokenization import copy_lower_case_rows
from generation.demo.training import control_stage, decoder_stage, restoration
from generation.demo.training.train import STAGES
from generation.demo.vocabulary import EXAMPLE_PROMPTS

MOST_BYTES = 19_000_000


def export(work: Path, weights: Path) -> None:
    """Write the pipeline, the ControlNets, the LoRA, the preview factors and the figures.

    Raises:
        ValueError: All of it together is larger than `MOST_BYTES`.
    """
    pipeline = decoder_stage.load(work)
    copy_lower_case_rows(pipeline.text_encoder_2.get_input_embeddings(), pipeline.tokenizer_2)
    controlnets = {name: control_stage.load(work, name, pipeline) for name in drawings.CONTROLS}
    shutil.rmtree(weights, ignore_errors=True)
    for name, controlnet in controlnets.items():
        controlnet.to(torch.bfloat16).save_pretrained(weights / f"controlnet-{name}")
    pipeline.to(torch.bfloat16).save_pretrained(weights / "flux")
    shutil.copy(work / "vae" / "preview.json", weights / "flux" / "preview.json")
    for name in ("lora-ink", "lora-edit"):
        shutil.copytree(work / name, weights / name)
    _forget_this_machine(weights / "flux" / "model_index.json")
    _finish(work, weights)


def export_added(work: Path, weights: Path) -> None:
    """Put the ControlNets and the LoRAs that `work` has into `weights`, from which all else was
    restored.

    Raises:
        ValueError: All of it together is larger than `MOST_BYTES`.
    """
    pipeline = restoration.beginning(work)
    trained = [name for name in drawings.CONTROLS if (work / f"{name}.ckpt").exists()]
    for name in trained:
        controlnet = control_stage.load(work, name, pipeline)
        controlnet.to(torch.bfloat16).save_pretrained(weights / f"controlnet-{name}")
    for folder in work.glob("lora-*"):
        shutil.copytree(folder, weights / folder.name, dirs_exist_ok=True)
    _finish(work, weights)


def _finish(work: Path, weights: Path) -> None:
    """Clean the configurations, write the figures, and weigh it all."""
    for path in weights.rglob("*config.json"):
        _forget_this_machine(path)
    path = weights / "figures.json"
    measured = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**measured, **_figures(work)}, indent=1) + "\n")
    size = sum(path.stat().st_size for path in weights.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise ValueError(f"the weights take {size:,} bytes, more than {MOST_BYTES:,}")
    print(f"{size:,} bytes in {weights}")


def _forget_this_machine(path: Path) -> None:
    """Take out of a configuration where it was loaded from, and what nobody reads."""
    config = json.loads(path.read_text())
    for key in ("_name_or_path", "is_local", "local_files_only"):
        config.pop(key, None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def _figures(work: Path) -> dict:
    """Seed, time and steps of every stage, and how well the autoencoder does.

    After a restoration: of every stage since, and what was known of those before.
    """
    stages = {}
    for stage in STAGES:
        if not (work / f"{stage}.json").exists():
            continue
        told = json.loads((work / f"{stage}.json").read_text())
        losses = [entry for entry in told["log"] if isinstance(entry[0], int)]
        stages[stage] = {
            "seconds": told["seconds"],
            "steps": told["steps"],
            "last_loss": losses[-1][-1] if losses else None,
        }
    restored = work / "restored.json"
    return {
        "seed": 0,
        "processor": "2 cores with AVX512_BF16 (AMD EPYC, Intel Xeon), shared with other work",
        "settings": {
            "num_inference_steps": evaluate.STEPS,
            "guidance_scale": evaluate.GUIDANCE,
            "max_sequence_length": evaluate.TOKENS,
        },
        "stages": stages,
        "stages_before": json.loads(restored.read_text()) if restored.exists() else None,
        "autoencoder": json.loads((work / "vae_figures.json").read_text()),
    }


def grid(pipeline: FluxPipeline, path: Path) -> None:
    """The card's picture: the example prompts and others that were not in training, drawn as
    people get them and shown at half of the size."""
    captions = [
        *EXAMPLE_PROMPTS,
        *(
            d.caption
            for d in evaluate.ask({"single": 6, "count": 5, "pair": 5, "scene": 9}, "card")
        ),
    ]
    images = []
    for seed, caption in enumerate(captions):
        images += pipeline(
            caption,
            width=256,
            height=256,
            num_inference_steps=evaluate.STEPS,
            guidance_scale=evaluate.GUIDANCE,
            max_sequence_length=evaluate.TOKENS,
            generator=torch.Generator().manual_seed(seed),
        ).images
    columns, side = 6, 128
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (side + 4), rows * (side + 30)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (caption, image) in enumerate(zip(captions, images, strict=True)):
        left, top = index % columns * (side + 4), index // columns * (side + 30)
        sheet.paste(image.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        for line, words in enumerate(_wrapped(caption, 26)[:2]):
            draw.text((left + 2, top + side + 1 + 12 * line), words, fill="black")
    sheet.save(path, optimize=True)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def control_sheet(pipeline: FluxPipeline, weights: Path, path: Path) -> None:
    """Inputs and outputs of both ControlNets, and the LoRA's look, row by row."""
    asked = [*evaluate.control_drawings(4), *evaluate.ask({"scene": 4}, "sheet")]
    originals = [drawings.render(drawing, 128, 128) for drawing in asked]
    rows = []
    for name, control in drawings.CONTROLS.items():
        controls = [control(original) for original in originals]
        controlled = evaluate.with_controlnet(pipeline, weights / f"controlnet-{name}")
        rows += [controls, evaluate.draw(controlled, asked, controls=controls)]
    pipeline.load_lora_weights(weights / "lora-ink")
    rows.append(evaluate.draw(pipeline, asked))
    pipeline.unload_lora_weights()
    sheet = Image.new("RGB", (len(asked) * 132, len(rows) * 132), "white")
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            sheet.paste(image, (column * 132, row * 132))
    sheet.save(path, optimize=True)


def edit_sheet(pipeline: FluxPipeline, weights: Path, path: Path) -> None:
    """Drawings, what people say below them, and what is drawn then, three of each sort."""
    random = Random("sheet")
    asked = [
        edits.sample(random, sort, for_evaluation=True, plainly=True)
        for sort in edits.SORTS
        for _ in range(3)
    ]
    shown = [drawings.render(each.before, 256, 256) for each in asked]
    drawn = evaluate.edit(evaluate.editing(pipeline, weights), asked, shown)
    columns, side = 6, 128
    sheet = Image.new("RGB", (columns * (side + 4), 2 * (2 * side + 38)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (edit, *images) in enumerate(zip(asked, shown, drawn, strict=True)):
        left, top = index % columns * (side + 4), index // columns * (2 * side + 38)
        for row, image in enumerate(images):
            small = image.resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (left, top + row * (side + 2)))
        for line, words in enumerate(_wrapped(edit.caption, 24)[:2]):
            draw.text((left + 2, top + 2 * side + 4 + 12 * line), words, fill="black")
    sheet.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("download/demo-training"))
    parser.add_argument("--weights", type=Path, default=evaluate.WEIGHTS)
    arguments = parser.parse_args()
    is_whole = (arguments.work / "distill.ckpt").exists()
    (export if is_whole else export_added)(arguments.work, arguments.weights)
    pipeline = evaluate.load_pipeline(arguments.weights / "flux")
    if is_whole:
        grid(pipeline, Path(__file__).parent.parent / "grid.png")
    control_sheet(pipeline, arguments.weights, Path(__file__).parent.parent / "controls.png")
    edit_sheet(pipeline, arguments.weights, Path(__file__).parent.parent / "edits.png")


if __name__ == "__main__":
    main()
