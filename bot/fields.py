"""A picture's nine fields, of which people press those that are to be drawn anew."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bot.provenance import unfinished
from generation.types import FIELDS_ACROSS, field_box

#: The numbers of the fields, row by row, as the keys of a telephone have them.
NUMBERS = range(1, FIELDS_ACROSS**2 + 1)
#: The longer side of the picture that is shown with them, in pixels.
SIDE = 384
LINE, CHOSEN, INK = (255, 255, 255), (255, 90, 54, 140), (24, 24, 27)
#: Pictures whose fields were pressed last, of which `Chosen` knows.
MOST_REMEMBERED = 1000


class Chosen:
    """Fields that people have chosen, some of whom press the next before they are shown the last.

    Messages and forms carry what they show, so that nothing is lost when this is.
    """

    def __init__(self) -> None:
        self._latest: dict[str, str] = {}

    def press(self, place: str, shown: str, number: int) -> str:
        """The digits of the fields that are chosen in a message or form, *place*, after a press of
        *number* by somebody who was *shown* these as chosen: it becomes what it was not there."""
        chosen, pressed = set(self.of(place, shown)), {str(number)}
        chosen = chosen - pressed if str(number) in shown else chosen | pressed
        self._latest.pop(place, None)
        if len(self._latest) >= MOST_REMEMBERED:
            del self._latest[next(iter(self._latest))]
        self._latest[place] = "".join(sorted(chosen))
        return self._latest[place]

    def of(self, place: str, shown: str) -> str:
        """The digits of the fields that are chosen in *place*, which *shown* were before."""
        return self._latest.get(place, shown)


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
        left, top, right, bottom = field_box(number)
        box = (left * width, top * height, right * width, bottom * height)
        fill = CHOSEN if str(number) in chosen else None
        draw.rectangle(box, fill, LINE)
        corner = (box[0] + 8, box[1] + 4)
        draw.text(corner, str(number), LINE, font, stroke_width=2, stroke_fill=INK)
    return unfinished(image)
