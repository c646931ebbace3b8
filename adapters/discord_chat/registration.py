"""Discord is told of the bot's commands, beside everything else and for as long as it takes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import discord
from discord import app_commands

from adapters.discord_chat.mentions import Mentions

logger = logging.getLogger(__name__)

#: Seconds between two attempts: at first, and at most. Each pause is twice the one before.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0


async def register(tree: app_commands.CommandTree[Any], mentions: Mentions) -> None:
    """Have Discord know the commands of *tree*, and learn their ids; until it does, people go on
    with those that it knows from before."""
    pause = FIRST_PAUSE
    while True:
        try:
            mentions.learn({each.name: each.id for each in await tree.sync()})
            return
        except discord.RateLimited as error:
            wait = max(pause, error.retry_after)
            logger.warning("Discord takes the commands in %.0f s", wait)
        except Exception as error:
            wait = pause
            logger.error(
                "the commands cannot be registered, the old ones stay; again in %.0f s: %s",
                wait,
                error,
            )
        await asyncio.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)
