"""Jobs as rows of the database.

All methods take the plain connection of a transaction (see `bot.database`).
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from bot import departed, finding, selves, votes
from bot.finding import Wanted
from bot.forgetting import hashed_event
from bot.jobs import Delivery, Job, JobStatus, Progress, Review
from bot.lineage import Relation
from bot.origins import Origin
from generation.kinds import picture_names
from generation.types import GenerationRequest

logger = logging.getLogger(__name__)

#: Errors from reading a row that a newer version, or a bad disk, has written.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Jobs that the last process left unfinished.

    Attributes:
        begun: Jobs whose turn had come, in the order of arrival.
        waiting: Jobs still in the queue, in the order of arrival.
        held: Jobs that wait for moderators.
        moved: Ids of waiting jobs that admins moved, in the order of the moves, each with
            whether it went to the front.
        unreadable: Ids of jobs whose rows cannot be read.
        round: The queue's round at that time.
        had_their_turn: People who had their turn in that round.
    """

    begun: list[Job]
    waiting: list[Job]
    held: list[Job]
    moved: list[tuple[str, bool]]
    unreadable: list[str]
    round: int
    had_their_turn: list[str]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Jobs of one person, newest first.

    Attributes:
        next: Value of ``before`` for the following page; None on the last.
    """

    jobs: list[Job]
    next: int | None


#: A query of jobs, each with the credits that were given back, and its parent's person.
JOBS = (
    "SELECT jobs.*, (SELECT coalesce(sum(credits), 0) FROM entries"
    " WHERE job_id = jobs.id AND kind = 'refund') AS refunded,"
    " (SELECT user FROM jobs AS parents WHERE parents.id = jobs.parent) AS parent_user FROM jobs"
)


class JobStore:
    """The table ``jobs``; *control_images* is the folder of the attached pictures."""

    def __init__(self, control_images: Path) -> None:
        self._control_images = control_images

    def insert(self, db: sqlite3.Connection, job: Job) -> None:
        db.execute(
            "INSERT INTO jobs (id, user, status, prompt, request, images, cost, submitted_at,"
            " server, reply_to, event_id, parent, series, is_relaxed, relation, is_seed_given,"
            " remarks, review, verdict, is_spoiler)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                job.id,
                job.user,
                job.status,
                job.request.prompt,
                _json(job.request.to_dict()),
                job.images,
                job.cost,
                job.submitted_at,
                job.origin.server,
                None if job.reply_to is None else _json(job.reply_to),
                job.event_id,
                job.parent,
                *(job.series, job.is_relaxed),
                job.relation,
                job.is_seed_given,
                _json(job.remarks),
                job.review,
                job.verdict,
                job.is_spoiler,
            ),
        )

    def begin(self, db: sqlite3.Connection, job: Job, now: float, turn: int) -> int | None:
        """Count an attempt at *job*, which is about to be drawn.

        Returns:
            The fence of the attempt, with which alone its end can be written; None if the job
            has ended.
        """
        row = db.execute(
            "UPDATE jobs SET status = 'running', request = ?, started_at = ?, turn = ?,"
            " moved = NULL, attempts = attempts + 1, fence = fence + 1"
            " WHERE id = ? AND status IN ('queued', 'running') RETURNING fence",
            (_json(job.request.to_dict()), now, turn, job.id),
        ).fetchone()
        return None if row is None else row["fence"]

    def give_back(self, db: sqlite3.Connection, job_id: str, fence: int) -> bool:
        """Return a job to the queue without counting the attempt, which the bot itself broke
        off; False if that attempt is not the latest."""
        cursor = db.execute(
            "UPDATE jobs SET status = 'queued', started_at = NULL, attempts = attempts - 1"
            " WHERE id = ? AND status = 'running' AND fence = ?",
            (job_id, fence),
        )
        return cursor.rowcount == 1

    def draw_again(self, db: sqlite3.Connection, job_id: str, fence: int) -> bool:
        """Return a job whose engine has died to the queue; False if that attempt is not the
        latest."""
        cursor = db.execute(
            "UPDATE jobs SET status = 'queued', started_at = NULL,"
            " engine_losses = engine_losses + 1"
            " WHERE id = ? AND status = 'running' AND fence = ?",
            (job_id, fence),
        )
        return cursor.rowcount == 1

    def move(self, db: sqlite3.Connection, job_id: str, *, to_front: bool) -> None:
        """Record that a waiting job was moved, after all earlier moves."""
        db.execute(
            "UPDATE jobs SET moved = ? * (1 + (SELECT coalesce(max(abs(moved)), 0) FROM jobs"
            " WHERE status IN ('queued', 'running') AND status = 'queued'))"
            " WHERE id = ? AND status = 'queued'",
            (-1 if to_front else 1, job_id),
        )

    def finish(
        self,
        db: sqlite3.Connection,
        job_id: str,
        status: JobStatus,
        now: float,
        *,
        fence: int | None = None,
        seconds: float | None = None,
        error: str | None = None,
        engine_losses: int | None = None,
        is_dead_letter: bool = False,
        steps_drawn: int | None = None,
        review: Review | None = None,
        is_spoiler: bool = False,
    ) -> bool:
        """Write the end of a job; its answer is owed from now on if it has a ``reply_to``. What is
        None keeps its value.

        Returns:
            Whether it was written. Nothing changes if the job had ended already, or if *fence*
            is not that of the latest attempt.
        """
        cursor = db.execute(
            "UPDATE jobs SET status = ?, finished_at = ?, seconds = coalesce(?, seconds),"
            " error = ?, engine_losses = coalesce(?, engine_losses), is_dead_letter = ?,"
            " steps_drawn = ?, review = coalesce(?, review), is_spoiler = max(is_spoiler, ?),"
            " delivery = iif(reply_to IS NULL, 'none', 'owed')"
            " WHERE id = ? AND status IN ('queued', 'running') AND fence = coalesce(?, fence)",
            (
                status,
                now,
                seconds,
                error,
                engine_losses,
                is_dead_letter,
                steps_drawn,
                review,
                is_spoiler,
                job_id,
                fence,
            ),
        )
        return cursor.rowcount == 1

    def add_ready(
        self,
        db: sqlite3.Connection,
        job_id: str,
        number: int,
        seconds: float,
        *,
        is_spoiler: bool,
        fence: int,
    ) -> bool:
        """Write that picture *number* of a job, which took *seconds*, may be seen; False if that
        attempt is not the latest."""
        cursor = db.execute(
            "UPDATE jobs SET ready = json_insert(ready, '$[#]', ?),"
            " seconds = coalesce(seconds, 0) + ?, is_spoiler = max(is_spoiler, ?)"
            " WHERE id = ? AND status = 'running' AND fence = ?",
            (number, seconds, is_spoiler, job_id, fence),
        )
        return cursor.rowcount == 1

    def share_ready(self, db: sqlite3.Connection, job_id: str) -> Fraction:
        """Share of the pictures of a job that may be seen whatever becomes of the others."""
        row = db.execute("SELECT ready, images FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return Fraction(len(_numbers(row["ready"])), row["images"])

    def was_cancelled_by_its_person(self, db: sqlite3.Connection, job_id: str) -> bool:
        """Whether the person who had asked for a job cancelled it while it was drawn."""
        cancelled = "SELECT 1 FROM jobs WHERE id = ? AND steps_drawn IS NOT NULL"
        return db.execute(cancelled, (job_id,)).fetchone() is not None

    def hold(self, db: sqlite3.Connection, job: Job, fence: int | None) -> bool:
        """Hold *job*, which is drawn and stored, for moderators; False if that attempt is not the
        latest. Its row stays ``running``, so that its answer is still to come."""
        cursor = db.execute(
            "UPDATE jobs SET review = 'held', verdict = ?, seconds = ?, is_spoiler = ?"
            " WHERE id = ? AND status = 'running' AND fence = coalesce(?, fence)",
            (job.verdict, job.seconds, job.is_spoiler, job.id, fence),
        )
        return cursor.rowcount == 1

    def held(self, db: sqlite3.Connection, server: str | None = None) -> list[Job]:
        """Jobs that wait for moderators, oldest first; with *server* only those from there."""
        rows = db.execute(
            f"{JOBS} WHERE review = 'held' AND status = 'running'"
            " AND (? IS NULL OR server = ?) ORDER BY number",
            (server, server),
        )
        return self._readable(rows)

    def count(self, db: sqlite3.Connection, user: str, server: str | None = None) -> int:
        """Number of jobs of *user* that succeeded; with *server* of those from there."""
        (count,) = db.execute(
            "SELECT count(*) FROM jobs WHERE user = ? AND status = 'succeeded'"
            " AND (? IS NULL OR server = ?)",
            (user, server, server),
        ).fetchone()
        return int(count)

    def set_error(self, db: sqlite3.Connection, job_id: str, error: str) -> None:
        db.execute("UPDATE jobs SET error = ? WHERE id = ?", (error, job_id))

    def set_spoiler(self, db: sqlite3.Connection, job_id: str, is_spoiler: bool) -> None:
        """Hide the pictures of a job, or show them again; hidden ones are shared no longer, and not
        among the best."""
        db.execute("UPDATE jobs SET is_spoiler = ? WHERE id = ?", (is_spoiler, job_id))
        if is_spoiler:
            db.execute("DELETE FROM shared_jobs WHERE job_id = ?", (job_id,))
            votes.withdraw(db, [job_id])

    def dead_letters(self, db: sqlite3.Connection) -> list[Job]:
        """Jobs that were given up and not replayed, oldest first."""
        return self._readable(db.execute(f"{JOBS} WHERE is_dead_letter ORDER BY number"))

    def take_dead_letter(self, db: sqlite3.Connection, job_id: str) -> bool:
        """Record that a dead letter is replayed; False if the job is not one, or no longer."""
        cursor = db.execute(
            "UPDATE jobs SET is_dead_letter = 0 WHERE id = ? AND is_dead_letter", (job_id,)
        )
        return cursor.rowcount == 1

    def exists(self, db: sqlite3.Connection, job_id: str) -> bool:
        return db.execute("SELECT 1 FROM jobs WHERE id = ?", (job_id,)).fetchone() is not None

    def find(self, db: sqlite3.Connection, job_id: str) -> Job | None:
        return self._first(db.execute(f"{JOBS} WHERE id = ?", (job_id,)))

    def find_event(self, db: sqlite3.Connection, event_id: str) -> Job | None:
        """The job that the platform's event *event_id* made, or None if it made none yet."""
        hash = departed.hashed(db, event_id)
        erased = event_id if hash is None else hashed_event(hash)
        return self._first(db.execute(f"{JOBS} WHERE event_id IN (?, ?)", (event_id, erased)))

    def of_series(self, db: sqlite3.Connection, series: str) -> list[Job]:
        """The jobs that were asked for together as *series*, in their order."""
        rows = db.execute(
            f"{JOBS} WHERE series = ? AND series IS NOT NULL ORDER BY number", (series,)
        )
        return self._readable(rows)

    def latest(self, db: sqlite3.Connection, user: str) -> Job | None:
        """The newest job of *user* that succeeded."""
        found = [_latest_number(db, account) for account in selves.of(db, user)]
        return self._first(db.execute(f"{JOBS} WHERE number = ?", (max(found),)))

    def latest_answered(
        self, db: sqlite3.Connection, platform: str, channel: str, place: Mapping[str, str]
    ) -> Job | None:
        """The newest successful job that was answered in *channel* of *platform*, among those
        whose ``reply_to`` has the fields of *place*."""
        fields = "".join(" AND json_extract(reply_to, ?) = ?" for _ in place)
        values = [part for name, value in place.items() for part in (f"$.{name}", value)]
        return self._first(
            db.execute(
                f"{JOBS} WHERE json_extract(reply_to, '$.channel') = ?"
                f" AND reply_to IS NOT NULL{fields} AND status = 'succeeded' AND user GLOB ?"
                " ORDER BY number DESC LIMIT 1",
                (channel, *values, f"{platform}:*"),
            )
        )

    def of_message(
        self, db: sqlite3.Connection, platform: str, channel: int | str, message: int | str
    ) -> Job | None:
        """The first job whose answer is *message* in *channel* of *platform*."""
        return self._first(
            db.execute(
                f"{JOBS} WHERE coalesce(json_extract(reply_to, '$.message'),"
                " json_extract(reply_to, '$.ts')) = ? AND reply_to IS NOT NULL"
                " AND json_extract(reply_to, '$.channel') = ? AND user GLOB ?"
                " ORDER BY number LIMIT 1",
                (message, channel, f"{platform}:*"),
            )
        )

    def unfinished(self, db: sqlite3.Connection) -> Unfinished:
        """Jobs that still have to be drawn, in the order of their arrival."""
        # Not max(turn), for which SQLite 3.40 does not use the index.
        latest = db.execute(
            "SELECT turn FROM jobs WHERE turn IS NOT NULL ORDER BY turn DESC LIMIT 1"
        ).fetchone()
        round = 0 if latest is None else latest["turn"]
        people = db.execute("SELECT DISTINCT user FROM jobs WHERE turn = ?", (round,))
        had_their_turn = [row["user"] for row in people]
        found = Unfinished([], [], [], [], [], round, had_their_turn)
        moves = []
        for row in db.execute(f"{JOBS} WHERE status IN ('queued', 'running') ORDER BY number"):
            try:
                job = self._job(row)
            except UNREADABLE as error:
                logger.error("the row of job %s cannot be read: %r", row["id"], error)
                found.unreadable.append(row["id"])
                continue
            if job.status is JobStatus.HELD:
                found.held.append(job)
                continue
            had_its_turn = row["turn"] is not None and row["moved"] is None
            (found.begun if had_its_turn else found.waiting).append(job)
            if row["moved"] is not None:
                moves.append((abs(row["moved"]), job.id, row["moved"] < 0))
        found.moved.extend((job_id, to_front) for _, job_id, to_front in sorted(moves))
        return found

    def undelivered(self, db: sqlite3.Connection, platform: str) -> list[Job]:
        """Jobs on *platform* whose answer is owed, or will be, oldest first."""
        # Each in its own index of few rows; an OR of both would read the whole table.
        rows = db.execute(
            f"{JOBS} WHERE number IN (SELECT number FROM jobs WHERE status IN ('queued', 'running')"
            " UNION SELECT number FROM jobs WHERE delivery = 'owed')"
            " AND reply_to IS NOT NULL AND user GLOB ? ORDER BY number",
            (f"{platform}:*",),
        )
        return self._readable(rows)

    def redirect(self, db: sqlite3.Connection, job_id: str, reply_to: dict[str, Any]) -> None:
        # An address is never written again where it was deleted.
        db.execute(
            "UPDATE jobs SET reply_to = ? WHERE id = ? AND reply_to IS NOT NULL",
            (_json(reply_to), job_id),
        )

    def close_delivery(
        self, db: sqlite3.Connection, job_id: str, delivery: Delivery, error: str | None = None
    ) -> bool:
        """Write that the answer is no longer owed; False if it was not owed."""
        cursor = db.execute(
            "UPDATE jobs SET delivery = ?, error = coalesce(error, ?)"
            " WHERE id = ? AND delivery = 'owed'",
            (delivery, error, job_id),
        )
        return cursor.rowcount == 1

    def history(
        self, db: sqlite3.Connection, user: str, wanted: Wanted, before: int | None, limit: int
    ) -> HistoryPage:
        """Jobs of *user* that are *wanted*."""
        before = 2**62 if before is None else before
        return self.page(db, finding.numbers(db, user, wanted, before, limit + 1), limit)

    def page(self, db: sqlite3.Connection, numbers: list[int], limit: int) -> HistoryPage:
        """The first *limit* of *numbers*, newest first, as jobs."""
        rows = db.execute(
            f"{JOBS} WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number DESC",
            (json.dumps(numbers[:limit]),),
        )
        more = numbers[limit - 1] if len(numbers) > limit else None
        return HistoryPage(self._readable(rows), more)

    def prunable(self, db: sqlite3.Connection, before: float, limit: int) -> list[str]:
        """Ids of at most *limit* jobs that ended before *before* (unix seconds) and still have
        files."""
        rows = db.execute(
            "SELECT id FROM jobs WHERE finished_at < ? AND NOT is_pruned AND delivery != 'owed'"
            " LIMIT ?",
            (before, limit),
        )
        return [row["id"] for row in rows]

    def prune(self, db: sqlite3.Connection, job_ids: list[str]) -> None:
        """Note that the files of *job_ids* are deleted, which nobody can share then."""
        ids = [(id,) for id in job_ids]
        db.executemany("UPDATE jobs SET is_pruned = 1 WHERE id = ?", ids)
        db.executemany("DELETE FROM shared_jobs WHERE job_id = ?", ids)

    def control_images(
        self, db: sqlite3.Connection, after: int, count: int
    ) -> tuple[set[str], int | None]:
        """File names of attached pictures that jobs with files refer to, among *count* rows of
        which the first is after *after*; and the last of these rows, None after the end."""
        (last,) = db.execute(
            "SELECT max(number) FROM (SELECT number FROM jobs WHERE number > ? LIMIT ?)",
            (after, count),
        ).fetchone()
        if last is None:
            return set(), None
        found: set[str] = set()
        for name in picture_names():
            rows = db.execute(
                "SELECT json_extract(request, ?) AS file FROM jobs"
                " WHERE number > ? AND number <= ? AND NOT is_pruned AND json_valid(request)",
                (f"$.{name}", after, last),
            )
            found.update(row["file"] for row in rows if row["file"] is not None)
        return found, last

    def without_pictures(self, db: sqlite3.Connection, job_ids: Iterable[str]) -> list[str]:
        """Ids among *job_ids* of jobs that ended without a picture."""
        ended = "SELECT 1 FROM jobs WHERE id = ? AND status IN ('failed', 'cancelled')"
        ended += " AND ready = '[]'"
        return [id for id in job_ids if db.execute(ended, (id,)).fetchone()]

    def _first(self, rows: Iterable[sqlite3.Row]) -> Job | None:
        found = self._readable(rows)
        return found[0] if found else None

    def _readable(self, rows: Iterable[sqlite3.Row]) -> list[Job]:
        """Jobs of *rows*; rows that cannot be read are logged and left out."""
        jobs = []
        for row in rows:
            try:
                jobs.append(self._job(row))
            except UNREADABLE as error:
                logger.error("the row of job %s cannot be read: %r", row["id"], error)
        return jobs

    def _job(self, row: sqlite3.Row) -> Job:
        review = None if row["review"] is None else Review(row["review"])
        is_held = review is Review.HELD and row["status"] == "running"
        status = JobStatus.HELD if is_held else JobStatus(row["status"])
        return Job(
            id=row["id"],
            user=row["user"],
            request=GenerationRequest.from_dict(json.loads(row["request"]), self._control_images),
            images=row["images"],
            cost=row["cost"],
            refunded=row["refunded"],
            steps_drawn=row["steps_drawn"],
            submitted_at=row["submitted_at"],
            origin=Origin(row["server"]),
            reply_to=None if row["reply_to"] is None else json.loads(row["reply_to"]),
            event_id=row["event_id"],
            parent=row["parent"],
            series=row["series"],
            is_relaxed=bool(row["is_relaxed"]),
            parent_user=row["parent_user"] or "",
            relation=None if row["relation"] is None else Relation(row["relation"]),
            is_seed_given=bool(row["is_seed_given"]),
            attempts=row["attempts"],
            engine_losses=row["engine_losses"],
            delivery=Delivery(row["delivery"]),
            remarks=tuple(json.loads(row["remarks"])),
            error=row["error"],
            seconds=row["seconds"],
            finished_at=row["finished_at"],
            is_pruned=bool(row["is_pruned"]),
            is_forgotten=row["forgotten_at"] is not None,
            review=review,
            verdict=row["verdict"] or "",
            ready=_numbers(row["ready"]),
            is_spoiler=bool(row["is_spoiler"]),
            progress=Progress(status),
        )


def _numbers(ready: str) -> tuple[int, ...]:
    """Numbers of pictures, as they stand in a row."""
    return tuple(sorted(set(json.loads(ready))))


def _latest_number(db: sqlite3.Connection, account: str) -> int:
    """Number of the newest job of *account* that succeeded; 0 without one."""
    row = db.execute(
        "SELECT number FROM jobs WHERE user = ? AND status = 'succeeded'"
        " ORDER BY number DESC LIMIT 1",
        (account,),
    ).fetchone()
    return 0 if row is None else int(row["number"])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
