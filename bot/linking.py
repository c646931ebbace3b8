"""Joining and parting of a person's accounts: on Discord, on Slack, on the page.

One side asks for a code; the other types it, and says yes once it reads whom that would join it
with; then the first side is asked too. Nothing is joined before both have said yes. Codes live in
memory, for minutes: a restart ends them.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import sqlite3
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from bot import favourites, people, selves
from bot.database import Database
from bot.ledger import Ledger
from bot.rates import Rate
from bot.refusals import Conflict, NotAllowed, NotFound
from bot.selves import Selves
from bot.sentences import Sentence
from bot.source import Source

#: Letters and digits of a code, none of which is taken for another; there are some 10 ** 11 codes.
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
LENGTH = 8
#: Seconds in which a code, and what comes of it, can be used.
SECONDS = 600.0
#: Codes that one person may ask for, or try, in a minute.
PER_MINUTE = 4
#: Codes of everybody that are open at once.
MOST_OPEN = 10_000

#: The longest name of a person that another one reads.
MAX_NAME = 40
_NOT_IN_A_NAME = re.compile(r"[^\w .'#·-]|_")


class Stage(Enum):
    """How far two accounts are on the way to each other."""

    OFFERED = "offered"  # a code is there
    TYPED = "typed"  # the other side has typed it, and is asked
    ASKED = "asked"  # the other side has said yes, and the first one is asked
    JOINING = "joining"  # both have said yes, and it is being written
    JOINED = "joined"
    REFUSED = "refused"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in (Stage.JOINED, Stage.REFUSED, Stage.EXPIRED)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the other side reads it.

    Attributes:
        user: ``platform:id``.
        name: What the platform calls the person; they may have chosen it themselves.
    """

    user: str
    name: str = ""

    def __str__(self) -> str:
        platform, _, id = self.user.partition(":")
        name = " ".join(_NOT_IN_A_NAME.sub(" ", self.name).split())[:MAX_NAME]
        where = "Web" if platform == "web" else platform.capitalize()
        return f"{where} “{name}” ({id})" if name and name != id else f"{where} “{id}”"


@dataclass(slots=True)
class Joining:
    """Two accounts on the way to each other.

    Attributes:
        code: In lower case, without a hyphen.
        ends_at: Unix seconds.
        second: The side that has typed the code; None before that.
    """

    code: str
    first: Account
    ends_at: float
    second: Account | None = None
    stage: Stage = Stage.OFFERED
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def shown_code(self) -> str:
        """The code as people read it: ``K7MP-2Q9X``."""
        return f"{self.code[:4]}-{self.code[4:]}".upper()

    def other(self, user: str) -> Account | None:
        """The side that is not *user*."""
        return self.second if user == self.first.user else self.first

    def go(self, stage: Stage) -> None:
        """Tell those who wait that it is at *stage*."""
        self.stage = stage
        self._changed.set()
        self._changed = asyncio.Event()

    async def past(self, *stages: Stage, seconds: float = SECONDS) -> Stage:
        """The first stage that is none of *stages*; EXPIRED where none comes within *seconds*."""
        waiting = (*stages, Stage.JOINING)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.stage in waiting:
                    await self._changed.wait()
        return Stage.EXPIRED if self.stage in waiting else self.stage


class Linking:
    """Codes, and what comes of them.

    Attributes:
        known: The accounts that are joined.

    Args:
        leaving: People whose data is being deleted.
        now: Unix seconds.
        new_code: A random code.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        known: Selves,
        leaving: Collection[str],
        now: Callable[[], float],
        new_code: Callable[[], str] | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self.known = known
        self._leaving = leaving
        self._now = now
        self._new_code = new_code or _new_code
        self._open: dict[str, Joining] = {}
        self._offers, self._tries = Rate(PER_MINUTE, now), Rate(PER_MINUTE, now)

    def offer(self, source: Source) -> Joining:
        """A code of *source*, in whose place an earlier one of theirs ends.

        Raises:
            TooOften: They have asked for too many.
            Conflict: Too many people are at it just now.
        """
        self._offers.count(source.user, "codes")
        self._tidy()
        for each in self._of(source.user, is_first=True):
            self._end(each, Stage.EXPIRED)
        if len(self._open) >= MOST_OPEN:
            raise Conflict(Sentence.BUSY)
        joining = Joining(
            self._new_code(), Account(source.user, source.name), self._now() + SECONDS
        )
        self._open[joining.code] = joining
        return joining

    def type(self, source: Source, code: str) -> Joining:
        """The joining whose *code* the other side, *source*, has typed. The code is used up.

        Raises:
            TooOften: They have tried too many.
            NotFound: There is no such code, or no longer.
            Conflict: It is their own, or they are one person already.
        """
        self._tries.count(source.user, "codes")
        self._tidy()
        typed = code.lower().replace("-", "")
        joining = None
        for each in self._open.values():  # all are compared, so that no clock tells how near it was
            is_it = hmac.compare_digest(each.code.encode(), typed.encode("utf-8", "replace"))
            joining = each if is_it else joining
        if joining is None or joining.stage is not Stage.OFFERED:
            raise NotFound(Sentence.UNKNOWN_CODE)
        if joining.first.user == source.user:
            raise Conflict(Sentence.OWN_CODE)
        if self.known.are_one(joining.first.user, source.user):
            raise Conflict(Sentence.ONE_ALREADY)
        for each in self._of(source.user, is_first=False):
            self._end(each, Stage.REFUSED)
        joining.second = Account(source.user, source.name)
        joining.go(Stage.TYPED)
        return joining

    def asked(self, user: str, code: str = "") -> Joining:
        """The joining about which *user* is asked now: that of *code*, if one is given.

        Raises:
            NotFound: They are asked nothing, or no longer.
        """
        self._tidy()
        wanted = code.lower().replace("-", "")
        found = [
            each
            for each in self._open.values()
            if wanted in ("", each.code) and user == _asked_side(each)
        ]
        if len(found) != 1:
            raise NotFound(Sentence.NOTHING_ASKED)
        return found[0]

    def of(self, user: str, code: str) -> Joining:
        """The joining of *code*, over or not, of which *user* is one side.

        Raises:
            NotFound: There is none, or it has been over for long.
        """
        joining = self._open.get(code.lower().replace("-", ""))
        sides = () if joining is None else (joining.first, joining.second)
        if joining is None or user not in [side.user for side in sides if side is not None]:
            raise NotFound(Sentence.UNKNOWN_CODE)
        return joining

    async def answer(self, user: str, code: str = "", *, is_yes: bool) -> Joining:
        """The joining to which *user* has said yes or no.

        Raises:
            NotFound: They are asked nothing, or no longer.
            NotAllowed: One of both is banned.
            Conflict: One of both is deleting their data, or they would be too many accounts.
        """
        joining = self.asked(user, code)
        if not is_yes:
            self._end(joining, Stage.REFUSED)
        elif joining.stage is Stage.TYPED:
            joining.go(Stage.ASKED)
        else:
            # Before anything is awaited, so that no second yes finds it.
            joining.go(Stage.JOINING)
            try:
                await self._join(joining)
            except BaseException:
                joining.go(Stage.REFUSED)
                raise
            joining.go(Stage.JOINED)
        return joining

    async def leave(self, user: str, account: str = "") -> str:
        """The account that is by itself from now on: *account* of the same person, or *user*.

        Raises:
            NotFound: It is joined with nothing, or is none of theirs.
        """
        account = account or user
        if account == user and len(self.known.of(user)) == 1:
            raise NotFound(Sentence.NOT_JOINED)
        if not self.known.are_one(user, account):
            raise NotFound(Sentence.NOT_YOUR_ACCOUNT)
        before = self.known.of(user)
        await self._database.write(lambda db: self.part(db, account))
        await self.known.refresh(before)
        return account

    def part(self, db: sqlite3.Connection, account: str) -> None:
        """Let *account* be by itself from now on, within a transaction. What was granted and what
        was spent stays right on both sides, and neither sees the other's pictures any more."""
        others = [each for each in selves.of(db, account) if each != account]
        if others:
            now = self._now()
            selves.leave(db, [account, *(others if len(others) == 1 else ())], now)
            self._ledger.part(db, account, others, now)
            favourites.part(db, account, others)

    async def _join(self, joining: Joining) -> None:
        assert joining.second is not None
        first, second = joining.first.user, joining.second.user
        now = self._now()

        def act(db: sqlite3.Connection) -> list[str]:
            sides = {*selves.of(db, first), *selves.of(db, second)}
            if any(people.is_banned(db, each) for each in sides):
                raise NotAllowed(Sentence.ONE_IS_BANNED)
            if sides & set(self._leaving):
                raise Conflict(Sentence.ONE_IS_LEAVING)
            if len(sides) > selves.MOST:
                raise Conflict(Sentence.TOO_MANY_SELVES)
            settings = {**people.settings(db, second), **people.settings(db, first)}
            accounts = selves.join(db, first, second, now)
            if settings:
                people.keep_settings(db, first, settings)
            return accounts

        await self.known.refresh(await self._database.write(act))

    def _of(self, user: str, *, is_first: bool) -> list[Joining]:
        sides = [(each, each.first if is_first else each.second) for each in self._open.values()]
        return [each for each, side in sides if side is not None and side.user == user]

    @staticmethod
    def _end(joining: Joining, stage: Stage) -> None:
        if not joining.stage.is_final and joining.stage is not Stage.JOINING:
            joining.go(stage)

    def _tidy(self) -> None:
        now = self._now()
        for each in [each for each in self._open.values() if each.ends_at <= now]:
            del self._open[each.code]
            self._end(each, Stage.EXPIRED)


def _asked_side(joining: Joining) -> str | None:
    if joining.stage is Stage.TYPED and joining.second is not None:
        return joining.second.user
    return joining.first.user if joining.stage is Stage.ASKED else None


def _new_code() -> str:
    # With a digit, so that "link CODE" is never taken for a prompt.
    while (code := "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))).isalpha():
        pass
    return code
