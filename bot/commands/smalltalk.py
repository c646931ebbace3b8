"""Words to the bot that ask for no picture, and would only be drawn by mistake."""

from __future__ import annotations

import re

#: Whole messages, in lower case and without punctuation.
GREETINGS = frozenset(
    [
        "hi",
        "hey",
        "hello",
        "hallo",
        "hi there",
        "hello there",
        "hey there",
        "good morning",
        "good evening",
        "bonjour",
        "salut",
        "hola",
        "buenos días",
        "guten morgen",
        "guten tag",
        "servus",
        "moin",
        "こんにちは",
        "help me",
        "how do you work",
        "what can you do",
        "what do you do",
        "what are you",
        "who are you",
        "are you there",
        "how does this work",
        "how do i use this",
        "was kannst du",
        "que sais tu faire",
        "qué puedes hacer",
        "何ができますか",
    ]
)
THANKS = frozenset(
    [
        "thanks",
        "thank you",
        "thank you very much",
        "thanks a lot",
        "many thanks",
        "thx",
        "ty",
        "cheers",
        "danke",
        "vielen dank",
        "danke schön",
        "merci",
        "merci beaucoup",
        "gracias",
        "muchas gracias",
        "ありがとう",
        "ありがとうございます",
        "nice",
        "great",
        "cool",
        "wow",
        "perfect",
        "awesome",
        "love it",
        "lol",
        "ok",
        "okay",
        "good bot",
        "well done",
        "nice one",
    ]
)
_PUNCTUATION = re.compile(r"[\W_]+")


def is_greeting(text: str) -> bool:
    """Whether all of *text* is a greeting, or asks what the bot is for."""
    return _plain(text) in GREETINGS


def is_thanks(text: str) -> bool:
    """Whether all of *text* is thanks, or praise."""
    return _plain(text) in THANKS


def _plain(text: str) -> str:
    # Long texts are prompts.
    return _PUNCTUATION.sub(" ", text[:60].casefold()).strip() if len(text) <= 60 else ""
