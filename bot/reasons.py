"""Sentences about the delivery of an answer: reasons why it fails, and its new place.

Each is a key of the translations; `bot.languages` says it in the language of the person who asked.
"""

from __future__ import annotations

from enum import StrEnum

from bot.languages import Language


class Reason(StrEnum):
    """Reasons why a person cannot be answered, each the end of a sentence after a colon."""

    NO_MEMBER = "I am not a member of the channel"
    ARCHIVED = "the channel was archived"
    READ_ONLY = "the channel is read-only"
    THREADS_ONLY = "the channel only takes threads"
    NO_REPLIES = "the thread takes no replies"
    THREAD_DELETED = "the thread was deleted"
    NOT_ALLOWED = "the workspace does not let me write there"
    FAILING = "Slack did not take the message there"
    FILTERED = "the server's filter blocked the message"
    OUR_FAULT = "something went wrong on our side"
    NOWHERE = "the picture could not be posted anywhere; your history still has it"
    REMOVED = "the app was removed from the workspace"
    SHUT_OUT = "the workspace no longer lets the app in"
    UNKNOWN_TOKEN = "Slack does not know the token"
    OTHER_TOKEN = "the token is of the wrong kind"
    NO_TOKEN = "there is no token"
    EXPIRED = "the token has expired"
    REVOKED = "the token was revoked"


class LeftBehind(StrEnum):
    """Sentences in a message whose answer is somewhere else."""

    IN_CHANNEL = "Answered in a new message further down."
    DIRECTLY = "Answered in a direct message."
    TO_YOU = "I cannot post here: the picture will be shown to you alone."
    TO_YOU_ALONE = "The picture is shown to you alone."


#: The note of a job that goes on after a restart.
RESTARTS = "The bot is restarting; your picture will follow"


def refused(platform: str, code: str, say: Language) -> str:
    """The reason where *platform* refuses a picture; *code* is its word for the reason."""
    return say("{platform} refused the picture ({code})", platform=platform, code=code)


def unreachable(platform: str, reason: str, say: Language) -> str:
    """The reason where *platform* no longer lets the bot in."""
    return say("{platform} could not be reached: {reason}", platform=platform, reason=say(reason))


def moved(reason: str, say: Language) -> str:
    """A note in an answer to the person alone, with the reason why it comes there."""
    return say("I could not answer where you asked: {reason}.", reason=say(reason))


def given_up(reason: str, say: Language) -> str:
    """The last word in the message of a picture that could not be delivered."""
    return say("Not delivered: {reason}. Your credits were given back.", reason=say(reason))


def smaller(say: Language) -> str:
    """A remark under a picture whose file was too large for the place."""
    return say(
        "The original is too large to post here, so this copy is smaller; the gallery keeps"
        " the original."
    )


def deleted(say: Language) -> str:
    """The sentence in the place of a picture whose file is gone."""
    return say("The picture was deleted.")
