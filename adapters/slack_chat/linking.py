"""Answers to the question whether accounts are to be joined. Pure."""

from __future__ import annotations

from bot.commands import LinkCommand


def link_command(verb: str, code: str) -> LinkCommand | None:
    """The command of the button *verb*; None for another button."""
    match verb:
        case "linkyes":
            return LinkCommand("yes", code)
        case "linkno":
            return LinkCommand("no", code)
        case _:
            return None
