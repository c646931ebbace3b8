"""The table ``refused_words``: words that the managers of a server want refused there.

All functions run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import sqlite3

from bot.refusals import Conflict
from generation.errors import InvalidRequest

MOST_WORDS = 200
MOST_CHARACTERS = 60


def of(db: sqlite3.Connection, server: str | None) -> tuple[str, ...]:
    """The words of *server*, ``platform-server:id``, in alphabetical order."""
    rows = db.execute("SELECT word FROM refused_words WHERE server = ? ORDER BY word", (server,))
    return tuple(row["word"] for row in rows)


def add(db: sqlite3.Connection, server: str, word: str) -> None:
    """Refuse *word*, or a phrase, in *server*.

    Raises:
        InvalidRequest: It is too short or too long.
        Conflict: The server has as many words as it may have.
    """
    if not 2 <= len(word) <= MOST_CHARACTERS:
        raise InvalidRequest(
            f"a refused word has 2 to {MOST_CHARACTERS} characters, not {len(word)}"
        )
    if len(of(db, server)) >= MOST_WORDS:
        raise Conflict(
            f"this server refuses {MOST_WORDS} words already, the most it may: remove one"
        )
    db.execute("INSERT OR IGNORE INTO refused_words VALUES (?, ?)", (server, word.lower()))


def remove(db: sqlite3.Connection, server: str, word: str) -> bool:
    """Whether *word* was refused in *server*; it no longer is."""
    cursor = db.execute(
        "DELETE FROM refused_words WHERE server = ? AND word = ?", (server, word.lower())
    )
    return cursor.rowcount == 1
