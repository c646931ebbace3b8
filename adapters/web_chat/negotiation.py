"""The formats that a client accepts (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

JSON, PNG = "application/json", "image/png"
#: Formats of pictures, best first where a client likes several as much: what is stored comes as it
#: is, and browsers, which name WebP before everything, get it too.
PICTURES = (PNG, "image/jpeg", "image/webp")

_RANGE = re.compile(r"\s*(?P<kind>[\w*.+-]+/[\w*.+-]+)\s*(?:;(?P<more>.*))?", re.DOTALL)
_WEIGHT = re.compile(r"(?:^|;)\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def preferred(accept: str, offers: Sequence[str]) -> str | None:
    """The one of *offers* that the header *accept* likes best, the first of equals; None where it
    takes none of them."""
    weights = [_weight(accept, offer) for offer in offers]
    best = max(weights)
    return offers[weights.index(best)] if best > 0 else None


def of_picture(accept: str) -> str:
    """The format of a picture for *accept*; PNG where it names none that there is."""
    return preferred(accept, PICTURES) or PNG


def of_answer(accept: str) -> str:
    """The format of an answer that has a picture: JSON, unless *accept* wants the picture alone."""
    found = preferred(accept, (JSON, *PICTURES))
    return found or (PNG if accept.strip().lower().startswith("image/") else JSON)


def _weight(accept: str, offer: str) -> float:
    """How much *accept* likes *offer*, 0 to 1, by the most specific of its ranges."""
    found = (0, 0.0)
    for part in accept.split(",") if accept.strip() else ("*/*",):
        match = _RANGE.fullmatch(part)
        if match is None:
            continue
        kind = match["kind"].lower()
        exactness = (offer, f"{offer.partition('/')[0]}/*", "*/*")
        if kind in exactness:
            weight = _WEIGHT.search(match["more"] or "")
            rank = 3 - exactness.index(kind)
            found = max(found, (rank, float(weight[1]) if weight else 1.0))
    return found[1]
