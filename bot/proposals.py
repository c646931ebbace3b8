"""What the bot has proposed to people, until they say yes or no.

Proposals live in memory, for a while: a restart forgets them, and nothing was charged.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bot.commands import Command
from bot.jobs import ID_ALPHABET
from bot.refusals import Conflict
from bot.selves import Selves
from bot.sentences import Sentence
from bot.source import Picture

#: Seconds in which a proposal can be answered.
SECONDS = 3600.0
#: Proposals of everybody, of one person, and with attached pictures, that are open at once.
MOST_OPEN, MOST_OF_ONE, MOST_WITH_PICTURES = 5000, 20, 100
#: Digits of a code, which is typed with a hyphen in the middle.
LENGTH = 8


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something that waits for a yes.

    Attributes:
        code: What yes and no are said to.
        user: The person it was proposed to.
        command: What a yes carries out.
        pictures: Pictures that came with the words.
        made_at: Unix seconds.
        original: Words of the person, where the bot proposes others; else empty.
    """

    code: str
    user: str
    command: Command
    pictures: tuple[Picture, ...]
    made_at: float
    original: str = ""


class Proposals:
    """The open proposals. *now* returns unix seconds."""

    def __init__(self, selves: Selves, now: Callable[[], float]) -> None:
        self._selves = selves
        self._now = now
        self._open: OrderedDict[str, Proposal] = OrderedDict()

    def make(
        self,
        user: str,
        command: Command,
        pictures: tuple[Picture, ...] = (),
        *,
        original: str = "",
    ) -> Proposal:
        """A proposal to *user*, whose oldest ones make room for it."""
        letters = "".join(secrets.choice(ID_ALPHABET) for _ in range(LENGTH))
        code = f"{letters[:4]}-{letters[4:]}"
        proposal = Proposal(code, user, command, pictures, self._now(), original)
        self._forget_old()
        mine = [each for each in self._open.values() if each.user == user]
        drawn_from = [each for each in self._open.values() if each.pictures]
        for crowd, most in (
            (mine, MOST_OF_ONE),
            (drawn_from if pictures else [], MOST_WITH_PICTURES),
            (list(self._open.values()), MOST_OPEN),
        ):
            for each in crowd[: max(0, len(crowd) - most + 1)]:
                self._open.pop(each.code, None)
        self._open[code] = proposal
        return proposal

    def take(self, user: str, code: str) -> Proposal:
        """The proposal to *user* with *code*, the latest without one; it is open no longer.

        Raises:
            Conflict: There is none, or no longer.
        """
        self._forget_old()
        normal = code if "-" in code or not code else f"{code[:4]}-{code[4:]}"
        mine = [each for each in self._open.values() if self._selves.are_one(each.user, user)]
        found = [each for each in mine if normal in ("", each.code)]
        if not found:
            raise Conflict(Sentence.NO_PROPOSAL)
        return self._open.pop(found[-1].code)

    def put_back(self, proposal: Proposal) -> None:
        """Have *proposal* open again, since what was answered to it could not be done."""
        self._open[proposal.code] = proposal

    def forget(self, user: str) -> None:
        """Forget all that was proposed to *user*."""
        for each in list(self._open.values()):
            if each.user == user:
                del self._open[each.code]

    def _forget_old(self) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.made_at > self._now() - SECONDS:
                return
            del self._open[oldest.code]
