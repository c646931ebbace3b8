"""What ``deploy/`` has for those who run the bot: a unit, an image, and both together.

No image can be pulled where these tests run, so that the image is read and linted, not built.
"""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from bot.config import SECRET_VARIABLES, Config

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "fluxbot.service"
DOCKERFILE = DEPLOY / "Dockerfile"
#: As `systemd-analyze security` scores, 0 to 10; 10 is a service that may do anything.
MOST_EXPOSED = 3.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


def systemd(*words):
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, check=False
    )  # fmt: skip


def unit():
    """(key, value) of each line of the unit."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"[A-Za-z]+=", line)]


@needs_systemd
def test_systemd_takes_the_unit_and_leaves_it_little_to_do(tmp_path):
    here = tmp_path / UNIT.name
    here.write_text(
        UNIT.read_text(encoding="utf-8").replace("/opt/fluxbot/.venv/bin/python", "/bin/sh")
    )

    verified = systemd("verify", str(here))
    scored = systemd("security", "--offline=true", str(here))

    assert (verified.returncode, verified.stderr) == (0, "")
    score = re.search(r"exposure level for fluxbot.service: ([\d.]+)", scored.stdout)
    assert float(score[1]) < MOST_EXPOSED


def test_the_unit_stops_the_bot_alone_and_gives_it_time_for_its_picture():
    values = dict(unit())

    assert values["KillMode"] == "mixed", "or its engine is told to stop in the middle of a picture"
    assert int(values["TimeoutStopSec"]) > Config().queue.seconds_to_finish + 30
    assert values["ExecStart"].split()[1:4] == ["-m", "bot", "run"]


def settings_in(text):
    return set(re.findall(r"\bFLUXBOT_[A-Z_]+", text)) - {"FLUXBOT_NAME", "FLUXBOT_UPSTREAM"}


@pytest.mark.parametrize("file", ["fluxbot.service", "Dockerfile", "compose.yaml"])
def test_settings_that_are_made_there_exist(file):
    for name in settings_in((DEPLOY / file).read_text(encoding="utf-8")) - set(SECRET_VARIABLES):
        if name == "FLUXBOT_":
            continue
        section, _, key = name.removeprefix("FLUXBOT_").lower().partition("__")
        assert key in type(getattr(Config(), section)).model_fields, name


def stages():
    """(name, instructions) of each stage of the image, lines put together."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    found = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = [*found.get(base, [])]
        else:
            found[name].append((word, rest))
    return found


def test_the_image_runs_as_nobody_keeps_nothing_and_tells_its_health():
    assert {"cpu", "cuda"} <= set(stages())
    for name in ("cpu", "cuda"):
        said = dict(stages()[name])
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"]), name
        assert "/health" in said["HEALTHCHECK"]
        assert said["VOLUME"] == '["/data", "/cache"]'
        assert not any(secret in str(stages()[name]) for secret in SECRET_VARIABLES)


def test_what_the_image_copies_is_there_and_is_not_ignored():
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for instructions in (stages()["build"], stages()["cpu"])
        for word, rest in instructions
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    ]

    assert {"bot", "adapters", "generation", "config.toml"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed, source
    assert allowed[1] == "*", "all else stays out, secrets and data above all"


def test_the_image_installs_what_the_project_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.search(r"\.\[([\w,]+)\]", DOCKERFILE.read_text(encoding="utf-8"))[1].split(",")

    assert set(extras) <= set(project["optional-dependencies"])
    version = re.search(r"python:(\d\.\d+)", DOCKERFILE.read_text(encoding="utf-8"))[1]
    assert f"Python {version}" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not here")
def test_hadolint_finds_nothing_in_the_dockerfile():
    ran = subprocess.run(["hadolint", str(DOCKERFILE)], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_services_are_whole_and_open_to_this_machine_alone():
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    services = composed["services"]

    assert {"cpu", "cuda", "proxy"} == {each for s in services.values() for each in s["profiles"]}
    for name in ("bot-cpu", "bot-cuda"):
        bot = services[name]
        assert bot["build"]["target"] in stages()
        assert (DEPLOY / bot["build"]["context"] / bot["build"]["dockerfile"]).exists()
        assert all(port.startswith("127.0.0.1:") for port in bot["ports"])
        assert int(bot["stop_grace_period"].rstrip("s")) > Config().queue.seconds_to_finish + 30
        proxy = services["proxy"]["networks"]["inside"]["ipv4_address"]
        assert bot["environment"]["FORWARDED_ALLOW_IPS"] == proxy
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            is_path = source.startswith(".")
            assert (DEPLOY / source).exists() if is_path else source in composed["volumes"], volume
