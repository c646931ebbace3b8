"""People of workspaces, as Slack knows them; their languages are remembered for a while."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.workspaces import Workspace
from bot.languages import ENGLISH, Language, language_of

logger = logging.getLogger(__name__)

#: Seconds that a request waits for the language of somebody who is not known yet. Slack waits 3
#: for an acknowledgement.
SECONDS_TO_LOOK_UP = 0.5
#: Seconds after which a language is asked for again, and people whose language is remembered.
SECONDS_TO_REMEMBER = 3600.0
REMEMBERED = 10_000

_Key = tuple[str, str]


class People:
    """The people who write to the bot."""

    def __init__(self) -> None:
        self._languages: OrderedDict[_Key, tuple[Language, float]] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Ask Slack no further."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def language(self, workspace: Workspace, user: str) -> Language:
        """The language of *user*, as far as it is known; English else."""
        return self._languages.get((workspace.team, user), (ENGLISH, 0.0))[0]

    async def meet(self, workspace: Workspace, user: str) -> None:
        """Learn the language of *user*, unless that takes too long: the next time it is known."""
        key = (workspace.team, user)
        if workspace.pace.now() < self._languages.get(key, (ENGLISH, 0.0))[1]:
            return
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(workspace, user))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        await asyncio.wait({task}, timeout=SECONDS_TO_LOOK_UP)

    async def _ask(self, workspace: Workspace, user: str) -> None:
        await self.member(workspace, user, is_hasty=True)

    async def member(
        self, workspace: Workspace, user: str, *, is_hasty: bool = False
    ) -> Mapping[str, Any]:
        """*user*, as Slack knows them just now; empty where it does not say."""
        member: Mapping[str, Any] = {}
        try:
            answer = await workspace.call(
                "users.info", is_hasty=is_hasty, user=user, include_locale=True
            )
            member = answer["user"]
        except (SlackError, OutcomeUnknown) as error:
            logger.warning("who %s is cannot be asked: %s", user, error)
        say = language_of(member.get("locale")) if member else self.language(workspace, user)
        self._remember(workspace, user, say)
        return member

    def forget(self, workspace: Workspace, user: str) -> None:
        """Ask Slack again about *user*, who may have another language now."""
        self._languages.pop((workspace.team, user), None)

    def _remember(self, workspace: Workspace, user: str, say: Language) -> None:
        key = (workspace.team, user)
        self._languages[key] = (say, workspace.pace.now() + SECONDS_TO_REMEMBER)
        self._languages.move_to_end(key)
        while len(self._languages) > REMEMBERED:
            self._languages.popitem(last=False)
