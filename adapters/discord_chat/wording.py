"""Discord's marks and mentions in what people write, to plain words. All functions are pure."""

from __future__ import annotations

import re

#: ``<:name:1>`` and ``<a:name:1>``: an emoji of a server's own.
_EMOJI = re.compile(r"<a?:(\w+):\d+>")
#: ``<@1>``, ``<@!1>``, ``<@&1>``, ``<#1>``, ``</name:1>``, ``<t:1:R>``: whose names are not told.
_MENTION = re.compile(r"<(?:@[!&]?\d+|#\d+|/[\w -]+:\d+|t:-?\d+(?::\w)?)>")
#: Bold, underlined, struck out, hidden, italic, code; around words, and none within one.
_MARKS = [
    re.compile(
        rf"(?<![\w{re.escape(mark[0])}]){re.escape(mark)}(?=\S)([^\n{re.escape(mark[0])}]+?)(?<=\S)"
        rf"{re.escape(mark)}(?![\w{re.escape(mark[0])}])"
    )
    for mark in ("***", "**", "__", "~~", "||", "*", "_", "`")
]
_BLOCK = re.compile(r"```(?:\w+\n)?(.*?)```", re.DOTALL)


def words(text: str) -> str:
    """*text* as its author sees it: without marks, emoji by their names; mentions vanish, since
    nobody tells whom they name."""
    text = _EMOJI.sub(lambda emoji: emoji[1].replace("_", " "), text)
    text = _BLOCK.sub(r"\1", _MENTION.sub("", text))
    for mark in _MARKS:
        text = mark.sub(r"\1", text)
    return text.strip()
