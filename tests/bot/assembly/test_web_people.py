"""``people`` on the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.__main__ import app

CONFIG = Path(__file__).parent.parent.parent.parent / "config.toml"


@pytest.fixture
def people(monkeypatch, tmp_path):
    """Runs ``people …``; returns the exit status and all that it prints."""
    monkeypatch.setenv("FLUXBOT_STORAGE__DATA_DIR", str(tmp_path / "data"))

    def run(*arguments, page="https://flux.example.org"):
        monkeypatch.setenv("FLUXBOT_WEB__PUBLIC_URL", page)
        ran = CliRunner().invoke(app, ["people", *arguments, "--config", str(CONFIG)])
        return ran.exit_code, ran.output

    return run


def test_somebody_is_added_listed_and_removed(people):
    status, said = people("add", "ada")
    assert (status, "https://flux.example.org/#sign-in=" in said) == (0, True)
    assert "web:ada" in people("list")[1]

    assert people("remove", "ada")[0] == 0
    assert "Nobody was added" in people("list")[1]
    assert "web:ada was not added" in people("remove", "ada")[1]


def test_a_name_that_nobody_can_have_is_refused(people):
    status, said = people("add", "ada lovelace")

    assert (status, "is not a name" in said) == (1, True)


def test_where_nobody_signs_in_there_are_no_links(people):
    status, said = people("add", "ada", page="")

    assert (status, "web.public_url" in said) == (1, True)
