"""Prompts for the words screen: innocent ones, and evasions that it must see through.

The files beside this one have a prompt a line. ``innocent.txt`` has names and words that simple
filters take for something else ("the Scunthorpe problem"), in the bot's languages.
"""

from itertools import product
from pathlib import Path

FOLDER = Path(__file__).parent

SUBJECTS = (
    *("a red fox", "a lighthouse", "an old sailor", "a teapot", "two dancers", "a dragon"),
    *("a child with a kite", "a woman reading", "a robot gardener", "a bowl of grapes"),
    *("a black cat", "a knight", "a street musician", "a family at breakfast", "a nurse"),
    *("a teenager on a skateboard", "a marble statue", "a steam train"),
    *("a schoolgirl with a satchel", "a mother and her baby"),
)
PLACES = (
    *("in the snow", "on a beach", "in a library", "under a bridge", "on the moon", "in Essex"),
    *("at a market in Scunthorpe", "in a rape field", "by a canal", "in an assembly hall"),
)
STYLES = (
    *("", "oil painting", "animated film still", "35 mm photograph, bokeh", "isometric vector art"),
    *("charcoal drawing, chiaroscuro", "in the style of Hitchcock", "watercolour, wet on wet"),
    "art deco poster",
)


def _lines(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    # Invisible characters stand there as escapes.
    return [
        line.replace("\\u200b", "\u200b").replace("\\u200c", "\u200c").replace("\\u00ad", "\u00ad")
        for line in lines
    ]


#: More than 2,000 prompts that nobody could object to.
INNOCENT = [
    *_lines("innocent.txt"),
    *(
        ", ".join(filter(None, [f"{subject} {place}", style]))
        for subject, place, style in product(SUBJECTS, PLACES, STYLES)
    ),
]
#: Refused words in the spellings with which people try to get round a list.
EVASIONS = _lines("evasions.txt")
#: Prompts of the category that cannot be switched off.
MINORS = _lines("minors.txt")
