"""Joining accounts and parting them again: nobody gains by it, whatever they do in which order."""

import sqlite3

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot import people, selves, strikes
from bot.database import _prepare, migrate
from bot.job_store import JobStore
from bot.jobs import Job
from bot.ledger import Ledger
from bot.linking import Linking
from bot.refusals import QuotaExceeded
from bot.sections import Quota, ScreenSettings
from bot.selves import Selves
from generation.types import GenerationRequest
from tests.conftest import examples

ACCOUNTS = ("discord:1", "slack:T-1", "web:ada", "discord:2")
#: What the general rule gives, and what an admin has given one of them.
CREDITS, OF_ONE = 30, 90
HOUR = 3600.0
SCREENS = ScreenSettings(strikes=3, strike_hours=1)
account = st.sampled_from(ACCOUNTS)


def a_job(user, cost, now):
    request = GenerationRequest(
        prompt="a fox", num_inference_steps=4, guidance_scale=3.5, width=64, height=64, seed=1
    )
    return Job(user=user, request=request, cost=cost, submitted_at=now)


class Joining(RuleBasedStateMachine):
    """People who join, part, draw, cancel and are judged, all within one window of the quota."""

    def __init__(self):
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        _prepare(self.db)
        migrate(self.db)
        self.now = 1000.0
        self.ledger = Ledger(Quota(credits=CREDITS, window_hours=1))
        self.linking = Linking(None, self.ledger, Selves(None), (), lambda: self.now)
        people.set_own_quota(self.db, ACCOUNTS[0], OF_ONE)
        self.granted = 0
        self.jobs = []
        self.banned = set()
        #: Accounts that made a strike, and the strikes (by number) that each account must bear:
        #: those of whomever it was one person with, then or later.
        self.makers = []
        self.due = {user: set() for user in ACCOUNTS}

    def teardown(self):
        self.db.close()

    def group(self, user):
        return frozenset(selves.of(self.db, user))

    @rule(first=account, second=account)
    def join(self, first, second):
        if first == second or {first, second} & self.banned:
            return
        self.now += 1
        selves.join(self.db, first, second, self.now)

        assert {first, second} <= self.group(first) == self.group(second)
        group = self.group(first)
        made = {number for number, maker in enumerate(self.makers) if maker in group}
        for user in group:
            self.due[user] |= made

    @rule(user=account)
    def part(self, user):
        self.now += 1
        self.linking.part(self.db, user)

        assert self.group(user) == {user}

    @rule(user=account, cost=st.integers(1, 60))
    def draw(self, user, cost):
        self.now += 1
        job = a_job(user, cost, self.now)
        self.db.execute("SAVEPOINT draw")
        try:
            JobStore(None).insert(self.db, job)
            self.ledger.charge(self.db, job, self.now)
            self.jobs.append(job)
        except QuotaExceeded:
            self.db.execute("ROLLBACK TO draw")
        self.db.execute("RELEASE draw")

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 100))
    def cancel(self, which):
        self.now += 1
        self.ledger.refund(self.db, self.jobs[which % len(self.jobs)].id, self.now)

    @rule(user=account, credits=st.integers(20, 60))
    def grant(self, user, credits):
        self.now += 1
        self.granted += credits
        self.ledger.grant(self.db, user, credits, self.now, "web:local")

    @rule(user=account)
    def ban(self, user):
        self.now += 1
        self.banned |= self.group(user)
        people.ban(self.db, user, self.now, "")

    @rule(user=account)
    def strike(self, user):
        self.now += 1
        strikes.strike(self.db, user, "", self.now, SCREENS)
        for each in self.group(user):
            self.due[each].add(len(self.makers))
        self.makers.append(user)

    @invariant()
    def nobody_gains_credits(self):
        spent = sum(job.cost - self.ledger.refunded(self.db, job.id) for job in self.jobs)
        assert spent <= len(ACCOUNTS[1:]) * CREDITS + OF_ONE + self.granted

    @invariant()
    def what_was_granted_is_there_once(self):
        (spent,) = self.db.execute(
            "SELECT coalesce(-sum(credits), 0) FROM entries"
            " WHERE pot = 'grant' AND kind IN ('charge', 'refund')"
        ).fetchone()
        persons = {min(self.group(user)) for user in ACCOUNTS}
        left = [self.ledger.status(self.db, each, self.now).granted for each in persons]
        assert sum(left) == self.granted - spent
        assert min(left) >= 0

    @invariant()
    def a_ban_holds(self):
        assert all(people.is_banned(self.db, user) for user in self.banned)

    @invariant()
    def strikes_are_borne_by_all_who_were_one_with_their_maker(self):
        for user in ACCOUNTS:
            assert len(strikes.of(self.db, user, self.now, SCREENS)) >= len(self.due[user])

    @invariant()
    def one_person_has_one_balance(self):
        for user in ACCOUNTS:
            own = self.ledger.status(self.db, user, self.now)
            assert {own} == {
                self.ledger.status(self.db, each, self.now) for each in self.group(user)
            }


TestJoining = Joining.TestCase
TestJoining.settings = settings(max_examples=examples(50), stateful_step_count=30, deadline=None)


def test_what_has_parted_is_forgotten_once_it_counts_no_longer():
    with sqlite3.connect(":memory:", isolation_level=None) as db:
        _prepare(db)
        migrate(db)
        selves.join(db, "discord:1", "web:ada", 1000.0)
        selves.leave(db, ["discord:1", "web:ada"], 2000.0)

        selves.expire(db, 2000.0)
        assert db.execute("SELECT count(*) FROM selves").fetchone()[0] == 2
        selves.expire(db, 2000.5)
        assert db.execute("SELECT count(*) FROM selves").fetchone()[0] == 0


def test_what_the_other_side_has_spent_of_a_grant_is_gone_when_they_part():
    with sqlite3.connect(":memory:", isolation_level=None) as db:
        _prepare(db)
        migrate(db)
        ledger = Ledger(Quota(credits=100, window_hours=1))
        linking = Linking(None, ledger, Selves(None), (), lambda: 1003.0)
        ledger.grant(db, "web:ada", 50, 1000.0, "web:local")
        selves.join(db, "discord:1", "web:ada", 1001.0)
        job = a_job("discord:1", 140, 1002.0)
        JobStore(None).insert(db, job)
        ledger.charge(db, job, 1002.0)

        linking.part(db, "discord:1")
        both = [ledger.status(db, user, 1003.0) for user in ("web:ada", "discord:1")]
        assert [each.granted for each in both] == [10, 0]
        assert [each.used for each in both] == [100, 100]

        ledger.refund(db, job.id, 1004.0)
        both = [ledger.status(db, user, 1004.0) for user in ("web:ada", "discord:1")]
        assert [(each.granted, each.used) for each in both] == [(10, 0), (40, 0)]
