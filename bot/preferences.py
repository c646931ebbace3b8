"""Words of a person's own: a suffix behind every prompt, and shortcuts for options.

``prefer suffix ", film grain"`` and ``prefer pic = "--ar 3:2 --preset photo"``, used as ``--pic``.
They are a part of one's settings. The words that they stand for are in the record of each picture.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bot import people
from bot.commands import (
    Command,
    CommandError,
    ImagineCommand,
    PreferCommand,
    PromptCommand,
    SeriesCommand,
    completed,
    parse,
)
from bot.database import Database
from generation.checks import check_text
from generation.errors import InvalidRequest

#: The key among the settings of a person.
KEY = "prefer"
MAX_SHORTCUTS, MAX_TEXT = 20, 300
_SHORTCUT = re.compile(r"(?<!\S)(?:--|[—–])([a-z][a-z0-9-]{0,23})(?!\S)", re.IGNORECASE)
#: Words that are never searched for shortcuts.
_FIRST_WORD = re.compile(r"\s*/?(?:prefer|admin|report|history)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preferences:
    """Words of one person's own.

    Attributes:
        suffix: Behind every prompt of theirs; empty for none.
        shortcuts: Texts by name, such as ``--ar 3:2``.
    """

    suffix: str = ""
    shortcuts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Preferences:
        kept = settings.get(KEY, {})
        return cls(kept.get("suffix", ""), kept.get("shortcuts", {}))

    def to_dict(self) -> dict[str, Any]:
        return {"suffix": self.suffix, "shortcuts": dict(self.shortcuts)}

    def expanded(self, said: str | PromptCommand) -> str | PromptCommand:
        """*said* with the words that its shortcuts stand for.

        Raises:
            InvalidRequest: A shortcut does not fit the words any longer.
        """
        if isinstance(said, PromptCommand):
            return self._expanded_prompt(said)
        if not self.shortcuts or _FIRST_WORD.match(said):
            return said
        return _outside_quotes(said, lambda part: _SHORTCUT.sub(self._meant, part))

    def with_suffix(self, command: Command) -> Command:
        """*command*, with the suffix behind its prompt if it draws from one. Options of the suffix
        hold where the person has not said any."""
        if not self.suffix:
            return command
        if isinstance(command, SeriesCommand):
            members = [
                replace(each, command=self._suffixed(each.command))
                if isinstance(each.command, ImagineCommand)
                else each
                for each in command.members
            ]
            return SeriesCommand(tuple(members))
        return self._suffixed(command) if isinstance(command, ImagineCommand) else command

    def _suffixed(self, command: ImagineCommand) -> ImagineCommand:
        options, words = _taken_apart(self.suffix)
        gap = "" if words[:1] in ("", *",.;:!?、。") else " "
        return completed(replace(command, prompt=f"{command.prompt}{gap}{words}"), options)

    def _meant(self, match: re.Match[str]) -> str:
        return self.shortcuts.get(match[1].lower(), match[0])

    def _expanded_prompt(self, said: PromptCommand) -> PromptCommand:
        asked = said.asked
        for match in _SHORTCUT.finditer(asked.prompt):
            text = self.shortcuts.get(match[1].lower())
            if text is not None:
                options, words = _taken_apart(text)
                prompt = asked.prompt.replace(match[0], words, 1)
                asked = completed(replace(asked, prompt=" ".join(prompt.split())), options)
        return replace(said, asked=asked)


class PreferenceBook:
    """The preferences of everybody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user: str) -> Preferences:
        return Preferences.of(await self._database.read(partial(people.settings, user=user)))

    async def change(self, user: str, command: PreferCommand) -> Preferences:
        """The preferences of *user* once *command* is carried out.

        Raises:
            InvalidRequest: The words cannot be a suffix or a shortcut, or there are too many.
        """

        def keep(db: sqlite3.Connection) -> Preferences:
            settings = people.settings(db, user)
            old = Preferences.of(settings)
            new = _changed(old, command)
            if new != old:
                people.keep_settings(db, user, {**settings, KEY: new.to_dict()})
            return new

        return await self._database.write(keep)


def _changed(old: Preferences, command: PreferCommand) -> Preferences:
    name, text = command.name, command.text
    if command.action == "list":
        return old
    if command.action == "remove":
        if name == "suffix":
            return replace(old, suffix="")
        if name not in old.shortcuts:
            raise InvalidRequest(f"you have no shortcut --{name}: say prefer for a list")
        rest = {each: said for each, said in old.shortcuts.items() if each != name}
        return replace(old, shortcuts=rest)
    if len(text) > MAX_TEXT:
        raise InvalidRequest(
            f"that has {len(text)} characters; at most {MAX_TEXT} can be kept: shorten it"
        )
    check_text("text", text)
    _taken_apart(text)
    if name == "suffix":
        return replace(old, suffix=text)
    if name not in old.shortcuts and len(old.shortcuts) >= MAX_SHORTCUTS:
        raise InvalidRequest(
            f"you have {MAX_SHORTCUTS} shortcuts, the most one person may have: remove one"
        )
    return replace(old, shortcuts={**old.shortcuts, name: text})


def _taken_apart(text: str) -> tuple[ImagineCommand, str]:
    """The options and the words in *text*.

    Raises:
        CommandError: It has an option that does not fit.
    """
    # Whatever begins it, also what would be a verb or no word at all.
    command = parse(f"imagine . {text}")
    if not isinstance(command, ImagineCommand):
        raise CommandError("a suffix or a shortcut cannot stand for several pictures")
    words = command.prompt.removeprefix(".")
    return replace(command, prompt=""), words.strip()


def _outside_quotes(text: str, change: Any) -> str:
    """*text* with *change* made to what is not in double quotes."""
    parts = re.split(r'("[^"]*")', text)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))
