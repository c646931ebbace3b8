"""Selves: accounts that one person has joined, in the table ``selves``.

Rows of jobs, entries and strikes name the account that made them, joined or not. So both histories
are there at once, each account keeps its own when it leaves, and what counts for a person is summed
over the names of all their accounts. Of accounts that have left, what they spent until then goes on
counting for the others, and the other way round: nobody gains credits, or loses strikes, by
joining and leaving. What counts for an account only because of one with which another of the
person's had been joined before counts no longer once it has left that other.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable
from functools import partial

from bot import departed
from bot.database import Database

#: Accounts of one person.
MOST = 8
#: A time that does not come.
NEVER = 1e18


def of(db: sqlite3.Connection, account: str) -> list[str]:
    """All accounts of the person of *account*, that one first."""
    rows = db.execute(
        "SELECT other.account FROM selves AS own JOIN selves AS other USING (person)"
        " WHERE own.account = ? AND own.left_at IS NULL AND other.left_at IS NULL"
        " ORDER BY other.joined_at, other.account",
        (account,),
    )
    return [account, *(row["account"] for row in rows if row["account"] != account)]


def names(db: sqlite3.Connection, account: str) -> list[str]:
    """All names under which entries of the person of *account* stand: their accounts, and the
    stand-ins of earlier deletions."""
    found = [name for each in of(db, account) for name in departed.names(db, each)]
    return list(dict.fromkeys(found))


def names_json(db: sqlite3.Connection, account: str) -> str:
    """`names` as a JSON list, for ``json_each``."""
    return json.dumps(names(db, account))


def counting_json(db: sqlite3.Connection, account: str) -> str:
    """A JSON list of names whose entries count for the person of *account*, each with the unix time
    until which they do: those of `names` for ever, and those of accounts with which one of these
    was joined until they parted."""
    mine = names(db, account)
    until: dict[str, float] = {}
    for name in mine:
        rows = db.execute(
            "SELECT other.account, min(coalesce(own.left_at, ?), coalesce(other.left_at, ?)) AS til"
            " FROM selves AS own JOIN selves AS other USING (person)"
            " WHERE own.account = ? AND other.joined_at <= coalesce(own.left_at, ?)"
            " AND own.joined_at <= coalesce(other.left_at, ?)",
            (NEVER, NEVER, name, NEVER, NEVER),
        ).fetchall()
        for row in rows:
            for each in departed.names(db, row["account"]):
                until[each] = max(until.get(each, 0.0), row["til"])
    until |= dict.fromkeys(mine, NEVER)
    return json.dumps([[name, til] for name, til in until.items()])


def join(db: sqlite3.Connection, first: str, second: str, now: float) -> list[str]:
    """All accounts of the person whom *first* and *second*, and all that is joined with them, are
    from *now* (unix seconds) on."""
    accounts = list(dict.fromkeys([*of(db, first), *of(db, second)]))
    leave(db, accounts, now)
    person = secrets.token_hex(8)
    db.executemany(
        "INSERT INTO selves (account, person, joined_at) VALUES (?, ?, ?)",
        [(account, person, now) for account in accounts],
    )
    return accounts


def leave(db: sqlite3.Connection, accounts: Iterable[str], now: float) -> None:
    """Let each of *accounts* be by itself from *now* (unix seconds) on."""
    db.executemany(
        "UPDATE selves SET left_at = ? WHERE account = ? AND left_at IS NULL",
        [(now, account) for account in accounts],
    )


def has_expired(db: sqlite3.Connection, before: float) -> bool:
    """Whether there is anything for `expire` to do."""
    found = db.execute("SELECT 1 FROM selves WHERE left_at < ? LIMIT 1", (before,)).fetchone()
    return found is not None


def expire(db: sqlite3.Connection, before: float) -> None:
    """Forget what was joined and has parted before *before* (unix seconds)."""
    db.execute("DELETE FROM selves WHERE left_at < ?", (before,))


class Selves:
    """The accounts that are joined now, looked up in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._of: dict[str, frozenset[str]] = {}

    async def start(self) -> None:
        """Look at what is joined."""

        def read(db: sqlite3.Connection) -> list[frozenset[str]]:
            persons: dict[str, set[str]] = {}
            for row in db.execute("SELECT account, person FROM selves WHERE left_at IS NULL"):
                persons.setdefault(row["person"], set()).add(row["account"])
            return [frozenset(each) for each in persons.values()]

        found = await self._database.read(read)
        self._of = {account: each for each in found for account in each}

    def of(self, account: str) -> frozenset[str]:
        """All accounts of the person of *account*."""
        return self._of.get(account) or frozenset({account})

    def person_of(self, account: str) -> str:
        """One name for all accounts of the person of *account*: that of one of them."""
        return min(self._of.get(account) or (account,))

    def are_one(self, account: str, other: str) -> bool:
        """Whether both accounts are one person's."""
        return account == other or other in self._of.get(account, ())

    async def refresh(self, accounts: Iterable[str]) -> None:
        """Look again at *accounts*, which have been joined or have parted."""
        for account in list(accounts):
            now = frozenset(await self._database.read(partial(of, account=account)))
            for each in now:
                self._of[each] = now
            if len(now) == 1:
                self._of.pop(account, None)
