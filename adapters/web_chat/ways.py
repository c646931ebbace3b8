"""Browsers that have gone to a platform to sign in, and are expected back."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds for the way there and back, and browsers that may be on it at once.
SECONDS, MOST = 600.0, 1000


@dataclass(frozen=True, slots=True)
class _Way:
    provider: str
    verifier: str
    ends_at: float


class Ways:
    """Browsers that are on their way; *now* is a clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._ways: OrderedDict[str, _Way] = OrderedDict()

    def begin(self, provider: str) -> tuple[str, str]:
        """State and PKCE verifier of a new way."""
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        self._ways[state] = _Way(provider, verifier, self._now() + SECONDS)
        while len(self._ways) > MOST:
            self._ways.popitem(last=False)
        return state, verifier

    def end(self, provider: str, state: str, kept: str) -> str | None:
        """The verifier of the way with *state*, which ends; None where there is none, or where the
        browser has *kept* another one."""
        if not state or not hmac.compare_digest(state.encode(), kept.encode("utf-8", "replace")):
            return None
        way = self._ways.pop(state, None)
        is_it = way is not None and way.provider == provider and way.ends_at > self._now()
        return way.verifier if way is not None and is_it else None
