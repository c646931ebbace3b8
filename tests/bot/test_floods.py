"""What strangers cause over and over fills no log."""

import logging

import pytest

from bot.floods import SHOWN, Floods
from tests.conftest import Clock


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def lines():
    return Lines()


@pytest.fixture
def log(lines, clock):
    logger = logging.Logger("test")
    logger.addHandler(Floods(lines, clock))
    return logger


def test_a_flood_is_a_few_lines_and_then_one_a_minute(log, lines, clock: Clock):
    for number in range(64 * 600):
        log.warning("%s guesses at tokens", f"203.0.113.{number % 256}")
        clock.advance(1 / 64)

    assert len(lines.lines) == SHOWN + 9
    assert lines.lines[0] == "203.0.113.0 guesses at tokens"
    assert lines.lines[-1].startswith("3,840 more like this within a minute: 203.0.113.")


def test_other_lines_are_not_lost_in_a_flood(log, lines):
    for _ in range(100):
        log.warning("a flood")
    log.warning("the disk is full")
    log.info("a picture was drawn")

    assert lines.lines[SHOWN:] == ["the disk is full", "a picture was drawn"]


def test_lines_that_are_no_warnings_are_all_shown(log, lines):
    for number in range(100):
        log.info("picture %d was drawn", number)

    assert len(lines.lines) == 100


def test_numbers_do_not_make_another_kind_of_a_line(log, lines):
    for number in range(100):
        log.error(f"<Task {number} at {number:#x}> failed")

    assert len(lines.lines) == SHOWN


def test_the_rest_of_a_flood_is_told_when_something_else_is_logged_or_at_the_end(log, lines, clock):
    for _ in range(10):
        log.warning("a flood")
    clock.advance(61)
    log.info("a picture was drawn")
    log.warning("a flood")
    log.handlers[0].close()

    assert lines.lines[SHOWN:] == [
        "5 more like this within a minute: a flood",
        "a picture was drawn",
        "1 more like this within a minute: a flood",
    ]


def test_a_format_is_that_of_the_lines(log, lines):
    log.handlers[0].setFormatter(logging.Formatter("! %(message)s"))

    log.warning("x")

    assert lines.lines == ["! x"]
