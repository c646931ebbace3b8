"""No call of discord.py's hangs, and none that is given up leaves a limit behind for others.

Where Discord limits its calls, discord.py has others wait until the one that met the limit has
slept. It never has where it was cancelled meanwhile: progress that the end of a job cuts off, or a
call that takes too long. So whoever is cancelled lifts the limit. Where it still holds, the next
call hears so from Discord, and pauses in its turn.
"""

from __future__ import annotations

import asyncio
from typing import Any

import discord
from discord.webhook.async_ import AsyncWebhookAdapter, async_context

from adapters.discord_chat.faults import in_time

#: Share of the time of a call, so much that whoever waits for it gives up before. A call that is
#: cancelled twice leaves discord.py's limit of its route as if it were used up, for 30 s.
LONGER = 2.0


def let_all_calls_end(http: discord.http.HTTPClient) -> None:
    """Have each call of *http* end in time, also those that discord.py makes by itself to log in,
    and lift a limit for all calls together."""
    request = http.request

    async def ending(*arguments: Any, **more: Any) -> Any:
        try:
            return await in_time(request(*arguments, **more), share=LONGER)
        except (asyncio.CancelledError, TimeoutError):
            http._global_over.set()
            raise

    http.request = ending  # type: ignore[method-assign]


def let_answers_go_on() -> None:
    """Have answers to interactions, in all tasks that are begun from here on, wait for none before
    them that was given up."""
    async_context.set(_Webhooks())  # type: ignore[no-untyped-call]


class _Webhooks(AsyncWebhookAdapter):
    async def request(self, route: Any, *arguments: Any, **more: Any) -> Any:
        try:
            return await super().request(route, *arguments, **more)
        except asyncio.CancelledError:
            # It may stay locked for ever, and the next call makes another.
            self._locks.pop((route.webhook_id, route.webhook_token), None)
            raise
