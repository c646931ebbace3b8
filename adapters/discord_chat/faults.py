"""Discord's faults, and their meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import discord

from bot.languages import Language
from bot.reasons import Reason
from bot.windows import Fault, Meaning

#: Seconds after which a call hangs. discord.py alone would wait for five minutes, and as long as
#: Discord likes where it limits the rate.
SECONDS_FOR_A_CALL = 60.0
#: Longest that Discord's wish for a pause is heeded, in seconds.
LONGEST_WISH = 600.0
#: Attempts in fifteen seconds to find what Discord may not have written down yet.
TRIES_TO_FIND = 5
TOO_LARGE, UNKNOWN_MESSAGE = 40005, 10008
#: AutoMod, its word for a title, and the filter of harmful links.
BLOCKED = frozenset({200000, 200001, 240000})
#: Discord's words for an interaction whose token serves no more, or not yet.
UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION, INVALID_TOKEN = 10015, 10062, 50027
EXPIRED = frozenset({UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION, INVALID_TOKEN})
#: Discord's words for "a little later": limits of writing, overload, an index or an application
#: that is not ready, and a network error of its own.
LATER = frozenset({20016, 20022, 20028, 20029, 40004, 40062, 40333, 110000, 110001, 130000, 500000})
#: Attempts, first and longest pause (seconds) of an answer that is only a text.
TRIES_FOR_A_TEXT, FIRST_PAUSE, LONGEST_PAUSE = 7, 1.0, 16.0

T = TypeVar("T")


class NotYet(Exception):
    """Discord does not know yet, in one of its places, of an answer that it has taken."""


class Garbled(Exception):
    """Not an answer of Discord's, but one of a machine in between."""


#: The errors of a call that fails.
FAULTS = (discord.HTTPException, discord.RateLimited, aiohttp.ClientError, OSError, Garbled)


def judged(error: Exception) -> Meaning:
    """The meaning of a fault of Discord's, or of the line to it.

    Edits can be repeated, and nonces keep new messages from being posted twice, so that a lost
    answer is no other matter than a busy server.
    """
    if isinstance(error, (NotYet, discord.RateLimited)):
        return Meaning.PASSES
    if not isinstance(error, discord.HTTPException):
        return Meaning.UNKNOWN
    if error.status >= 500:
        return Meaning.UNKNOWN
    if error.status in (408, 429) or error.code in LATER:
        return Meaning.PASSES
    if error.code == TOO_LARGE or error.status == 413:
        return Meaning.TOO_LARGE
    if error.code in BLOCKED:
        return Meaning.REFUSED
    if error.code == 0:
        # Discord gives its reasons a number. 401 has none, and is about the bot's own token;
        # anything else is a word of the edge.
        return Meaning.GONE if error.status == 401 else Meaning.PASSES
    return Meaning.CLOSED


def fault_of(error: Exception, say: Language) -> Fault | None:
    """*error* as a fault of Discord's, in the person's language; None where it is not at fault."""
    if not isinstance(error, (*FAULTS, NotYet)):
        return None
    meaning = judged(error)
    if isinstance(error, NotYet):
        return Fault(meaning, tries=TRIES_TO_FIND)
    why = say(Reason.FILTERED) if meaning is Meaning.REFUSED else ""
    return Fault(meaning, why, min(_wish(error), LONGEST_WISH))


def _wish(error: Exception) -> float:
    """Seconds for which Discord wants to be left alone."""
    if isinstance(error, discord.RateLimited):
        return error.retry_after
    if isinstance(error, discord.HTTPException) and error.status == 429:
        try:
            return float(error.response.headers.get("Retry-After", 0))
        except ValueError:
            return 0.0
    return 0.0


async def in_time(call: Awaitable[T], *, share: float = 1.0) -> T:
    """The result of a call to Discord, if it comes in time, or in another *share* of it.

    Raises:
        FAULTS: It did not, in which case nobody knows whether it was carried out, or it fails.
    """
    try:
        async with asyncio.timeout(share * SECONDS_FOR_A_CALL):
            return await call
    except (TypeError, KeyError) as error:  # of discord.py, for a page in the place of JSON
        raise Garbled(repr(error)) from error


async def patiently(
    call: Callable[[], Awaitable[T]], *, is_new: bool = False, tries: int = TRIES_FOR_A_TEXT
) -> T:
    """The result of *call*, made again while its fault passes, half a minute at most.

    Args:
        is_new: Whether Discord has only just been told what the call refers to, and may not know
            of it everywhere.
        tries: Attempts at most.

    Raises:
        FAULTS: The fault stays.
    """
    pause = FIRST_PAUSE
    for left in reversed(range(tries)):
        try:
            return await in_time(call())
        except FAULTS as error:
            passes = judged(error) in (Meaning.PASSES, Meaning.UNKNOWN)
            is_unknown = is_new and isinstance(error, discord.NotFound)
            if not left or not (passes or is_unknown):
                raise
            await asyncio.sleep(max(pause, min(_wish(error), LONGEST_PAUSE)))
            pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("the last attempt returns or raises")
