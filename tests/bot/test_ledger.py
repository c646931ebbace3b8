"""Credits: a balance is a sum of entries, exact to the credit whatever happens."""

import math
import sqlite3
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot import people
from bot.database import _prepare, migrate
from bot.job_store import JobStore
from bot.jobs import Job
from bot.ledger import Ledger, cost, in_words
from bot.refusals import QuotaExceeded
from bot.sections import Quota
from generation.types import GenerationRequest
from tests.conftest import examples

HOUR = 3600.0
QUOTA = Quota(credits=100, window_hours=1)


def open_ledger(quota=QUOTA):
    db = sqlite3.connect(":memory:", isolation_level=None)
    _prepare(db)
    migrate(db)
    return Ledger(quota), db


def charged(ledger, db, credits, now, user="ada"):
    request = GenerationRequest(
        prompt="a fox", num_inference_steps=4, guidance_scale=3.5, width=64, height=64, seed=1
    )
    job = Job(user=user, request=request, cost=credits, submitted_at=now)
    db.execute("SAVEPOINT charge")
    try:
        JobStore(None).insert(db, job)
        ledger.charge(db, job, now)
    except QuotaExceeded:
        db.execute("ROLLBACK TO charge")
        raise
    finally:
        db.execute("RELEASE charge")
    return job


def left(ledger, db, now, user="ada"):
    return ledger.status(db, user, now).left


@pytest.fixture
def books():
    ledger, db = open_ledger()
    yield ledger, db
    db.close()


def test_what_was_charged_comes_back_when_the_window_has_passed(books):
    charged(*books, 60, now=0.0)
    charged(*books, 30, now=600.0)

    assert left(*books, now=600.0) == 10
    assert left(*books, now=HOUR + 1) == 70
    assert left(*books, now=HOUR + 601) == 100


def test_who_asks_for_too_much_is_told_when_there_will_be_enough(books):
    charged(*books, 60, now=0.0)
    charged(*books, 30, now=600.0)

    with pytest.raises(
        QuotaExceeded, match=r"10 left \(of 100 credits for 60 minutes\): try again in"
    ) as refused:
        charged(*books, 20, now=1000.0)

    assert refused.value.retry_in == HOUR - 1000
    charged(*books, 20, now=1000.0 + refused.value.retry_in + 0.001)


def test_what_can_never_be_paid_is_told_so_and_not_to_wait(books):
    with pytest.raises(
        QuotaExceeded, match="never have more than 100 credits for 60 minutes: ask"
    ) as refused:
        charged(*books, 101, now=0.0)

    assert refused.value.retry_in is None


def test_what_was_granted_counts_towards_what_one_can_ever_have(books):
    ledger, db = books
    ledger.grant(db, "ada", 50, now=0.0, admin="web:local")
    charged(*books, 60, now=0.0)

    with pytest.raises(QuotaExceeded, match=r", 50 granted\): try again in 60 minutes"):
        charged(*books, 150, now=0.0)
    with pytest.raises(QuotaExceeded, match=r"never have more than 100 .*, 50 granted: ask"):
        charged(*books, 151, now=0.0)


def test_a_refund_gives_back_once_and_leaves_the_window_with_its_charge(books):
    job = charged(*books, 60, now=0.0)
    ledger, db = books
    ledger.refund(db, job.id, now=1800.0)
    ledger.refund(db, job.id, now=1801.0)

    assert left(*books, now=1801.0) == 100
    assert left(*books, now=HOUR + 1) == 100


def test_what_was_granted_is_spent_last_and_never_runs_out_by_time(books):
    ledger, db = books
    ledger.grant(db, "ada", 50, now=0.0, admin="web:local")
    charged(*books, 120, now=10.0)

    status = ledger.status(db, "ada", now=10.0)
    assert (status.used, status.granted, status.left) == (100, 30, 30)
    assert left(*books, now=1000 * HOUR) == 130


def test_what_was_refunded_is_not_what_comes_back_next(books):
    ledger, db = books
    job = charged(*books, 10, now=0.0)
    charged(*books, 20, now=1000.0)
    ledger.refund(db, job.id, now=1500.0)

    assert ledger.status(db, "ada", now=1500.0).resets_in == 1000 + HOUR - 1500


def test_a_lowered_quota_is_worked_off_before_there_is_enough_again(books):
    _ledger, db = books
    charged(*books, 60, now=0.0)
    charged(*books, 30, now=600.0)
    people.set_own_quota(db, "ada", 40)

    with pytest.raises(QuotaExceeded) as refused:
        charged(*books, 10, now=1000.0)

    assert refused.value.retry_in == HOUR - 1000


def test_a_refund_returns_to_the_pots_that_were_charged(books):
    ledger, db = books
    ledger.grant(db, "ada", 50, now=0.0, admin="web:local")
    job = charged(*books, 120, now=10.0)

    ledger.refund(db, job.id, now=20.0)

    status = ledger.status(db, "ada", now=20.0)
    assert (status.used, status.granted) == (0, 50)


def test_a_part_is_given_back_first_and_the_rest_later_but_never_more(books):
    ledger, db = books
    job = charged(*books, 50, now=0.0)

    assert ledger.refund(db, job.id, 10.0, Fraction(49, 50)) == 1
    assert ledger.refund(db, job.id, 11.0, Fraction(49, 50)) == 0, "again, after a restart"
    assert left(*books, now=12.0) == 51
    assert ledger.refund(db, job.id, 13.0) == 49
    assert ledger.refund(db, job.id, 14.0, Fraction(1, 2)) == 0

    assert left(*books, now=15.0) == 100
    assert ledger.refunded(db, job.id) == 50


def test_the_part_that_is_kept_is_taken_from_the_window_first(books):
    """As if the job had cost that much from the beginning."""
    ledger, db = books
    ledger.grant(db, "ada", 50, now=0.0, admin="web:local")
    job = charged(*books, 120, now=10.0)

    ledger.refund(db, job.id, 20.0, Fraction(110, 120))
    status = ledger.status(db, "ada", now=20.0)
    assert (status.used, status.granted) == (100, 40)

    ledger.refund(db, job.id, 21.0, Fraction(30, 120))
    status = ledger.status(db, "ada", now=21.0)
    assert (status.used, status.granted) == (30, 50)


@given(cost=st.integers(1, 10_000), shares=st.lists(st.fractions(0, 1), max_size=6))
def test_no_series_of_refunds_gives_back_more_than_the_smallest_share_that_was_kept(cost, shares):
    ledger, db = open_ledger(Quota(credits=5_000, window_hours=1))
    ledger.grant(db, "ada", 5_000, now=0.0, admin="web:local")
    job = charged(ledger, db, cost, now=1.0)

    given_back = [ledger.refund(db, job.id, 2.0, share) for share in shares]

    least = min((math.floor(cost * share) for share in shares), default=cost)
    assert sum(given_back) == cost - least
    assert min(given_back, default=0) >= 0
    assert left(ledger, db, now=3.0) == 10_000 - least
    db.close()


def test_a_reset_forgives_the_window_and_leaves_what_was_granted(books):
    ledger, db = books
    ledger.grant(db, "ada", 5, now=0.0, admin="web:local")
    job = charged(*books, 100, now=10.0)

    ledger.reset(db, "ada", now=20.0, admin="web:local")

    assert left(*books, now=21.0) == 105
    ledger.refund(db, job.id, now=22.0)  # of a charge that was forgiven already
    assert left(*books, now=23.0) == 105


def test_a_person_may_have_a_quota_of_their_own_and_lose_it_again(books):
    ledger, db = books
    people.set_own_quota(db, "ada", 500)
    charged(*books, 300, now=0.0)
    assert left(*books, now=1.0) == 200

    people.set_own_quota(db, "ada", None)

    assert left(*books, now=1.0) == 0, "overdrawn is nothing left, not less"
    assert ledger.status(db, "ada", now=1.0).used == 300


def test_one_persons_spending_is_not_anothers(books):
    charged(*books, 100, now=0.0, user="ada")

    assert left(*books, now=1.0, user="bob") == 100


@pytest.mark.parametrize(
    ("steps", "size", "images", "credits"),
    [(12, 256, 1, 12), (4, 256, 1, 4), (50, 256, 1, 50), (28, 1024, 1, 448), (1, 64, 1, 1)],
)
def test_cost_is_steps_times_pixels_times_pictures_and_never_nothing(steps, size, images, credits):
    request = GenerationRequest(
        prompt="a fox",
        num_inference_steps=steps,
        guidance_scale=3.5,
        width=size,
        height=size,
        seed=1,
    )

    assert cost(Job(user="ada", request=request, images=images), Quota()) == credits


class Books(RuleBasedStateMachine):
    """Random charges, refunds, grants, resets and passing time against a model that
    keeps the whole story and does its sums the slow way."""

    def __init__(self):
        super().__init__()
        self.ledger, self.db = open_ledger()
        self.now = 0.0
        self.charges = []  # [time, from the allowance, from the grant, share paid, job]
        self.granted = 0
        self.reset_at = -1.0

    def teardown(self):
        self.db.close()

    def used(self):
        since = max(self.now - HOUR, self.reset_at)
        return sum(self.paid(c)[0] for c in self.charges if c[0] > since)

    def in_grant(self):
        return self.granted - sum(self.paid(c)[1] for c in self.charges)

    def paid(self, charge):
        _, allowance, grant, share, _ = charge
        kept = math.floor((allowance + grant) * share)
        return min(kept, allowance), max(0, kept - allowance)

    @rule(seconds=st.sampled_from([1, 60, 1799, 3600]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(credits=st.integers(1, 130))
    def charge(self, credits):
        self.now += 0.5
        allowance, grant = max(0, 100 - self.used()), self.in_grant()
        if credits > allowance + grant:
            with pytest.raises(QuotaExceeded):
                charged(self.ledger, self.db, credits, self.now)
            return
        job = charged(self.ledger, self.db, credits, self.now)
        first = min(credits, allowance)
        self.charges.append([self.now, first, credits - first, Fraction(1), job])

    @precondition(lambda self: self.charges)
    @rule(index=st.integers(0, 50), share=st.sampled_from([0, 0, *map(Fraction, ("1/3", "49/50"))]))
    def refund(self, index, share):
        charge = self.charges[index % len(self.charges)]
        self.ledger.refund(self.db, charge[4].id, self.now, share)
        charge[3] = min(charge[3], share)

    @rule(credits=st.integers(1, 50))
    def grant(self, credits):
        self.ledger.grant(self.db, "ada", credits, self.now, "web:local")
        self.granted += credits

    @rule()
    def reset(self):
        self.now += 0.5
        self.ledger.reset(self.db, "ada", self.now, "web:local")
        self.reset_at = self.now

    @invariant()
    def the_balance_is_the_story(self):
        status = self.ledger.status(self.db, "ada", self.now)
        assert (status.used, status.granted) == (self.used(), self.in_grant())
        assert status.left == max(0, 100 - self.used()) + self.in_grant()


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=examples(25), stateful_step_count=30)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (44.2, "45 seconds"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (3600, "60 minutes"),
        (7200, "2 hours"),
        (86400, "24 hours"),
        (3 * 86400, "3 days"),
    ],
)
def test_times_are_said_as_people_say_them(seconds, words):
    assert in_words(seconds) == words


@given(st.floats(0, 1e9))
def test_a_time_said_in_words_is_never_too_short(seconds):
    count, unit = in_words(seconds).split()
    length = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[unit.rstrip("s")]

    assert int(count) * length >= seconds - 1e-3
