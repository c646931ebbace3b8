"""docs/scale.md computes what it says it computes."""

import math
import re
from pathlib import Path

import pytest

from benchmarks.fleet import H200
from bot.config import Config

PAGE = (Path(__file__).parent.parent / "docs" / "scale.md").read_text(encoding="utf-8")
ROWS = [
    [float(cell.replace(",", "")) for cell in re.findall(r"[\d,.]+", line)]
    for line in re.findall(r"^\| [\d,]+ \|.*$", PAGE, re.MULTILINE)
]
MEGABYTES, RTX_4090 = 1.3, 9.67


def test_each_row_follows_from_the_formula():
    assert 30_000 in [row[0] for row in ROWS]
    for people, a_day, in_an_hour, as_it_is, compiled, rtx, gigabytes in ROWS:
        assert a_day == pytest.approx(people * 0.1 * 8)
        assert in_an_hour == pytest.approx(a_day * 0.1)
        for cards, seconds in zip(
            (as_it_is, compiled, rtx), (*H200.values(), RTX_4090), strict=True
        ):
            assert cards == math.ceil(in_an_hour / 3600 * seconds / 0.7)
        assert gigabytes == pytest.approx(a_day * MEGABYTES / 1000, rel=0.02, abs=0.02)


def test_the_figures_of_cards_and_settings_are_those_of_the_project():
    for seconds in (*H200.values(), RTX_4090):
        assert re.search(rf"\| {seconds} \| {3600 / seconds:.0f} \|", PAGE)
    config = Config()
    assert f"credits = {config.quota.credits}`" in PAGE
    assert f"keep_days = {config.gallery.keep_days:.0f}`" in PAGE
