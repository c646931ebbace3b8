"""The screens: what judging costs, and how often they are wrong about harmless pictures.

python -m benchmarks.screens
python -m benchmarks.screens --pictures 500      # draws them on the demo model; minutes
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.demo_pictures import demo_pictures
from bot.screening.pictures import PicturesScreen, verdict_on
from bot.screening.words import WordsScreen
from bot.screens import Place
from bot.sections import AgeRestrictedThresholds, PictureThresholds
from tests.bot.screening.prompts import EVASIONS, INNOCENT

RUNS = 30


def timed(judge) -> str:
    """Median and 95th percentile of `RUNS` calls of *judge*, in milliseconds."""
    judge()
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        judge()
        seconds.append(1000 * (time.perf_counter() - begin))
    return f"{statistics.median(seconds):.1f}, {sorted(seconds)[int(RUNS * 0.95) - 1]:.1f} ms"


def main(pictures: int = 0, seed: int = 1) -> None:
    """Print the tables."""
    console = Console()
    costs = Table("judged", "median, p95", title="Cost of a verdict, one thread")
    begin = time.perf_counter()
    words = WordsScreen()
    costs.add_row("loading the words screen", f"{1000 * (time.perf_counter() - begin):.0f} ms")
    begin = time.perf_counter()
    screen = PicturesScreen(PictureThresholds(), AgeRestrictedThresholds())
    costs.add_row("loading the pictures screen", f"{1000 * (time.perf_counter() - begin):.0f} ms")
    for text in ("a red fox in snow", "a red fox in the snow at night, " * 8, "a red fox " * 200):
        costs.add_row(
            f"words, {len(text)} characters",
            timed(lambda text=text: words.judge_words([text], Place())),
        )
    for side in (64, 256, 1024):
        image = Image.effect_noise((side, side), 80).convert("RGB")
        costs.add_row(
            f"a picture, {side} × {side}",
            timed(lambda image=image: screen.judge_picture(image, Place())),
        )
    console.print(costs)

    wrong = Table("of", "wrong", title="Mistakes")
    false = [each for each in INNOCENT if words.judge_words([each], Place()).action]
    wrong.add_row(f"{len(INNOCENT)} innocent prompts", str(len(false)))
    missed = [each for each in EVASIONS if not words.judge_words([each], Place()).action]
    wrong.add_row(f"{len(EVASIONS)} evasions", str(len(missed)))
    if pictures:
        found: Counter[str] = Counter()
        scores = []
        for image in demo_pictures(pictures, random.Random(seed)):
            verdict = screen.judge_picture(image, Place())
            scores.append(float(verdict.detail))
            found[verdict_on(scores[-1], PictureThresholds()).action.name] += 1
        others = {name: count for name, count in found.items() if name != "PASS"}
        wrong.add_row(f"{pictures} pictures of the demo model", str(others or 0))
        scores.sort()
        wrong.add_row(
            "their scores: median, p99, highest",
            f"{statistics.median(scores):.2f}, {scores[int(0.99 * len(scores))]:.2f},"
            f" {scores[-1]:.2f}",
        )
    console.print(wrong)


if __name__ == "__main__":
    typer.run(main)
