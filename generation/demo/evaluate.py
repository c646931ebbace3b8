"""The table on the demo model's card, which shows how well it obeys.

    python -m generation.demo.evaluate

Every prompt is held out of training. `checker.judge` decides, from pixels alone.
"""

import argparse
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import (
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from PIL import Image

from generation.demo import attachments, checker, drawings, edits
from generation.demo.attachments import Attachment
from generation.demo.drawings import Drawing
from generation.demo.edits import Edit

WEIGHTS = Path(__file__).parent / "weights"
STEPS = 12
GUIDANCE = 3.5
TOKENS = 64
"""Settings of the demo: `num_inference_steps`, `guidance_scale`, `max_sequence_length`."""

TRUE_CFG = 1.75
"""The demo's `true_cfg_scale`, which acts where there is a negative prompt."""

BATCH = 16
PROMPTS = {"single": 80, "count": 60, "pair": 60, "between": 24, "scene": 40}
OTHER_SIZES = ((192, 128), (128, 192), (256, 256))
CONTROL_FREEDOM = 2.0

WORDINGS = (
    ("", ", and please take your time because i am going to print it on a postcard for my dear"
     " old grandmother in another country"),
    ("my brother asked me yesterday whether somebody could perhaps be so kind as to make",
     ", since he wants to hang it over his desk"),
    ("whatever the weather may bring to our garden in the early hours of this lovely morning,"
     " i would like to look at", ""),
    ("once more with feeling:", ". no text, no frame, no signature, just that, with clean lines"
     " and a calm mood"),
    ("highly detailed masterpiece, best quality, award winning, sharp focus, professional studio"
     " lighting,", ", intricate, elegant"),
    ("for the cover of my next album, which is about waiting for trains that never come, i"
     " imagine", ", seen from afar"),
)  # fmt: skip
"""Words before and behind the request in long prompts; training showed none of them."""


ATTACHED = {(256, 256): 48, (192, 128): 24, (128, 192): 24, (128, 128): 24}
"""How many attached pictures of each size the ControlNets are judged by."""


EDITED = {
    "colour of all there is": ("recolour", ("single", "count")),
    "colour of one of two": ("recolour", ("pair",)),
    "colour in a scene": ("recolour", ("scene",)),
    "background": ("ground", ("single", "count", "pair")),
    "all there is removed": ("remove", ("single", "count")),
    "one of two removed": ("remove", ("pair",)),
    "removed from a scene": ("remove", ("scene",)),
    "hour of a scene": ("sky", ("scene",)),
}
"""The edits that are asked for: the sort, and the kinds of drawings."""

EDITS = 16
"""How many of each there are, at 128 x 128 and at 256 x 256."""


class Asked(Protocol):
    """What has a prompt."""

    @property
    def caption(self) -> str: ...


@dataclass(frozen=True)
class Row:
    """One line of the table: a share, 0 to 1, of so many pictures, and the goal."""

    name: str
    value: float
    count: int
    goal: float | None = None

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"{self.goal:.0%}"
        return f"{self.name:<52} {self.value:>7.1%} {self.count:>5} {goal:>6}"


def load_pipeline(folder: Path = WEIGHTS / "flux") -> FluxPipeline:
    """The demo's pipeline in float32, which is fastest on a processor."""
    pipeline = FluxPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def with_controlnet(pipeline: FluxPipeline, folder: Path) -> FluxControlNetPipeline:
    """A pipeline over the same weights that obeys a control image as well."""
    controlnet = FluxControlNetModel.from_pretrained(folder, torch_dtype=torch.float32)
    controlled = FluxControlNetPipeline(**pipeline.components, controlnet=controlnet)
    controlled.set_progress_bar_config(disable=True)
    return controlled


def ask(kinds: dict[str, int], seed: str = "evaluation") -> list[Drawing]:
    """Drawings, so many of each kind, whose captions are held out of training."""
    random = Random(seed)
    return [
        drawings.sample(random, kind, for_evaluation=True)
        for kind, count in kinds.items()
        for _ in range(count)
    ]


def draw(
    pipeline: FluxPipeline,
    asked: Sequence[Asked],
    width: int = 128,
    height: int = 128,
    controls: list[Image.Image] | None = None,
    **settings: Any,
) -> list[Image.Image]:
    """A picture for every caption; the n-th always from seed n, whatever the batch."""
    images = []
    settings = {
        "num_inference_steps": STEPS,
        "guidance_scale": GUIDANCE,
        "max_sequence_length": TOKENS,
        **settings,
    }
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        if controls:
            settings["control_image"] = controls[start : start + BATCH]
        images += pipeline(
            [drawing.caption for drawing in batch],
            width=width,
            height=height,
            generator=[torch.Generator().manual_seed(start + k) for k in range(len(batch))],
            **settings,
        ).images
    return images


def prompt_rows(pipeline: FluxPipeline, asked: list[Drawing]) -> list[Row]:
    """Rows on ground and colours of all drawings, and on the things of each kind."""
    verdicts = [
        (drawing.kind, checker.judge(image, drawing))
        for drawing, image in zip(asked, draw(pipeline, asked), strict=True)
    ]

    def row(name: str, kinds: Iterable[str], question: str, goal: float | None = None) -> Row:
        answers = [getattr(verdict, question) for kind, verdict in verdicts if kind in kinds]
        return Row(name, float(np.mean(answers)), len(answers), goal)

    plain = ("single", "count", "pair", "between")
    return [
        row("ground", plain, "ground", 0.98),
        row("colours, single objects", ["single"], "colours", 0.98),
        row("colours, all plain pictures", plain, "colours"),
        row("shape, single objects", ["single"], "shapes", 0.95),
        row("two to four alike: number, shape and colour", ["count"], "objects", 0.85),
        row("two different: both shapes and colours", ["pair"], "objects", 0.80),
        row("two different: and where they should be", ["pair"], "places"),
        row("one between two: all three", ["between"], "objects"),
        row("scenes: sky", ["scene"], "ground"),
        row("scenes: house, boat, sun or moon in its colour", ["scene"], "objects"),
    ]


def long_drawings() -> list[Drawing]:
    """Drawings whose captions stand in the middle of many words, 40 to 64 tokens in all."""
    return [
        replace(drawing, caption=f"{before} {drawing.caption}{behind}".strip())
        for drawing, (before, behind) in zip(
            ask({"single": 24, "pair": 24}, "long"), cycle(WORDINGS), strict=False
        )
    ]


def long_rows(pipeline: FluxPipeline) -> list[Row]:
    asked = long_drawings()
    rights = [
        (drawing.kind, checker.judge(image, drawing).everything)
        for drawing, image in zip(asked, draw(pipeline, asked), strict=True)
    ]
    rows = []
    for kind, name in (("single", "one object"), ("pair", "two different")):
        answers = [right for of_kind, right in rights if of_kind == kind]
        name = f"everything right in 40 to 64 tokens, {name}"
        rows.append(Row(name, float(np.mean(answers)), len(answers)))
    return rows


def size_rows(pipeline: FluxPipeline, asked: list[Drawing]) -> list[Row]:
    rows = []
    for width, height in OTHER_SIZES:
        images = draw(pipeline, asked, width, height)
        verdicts = [checker.judge(i, d) for d, i in zip(asked, images, strict=True)]
        everything = float(np.mean([verdict.everything for verdict in verdicts]))
        rows.append(Row(f"everything right at {width} x {height}", everything, len(asked)))
    return rows


def control_drawings(count: int) -> list[Drawing]:
    """New drawings whose things stand further from their usual places than in training."""
    random = Random("edges")
    kinds = ("single", "count", "pair")
    return [
        drawings.sample(random, kinds[k % 3], CONTROL_FREEDOM, for_evaluation=True)
        for k in range(count)
    ]


def canny_rows(
    controlled: FluxControlNetPipeline, asked: list[Drawing], size: int = 128
) -> list[Row]:
    """Rows on whether objects cover the drawing's, and have the colours of the prompt."""
    originals = [drawings.render(drawing, size, size) for drawing in asked]
    controls = [drawings.edges(original) for original in originals]
    rows = []
    for scale, note in ((1.0, ""), (0.0, ", edges ignored")):
        images = draw(controlled, asked, size, size, controls, controlnet_conditioning_scale=scale)
        overlaps = [overlap(i, o) for i, o in zip(images, originals, strict=True)]
        verdicts = [checker.judge(i, d) for d, i in zip(asked, images, strict=True)]
        colours = [verdict.ground and verdict.colours for verdict in verdicts]
        goal = 0.85 if scale else None
        name = f"canny {size} x {size}"
        rows.append(Row(f"{name}: mean IoU{note}", float(np.mean(overlaps)), len(asked), goal))
        rows.append(Row(f"{name}: colours{note}", float(np.mean(colours)), len(asked)))
    return rows


def blob_rows(
    controlled: FluxControlNetPipeline, asked: list[Drawing], size: int = 128
) -> list[Row]:
    """Rows on whether the objects stand where the blobs are."""
    originals = [drawings.render(drawing, size, size) for drawing in asked]
    controls = [drawings.blobs(original) for original in originals]
    rows = []
    for scale, note in ((1.0, ""), (0.0, ", blobs ignored")):
        images = draw(controlled, asked, size, size, controls, controlnet_conditioning_scale=scale)
        overlaps = [overlap(i, o) for i, o in zip(images, originals, strict=True)]
        name = f"blobs {size} x {size}: mean IoU{note}"
        rows.append(Row(name, float(np.mean(overlaps)), len(asked)))
    return rows


def attached_rows(controlled: FluxControlNetPipeline, name: str) -> list[Row]:
    """Rows on whether things stand where attached pictures have them, in the prompt's colours.

    Args:
        controlled: The pipeline with the ControlNet.
        name: "canny" or "blobs".
    """
    in_colour = name == "blobs"
    rows = [] if in_colour else rows_of_attached(controlled, name, attachments.discs(18), "discs")
    for (width, height), count in ATTACHED.items():
        asked = attachments.attachments(count, width, height, in_colour)
        label = f"attached, {width} x {height}"
        rows += rows_of_attached(
            controlled, name, asked, label, 0.9 if width == height == 256 else 0.85
        )
    return rows


def rows_of_attached(
    controlled: FluxControlNetPipeline,
    name: str,
    asked: list[Attachment],
    label: str,
    goal: float = 0.9,
) -> list[Row]:
    """Mean and median overlap of so many attached pictures, which *label* describes, and the share
    with the right colours; of the usual size also each category's overlap."""
    control = drawings.CONTROLS[name]
    controls = [control(each.picture) for each in asked]
    drawn = draw(controlled, asked, *asked[0].picture.size, controls)
    overlaps = [attachments.overlap(image, each) for image, each in zip(drawn, asked, strict=True)]
    colours = [attachments.has_its_colours(i, each) for i, each in zip(drawn, asked, strict=True)]
    rows = [
        Row(f"{name} {label}: mean IoU", float(np.mean(overlaps)), len(asked), goal),
        Row(f"{name} {label}: median IoU", float(np.median(overlaps)), len(asked)),
        Row(f"{name} {label}: colours", float(np.mean(colours)), len(asked)),
    ]
    if label == "attached, 256 x 256":
        for category in attachments.CATEGORIES:
            own = [o for o, each in zip(overlaps, asked, strict=True) if each.category == category]
            rows.append(Row(f"{name} {label}, {category}: mean IoU", float(np.mean(own)), len(own)))
    return rows


def editing(pipeline: FluxPipeline, weights: Path) -> FluxKontextPipeline:
    """A pipeline over the same parts with a transformer of its own, which edits."""
    transformer = FluxTransformer2DModel.from_config(pipeline.transformer.config)
    transformer.load_state_dict(pipeline.transformer.state_dict())
    editor = FluxKontextPipeline(**{**pipeline.components, "transformer": transformer.eval()})
    editor.load_lora_weights(weights / "lora-edit")
    editor.set_progress_bar_config(disable=True)
    return editor


def edit(
    editor: FluxKontextPipeline, asked: Sequence[Edit], shown: list[Image.Image]
) -> list[Image.Image]:
    """Each of the pictures *shown*, all of one size, changed; the n-th always from seed n."""
    width, height = shown[0].size
    images = []
    for start in range(0, len(asked), BATCH):
        batch = np.stack([np.asarray(each, np.float32) for each in shown[start : start + BATCH]])
        images += editor(
            image=torch.from_numpy(batch / 255).movedim(-1, 1),
            prompt=[each.caption for each in asked[start : start + BATCH]],
            width=width,
            height=height,
            max_area=width * height,
            _auto_resize=False,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            max_sequence_length=TOKENS,
            generator=[torch.Generator().manual_seed(start + k) for k in range(len(batch))],
        ).images
    return images


def edit_rows(pipeline: FluxPipeline, weights: Path) -> list[Row]:
    """Rows on whether edits of drawings change what was asked for, and leave the rest."""
    editor = editing(pipeline, weights)
    rows = []
    for side in (128, 256):
        for name, (sort, kinds) in EDITED.items():
            random = Random(f"edits {name}")
            asked = [
                edits.sample(random, sort, for_evaluation=True, kinds=kinds) for _ in range(EDITS)
            ]
            shown = [drawings.render(each.before, side, side) for each in asked]
            verdicts = [
                checker.judge_edit(*each)
                for each in zip(shown, edit(editor, asked, shown), asked, strict=True)
            ]
            for question, goal in (("done", 0.85), ("kept", 0.9)):
                value = float(np.mean([getattr(verdict, question) for verdict in verdicts]))
                rows.append(Row(f"edit {side} x {side}, {name}: {question}", value, EDITS, goal))
    return rows


def overlap(image: Image.Image, original: Image.Image) -> float:
    """Intersection over union of what stands out from the ground, 0 to 1."""
    ours, theirs = checker.foreground(image), checker.foreground(original)
    return float((ours & theirs).sum() / max(1, (ours | theirs).sum()))


def seconds_of(action: Callable[[], object], repeats: int = 5) -> float:
    """The median time of an action, after a first one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def model_rows(pipeline: FluxPipeline) -> list[Row]:
    """Rows on what the words alone draw."""
    rows = prompt_rows(pipeline, ask(PROMPTS))
    rows += size_rows(pipeline, ask({"single": 24, "count": 16, "pair": 16, "scene": 8}, "sizes"))
    return rows + long_rows(pipeline)


def controlnet_rows(pipeline: FluxPipeline, weights: Path) -> list[Row]:
    """Rows on both ControlNets in `weights`."""
    edges = control_drawings(48)
    canny = with_controlnet(pipeline, weights / "controlnet-canny")
    rows = canny_rows(canny, edges)
    rows += canny_rows(canny, edges[:24], 256)
    rows += attached_rows(canny, "canny")
    blobs = with_controlnet(pipeline, weights / "controlnet-blobs")
    return rows + blob_rows(blobs, edges[:24]) + attached_rows(blobs, "blobs")


PARTS = {"words": (), "controlnets": tuple(drawings.CONTROLS), "edits": ("edit ",)}
"""The parts of the table, and how the names of their rows begin; those on words alone are the
others."""


def part_of(name: str) -> str:
    """The part of the table that the row *name* is in."""
    return next((part for part, starts in PARTS.items() if name.startswith(starts)), "words")


def recorded(
    old: list[dict[str, Any]], rows: list[Row], parts: Collection[str]
) -> list[dict[str, Any]]:
    """The table for `figures.json`, with new *rows* for some *parts*; the others stay."""
    told = [row for row in old if part_of(row["name"]) not in parts] + [
        {"name": row.name, "value": round(row.value, 4), "of": row.count, "goal": row.goal}
        for row in rows
    ]
    return sorted(told, key=lambda row: list(PARTS).index(part_of(row["name"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument(
        "--record", action="store_true", help="also write the table into figures.json"
    )
    parser.add_argument("--only", choices=PARTS, help="leave out the other parts of the table")
    arguments = parser.parse_args()

    start = time.perf_counter()
    pipeline = load_pipeline(arguments.weights / "flux")
    times = {"load the pipeline": time.perf_counter() - start}
    parts = [arguments.only] if arguments.only else list(PARTS)
    rows = model_rows(pipeline) if "words" in parts else []
    if "controlnets" in parts:
        rows += controlnet_rows(pipeline, arguments.weights)
    if "edits" in parts:
        rows += edit_rows(pipeline, arguments.weights)
    if "words" in parts:
        asked = ask({"single": 1})
        for side in (128, 256):
            one = partial(draw, pipeline, asked, side, side)
            times[f"{side} x {side}, {STEPS} steps"] = seconds_of(one)

    print(f"{'':<52} {'':>7} {'of':>5} {'goal':>6}")
    print(*rows, sep="\n")
    print(*(f"{name:<52} {seconds:>5.2f} s" for name, seconds in times.items()), sep="\n")
    if arguments.record:
        path = arguments.weights / "figures.json"
        figures = json.loads(path.read_text())
        figures["evaluation"] = recorded(figures.get("evaluation", []), rows, parts)
        if "words" in parts:
            figures["measured_seconds"] = {name: round(value, 3) for name, value in times.items()}
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
