"""One row for each person, whose parts are written by different people at different times."""

import sqlite3

import pytest

from bot import people
from bot.database import _prepare, migrate
from bot.refusals import NotAllowed


@pytest.fixture
def db():
    db = sqlite3.connect(":memory:", isolation_level=None)
    _prepare(db)
    migrate(db)
    yield db
    db.close()


def test_a_person_without_a_row_has_no_defaults_no_own_quota_and_no_ban(db):
    assert people.settings(db, "web:ada") == {}
    assert people.own_quota(db, "web:ada") is None
    people.check_not_banned(db, "web:ada")


def test_defaults_quota_and_ban_of_one_person_do_not_overwrite_each_other(db):
    people.keep_settings(db, "web:ada", {"preset": "canny"})
    people.set_own_quota(db, "web:ada", 7)
    people.ban(db, "web:ada", 1.0, "spam")
    people.keep_settings(db, "web:ada", {"preset": "plain"})

    assert people.settings(db, "web:ada") == {"preset": "plain"}
    assert people.own_quota(db, "web:ada") == 7
    with pytest.raises(NotAllowed, match="banned you from drawing: spam"):
        people.check_not_banned(db, "web:ada")


def test_a_ban_that_is_lifted_leaves_the_defaults_and_the_quota(db):
    people.keep_settings(db, "web:ada", {"preset": "canny"})
    people.set_own_quota(db, "web:ada", 7)
    people.ban(db, "web:ada", 1.0, "")

    people.unban(db, "web:ada")

    people.check_not_banned(db, "web:ada")
    assert people.settings(db, "web:ada") == {"preset": "canny"}
    assert people.own_quota(db, "web:ada") == 7
