"""The log channel: moderators are told of incidents, in their order, on each platform.

An adapter brings the act of telling; the rest is the same everywhere. What cannot be told now is
tried again; what a channel refuses for good is left out, since `admin held`, `admin reports` and
the audit log have everything.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial

from bot import incidents
from bot.database import Database
from bot.incidents import Incident, Kind

logger = logging.getLogger(__name__)

#: Seconds between two looks for incidents, and after a fault.
SECONDS_BETWEEN_LOOKS = 3.0
SECONDS_AFTER_A_FAULT = 30.0
#: Incidents that are read at once.
MOST_AT_ONCE = 20

#: Tells a channel, by the platform's own id, of an incident. Raises `CannotBeTold` where that will
#: never work, and any other error where it may later.
Tell = Callable[[str, Incident], Awaitable[None]]

#: What each kind is called.
LABELS = {
    Kind.REFUSED: "Refused",
    Kind.HELD: "Held for you",
    Kind.REPORTED: "Reported",
    Kind.ACT: "Moderator",
}


class CannotBeTold(Exception):
    """The channel does not exist, or the bot may not write there."""


class ModerationLog:
    """Tells moderators on *platform*, as in ids of its people, of incidents.

    Args:
        everywhere: The channel that is told of all incidents; empty for none.
        sleep: The clock.
    """

    def __init__(
        self,
        database: Database,
        platform: str,
        everywhere: str,
        tell: Tell,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._platform = platform
        self._everywhere = everywhere
        self._tell = tell
        self._sleep = sleep

    async def run(self) -> None:
        """Tell of incidents until cancelled."""
        while True:
            try:
                await self.tell_all()
                await self._sleep(SECONDS_BETWEEN_LOOKS)
            except Exception as error:
                logger.warning("moderators on %s cannot be told: %r", self._platform, error)
                await self._sleep(SECONDS_AFTER_A_FAULT)

    async def tell_all(self) -> None:
        """Tell of all incidents that moderators on the platform were not told of."""
        until = await self._database.write(self._begin)
        while news := await self._database.read(
            partial(incidents.after, number=until, limit=MOST_AT_ONCE)
        ):
            for incident in news:
                for channel in await self._channels(incident):
                    try:
                        await self._tell(channel, incident)
                    except CannotBeTold as error:
                        logger.warning("the log channel %s is not told: %s", channel, error)
                until = incident.number
                told = partial(incidents.set_told, platform=self._platform, number=until)
                await self._database.write(told)

    def _begin(self, db: sqlite3.Connection) -> int:
        until = incidents.told_until(db, self._platform)
        incidents.set_told(db, self._platform, until)
        return until

    async def _channels(self, incident: Incident) -> list[str]:
        """The channels that are told of *incident*: the server's own, and the one for all."""
        found = [self._everywhere] if self._everywhere else []
        server = incident.server
        if server is not None and server.startswith(f"{self._platform}-"):
            own = await self._database.read(partial(incidents.channel_of, server=server))
            if own is not None and own not in found:
                found.append(own)
        return found
