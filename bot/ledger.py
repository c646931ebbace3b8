"""The ledger of credits: charges, refunds and grants.

A person may spend ``quota.credits`` in any window of ``quota.window_hours``. Credits that
admins grant lie in a second pot and never expire. A charge draws on the window first. Balances
are sums over entries, so that nothing can drift.

All methods run inside a transaction of `bot.database.Database.write` (or a read).
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from bot import access, departed, people, selves
from bot.jobs import Job
from bot.languages import in_words
from bot.origins import NOWHERE, Origin
from bot.refusals import QuotaExceeded
from bot.sections import Quota

#: Seconds that may lie between a request and its charge.
SLACK = 3600.0
#: Share of a charge that is kept where everything is given back.
NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """Credits of a person.

    Attributes:
        credits: Allowance of one window.
        used: Spent in the current window.
        granted: Granted by admins and not spent yet.
        left: Available now, both pots together.
        window_seconds: Length of the window.
        resets_in: Seconds until the oldest charge leaves the window; None if none counts.
    """

    credits: int
    used: int
    granted: int
    left: int
    window_seconds: float
    resets_in: float | None


def cost(job: Job, quota: Quota) -> int:
    """Credits for *job*: steps x pixels x pictures over ``pixels_per_credit``, at least 1."""
    return max(1, math.ceil(round(job.work * 2**20 / quota.pixels_per_credit, 6)))


class Ledger:
    """The rules of one configured quota."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota

    def status(
        self, db: sqlite3.Connection, user: str, now: float, origin: Origin = NOWHERE
    ) -> QuotaStatus:
        """Credits of *user*, asking from *origin*, at *now* (unix seconds)."""
        since = self._window_start(db, user, now)
        counting = selves.counting_json(db, user)
        # A charge and its refund count at the same time, and cancel each other out there.
        row = db.execute(
            "SELECT coalesce(-sum(spent), 0) AS used, min(counts_at) AS oldest FROM ("
            " SELECT counts_at, sum(credits) AS spent FROM json_each(?) AS self"
            " CROSS JOIN entries ON user = self.value ->> 0"
            " WHERE pot = 'allowance' AND counts_at > ? AND counts_at <= self.value ->> 1"
            " GROUP BY counts_at HAVING spent != 0)",
            (counting, since),
        ).fetchone()
        granted = self._granted(db, selves.names(db, user))
        credits = self._allowance(db, user, origin)
        resets_in = row["oldest"] + self._seconds - now if row["used"] else None
        return QuotaStatus(
            credits=credits,
            used=row["used"],
            granted=granted,
            left=max(0, credits - row["used"]) + granted,
            window_seconds=self._seconds,
            resets_in=resets_in,
        )

    def check(self, db: sqlite3.Connection, job: Job, now: float) -> QuotaStatus:
        """Credits of ``job.user``, which are enough for *job*.

        Raises:
            QuotaExceeded: The person, or the server, has too little left.
        """
        status = self.status(db, job.user, now, job.origin)
        if job.cost > status.left:
            raise self._exceeded(db, job, status, now)
        self._check_server(db, job, now)
        return status

    def relaxes(self, db: sqlite3.Connection, job: Job, now: float) -> bool:
        """Whether *job*, for which the person has too few credits, may be drawn at no charge when
        nobody who pays waits.

        Raises:
            QuotaExceeded: The server's limits do not allow it.
        """
        if not self.quota.relaxed:
            return False
        if job.cost <= self.status(db, job.user, now, job.origin).left:
            return False
        self._check_server(db, job, now)
        return True

    def charge(self, db: sqlite3.Connection, job: Job, now: float) -> None:
        """Charge ``job.cost`` to ``job.user``.

        Raises:
            QuotaExceeded: The person has too little left; nothing was written.
        """
        status = self.check(db, job, now)
        from_allowance = min(job.cost, max(0, status.credits - status.used))
        for pot, credits in (
            ("allowance", from_allowance),
            ("grant", job.cost - from_allowance),
        ):
            if credits:
                db.execute(
                    "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, job_id)"
                    " VALUES (?, 'charge', ?, ?, ?, ?, ?)",
                    (job.user, pot, -credits, now, now, job.id),
                )

    def refund(
        self, db: sqlite3.Connection, job_id: str, now: float, share_kept: Fraction = NOTHING
    ) -> int:
        """Give back the charge of *job_id*, and return the credits that this call gives back: 0 if
        that was done before, or nothing charged.

        A refund only grows, and never beyond its charge, so that a part can be given back first
        and the rest later.

        Args:
            share_kept: Share of the charge that is kept, 0 to 1; the credits are rounded down.
                Like a charge it draws on the allowance first.
        """
        charges = {
            row["pot"]: -row["credits"]
            for row in db.execute(
                "SELECT pot, credits FROM entries WHERE job_id = ? AND kind = 'charge'", (job_id,)
            )
        }
        before = self.refunded(db, job_id)
        kept = math.floor(sum(charges.values()) * share_kept)
        for pot in ("allowance", "grant"):
            charged = charges.get(pot, 0)
            kept_here = min(kept, charged)
            kept -= kept_here
            db.execute(
                "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, job_id)"
                " SELECT user, 'refund', pot, ?, counts_at, ?, job_id FROM entries"
                " WHERE job_id = ? AND kind = 'charge' AND pot = ? AND ? > 0"
                " ON CONFLICT (job_id, kind, pot) DO UPDATE"
                " SET credits = excluded.credits, made_at = excluded.made_at"
                " WHERE excluded.credits > credits",
                (charged - kept_here, now, job_id, pot, charged - kept_here),
            )
        return self.refunded(db, job_id) - before

    def refunded(self, db: sqlite3.Connection, job_id: str) -> int:
        """Credits of *job_id* that were given back so far."""
        (credits,) = db.execute(
            "SELECT coalesce(sum(credits), 0) FROM entries WHERE job_id = ? AND kind = 'refund'",
            (job_id,),
        ).fetchone()
        return int(credits)

    def grant(
        self, db: sqlite3.Connection, user: str, credits: int, now: float, admin: str
    ) -> None:
        """Give *user* extra *credits*, which never expire."""
        db.execute(
            "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, made_by)"
            " VALUES (?, 'grant', 'grant', ?, ?, ?, ?)",
            (user, credits, now, now, admin),
        )

    def reset(self, db: sqlite3.Connection, user: str, now: float, admin: str) -> None:
        """Reset the credits that *user* has spent in the current window."""
        db.execute(
            "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at, made_by)"
            " VALUES (?, 'reset', 'allowance', 0, ?, ?, ?)",
            (user, now, now, admin),
        )

    def part(self, db: sqlite3.Connection, leaving: str, others: Sequence[str], now: float) -> None:
        """Settle what admins granted between the account *leaving* and *others*, with which it is
        joined no longer: what one side has spent of the other's is taken from there."""
        mine = departed.names(db, leaving)
        theirs = [name for each in others for name in departed.names(db, each)]
        for debtor, owed, creditor in (
            (leaving, -self._granted(db, mine), others[0]),
            (others[0], -self._granted(db, theirs), leaving),
        ):
            if owed > 0:
                db.executemany(
                    "INSERT INTO entries (user, kind, pot, credits, counts_at, made_at)"
                    " VALUES (?, 'grant', 'grant', ?, ?, ?)",
                    [(debtor, owed, now, now), (creditor, -owed, now, now)],
                )

    def _granted(self, db: sqlite3.Connection, names: Sequence[str]) -> int:
        """Credits that were granted to *names* together and are not spent yet."""
        (credits,) = db.execute(
            "SELECT coalesce(sum(credits), 0) FROM json_each(?) AS self"
            " CROSS JOIN entries ON user = self.value WHERE pot = 'grant'",
            (json.dumps(list(dict.fromkeys(names))),),
        ).fetchone()
        return int(credits)

    def group_quota(self, db: sqlite3.Connection, group: str) -> int | None:
        """Credits per window of each member of a role, or of all people of a server together;
        None without a limit."""
        row = db.execute("SELECT credits FROM group_quotas WHERE name = ?", (group,)).fetchone()
        return None if row is None else row["credits"]

    def set_group_quota(self, db: sqlite3.Connection, group: str, credits: int | None) -> None:
        """Set the quota of a role or a server; None lifts the limit."""
        if credits is None:
            db.execute("DELETE FROM group_quotas WHERE name = ?", (group,))
        else:
            db.execute("INSERT OR REPLACE INTO group_quotas VALUES (?, ?)", (group, credits))

    @property
    def _seconds(self) -> float:
        return self.quota.window_hours * 3600

    def _allowance(self, db: sqlite3.Connection, user: str, origin: Origin) -> int:
        """A person's own quota, else the largest of their roles, else the configured one."""
        own = people.own_quota(db, user)
        if own is not None:
            return own
        of_roles = [self.group_quota(db, role) for role in origin.roles]
        return max(
            (credits for credits in of_roles if credits is not None), default=self.quota.credits
        )

    def _check_server(self, db: sqlite3.Connection, job: Job, now: float) -> None:
        """Raise QuotaExceeded where all people of the server together have spent too much."""
        server = job.origin.server
        if server is None:
            return
        self._check_member(db, job, server, now)
        credits = self.group_quota(db, server)
        if credits is None:
            return
        (used,) = db.execute(
            # A charge counts from a moment after its job was asked for.
            "SELECT coalesce(-sum(credits), 0) FROM jobs JOIN entries ON jobs.id = job_id"
            " WHERE server = ? AND submitted_at > ? AND counts_at > ?",
            (server, now - self._seconds - SLACK, now - self._seconds),
        ).fetchone()
        if job.cost > credits - used:
            raise QuotaExceeded(
                f"this would cost {job.cost} credits, and the people of this server have"
                f" {max(0, credits - used)} left together (of {credits} for"
                f" {in_words(self._seconds)}): try again later, or ask for fewer steps or a"
                " smaller size"
            )

    def _check_member(self, db: sqlite3.Connection, job: Job, server: str, now: float) -> None:
        """Raise QuotaExceeded where the person has spent what the managers of *server* let them
        spend there."""
        credits = access.quota(db, server, job.user)
        if credits is None:
            return
        (used,) = db.execute(
            "SELECT coalesce(-sum(credits), 0) FROM entries JOIN jobs ON jobs.id = job_id"
            " WHERE entries.user IN (SELECT value FROM json_each(?))"
            " AND pot IN ('allowance', 'grant') AND server = ? AND counts_at > ?",
            (selves.names_json(db, job.user), server, now - self._seconds),
        ).fetchone()
        if job.cost > credits - used:
            raise QuotaExceeded(
                f"this would cost {job.cost} credits, and you have {max(0, credits - used)} left"
                f" in this server (of {credits} for {in_words(self._seconds)}): try again later,"
                " or ask for fewer steps or a smaller size"
            )

    def _window_start(self, db: sqlite3.Connection, user: str, now: float) -> float:
        (reset_at,) = db.execute(
            "SELECT max(counts_at) FROM json_each(?) AS self"
            " CROSS JOIN entries ON user = self.value ->> 0"
            " WHERE kind = 'reset' AND counts_at <= self.value ->> 1",
            (selves.counting_json(db, user),),
        ).fetchone()
        return max(now - self._seconds, reset_at or -math.inf)

    def _exceeded(
        self, db: sqlite3.Connection, job: Job, status: QuotaStatus, now: float
    ) -> QuotaExceeded:
        credits = f"{status.credits} credits for {in_words(self._seconds)}"
        if status.granted:
            credits += f", {status.granted} granted"
        if job.cost > status.credits + status.granted:
            return QuotaExceeded(
                f"this would cost {job.cost} credits, and you never have more than"
                f" {credits}: ask for fewer steps, a smaller size or fewer pictures"
            )
        retry_in = self._enough_in(db, job, status, now)
        return QuotaExceeded(
            f"this would cost {job.cost} credits and you have {status.left} left (of {credits}):"
            f" try again in {in_words(retry_in)}, or ask for fewer steps or a smaller size",
            retry_in=retry_in,
        )

    def _enough_in(
        self, db: sqlite3.Connection, job: Job, status: QuotaStatus, now: float
    ) -> float:
        """Seconds until so many charges have left the window that *job* can be paid."""
        missing = job.cost - status.left
        # An allowance that an admin lowered may be overdrawn; that comes back first.
        missing += max(0, status.used - status.credits)
        for row in db.execute(
            "SELECT counts_at, -sum(credits) AS credits FROM json_each(?) AS self"
            " CROSS JOIN entries ON user = self.value ->> 0"
            " WHERE pot = 'allowance' AND counts_at > ? AND counts_at <= self.value ->> 1"
            " GROUP BY counts_at ORDER BY counts_at",
            (selves.counting_json(db, job.user), self._window_start(db, job.user, now)),
        ):
            missing -= row["credits"]
            if missing <= 0:
                return max(1.0, float(row["counts_at"]) + self._seconds - now)
        return self._seconds
