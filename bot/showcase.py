"""The showcase: people vote for pictures, and the best are shown in their server's own channel.

A picture is shown once. Whoever asked for it may keep all of theirs out. An adapter brings the acts
of showing and of taking down; the rest is the same everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bot import people, votes
from bot.database import Database
from bot.jobs import Job
from bot.languages import ENGLISH, Language
from bot.lookups import Lookups
from bot.refusals import Conflict, NotAllowed, NotFound
from bot.sections import ShowcaseSettings
from bot.selves import Selves
from bot.source import Source
from bot.votes import Showcased

logger = logging.getLogger(__name__)

#: Seconds between two looks for pictures to show, and after a fault.
SECONDS_BETWEEN_LOOKS = 3.0
SECONDS_AFTER_A_FAULT = 30.0
#: Seconds after which an act hangs.
SECONDS_FOR_AN_ACT = 120.0
#: The setting with which a person keeps their pictures out.
KEY = "showcase"


class CannotBeShown(Exception):
    """The channel does not exist, or the bot may not write there."""


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes for a picture, after one was given or taken back.

    Attributes:
        count: Votes by now.
        needed: Votes that show it in the best-of channel.
        is_given: Whether the person's own counts.
        has_channel: Whether the server has such a channel.
    """

    count: int
    needed: int
    is_given: bool
    has_channel: bool


@dataclass(frozen=True, slots=True)
class Best:
    """A picture to be shown to a server.

    Attributes:
        channel: The platform's own id of the channel.
        path: The PNG.
        votes: Votes by now.
    """

    job: Job
    number: int
    channel: str
    path: Path
    votes: int


#: Shows a picture, and returns the platform's own id of the message. Raises `CannotBeShown` where
#: that will never work, or may have worked, and any other error where it is to be tried again.
Show = Callable[[Best], Awaitable[str]]
#: Takes a message down, by the channel and its own id. Where it is gone already, that is well.
TakeDown = Callable[[str, str], Awaitable[None]]


class Showcase:
    """The votes of everybody. *now* returns unix seconds."""

    def __init__(
        self,
        settings: ShowcaseSettings,
        database: Database,
        lookups: Lookups,
        selves: Selves,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._database = database
        self._lookups = lookups
        self._selves = selves
        self._now = now

    @property
    def is_open(self) -> bool:
        """Whether people can vote here."""
        return self._settings.votes > 0

    def may_be_voted_for(self, job: Job) -> bool:
        """Whether a button to vote belongs under the pictures of *job*."""
        return self.is_open and not _is_for_few(job)

    async def vote(self, source: Source, job_id: str, number: int = 1) -> Votes:
        """Give the vote of *source* for a picture that they see, or take it back.

        Raises:
            NotFound: There is no such picture, or no showcase here.
            NotAllowed: It is their own, or its maker keeps it out.
            Conflict: It is not for everybody's eyes.
        """
        if not self.is_open:
            raise NotFound("pictures are not voted for here")
        job = await self._lookups.with_picture(source, job_id, number)
        await self._lookups.picture(source, job_id, number)
        if self._lookups.is_own(source, job):
            raise NotAllowed("this is your own picture: the votes of others count")
        if _is_for_few(job) or source.origin.is_age_restricted:
            raise Conflict("this picture is not shown to everybody, so it is not voted for")
        accounts = [source.user, *sorted(self._selves.of(source.user) - {source.user})]
        server, now = job.origin.server, self._now()

        def vote(db: sqlite3.Connection) -> Votes:
            if not people.settings(db, job.user).get(KEY, True):
                raise NotAllowed("whoever asked for this picture keeps it out of the showcase")
            is_given = votes.toggle(db, job.id, number, accounts, now)
            persons = {self._selves.person_of(each) for each in votes.voters(db, job.id, number)}
            channel = votes.channel_of(db, server)
            if server is not None and channel is not None and len(persons) >= self._settings.votes:
                votes.owe(db, job.id, number, server, channel, now)
            return Votes(len(persons), self._settings.votes, is_given, channel is not None)

        return await self._database.write(vote)

    async def channel(self, server: str | None) -> str | None:
        """Id of the best-of channel of *server*; None without one."""
        return await self._database.read(partial(votes.channel_of, server=server))

    def on(
        self,
        platform: str,
        show: Show,
        take_down: TakeDown,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Showing:
        """The best-of channels of *platform*."""
        ours = (self._database, self._lookups, self._selves)
        return Showing(*ours, platform, show, take_down, sleep)


class Showing:
    """Shows the best pictures of the servers of *platform*, as in ids of its people.

    Args:
        sleep: The clock.
    """

    def __init__(
        self,
        database: Database,
        lookups: Lookups,
        selves: Selves,
        platform: str,
        show: Show,
        take_down: TakeDown,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._selves = selves
        self._platform = platform
        self._show = show
        self._take_down = take_down
        self._sleep = sleep

    async def run(self) -> None:
        """Show and take down until cancelled."""
        while True:
            try:
                await self.show_all()
                await self._sleep(SECONDS_BETWEEN_LOOKS)
            except Exception as error:
                logger.warning("the best of %s cannot be shown: %r", self._platform, error)
                await self._sleep(SECONDS_AFTER_A_FAULT)

    async def show_all(self) -> None:
        """Show what is to be shown, and take down what is not to be."""
        for each in await self._database.read(partial(votes.open_ones, platform=self._platform)):
            if each.state == "owed":
                await self._show_one(each)
            else:
                await self._withdraw(each)

    async def _show_one(self, each: Showcased) -> None:
        best = await self._best(each)
        if best is None:
            await self._set(each, "refused")
            return
        # Written first: rather not shown than shown twice, should the process end meanwhile.
        if not await self._set(each, "shown"):
            return
        try:
            async with asyncio.timeout(SECONDS_FOR_AN_ACT):
                message = await self._show(best)
        except CannotBeShown as error:
            logger.warning("the best-of channel %s shows nothing: %s", each.channel, error)
            return
        except Exception:
            await self._set(replace(each, state="shown"), "owed")
            raise

        def shown(db: sqlite3.Connection) -> None:
            votes.set_message(db, each.job_id, each.number, message)

        await self._database.write(shown)

    async def _best(self, each: Showcased) -> Best | None:
        """The picture, as it is now; None where it must not be shown any more."""
        nobody = Source(f"{self._platform}:", shown=each.job_id)
        try:
            job = await self._lookups.job(nobody, each.job_id)
            path = await self._lookups.picture(nobody, each.job_id, each.number)
        except (NotFound, Conflict):
            return None

        if _is_for_few(job):
            return None
        voters = await self._database.read(
            partial(votes.voters, job_id=each.job_id, number=each.number)
        )
        count = len({self._selves.person_of(voter) for voter in voters})
        return Best(job, each.number, each.channel, path, count)

    async def _withdraw(self, each: Showcased) -> None:
        if each.message is not None:
            try:
                async with asyncio.timeout(SECONDS_FOR_AN_ACT):
                    await self._take_down(each.channel, each.message)
            except CannotBeShown as error:
                logger.warning("the best-of channel %s keeps a message: %s", each.channel, error)
        await self._set(each, "refused")

    async def _set(self, each: Showcased, state: votes.State) -> bool:
        def change(db: sqlite3.Connection) -> bool:
            return votes.set_state(db, each.job_id, each.number, state, if_state=each.state)

        return await self._database.write(change)


def _is_for_few(job: Job) -> bool:
    """Whether *job* is hidden, private, or from where only adults are let in."""
    to = job.reply_to or {}
    return job.is_spoiler or bool(to.get("is_private")) or job.origin.server is None


def told(found: Votes, say: Language = ENGLISH) -> str:
    """The answer to somebody who has voted, or taken their vote back."""
    count = say.counted(found.count, "1 vote", "{count} votes")
    if not found.is_given:
        return say("Your vote is taken back; the picture has {votes}.", votes=count)
    if not found.has_channel:
        return say("Your vote counts; the picture has {votes}.", votes=count)
    if found.count >= found.needed:
        return say("Your vote counts; the picture has {votes} and is among the best.", votes=count)
    return say(
        "Your vote counts; the picture has {votes} of the {needed} that show it among the best.",
        votes=count,
        needed=found.needed,
    )
