"""Requests that may be sent again: the same key means the same job.

A client that has lost an answer cannot know whether its picture is being drawn. With a key of its
own choice it asks again, and is led to the same job instead of paying for a second one (IETF draft
"The Idempotency-Key HTTP Header Field"). The key becomes a `bot.source.Source.event_id`, so that
the promise is kept where repeated events of platforms are: in the transaction that admits a job. A
refusal makes no job, so the same key may try again.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Callable
from functools import partial

from bot.database import Database
from bot.refusals import KeyReused

#: Seconds for which a key is known.
DAY = 86_400.0


class IdempotencyKeys:
    """Keys of people, in the table ``idempotency_keys``. *now* returns unix seconds."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def event_id(self, user: str, key: str, request: bytes, seconds: float = DAY) -> str:
        """The event id for a request of *user* with *key*: the same one as for the first of them
        within *seconds*.

        Args:
            key: The client's key; people do not share theirs.
            request: All that makes the request what it is: its path and its body. Kept as a hash.

        Raises:
            KeyReused: The key came with another request.
        """
        known = partial(
            _known,
            user=user,
            key=_hash(key.encode("utf-8", "surrogatepass")),
            fingerprint=_hash(request),
            now=self._now(),
            seconds=seconds,
        )
        return await self._database.write(known)

    async def forget(self, user: str, key: str) -> None:
        """Have the next request of *user* with *key* make a job of its own, as after a job that
        was cancelled because its client had gone."""
        hash = _hash(key.encode("utf-8", "surrogatepass"))
        await self._database.write(
            lambda db: db.execute(
                "DELETE FROM idempotency_keys WHERE user = ? AND key = ?", (user, hash)
            )
        )


def _known(
    db: sqlite3.Connection, user: str, key: str, fingerprint: str, now: float, seconds: float
) -> str:
    db.execute("DELETE FROM idempotency_keys WHERE ends_at <= ?", (now,))
    row = db.execute(
        "SELECT fingerprint, event_id FROM idempotency_keys WHERE user = ? AND key = ?", (user, key)
    ).fetchone()
    if row is None:
        event_id = f"key:{secrets.token_hex(16)}"
        db.execute(
            "INSERT INTO idempotency_keys (user, key, fingerprint, event_id, ends_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (user, key, fingerprint, event_id, now + seconds),
        )
        return event_id
    if row["fingerprint"] != fingerprint:
        raise KeyReused()
    return str(row["event_id"])


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
