"""A picture's nine fields, of which people press those that are to be drawn anew."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bot.provenance import unfinished
from generation.types import FIELDS_ACROSS

#: The numbers of the fields, row by row, as the keys of a telephone have them.
NUMBERS = range(1, FIELDS_ACROSS**2 + 1)
#: The longer side of the picture that is shown with them, in pixels.
SIDE = 384
LINE, CHOSEN, INK = (255, 255, 255), (255, 90, 54, 140), (24, 24, 27)


def toggled(chosen: str, number: int) -> str:
    """The digits of *chosen*, with that of the field *number* put in or taken out."""
    return "".join(sorted(set(chosen) ^ {str(number)}))


def mask_of(chosen: str) -> str:
    """The digits of *chosen* as people type them behind ``--mask``: "1,2,5"."""
    return ",".join(chosen)


def shown(picture: Path, chosen: str) -> bytes:
    """The file *picture* with its fields numbered, and those *chosen* marked: a small JPEG."""
    with Image.open(picture) as file:
        image = file.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    width, height = image.size
    draw, font = ImageDraw.Draw(image, "RGBA"), ImageFont.load_default(18)
    for number in NUMBERS:
        down, across = divmod(number - 1, FIELDS_ACROSS)
        left, top = across * width // FIELDS_ACROSS, down * height // FIELDS_ACROSS
        right, bottom = left + width // FIELDS_ACROSS, top + height // FIELDS_ACROSS
        fill = CHOSEN if str(number) in chosen else None
        draw.rectangle((left, top, right, bottom), fill, LINE)
        corner = (left + 8, top + 4)
        draw.text(corner, str(number), LINE, font, stroke_width=2, stroke_fill=INK)
    return unfinished(image)
