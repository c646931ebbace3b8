"""Rates: how often one person may do something that costs no credits."""

from __future__ import annotations

from collections.abc import Callable

from bot.refusals import TooOften

MINUTE = 60.0


class Rate:
    """At most *per_minute* acts of each person, evenly over time, and as many at once (a leaky
    bucket). People who have done nothing for a minute are forgotten.

    Args:
        now: Unix seconds.
    """

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._now = now
        #: When a person's bucket will have run dry, which it is for everybody else.
        self._dry_at: dict[str, float] = {}
        self._tidied_at = 0.0

    def count(self, person: str, acts: str) -> None:
        """Count an act of *person*; *acts* are words for such acts.

        Raises:
            TooOften: There were too many; this one is not counted.
        """
        now = self._now()
        if not now - MINUTE <= self._tidied_at <= now:  # a clock may be put back
            self._tidied_at = now
            self._dry_at = {who: at for who, at in self._dry_at.items() if now < at <= now + MINUTE}
        each = MINUTE / self._per_minute
        dry_at = min(max(now, self._dry_at.get(person, 0.0)), now + MINUTE) + each
        wait = dry_at - now - MINUTE
        if wait > 1e-6:
            raise TooOften(
                f"at most {self._per_minute} {acts} a minute for one person: try again in a moment",
                retry_in=max(1.0, wait),
            )
        self._dry_at[person] = dry_at
