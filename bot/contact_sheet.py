"""The pictures of a series in one: a sheet that fills as they end, with a label under each."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bot.jobs import Job, JobStatus
from bot.provenance import Provenance, unfinished
from bot.refusals import Refused
from bot.series import Series
from bot.service import Service
from bot.source import Source

#: The longer side of a picture on the sheet, in pixels: while it is drawn, and at the end.
SMALL, LARGE = 256, 512
#: Pixels between pictures, and height of the line under each.
GAP, LINE = 8, 28
PAPER, INK, EMPTY = (24, 24, 27), (228, 228, 231), (39, 39, 42)


async def growing(service: Service, series: Series) -> bytes | None:
    """The sheet of *series* so far, a JPEG, with previews of what is being drawn; None before there
    is anything to see. It is marked as made by AI, and never signed, since it is unfinished."""
    cells = [await _cell(service, job) for job in series.parts]
    if not any(cells):
        return None

    return await asyncio.to_thread(lambda: unfinished(_sheet(series, cells, SMALL)))


async def finished(service: Service, series: Series, max_bytes: int) -> bytes | None:
    """The sheet of *series*, a JPEG of at most *max_bytes* with the marks of its first picture;
    None where none of its pictures is there."""
    cells = [await _cell(service, job) for job in series.parts]
    drawn = next((job for job in series.parts if job.status is JobStatus.SUCCEEDED), None)
    if drawn is None or not any(cells):
        return None
    return await asyncio.to_thread(_fitting, service.provenance, series, drawn, cells, max_bytes)


def _fitting(
    provenance: Provenance,
    series: Series,
    drawn: Job,
    cells: Sequence[Path | bytes | None],
    max_bytes: int,
) -> bytes:
    facts = provenance.of(drawn, drawn.request)
    for side, quality in ((LARGE, 90), (LARGE, 75), (SMALL, 80), (SMALL, 50)):
        data = provenance.jpeg(_sheet(series, cells, side), facts, quality=quality)
        if len(data) <= max_bytes:
            break
    return data


async def _cell(service: Service, job: Job) -> Path | bytes | None:
    """What there is to see of *job*: its picture, a preview, or nothing. Pictures that are hidden
    until somebody wants to see them stay so."""
    if job.is_spoiler:
        return None
    if job.status is not JobStatus.SUCCEEDED:
        return job.progress.preview
    try:
        return await service.lookups.picture_file(Source(job.user), job.id, "grid")
    except (Refused, OSError):
        return None


def _sheet(series: Series, cells: Sequence[Path | bytes | None], side: int) -> Image.Image:
    lead = series.lead.request
    share = side / max(lead.width, lead.height)
    width, height = round(lead.width * share), round(lead.height * share)
    columns = math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    step_x, step_y = width + GAP, height + LINE + GAP
    sheet = Image.new("RGB", (columns * step_x + GAP, rows * step_y + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for index, (cell, label) in enumerate(zip(cells, series.labels, strict=True)):
        x, y = GAP + index % columns * step_x, GAP + index // columns * step_y
        draw.rectangle((x, y, x + width - 1, y + height - 1), fill=EMPTY)
        picture = _opened(cell)
        if picture is not None:
            picture.thumbnail((width, height))
            if max(picture.size) < max(width, height):  # a preview has an eighth of the sides
                larger = min(width / picture.width, height / picture.height)
                size = (round(picture.width * larger), round(picture.height * larger))
                picture = picture.resize(size, Image.Resampling.BICUBIC)
            left, top = (width - picture.width) // 2, (height - picture.height) // 2
            sheet.paste(picture, (x + left, y + top))
        draw.text((x + 4, y + height + 5), _written(index + 1, label, font, width), INK, font)
    return sheet


def _opened(cell: Path | bytes | None) -> Image.Image | None:
    if cell is None:
        return None
    try:
        with Image.open(io.BytesIO(cell) if isinstance(cell, bytes) else cell) as image:
            return image.convert("RGB")
    except OSError:  # deleted meanwhile
        return None


def _written(
    number: int, label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """Number and label as far as they fit; the number alone where the font lacks the letters."""
    if not all(" " <= each <= "ÿ" or each == "…" for each in label):
        return str(number)
    text = f"{number}  {label}".replace("…", "...")
    while len(text) > 4 and font.getlength(text) > width - 8:
        text = f"{text[:-4]}..." if text.endswith("...") else f"{text[:-3]}..."
    return text
