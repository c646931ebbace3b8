"""Sentences with figures, found again in a text that was made of one of them.

An error is raised with its figures already in it, comes from another process, or was written to
the database months ago. What it was made of tells its translation: "the file has 3.1 MB" is
“the file has {0} MB”. All functions are pure.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass

#: Characters that a pattern must have beside its places, to be told from another.
LEAST = 3
#: With fewer characters than these, each place holds a single word.
ENOUGH = 8
#: The place that holds a number, since what surrounds it is a single word.
NUMBER = "count"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sentence with places.

    Attributes:
        sentence: Such as “the file has {0} MB”.
        pieces: The words between its places, the first and the last perhaps empty.
        places: The names of the places, one less than pieces.
    """

    sentence: str
    pieces: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def of(cls, sentence: str) -> Pattern:
        pieces, places = [""], []
        for words, place, _, _ in string.Formatter().parse(sentence):
            pieces[-1] += words
            if place is not None:
                places.append(place)
                pieces.append("")
        return cls(sentence, tuple(pieces), tuple(places))

    @property
    def weight(self) -> int:
        """Characters that a text must have to be of this pattern."""
        return sum(map(len, self.pieces))

    def values(self, text: str) -> dict[str, str] | None:
        """What stands in the places, each as short as can be; None where *text* is of another
        pattern. Takes time in proportion to the length of *text*."""
        first, *between, last = self.pieces
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return None
        found: dict[str, str] = {}
        start = len(first)
        for place, piece in zip(self.places, [*between, last], strict=True):
            is_last = len(found) == len(between)
            at = end if is_last else text.find(piece, start, end)
            if at < 0:
                return None
            found[place] = text[start:at]
            start = at + len(piece)
        if self.weight < ENOUGH and any(" " in value for value in found.values()):
            return None
        if NUMBER in found and not found[NUMBER].replace(".", "", 1).isdecimal():
            return None
        return found


class Patterns:
    """The patterns among *sentences*."""

    def __init__(self, sentences: Iterable[str]) -> None:
        patterns = [Pattern.of(each) for each in sentences if "{" in each]
        self._patterns = sorted(
            (each for each in patterns if each.places and each.weight >= LEAST),
            key=lambda each: each.weight,
            reverse=True,
        )

    def find(self, text: str) -> tuple[str, dict[str, str]] | None:
        """The sentence that *text* was made of, and the values of its places: the one with most
        words where there are several; None without any."""
        for pattern in self._patterns:
            if (values := pattern.values(text)) is not None:
                return pattern.sentence, values
        return None


def filled(sentence: str, values: dict[str, str]) -> str:
    """*sentence* with *values* in its places, which are called {0}, {1}, … or by names."""
    numbered = [values[str(number)] for number in range(len(values)) if str(number) in values]
    named = {place: value for place, value in values.items() if not place.isdecimal()}
    return sentence.format(*numbered, **named)
