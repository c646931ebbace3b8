"""The audit log: a table of the acts of admins, moderators and the command line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Act:
    """One act of an admin: time (unix seconds), admin, act, subject, and details."""

    made_at: float
    admin: str
    act: str
    subject: str | None
    detail: str | None


def write_down(
    db: sqlite3.Connection,
    now: float,
    admin: str,
    act: str,
    subject: str | None,
    detail: str | None,
    server: str | None = None,
) -> None:
    """Add one act, which concerns *server* where one is named; see `Act` for the others."""
    db.execute(
        "INSERT INTO audit (made_at, admin, act, subject, detail, server)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (now, admin, act, subject, detail, server),
    )


def acts(
    db: sqlite3.Connection,
    *,
    limit: int,
    server: str | None = None,
    words: str = "",
    since: float = 0.0,
    skip: int = 0,
) -> list[Act]:
    """The latest acts, newest first.

    Args:
        limit: Most of them.
        server: Only acts that concern it.
        words: Text that admin, act, subject or detail has in it, in any case.
        since: Only acts after it (unix seconds).
        skip: Acts to leave out, for further pages.
    """
    rows = db.execute(
        "SELECT made_at, admin, act, subject, detail FROM audit"
        " WHERE (? IS NULL OR server = ?) AND made_at > ?"
        " AND instr(lower(admin || ' ' || act || ' ' || coalesce(subject, '') || ' '"
        " || coalesce(detail, '')), ?)"
        " ORDER BY number DESC LIMIT ? OFFSET ?",
        (server, server, since, words.lower(), limit, skip),
    )
    return [Act(**dict(row)) for row in rows]


def as_lines(found: Iterable[Act], most_bytes: int | None = None) -> str:
    """Each act as JSON on a line of its own (JSON Lines), as many as fit into *most_bytes*."""
    lines, size = [], 0
    for act in found:
        line = f"{json.dumps(asdict(act))}\n"
        size += len(line)
        if most_bytes is not None and size > most_bytes:
            break
        lines.append(line)
    return "".join(lines)
