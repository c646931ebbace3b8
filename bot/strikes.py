"""The table ``strikes``: refused words and pictures, and the pause that follows too many.

All functions run inside a transaction of `bot.database.Database.write` (or a read). Strikes are
counted over the last ``screens.strike_hours``; with ``screens.strikes`` = 0 nobody is paused.
"""

from __future__ import annotations

import sqlite3

from bot import selves
from bot.refusals import NotAllowed
from bot.sections import ScreenSettings


def strike(
    db: sqlite3.Connection,
    user: str,
    reason: str,
    now: float,
    settings: ScreenSettings,
    *,
    job_id: str | None = None,
) -> str:
    """A sentence that tells *user* of the strike that was written.

    Args:
        reason: A note for moderators.
        now: Unix seconds.
    """
    db.execute(
        "INSERT INTO strikes (user, made_at, reason, job_id) VALUES (?, ?, ?, ?)",
        (user, now, reason, job_id),
    )
    if not settings.strikes:
        return ""
    count, most = len(of(db, user, now, settings)), settings.strikes
    hours = f"{settings.strike_hours:g} hours"
    if count >= most:
        return f"That was strike {count} of {most}: you cannot draw for {hours}."
    return f"That was strike {count} of {most}; at {most} you cannot draw for {hours}."


def of(db: sqlite3.Connection, user: str, now: float, settings: ScreenSettings) -> list[float]:
    """Times (unix seconds) of the strikes of *user* that count at *now*, newest first."""
    rows = db.execute(
        "SELECT made_at FROM json_each(?) AS self"
        " CROSS JOIN strikes ON user = self.value ->> 0"
        " WHERE made_at > ? AND made_at <= self.value ->> 1 AND NOT is_lifted"
        " ORDER BY made_at DESC",
        (selves.counting_json(db, user), now - settings.strike_hours * 3600),
    )
    return [row["made_at"] for row in rows]


def lift(db: sqlite3.Connection, user: str) -> int:
    """Number of strikes of *user* that were lifted, and count no longer."""
    cursor = db.execute(
        "UPDATE strikes SET is_lifted = 1 WHERE user IN (SELECT value ->> 0 FROM json_each(?))"
        " AND NOT is_lifted",
        (selves.counting_json(db, user),),
    )
    return cursor.rowcount


def check_not_paused(
    db: sqlite3.Connection, user: str, now: float, settings: ScreenSettings
) -> None:
    """Raise NotAllowed where *user* has as many strikes as pause a person."""
    if not settings.strikes:
        return
    counting = of(db, user, now, settings)
    if len(counting) < settings.strikes:
        return
    # Over when the oldest of the strikes that make them too many counts no longer.
    left = counting[settings.strikes - 1] + settings.strike_hours * 3600 - now
    raise NotAllowed(
        f"you cannot draw for another {_hours(left)}, after {len(counting)} requests that were"
        " refused; an admin can lift that",
        retry_in=left,
    )


def _hours(seconds: float) -> str:
    """*seconds* in words, rounded up."""
    minutes = max(1, -(-int(seconds) // 60))
    if minutes < 90:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{-(-minutes // 60)} hours"
