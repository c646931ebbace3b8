"""Tokens that expire, and are renewed in time.

Where an app rotates its tokens, one serves for twelve hours and brings the refresh token that is
changed, once, into the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from slack_sdk.errors import SlackTokenRotationError
from slack_sdk.oauth.installation_store import Bot
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator

from adapters.slack_chat.errors import GONE, OutcomeUnknown, is_limit, is_passing, word_of
from adapters.slack_chat.grants import Grants, team_of
from adapters.slack_chat.workspaces import Workspace

logger = logging.getLogger(__name__)

#: Seconds before the end of a token at which it is renewed, and between two looks.
IN_TIME, BETWEEN_LOOKS = 2 * 3600.0, 600.0
#: Minutes that make the library renew at once.
AT_ONCE = 10**9


class Rotation:
    """Renews the tokens of *grants*. *now* is unix time in seconds."""

    def __init__(
        self,
        grants: Grants,
        rotator: AsyncTokenRotator,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._grants = grants
        self._rotator = rotator
        self._now = now
        self._sleep = sleep
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def renew(self, workspace: Workspace, stale: str) -> bool:
        """Give *workspace* another token than *stale*; returns whether it has one now. A token
        that somebody else has renewed meanwhile will do.

        Raises:
            OutcomeUnknown: Slack cannot be reached.
        """
        team = workspace.team
        async with self._locks[team]:
            bot = self._grants.of(team)
            if bot is not None and bot.bot_token == stale and bot.bot_refresh_token:
                bot = await self._renewed(bot)
            if bot is None or bot.bot_token == stale:
                workspace.lost = GONE["token_expired"]
                return False
            workspace.use(bot.bot_token)
            return True

    async def _renewed(self, bot: Bot) -> Bot | None:
        try:
            renewed = await self._rotator.perform_bot_token_rotation(
                bot=bot, minutes_before_expiration=AT_ONCE
            )
        except SlackTokenRotationError as error:
            word, status = word_of(error.api_error.response)
            if not word or is_passing(word, status) or is_limit(word, status):
                raise OutcomeUnknown(f"oauth.v2.access: {word or status}") from error
            logger.error("the token of workspace %s cannot be renewed: %s", team_of(bot), word)
            return None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise OutcomeUnknown(f"oauth.v2.access: {type(error).__name__} {error}") from error
        if renewed is not None:
            await self._grants.async_save_bot(renewed)
        return renewed

    async def run(self, workspaces: Mapping[str, Workspace]) -> None:
        """Renew the tokens of *workspaces* in time, until cancelled."""
        while True:
            for workspace in list(workspaces.values()):
                bot = self._grants.of(workspace.team)
                if bot is None or workspace.lost or not self._is_due(bot):
                    continue
                try:
                    await self.renew(workspace, bot.bot_token)
                except OutcomeUnknown as error:
                    logger.warning("a token of %s is renewed later: %s", workspace.name, error)
            if not self._grants.is_kept:
                await self._grants.keep()
            await self._sleep(BETWEEN_LOOKS)

    def _is_due(self, bot: Bot) -> bool:
        expires = bot.bot_token_expires_at
        return expires is not None and expires - self._now() < IN_TIME
