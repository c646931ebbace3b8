"""Pages of a person's history, as they ask for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from bot.commands.history import TODAY, YESTERDAY, HistoryFilter
from bot.finding import Wanted
from bot.job_store import HistoryPage
from bot.lookups import Lookups
from bot.presets import Presets
from generation.checks import check_text, shortened
from generation.errors import InvalidRequest

SECONDS_OF_A_DAY = 24 * 3600.0


class Histories:
    """The histories of people. *now* returns unix seconds."""

    def __init__(self, lookups: Lookups, presets: Presets, now: Callable[[], float]) -> None:
        self._lookups = lookups
        self._presets = presets
        self._now = now

    async def find(
        self, user: str, wanted: HistoryFilter, *, before: int | None = None, limit: int = 20
    ) -> HistoryPage:
        """A page of the jobs of *user* that are *wanted*; see `bot.lookups.Lookups.history`.

        Raises:
            InvalidRequest: There is no such preset, and no picture of it; or the first day is after
                the last.
        """
        check_text("text", wanted.words)
        today = datetime.fromtimestamp(self._now(), UTC).date()
        since, until = _day(wanted.since, today), _day(wanted.until, today)
        if since and until and since > until:
            raise InvalidRequest(f"{since} is after {until}: swap the two days", field="since")
        found = Wanted(
            wanted.words,
            wanted.favourites,
            wanted.preset,
            None if since is None else _midnight(since),
            None if until is None else _midnight(until) + SECONDS_OF_A_DAY,
        )
        page = await self._lookups.history(user, found, before=before, limit=limit)
        if not page.jobs and wanted.preset and wanted.preset not in self._presets:
            raise InvalidRequest(
                f"there is no preset {shortened(wanted.preset)}: choose one of"
                f" {', '.join(self._presets.available)}",
                field="preset",
            )
        return page


def _day(text: str, today: date) -> date | None:
    match text:
        case "":
            return None
        case _ if text == TODAY:
            return today
        case _ if text == YESTERDAY:
            return today - timedelta(days=1)
        case _:
            return date.fromisoformat(text)


def _midnight(day: date) -> float:
    """Unix seconds of the beginning of *day*, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
