"""The systems on which the bot runs, and what it says on the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.system import ON_WINDOWS, WINDOWS, check_system, remark

ROOT = Path(__file__).parent.parent.parent

#: ``python -m bot`` as Windows has it: without the modules that only POSIX has.
ON_A_FAKED_WINDOWS = """
import runpy, sys
sys.platform = "win32"
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
sys.argv = ["bot", "run"]
runpy.run_module("bot", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("platform", sorted(WINDOWS))
def test_windows_is_refused_in_a_sentence_that_leads_to_wsl(platform):
    with pytest.raises(SystemExit, match=r"WSL2 .* docs/howto/windows\.md"):
        check_system(platform)


def test_linux_and_macos_are_taken_and_macos_is_told_what_works():
    check_system("linux")
    check_system("darwin")

    assert remark("linux") is None
    assert "mps" in remark("darwin")


def test_on_windows_the_sentence_comes_before_any_import_that_fails_there():
    """The traceback about `select.poll` and `fcntl` told nobody what to do."""
    ran = subprocess.run(
        [sys.executable, "-c", ON_A_FAKED_WINDOWS],
        cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (ran.returncode, ran.stdout, ran.stderr.strip()) == (1, "", f"error: {ON_WINDOWS}")
