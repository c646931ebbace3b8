"""Slack's escapes, mentions and links to plain words, and back. All functions are pure."""

from __future__ import annotations

import html
import re
import unicodedata

#: Slack's tokens in angle brackets: ``<@U1|ada>``, ``<#C1|general>``, ``<https://x|x>``.
_TOKEN = re.compile(r"<([^<>]*)>")
#: Marks that turn the direction of all that follows, and could disguise it.
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


#: Slack's marks: bold, italic, struck out, code; each around words, and none within one.
_MARKS = [
    re.compile(
        rf"(?<![\w{re.escape(mark)}]){re.escape(mark)}(?=\S)([^\n{re.escape(mark)}]+?)(?<=\S)"
        rf"{re.escape(mark)}(?![\w{re.escape(mark)}])"
    )
    for mark in "*_~`"
]
_BLOCK = re.compile(r"```(.*?)```", re.DOTALL)
#: ``:red_circle:``, perhaps with a tone of skin; no time of day, and no ratio.
_EMOJI = re.compile(r"(?<![\w:]):([a-z][a-z0-9_+'-]*)(?:::skin-tone-\d)?:(?![\w:])")
#: What people put between the bot's name and what they want.
_AFTER_THE_NAME = ", :;\n\t"


def words(text: str, bot_user: str, team: str, *, names_people: bool = False) -> str:
    """The text as its author sees it, without the mention of the bot.

    *names_people* turns ``<@U1>`` into ``slack:T1-U1``, and ``<#C1>`` into ``slack-channel:C1``, as
    admin commands want it.
    """

    def plain(token: re.Match[str]) -> str:
        target, _, label = token[1].partition("|")
        if target.startswith("@"):
            if target == f"@{bot_user}":
                return ""
            return f"slack:{team}-{target[1:]}" if names_people else f"@{label or target[1:]}"
        if target.startswith("#"):
            if names_people:
                return f"slack-channel:{target[1:]}"
            return f"#{label or target[1:]}"
        if target.startswith("!"):
            return label or f"@{target[1:].partition('^')[0]}"
        return label or target

    return html.unescape(_unmarked(_TOKEN.sub(plain, text)).lstrip(_AFTER_THE_NAME)).strip()


def _unmarked(text: str) -> str:
    """*text* without Slack's marks; emoji as words."""
    text = _BLOCK.sub(r"\1", text)
    for mark in _MARKS:
        text = mark.sub(r"\1", text)
    return _EMOJI.sub(lambda emoji: re.sub(r"[_-]+", " ", emoji[1]), text)


def names_somebody(text: str) -> bool:
    """Whether *text* mentions a person, the bot, or everybody."""
    return any(token.startswith(("@", "!")) for token in _TOKEN.findall(text))


def is_admin_command(text: str) -> bool:
    """Whether the first word of *text* is ``admin``."""
    return re.match(r"\s*/?admin\b", _TOKEN.sub("", text), re.IGNORECASE) is not None


def escape(text: str) -> str:
    """*text* escaped, so that Slack's markup shows it literally and pings nobody."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def printable(text: str) -> str:
    """*text* without control characters and marks that change the direction of text."""
    return "".join(
        character
        for character in text
        if character in "\n\t"
        or (unicodedata.category(character) not in ("Cc", "Cs") and character not in _DIRECTIONS)
    )


def clipped(text: str, length: int) -> str:
    """*text*, cut where it is longer than *length* characters; never empty."""
    return (text if len(text) <= length else text[: length - 1] + "…") or " "


def pieces(text: str, length: int) -> list[str]:
    """*text* in pieces of at most *length* characters, cut between lines where possible."""
    found: list[str] = []
    piece = ""
    for line in text.splitlines():
        for start in range(0, len(line) or 1, length):
            part = line[start : start + length]
            if piece and len(piece) + 1 + len(part) > length:
                found.append(piece)
                piece = part
            else:
                piece = f"{piece}\n{part}" if piece else part
    return [each for each in (*found, piece) if each.strip()]
