"""Screens may be off where the licence allows it, and the check says whether they work."""

import sqlite3
from contextlib import closing

import pytest

from bot.assembly.screening import check_screens, screens_verdict
from bot.config import Config, ConfigError, load_config
from tests.bot.assembly.test_doctor import ROOT

DEV = "black-forest-labs/FLUX.1-dev"


def configured(repository=DEV, **screens):
    config = load_config(ROOT / "config.toml")
    model = config.model.model_copy(update={"repository": repository, "accept_license": True})
    return config.model_copy(
        update={"model": model, "screens": config.screens.model_copy(update=screens)}
    )


def test_where_the_licence_asks_for_a_filter_it_is_off_for_a_reason_alone():
    with pytest.raises(ConfigError, match=r"screens\.off_because"):
        check_screens(configured(enabled=()))

    check_screens(configured(enabled=(), off_because="I look at every picture myself."))
    check_screens(configured())


def test_the_demo_model_asks_for_none():
    check_screens(configured("demo", enabled=()))


def test_check_says_that_the_screens_work():
    assert screens_verdict(Config()) == (True, "words and pictures are judged")


def test_check_says_which_screen_cannot_be_loaded_and_what_follows(tmp_path):
    settings = Config().screens.model_copy(update={"words_file": tmp_path / "words.txt"})

    is_right, sentence = screens_verdict(Config().model_copy(update={"screens": settings}))

    assert not is_right
    assert "words.txt" in sentence
    assert "nobody can draw" in sentence


def test_check_says_what_is_not_filtered():
    is_right, sentence = screens_verdict(configured("demo", enabled=()))

    assert (is_right, sentence) == (True, "off; nothing filters words or pictures")


async def test_a_start_without_screens_is_written_into_the_audit_log(started, tmp_path):
    await started(FLUXBOT_SCREENS__ENABLED="", FLUXBOT_SCREENS__OFF_BECAUSE="A test.")

    with closing(sqlite3.connect(tmp_path / "data" / "bot.sqlite3")) as db:
        rows = db.execute("SELECT admin, act, detail FROM audit").fetchall()

    assert rows == [("operator", "screens off", "A test.")]
