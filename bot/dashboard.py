"""What admins look at: the state of everything, and the use that people make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot import statistics
from bot.administration import Administration
from bot.database import Database
from bot.jobs import Job
from generation.checks import check_text
from generation.types import Preset


@dataclass(frozen=True, slots=True)
class Board:
    """A moment of the bot.

    Attributes:
        jobs: Everybody's unfinished jobs, in the order in which they will be drawn.
        presets: All presets, by name.
        disabled: Names of those that an admin has turned off.
        loaded: Bytes in memory of each repository.
    """

    is_paused: bool
    is_draining: bool
    jobs: tuple[Job, ...]
    presets: dict[str, Preset]
    disabled: frozenset[str]
    loaded: dict[str, int]


class Dashboard:
    """Looks at the bot for admins; nobody else may. *now* is the clock, in unix seconds."""

    def __init__(
        self,
        admin: Administration,
        database: Database,
        now: Callable[[], float],
    ) -> None:
        self._admin = admin
        self._database = database
        self._now = now

    def board(self, admin: str) -> Board:
        """The present moment.

        Raises:
            NotAllowed: *admin* is none.
        """
        presets, disabled, loaded = self._admin.presets(admin)
        return Board(
            self._admin.is_paused,
            self._admin.is_draining,
            self._admin.queue(admin),
            presets,
            disabled,
            loaded,
        )

    async def use(self, admin: str, days: int, words: str = "") -> statistics.Use:
        """The use of the last *days*; see `statistics.use`.

        Raises:
            NotAllowed: *admin* is none.
        """
        self._admin.check(admin)
        check_text("text", words)
        return await statistics.use(self._database, self._now(), days, words)
