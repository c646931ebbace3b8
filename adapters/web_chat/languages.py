"""The language of a request over HTTP: the one that was chosen on the page, else the browser's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.languages import ENGLISH, LANGUAGES, Language, language_of

#: The cookie in which the page remembers what somebody has chosen (``static/languages.js``).
COOKIE = re.compile(r"(?:^|;)\s*fluxbot_language=([a-z]{2})\s*(?:;|$)")
#: A range of RFC 9110, 12.5.4, with its weight.
_RANGE = re.compile(r"\s*([a-z]{1,8})(?:-[\w-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?", re.I)


def language_for(headers: Mapping[str, str]) -> Language:
    """The language that a request with *headers* is answered in; English where it names none that
    the bot speaks."""
    chosen = COOKIE.search(headers.get("cookie", ""))
    if chosen is not None and chosen[1] in (*LANGUAGES, ENGLISH.code):
        return language_of(chosen[1])
    best, language = 0.0, ENGLISH
    for part in headers.get("accept-language", "")[:500].split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            continue
        code, weight = match[1].lower(), float(match[2] or 1)
        if weight > best and code in (*LANGUAGES, ENGLISH.code):
            best, language = weight, language_of(code)
    return language
