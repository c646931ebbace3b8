"""The log: as JSON where that is asked for, without secrets, and without what people said."""

import io
import json
import logging
import sys

import pytest

from bot.assembly import logs
from bot.assembly.logs import JsonLines, Scrubbing, secret_values
from bot.commands import ImagineCommand
from bot.config import Config, Secrets
from bot.source import Source
from generation.errors import FluxbotError
from tests.conftest import finished

SECRETS = Secrets(
    hf_token="hf_abcdefghijklmnop",
    metrics_token="metrics-token-0123456789",
    web_tokens={"web-token-0123456789": "ada"},
    discord_token="discord-token-0123456789",
    slack_bot_tokens=("xoxb-1-0123456789", "xoxb-2-0123456789"),
    slack_app_token="xapp-0123456789",
    slack_signing_secret="0123456789abcdef0123456789abcdef",
)


def line(formatter, message, *values, exc_info=None):
    record = logging.LogRecord("bot.x", logging.WARNING, "x.py", 1, message, values, exc_info)
    record.created = 1_700_000_000.25
    return formatter.format(record)


def test_each_record_is_a_line_of_json_with_the_job_that_it_is_about():
    said = line(JsonLines(), "job %s cannot be delivered:\n%s", "k7m2p9xd", "“gone”")

    assert "\n" not in said
    assert json.loads(said) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "logger": "bot.x",
        "message": "job k7m2p9xd cannot be delivered:\n“gone”",
        "job": "k7m2p9xd",
    }
    assert "job" not in json.loads(line(JsonLines(), "the job is not named"))


@pytest.mark.parametrize("secret", secret_values(SECRETS))
def test_no_secret_is_logged_not_even_in_a_traceback(secret):
    try:
        raise RuntimeError(f"refused: Bearer {secret}")
    except RuntimeError:
        exc_info = sys.exc_info()

    for formatter in (JsonLines(), logging.Formatter("%(message)s")):
        said = line(Scrubbing(formatter, secret_values(SECRETS)), secret, exc_info=exc_info)

        assert secret not in said
        assert said.count("[secret]") >= 2
        assert "RuntimeError" in said


def test_secrets_of_every_shape_are_kept_out_of_the_log():
    """Also those that are added to `Secrets` later."""
    assert len(secret_values(SECRETS)) == 8
    assert {type(each) for each in secret_values(SECRETS)} == {str}


def test_the_setting_chooses_how_a_run_logs(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.INFO)

    logs.set_up(Config(logs={"format": "json"}), SECRETS)
    logging.getLogger("bot").info("ready: %s", SECRETS.hf_token)

    assert json.loads(out.getvalue())["message"] == "ready: [secret]"


def test_a_run_is_told_nothing_of_kernels_for_other_machines(monkeypatch, capfd):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logs.set_up(Config(), SECRETS)

    subject = logging.getLogger("torchao")
    subject.warning("Failed to load _C_mxfp8.so")
    subject.error("broken")

    said = capfd.readouterr()
    assert "mxfp8" not in said.out + said.err
    assert "broken" in said.out + said.err


async def test_what_people_ask_for_is_not_in_the_log(bot, gate, caplog):
    caplog.set_level(logging.INFO)
    gate.open()
    words = ImagineCommand("a zeppelin over Ghent", num_inference_steps=1, width=64, height=64)
    await finished(await bot.service.submit(Source("web:ada-lovelace"), words))
    gate.fault = FluxbotError("it cannot be drawn")
    await finished(await bot.service.submit(Source("web:ada-lovelace"), words))

    assert "zeppelin" not in caplog.text
    assert "lovelace" not in caplog.text
