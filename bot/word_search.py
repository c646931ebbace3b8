"""The search for words in the prompts of a person, however many jobs there are.

All functions take the plain connection of a transaction (see `bot.database`).
"""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

#: Hits of a search that are few enough to look at each.
RARE = 500
#: Rows that a search for frequent words looks at first, and at once at most; from so many on it
#: asks the large index.
FIRST_ROWS, MANY_ROWS, MOST_ROWS = 100, 800, 3200


def numbers_of(db: sqlite3.Connection, user: str, before: int, limit: int) -> list[int]:
    """Numbers of the newest jobs of *user* before *before*, newest first."""
    rows = db.execute(
        "SELECT number FROM jobs WHERE user = ? AND number < ? ORDER BY number DESC LIMIT ?",
        (user, before, limit),
    )
    return [row["number"] for row in rows]


def numbers_with(
    db: sqlite3.Connection, user: str, match: str, before: int, limit: int
) -> list[int]:
    """Numbers of the newest jobs of *user* before *before* whose words *match*, newest first.

    Rare words are looked up first, and the person's among their jobs kept. Of words that many
    jobs have, the person's jobs are gone through, newest first, as far as the page needs.
    """
    # First as whole words, since for the beginning of a word all hits are collected.
    for expression in (match.replace("*", ""), match):
        rows = db.execute(
            "SELECT rowid FROM jobs_words WHERE jobs_words MATCH ? AND rowid < ?"
            " ORDER BY rowid DESC LIMIT ?",
            (expression, before, RARE),
        )
        hits = [row["rowid"] for row in rows]
        if len(hits) == RARE:
            break
    else:
        mine = db.execute(
            "SELECT number FROM jobs WHERE user = ?"
            " AND number IN (SELECT value FROM json_each(?)) ORDER BY number DESC LIMIT ?",
            (user, json.dumps(hits), limit),
        )
        return [row["number"] for row in mine]
    found: list[int] = []
    rows_at_once = FIRST_ROWS
    while len(found) < limit and rows_at_once < MANY_ROWS:
        newest, last = _numbers_among_newest(db, user, match, before, rows_at_once)
        found += newest
        if last is None:
            return found[:limit]
        before, rows_at_once = last, 2 * rows_at_once
    while len(found) < limit and (some := numbers_of(db, user, before, rows_at_once)):
        before, rows_at_once = some[-1], min(2 * rows_at_once, MOST_ROWS)
        among = db.execute(
            "SELECT rowid FROM jobs_words WHERE jobs_words MATCH ? AND rowid BETWEEN ? AND ?",
            (match, some[-1], some[0]),
        )
        matching = {row["rowid"] for row in among}
        found += [number for number in some if number in matching]
    return found[:limit]


def _numbers_among_newest(
    db: sqlite3.Connection, user: str, match: str, before: int, count: int
) -> tuple[list[int], int | None]:
    """Numbers among the newest *count* jobs of *user* before *before* whose words *match*, newest
    first; and the number of the last that was looked at, None where there was none.

    It makes an index of these alone, since for the beginning of a word the large one collects all
    hits there are.
    """
    rows = db.execute(
        "SELECT number, prompt FROM jobs WHERE user = ? AND number < ? ORDER BY number DESC"
        " LIMIT ?",
        (user, before, count),
    )
    newest = [(row["number"], row["prompt"]) for row in rows]
    return (_matching(newest, match), newest[-1][0]) if newest else ([], None)


def those_with(db: sqlite3.Connection, numbers: list[int], match: str) -> list[int]:
    """Those jobs among *numbers* whose words *match*, newest first."""
    rows = db.execute(
        "SELECT number, prompt FROM jobs WHERE number IN (SELECT value FROM json_each(?))",
        (json.dumps(numbers),),
    )
    return _matching([(row["number"], row["prompt"]) for row in rows], match)


def _matching(prompts: list[tuple[int, str]], match: str) -> list[int]:
    """Numbers of those of *prompts* whose words *match*, the largest first."""
    with closing(sqlite3.connect(":memory:")) as small:
        small.execute(
            "CREATE VIRTUAL TABLE words USING fts5 ("
            "prompt, tokenize = 'unicode61 remove_diacritics 2')"
        )
        small.executemany("INSERT INTO words (rowid, prompt) VALUES (?, ?)", prompts)
        hits = small.execute(
            "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC", (match,)
        )
        return [number for (number,) in hits]


def match_expression(words: str) -> str | None:
    """*words* as an FTS5 query in which nothing is an operator; None without any word."""
    found = re.findall(r"\w+", words.replace("_", " "))
    return " ".join(f'"{word}"*' for word in found[:20]) or None
