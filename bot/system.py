"""The operating system, looked at before anything is imported that it may not have.

Processes, locks and limits of the bot are POSIX's (``fcntl``, ``resource``, ``select.poll``), so
this module imports nothing but the standard library's portable parts.
"""

from __future__ import annotations

import sys

#: Systems on which Python itself runs, and the bot does not: names as in ``sys.platform``.
WINDOWS = frozenset({"win32", "cygwin", "msys"})

ON_WINDOWS = (
    "fluxbot does not run on Windows itself, but on the Linux inside of it, with the graphics card:"
    " install WSL2 and start the bot there, as docs/howto/windows.md shows step by step"
)
ON_MACOS = (
    "macOS: meant for the web chat and the demo model; FLUX on a Mac's own graphics (mps) was"
    " never tried, and attached pictures are decoded within fewer limits than on Linux"
)


def check_system(platform: str = sys.platform) -> None:
    """End the program with a sentence where the bot cannot run on *platform*.

    Raises:
        SystemExit: It is Windows.
    """
    if platform in WINDOWS:
        raise SystemExit(f"error: {ON_WINDOWS}")


def remark(platform: str = sys.platform) -> str | None:
    """A sentence about what works on *platform*; None where all does."""
    return ON_MACOS if platform == "darwin" else None
