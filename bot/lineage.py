"""How a picture came of an earlier one, and in words who asked for both."""

from __future__ import annotations

from enum import StrEnum

from bot.languages import ENGLISH, Language


class Relation(StrEnum):
    """The relation of a job to its parent, as its row has it."""

    AGAIN = "again"  #: The same words with a new seed.
    SAME = "same"  #: The same pixels, drawn once more.
    CHANGED = "changed"  #: Other words or settings, and perhaps another seed.
    SUBTLE = "subtle"  #: A variation that stays close to the picture.
    STRONG = "strong"  #: A variation that goes far from it.
    VARIED = "varied"  #: A variation, as far as the preset goes.
    UPSCALED = "upscaled"
    EDITED = "edited"  #: Changed as words say.
    FINAL = "final"  #: The same seed with all steps and pixels, after a draft.
    DRAWN_FROM = "drawn from"  #: The picture was attached to a new request.


LINES = {
    Relation.AGAIN: "drawn anew from {id}",
    Relation.SAME: "the same again as {id}",
    Relation.CHANGED: "changed from {id}",
    Relation.SUBTLE: "varied a little from {id}",
    Relation.STRONG: "varied a lot from {id}",
    Relation.VARIED: "varied from {id}",
    Relation.UPSCALED: "enlarged from {id}",
    Relation.EDITED: "edited from {id}",
    Relation.FINAL: "finished from the draft {id}",
    Relation.DRAWN_FROM: "drawn from {id}",
}
OLDER = "from {id}"


def line(
    parent: str | None,
    relation: Relation | None,
    say: Language = ENGLISH,
    *,
    parent_by: str = "",
) -> str:
    """How a job came of its parent, such as “varied from k7m2p9qa by ada”; empty without one.

    Args:
        parent: Id of the parent.
        relation: None in rows of older versions.
        parent_by: The person who asked for the parent, as the platform shows them; empty where it
            cannot, and where the same person asked for both.
    """
    if parent is None:
        return ""
    made = say(LINES[relation] if relation else OLDER, id=parent)
    return say("{made} by {name}", made=made, name=parent_by) if parent_by else made
