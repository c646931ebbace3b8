"""The alerts and the dashboard in ``deploy/monitoring``: what they name is there."""

import asyncio
import json
import re
import shutil
import subprocess
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
import yaml

from bot.source import Source
from tests.bot.conftest import CIRCLE, HERE
from tests.bot.test_metrics import scraped
from tests.conftest import EVE, finished

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "monitoring"
NAME = re.compile(r"\bfluxbot_\w+")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not here"
)


def rules():
    text = (FOLDER / "fluxbot-alerts.yml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def panels():
    text = (FOLDER / "fluxbot-dashboard.json").read_text(encoding="utf-8")
    return json.loads(text)["panels"]


def expressions():
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


async def test_every_figure_that_an_alert_the_dashboard_or_the_page_names_is_scraped(bot, gate):
    gate.open()
    job = await bot.service.submit(Source(EVE, reply_to=HERE), CIRCLE)
    await finished(job)
    bot.service.metrics.called("discord", None)
    bot.service.metrics.judged(EVE, job, is_good=True)
    page = (ROOT / "docs" / "howto" / "monitor.md").read_text(encoding="utf-8")

    text, _ = await scraped(bot)

    there = set(re.findall(r"^(fluxbot_\w+)", text, re.MULTILINE))
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert named - there == set()
    documented = set(NAME.findall(page))
    assert documented - {name.removesuffix("_bucket") for name in there} == set()
    assert len(named) > 15, "or the names are looked for where none are"


def test_each_alert_says_what_to_do_and_each_panel_shows_something():
    assert [rule for rule in rules() if set(rule["annotations"]) != {"summary", "action"}] == []
    assert [panel["title"] for panel in panels() if not panel["targets"]] == []
    assert len({panel["id"] for panel in panels()}) == len(panels())


@needs_promtool
def test_promtool_takes_the_rules_and_the_configuration():
    for kind, file in (("rules", "fluxbot-alerts.yml"), ("config", "prometheus.yml")):
        ran = subprocess.run(
            ["promtool", "check", kind, FOLDER / file],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
async def test_promtool_finds_nothing_wrong_with_a_scrape(bot):
    text, _ = await scraped(bot)

    ours = "\n".join(line for line in text.splitlines() if "fluxbot_" in line) + "\n"
    promtool = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics",
        stdin=PIPE, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    said, _ = await promtool.communicate(ours.encode())

    assert (promtool.returncode, said.decode()) == (0, "")
