"""What a cluster is set up with: the units and the manifest say the same as the page."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from bot.assembly.engine import SECONDS_TO_STOP
from bot.config import Config

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "cluster"
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
UNITS = ("fluxbot-ray-head", "fluxbot-ray-node")


def command(unit):
    text = (FOLDER / f"{unit}.service").read_text(encoding="utf-8")
    return shlex.split(re.search(r"^ExecStart=(.+)$", text, re.MULTILINE)[1])


def environment():
    text = (FOLDER / "ray.env").read_text(encoding="utf-8")
    return dict(
        line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#")
    )


@pytest.mark.parametrize("unit", UNITS)
def test_ray_knows_every_option_of_a_unit(unit):
    scripts = pytest.importorskip("ray.scripts.scripts", reason="ray is not installed")
    known = {name for parameter in scripts.start.params for name in parameter.opts}

    options = [word.partition("=")[0] for word in command(unit)[2:]]

    assert set(options) <= known
    assert f"systemctl enable --now {unit}" in PAGE


@pytest.mark.parametrize("unit", UNITS)
def test_the_page_names_every_port_that_a_unit_opens(unit):
    ports = {
        int(value)
        for option, _, value in (word.partition("=") for word in command(unit))
        if option.endswith("port")
    }
    table = re.findall(r"^\| (\d[\d, to]*) \|", PAGE, re.MULTILINE)
    spans = [[int(number) for number in re.findall(r"\d+", cell)] for cell in table]

    assert all(any(span[0] <= port <= span[-1] for span in spans) for port in ports)


def test_the_page_says_why_the_environment_is_what_it_is():
    named = {name for name in environment() if name.startswith("RAY_")} - {"RAY_AUTH_TOKEN_PATH"}

    assert [name for name in named if f"`{name}={environment()[name]}`" not in PAGE] == []
    assert environment()["RAY_AUTH_MODE"] == "token"


def test_the_manifest_wants_the_token_and_the_version_that_was_tested():
    cluster = yaml.safe_load((FOLDER / "raycluster.yaml").read_text(encoding="utf-8"))
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert f"ray=={cluster['spec']['rayVersion']}" in constraints
    for container in (
        cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0],
        cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0],
    ):
        given = {each["name"]: each["value"] for each in container["env"]}
        assert given.items() <= environment().items()


def test_the_unit_of_the_bot_waits_until_the_bot_has_stopped():
    text = (FOLDER / "fluxbot.service").read_text(encoding="utf-8")
    seconds = int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1])

    assert command("fluxbot") == ["/opt/fluxbot/.venv/bin/python", "-m", "bot", "run"]
    assert seconds > Config().queue.seconds_to_finish + 2 * SECONDS_TO_STOP
    assert "systemctl enable --now fluxbot\n" in PAGE
    assert "EnvironmentFile=/etc/fluxbot/ray.env" in text, "with the token"
