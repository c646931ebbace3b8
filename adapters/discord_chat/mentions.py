"""Commands as people can press them in a text: ``</flux imagine:1234>``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.discord_chat.people import Interaction


class Mentions:
    """The ids of the bot's commands, as Discord tells them: when it is told of the commands, and
    with each command that somebody uses.

    A command keeps its id for as long as its name stays. Where Discord gives another, people use
    that one, and so it becomes known.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def learn(self, ids: Mapping[str, int]) -> None:
        """Take over *ids*, by the names of commands without their sub-commands."""
        self._ids |= ids

    def see(self, interaction: Interaction) -> None:
        """Learn from a command that somebody uses."""
        data: Any = interaction.data
        if interaction.command is not None and data and "id" in data:
            self.learn({data["name"]: int(data["id"])})

    def of(self, command: str) -> str:
        """The mention of *command*, such as ``flux imagine``; in bold where its id is unknown."""
        id = self._ids.get(command.partition(" ")[0])
        return f"**/{command}**" if id is None else f"</{command}:{id}>"
