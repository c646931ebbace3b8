"""What the bot says to people who have not written to it yet."""

from __future__ import annotations

from bot.conversation import Reply
from bot.examples import examples
from bot.languages import Language
from bot.service import Service
from bot.views import Choice


def words_of_welcome(say: Language, *, is_direct: bool) -> str:
    """Three lines: how to have a picture, how to go on from it, and where the rest is told.

    Args:
        is_direct: Whether nobody else is there, so that the bot need not be named.
    """
    if is_direct:
        first = say("Hello! Write what you would like to see, and I draw it.")
    else:
        first = say("Hello! Mention me with what you would like to see, and I draw it.")
    return "\n".join(
        [
            first,
            say("Go on from a picture in words, such as “same, at night”, or with its buttons."),
            say("help tells you the rest. Only drawing costs credits."),
        ]
    )


def welcome(service: Service, say: Language, *, is_direct: bool) -> Reply:
    """The welcome, with prompts to press."""
    text = words_of_welcome(say, is_direct=is_direct)
    return Reply(text, choices=first_words(service), kind="help")


def first_words(service: Service) -> tuple[Choice, ...]:
    """Prompts for somebody who has nothing in mind."""
    return examples(service.about, service.presets, service.config.model.default_preset)
