"""Drawings before and after one change, and the words that ask for it.

From these the demo model learns to edit, and by these it is judged. Before and after are the same
`Drawing` but for what the words name, so that all else must stay where and as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from generation.demo import drawings
from generation.demo.drawings import Drawing, Thing, a
from generation.demo.vocabulary import COLOURS, plural

SORTS = ("recolour", "ground", "remove", "sky")
"""What an edit changes: a thing's colour, the background's, whether a thing is there, or the hour
of a scene."""

_KINDS = {"single": 0.1, "count": 0.1, "pair": 0.56, "between": 0.04, "scene": 0.2}
_SORTS = {"recolour": 0.34, "ground": 0.16, "remove": 0.32, "sky": 0.3}

_LIGHTS = ("yellow", "red", "orange", "white", "pink")
"""What colour a sun or a moon may be."""

_RECOLOUR = (
    "make {the} {new}", "make {the} {new}", "make {the} {new}", "make {the} {new}",
    "turn {the} {new}", "paint {the} {new}", "change {the} to {new}", "color {the} {new}",
    "change the colour of {the} to {new}", "{the} should be {new}", "{the} in {new}",
)  # fmt: skip
_GROUND = (
    "make the background {new}", "make the background {new}", "make the background {new}",
    "change the background to {new}", "turn the background {new}", "paint the background {new}",
    "put it on {a new} background", "on {a new} background", "{a new} background",
    "make the {old} background {new}",
)  # fmt: skip
_REMOVE = (
    "remove {the}", "remove {the}", "remove {the}", "remove {the}", "delete {the}", "erase {the}",
    "take {the} away", "take away {the}", "get rid of {the}", "without {the}",
)  # fmt: skip
_SKY = {
    "night": ("make it night", "make it night", "at night", "change it to night", "by night",
              "turn it into night", "in the night", "put it under a night sky"),
    "day": ("make it day", "make it day", "by day", "change it to day", "turn it into day",
            "in the day"),
    "sunset": ("make it sunset", "at sunset", "make it a sunset", "change it to sunset",
               "in the sunset", "put it under a sunset sky"),
}  # fmt: skip
_BEFORE = ("please", "please", "can you", "now", "could you please", "i want you to")


@dataclass(frozen=True)
class Edit:
    """One change.

    Attributes:
        sort: One of `SORTS`.
        before: The picture that is shown.
        after: The picture that is wanted.
        caption: The words that ask for it, in lower case.
    """

    sort: str
    before: Drawing
    after: Drawing
    caption: str


def sample(
    random: Random,
    sort: str | None = None,
    for_evaluation: bool = False,
    plainly: bool = False,
    freedom: float = 1.0,
    kinds: Sequence[str] = tuple(_KINDS),
) -> Edit:
    """A change of some drawing.

    Args:
        random: Source of all chance: the same state gives the same edit.
        sort: One of `SORTS`; None draws one in the proportions of training.
        for_evaluation: Only of drawings whose captions are held out of training, else none of
            them.
        plainly: Always in the first, usual wording.
        freedom: How far things stray from their usual place and size, see `drawings.sample`.
        kinds: The kinds of drawings to choose from.
    """
    while True:
        kind = random.choices(kinds, [_KINDS[each] for each in kinds])[0]
        before = drawings.sample(random, kind, freedom, for_evaluation)
        after = change(random, before, sort)
        if after is not None:
            told = describe(random, before, after[1], after[0], plainly)
            return Edit(after[0], before, after[1], told)


def change(random: Random, before: Drawing, sort: str | None = None) -> tuple[str, Drawing] | None:
    """The sort of a change and the drawing after it; None where *before* has nothing for it."""
    possible = [each for each in _SORTS if _is_possible(before, each)]
    if sort is None:
        sort = random.choices(possible, [_SORTS[each] for each in possible])[0]
    if sort not in possible:
        return None
    things = list(before.things)
    if sort == "ground":
        taken = {thing.colour for thing in things} | {before.ground}
        ground = random.choice([colour for colour in COLOURS if colour not in taken])
        return sort, replace(before, ground=ground)
    if sort == "sky":
        sky = random.choice([each for each in _SKY if each != before.ground])
        return sort, replace(before, ground=sky, things=_under(sky, before))
    chosen = random.choice(_namable(before, sort))
    if sort == "remove":
        kept = tuple(thing for k, thing in enumerate(things) if k not in chosen)
        return sort, replace(before, things=kept)
    taken = {thing.colour for thing in things}
    if before.kind != "scene":
        taken.add(before.ground)
    is_light = things[chosen[0]].noun in ("sun", "moon")
    palette = _LIGHTS if is_light else tuple(COLOURS)
    colour = random.choice([colour for colour in palette if colour not in taken])
    changed = {k: replace(things[k], colour=colour) for k in chosen}
    return sort, replace(before, things=tuple(changed.get(k, t) for k, t in enumerate(things)))


def _is_possible(drawing: Drawing, sort: str) -> bool:
    is_scene = drawing.kind == "scene"
    if sort == "sky":
        return is_scene
    if sort == "ground":
        return not is_scene
    return bool(_namable(drawing, sort))


def _namable(drawing: Drawing, sort: str) -> list[tuple[int, ...]]:
    """The groups of things, by their places in the list, that a change of *sort* can name."""
    alike: dict[tuple[str, str | None], list[int]] = {}
    for k, thing in enumerate(drawing.things):
        if sort == "recolour" and thing.colour is None:
            continue
        alike.setdefault((thing.noun, thing.colour), []).append(k)
    return [tuple(group) for group in alike.values()]


def _under(sky: str, drawing: Drawing) -> tuple[Thing, ...]:
    """The things of a scene in another hour: the sun sinks, and by night there is a moon."""
    things = []
    lit = [thing for thing in drawing.things if thing.noun in ("sun", "moon")]
    if lit or sky == "sunset":
        old = lit[0] if lit else Thing("moon", "yellow", 0.78, 0.2, 0.12)
        if sky == "night":
            things.append(Thing("moon", "white", old.x, 0.22, 0.12))
        else:
            colour = old.colour if old.noun == "sun" else "yellow"
            y, radius = (0.46, 0.13) if sky == "sunset" else (0.2, 0.12)
            things.append(Thing("sun", colour, old.x, y, radius))
    return (*things, *(thing for thing in drawing.things if thing not in lit))


def describe(
    random: Random, before: Drawing, after: Drawing, sort: str, plainly: bool = False
) -> str:
    """Words that ask to make *after* of *before*."""

    def chosen(wordings: tuple[str, ...]) -> str:
        return wordings[0] if plainly else random.choice(wordings)

    if sort == "ground":
        told = chosen(_GROUND).format(
            new=after.ground, old=before.ground, **{"a new": a(after.ground)}
        )
    elif sort == "sky":
        told = chosen(_SKY[after.ground])
    elif sort == "remove":
        gone = [thing for thing in before.things if thing not in after.things]
        told = chosen(_REMOVE).format(the=_named(random, before, gone, plainly))
    else:
        both = zip(before.things, after.things, strict=True)
        old, new = zip(*((old, new) for old, new in both if old != new), strict=True)
        the = _named(random, before, old, plainly, may_be_it=True)
        told = chosen(_RECOLOUR).format(the=the, new=new[0].colour)
    if not plainly and random.random() < 0.12:
        told = f"{random.choice(_BEFORE)} {told}"
    return told


def _named(
    random: Random,
    drawing: Drawing,
    things: Sequence[Thing],
    plainly: bool,
    may_be_it: bool = False,
) -> str:
    """The things with an article, and with their colour where there are others."""
    thing, many = things[0], len(things) > 1
    noun = plural(thing.noun) if many else thing.noun
    if may_be_it and not plainly and len(drawing.things) == 1 and random.random() < 0.25:
        return "it"
    is_only = drawing.kind == "scene" or all(other in things for other in drawing.things)
    tells_colour = thing.colour and (not is_only or (not plainly and random.random() < 0.3))
    return f"the {thing.colour} {noun}" if tells_colour else f"the {noun}"
