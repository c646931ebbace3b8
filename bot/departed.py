"""People who have deleted their data, known by a keyed hash while their limits must still hold.

Deleting oneself gives no new credits, lifts no ban and clears no strike. Entries, jobs and acts of
such a person stand under a random *stand-in*; the table ``departed`` leads from the hash of their
id to it, and forgets that way once nothing counts any more.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3

#: Begin of a stand-in; no platform has that name.
DELETED = "deleted"
_KEY = "people"
_EXPIRED = "until < ? AND banned_at IS NULL AND credits IS NULL"


def names(db: sqlite3.Connection, user: str) -> tuple[str, str]:
    """The two names under which entries of *user* stand: their id, and the stand-in of an earlier
    deletion; twice the id where there was none."""
    row = _row(db, user)
    return (user, user) if row is None else (user, row["stand_in"])


def limits(db: sqlite3.Connection, user: str) -> sqlite3.Row | None:
    """``banned_at``, ``ban_reason`` and ``credits`` (own quota) of *user* from before a deletion;
    None without one."""
    return _row(db, user)


def hashed(db: sqlite3.Connection, text: str) -> str | None:
    """The keyed hash of *text*, in hexadecimal; None before anybody has deleted anything."""
    row = db.execute("SELECT key FROM keys WHERE name = ?", (_KEY,)).fetchone()
    return None if row is None else _hash(row["key"], text)


def make_hash(db: sqlite3.Connection, text: str) -> str:
    """The keyed hash of *text*; the key is made at the first call."""
    key = secrets.token_bytes(32)
    db.execute("INSERT OR IGNORE INTO keys (name, key) VALUES (?, ?)", (_KEY, key))
    found = hashed(db, text)
    assert found is not None
    return found


def depart(
    db: sqlite3.Connection,
    user: str,
    until: float,
    banned_at: float | None,
    ban_reason: str | None,
    credits: int | None,
) -> str:
    """The stand-in of *user*, who deletes everything; the one of an earlier deletion where that
    still counts.

    Args:
        until: Unix seconds until which the way from the person to the stand-in is kept; longer
            where they are banned, or have a quota of their own.
    """
    row = db.execute(
        "INSERT INTO departed (hash, stand_in, until, banned_at, ban_reason, credits)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET"
        " until = max(until, excluded.until),"
        " banned_at = coalesce(excluded.banned_at, banned_at),"
        " ban_reason = coalesce(excluded.ban_reason, ban_reason),"
        " credits = coalesce(excluded.credits, credits) RETURNING stand_in",
        (
            make_hash(db, user),
            f"{DELETED}:{secrets.token_hex(8)}",
            until,
            banned_at,
            ban_reason,
            credits,
        ),
    ).fetchone()
    return str(row["stand_in"])


def lift_ban(db: sqlite3.Connection, user: str) -> None:
    """Lift the ban that *user* had before a deletion, if there was one."""
    db.execute(
        "UPDATE departed SET banned_at = NULL, ban_reason = NULL WHERE hash = ?",
        (hashed(db, user),),
    )


def set_credits(db: sqlite3.Connection, user: str, credits: int | None) -> None:
    """Change the own quota that *user* had before a deletion, if there was one."""
    db.execute("UPDATE departed SET credits = ? WHERE hash = ?", (credits, hashed(db, user)))


def has_expired(db: sqlite3.Connection, now: float) -> bool:
    """Whether there is anything for `expire` to do."""
    return db.execute(f"SELECT 1 FROM departed WHERE {_EXPIRED}", (now,)).fetchone() is not None


def expire(db: sqlite3.Connection, now: float) -> None:
    """Cut the way to stand-ins of people for whom nothing counts any more at *now* (unix
    seconds)."""
    db.execute(f"DELETE FROM departed WHERE {_EXPIRED}", (now,))


def _row(db: sqlite3.Connection, user: str) -> sqlite3.Row | None:
    hash = hashed(db, user)
    if hash is None:
        return None
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM departed WHERE hash = ?", (hash,)
    ).fetchone()
    return row


def _hash(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
