"""The words that the demo model knows. Plain Python: the chat side reads it without torch."""

import re

COLOURS = {
    "red": (220, 38, 38),
    "green": (34, 160, 60),
    "blue": (37, 80, 225),
    "yellow": (250, 215, 30),
    "orange": (245, 130, 20),
    "purple": (130, 50, 170),
    "pink": (250, 130, 185),
    "cyan": (40, 205, 220),
    "white": (248, 248, 248),
    "black": (18, 18, 18),
}
"""Colour words and the sRGB value, 0 to 255, that the renderer paints for each."""

SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "cross", "ring")

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}

SMALL = ("small", "tiny", "little")
LARGE = ("large", "big", "huge")

SKIES = ("day", "sunset", "night")
LANDS = ("hills", "snow", "sea")

_IRREGULAR_PLURALS = {"cross": "crosses"}

_SCENE_WORDS = """
sky by day at sunset night in of sun moon stars hill hills snow snowy sea water house boat
tree trees starry
"""

_OTHER_WORDS = """
a an the and on in at to of with under underneath beneath below over above between beside next
left right top bottom side middle centre center is there picture image drawing painting photo draw
paint show please me nice simple flat minimalist background ground
"""

_RESERVED_WORDS = "behind boats houses lower make shape shapes shining sunny upper"


def plural(noun: str) -> str:
    """The plural of a noun that the model knows: "cross" gives "crosses"."""
    return _IRREGULAR_PLURALS.get(noun, noun + "s")


KNOWN_WORDS = frozenset(
    (*COLOURS, *SHAPES, *map(plural, SHAPES), *COUNTS.values(), *SMALL, *LARGE)
).union(
    _SCENE_WORDS.split(),
    _OTHER_WORDS.split(),
)

SUBJECTS = KNOWN_WORDS.difference(_OTHER_WORDS.split(), ("by", "in", "of", "at"))
"""The known words without those that say nothing of what to draw, such as "the" and "please"."""

TOKENIZED_WORDS = KNOWN_WORDS.union(_RESERVED_WORDS.split())
"""The known words, and some that have a token of their own but were never taught."""

_EDITING_WORDS = """
make turn paint change color colour should be put into it remove delete erase take away get rid
without now can could you i want
"""

EDITING_WORDS = KNOWN_WORDS.union(_EDITING_WORDS.split())
"""Those of sentences that say what to change in a picture."""

SIZES = ((256, 256), (192, 128), (128, 192), (128, 128))
"""The widths and heights in pixels at which the model draws what it is told."""

EXAMPLE_PROMPTS = (
    "three yellow stars on a purple background",
    "a red heart next to a green star",
    "a blue boat at night under a white moon",
    "a pink house and a tree in the hills at sunset",
    "a white house in the snow at night",
)


def words_of(prompt: str) -> list[str]:
    """The words of a prompt in lower case, in order, without digits and punctuation."""
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", prompt.lower())


def unknown_words(prompt: str, *, edits: bool = False) -> list[str]:
    """The words of a prompt that the demo model was never taught, each once, in order.

    Letters' case does not matter; digits and punctuation are not words.

    Args:
        edits: Whether the prompt says what to change in a picture, not what to draw.
    """
    known = EDITING_WORDS if edits else KNOWN_WORDS
    return list(dict.fromkeys(word for word in words_of(prompt) if word not in known))


def has_subject(prompt: str) -> bool:
    """Whether a prompt has any word that tells the demo model what to draw."""
    return not SUBJECTS.isdisjoint(words_of(prompt))
