"""Words and people taken out of the database, so that no byte of them stays in its file.

All functions run inside a transaction of `bot.database.Database.write` (or a read). The table
``jobs`` keeps its rows, since sums of others need their numbers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from bot import departed, votes
from generation.kinds import picture_names

#: The prompt of a job whose words are forgotten.
FORGOTTEN = "(prompt forgotten)"
#: Pages of the search index that one transaction rewrites.
PAGES_AT_ONCE = 200

#: Columns beside those of jobs that name a person: they get the stand-in.
_PEOPLE = (
    ("jobs", "user"),
    ("entries", "user"),
    ("entries", "made_by"),
    ("strikes", "user"),
    ("members", "user"),
    ("reports", "user"),
    ("incidents", "user"),
    ("audit", "admin"),
    ("audit", "subject"),
    ("selves", "account"),
)


def jobs_of(db: sqlite3.Connection, user: str, server: str | None = None) -> list[str]:
    """Ids of all jobs of *user*, oldest first; with *server* only of those from there, and then an
    empty *user* is everybody."""
    if not user:
        rows = db.execute("SELECT id FROM jobs WHERE server = ? ORDER BY number", (server,))
    elif server is None:
        rows = db.execute("SELECT id FROM jobs WHERE user = ? ORDER BY number", (user,))
    else:
        mine = "SELECT id FROM jobs WHERE user = ? AND server = ? ORDER BY number"
        rows = db.execute(mine, (user, server))
    return [row["id"] for row in rows]


def old_words(db: sqlite3.Connection, before: float, limit: int) -> list[str]:
    """Ids of at most *limit* jobs that ended before *before* (unix seconds), whose answers are
    given and whose words are kept."""
    rows = db.execute(
        "SELECT id FROM jobs WHERE forgotten_at IS NULL AND finished_at < ?"
        " AND delivery != 'owed' LIMIT ?",
        (before, limit),
    )
    return [row["id"] for row in rows]


def addresses(db: sqlite3.Connection, job_ids: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
    """Platform and ``reply_to`` of each of *job_ids* that was answered somewhere."""
    found = []
    for job_id in job_ids:
        row = db.execute("SELECT user, reply_to FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is not None and row["reply_to"] is not None:
            found.append((row["user"].partition(":")[0], json.loads(row["reply_to"])))
    return found


def control_images_of(db: sqlite3.Connection, job_ids: Iterable[str]) -> set[str]:
    """File names of pictures that *job_ids* were drawn from."""
    found = set()
    for job_id in job_ids:
        row = db.execute("SELECT request FROM jobs WHERE id = ?", (job_id,)).fetchone()
        request = _read(row["request"]) if row is not None else {}
        found |= {request[name] for name in picture_names() if request.get(name)}
    return found


def forget_words(db: sqlite3.Connection, job_ids: Iterable[str], now: float) -> None:
    """Forget prompts, negative prompts, remarks and errors of *job_ids*; the numbers stay."""
    for job_id in job_ids:
        row = db.execute("SELECT request FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            continue
        request = {**_read(row["request"]), "prompt": FORGOTTEN, "negative_prompt": ""}
        db.execute(
            "UPDATE jobs SET prompt = '', request = ?, remarks = '[]', error = NULL,"
            " verdict = NULL, is_dead_letter = 0, forgotten_at = coalesce(forgotten_at, ?)"
            " WHERE id = ?",
            (json.dumps(request, ensure_ascii=False), now, job_id),
        )


def erase_jobs(db: sqlite3.Connection, job_ids: Sequence[str], now: float) -> None:
    """Leave of *job_ids*, which have ended, the numbers that sums need."""
    forget_words(db, job_ids, now)
    for job_id in job_ids:
        db.execute("DELETE FROM favourites WHERE job_id = ?", (job_id,))
        db.execute("DELETE FROM shared_jobs WHERE job_id = ?", (job_id,))
        db.execute("DELETE FROM webhooks WHERE job_id = ?", (job_id,))
        votes.forget(db, job_id)
        row = db.execute("SELECT request, event_id FROM jobs WHERE id = ?", (job_id,)).fetchone()
        # A platform may still repeat the event, which must not be drawn again.
        event = row["event_id"]
        event_id = None if event is None else hashed_event(departed.make_hash(db, event))
        db.execute(
            "UPDATE jobs SET request = ?, reply_to = NULL, event_id = ?, delivery = 'none',"
            " is_pruned = 1 WHERE id = ?",
            (json.dumps(_numbers(_read(row["request"]))), event_id, job_id),
        )


def hashed_event(hash: str) -> str:
    """The event id of an erased job, from the *hash* of the platform's."""
    return f"{departed.DELETED}:{hash}"


def replace_person(db: sqlite3.Connection, user: str, stand_in: str) -> None:
    """Put *stand_in* wherever *user* is named, and forget reasons of their strikes."""
    db.execute("UPDATE strikes SET reason = '' WHERE user = ?", (user,))
    db.execute("DELETE FROM web_sessions WHERE user = ?", (user,))
    db.execute("DELETE FROM sign_in_links WHERE user = ?", (user,))
    db.execute("DELETE FROM idempotency_keys WHERE user = ?", (user,))
    db.execute("DELETE FROM favourites WHERE user = ?", (user,))
    db.execute("DELETE FROM shared_jobs WHERE user = ?", (user,))
    db.execute("DELETE FROM webhooks WHERE user = ?", (user,))
    db.execute("DELETE FROM votes WHERE user = ?", (user,))
    db.execute("UPDATE incidents SET note = '' WHERE user = ?", (user,))
    db.execute("UPDATE incidents SET note = '' WHERE instr(note, ?)", (user,))
    db.execute("UPDATE reports SET reason = '' WHERE user = ?", (user,))
    for table, column in _PEOPLE:
        db.execute(
            f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?", (stand_in, user)
        )
    db.execute(
        "UPDATE audit SET detail = replace(detail, ?, ?) WHERE instr(detail, ?)",
        (user, stand_in, user),
    )


def tidy_search(db: sqlite3.Connection) -> bool:
    """Rewrite a part of the search index without what was deleted; False once there is nothing
    left to do (SQLite's FTS5, "The 'merge' Command")."""
    before = db.total_changes
    db.execute("INSERT INTO jobs_words (jobs_words, rank) VALUES ('merge', ?)", (-PAGES_AT_ONCE,))
    return db.total_changes - before >= 2


def _read(request: str) -> dict[str, Any]:
    try:
        found = json.loads(request)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _numbers(request: dict[str, Any]) -> dict[str, Any]:
    """A request of words alone, with the size and the steps of *request*."""
    return {
        "prompt": FORGOTTEN,
        "num_inference_steps": request.get("num_inference_steps", 1),
        "guidance_scale": 0.0,
        "width": request.get("width", 64),
        "height": request.get("height", 64),
        "seed": 0,
    }
