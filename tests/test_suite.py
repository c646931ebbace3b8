"""The suite itself."""

import os
import subprocess
import sys
from pathlib import Path

from bot.config import SECRET_VARIABLES

ROOT = Path(__file__).parent.parent

#: Each of these is red where it sees somebody's settings, here or in a process.
TESTS = (
    "tests/bot/test_config.py::test_the_shipped_file_is_sound_and_holds_the_defaults",
    "tests/bot/test_main.py::test_presets_and_history_are_listed",
)


def test_settings_and_secrets_of_the_person_who_runs_the_suite_do_not_matter(tmp_path):
    somebodys = {
        "FLUXBOT_MODEL__REPOSITORY": "black-forest-labs/FLUX.1-dev",
        "FLUXBOT_QUOTA__CREDITS": "3",
        "FLUXBOT_STORAGE__DATA_DIR": "/nowhere",
        "FLUXBOT_WEB__PORT": "9",
        **dict.fromkeys(SECRET_VARIABLES, "not a token"),
    }

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=ROOT, env={**os.environ, **somebodys}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout
