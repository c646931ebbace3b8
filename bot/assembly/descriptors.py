"""How many files and connections the process may hold open."""

from __future__ import annotations

import resource
from contextlib import suppress

#: Enough for every connection, and few enough for systems that refuse to have no limit.
MOST = 65_536


def raise_limit() -> int:
    """Raise the limit of open descriptors as far as the system lets us; returns the new one.

    Systems start programs with 1024 or even 256, so that old ones which use ``select`` live.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft
