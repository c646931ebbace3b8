"""The source of a request: person, place and the platform's facts, in one value for every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.languages import ENGLISH, Language
from bot.origins import NOWHERE, Origin


@dataclass(frozen=True, slots=True)
class Source:
    """A person who asks, and the place where they are answered.

    Attributes:
        user: ``platform:id``, such as ``discord:1234``.
        origin: The server, channels and roles, whose limits hold.
        reply_to: Everything that the platform needs to answer a job, also after a restart; kept as
            JSON in its row. None where no answer is owed, as over HTTP.
        event_id: The platform's id of the event behind the request; a repeated event is carried
            out once.
        name: What the platform calls the person; empty where it does not say. Only shown.
        language: The person's language.
        shown: Id of the job that the platform has just shown to this person, perhaps somebody
            else's, as in a channel of which both are members. They may build on that one.
        webhook_url: Address that is told of the job's end; None without one.
        thread: Fields of ``reply_to`` that tell one conversation from another: ``channel``, and
            more where the platform has threads. Empty where "same, at night" means the person's own
            latest picture.
        above: Finds the picture further up in the conversation: the newest, where it is asked for
            (True), else the newest that a person has brought, before any of the bot's. None where
            the platform cannot look back.
    """

    user: str
    origin: Origin = NOWHERE
    reply_to: Mapping[str, Any] | None = None
    event_id: str | None = None
    name: str = ""
    language: Language = ENGLISH
    shown: str | None = None
    webhook_url: str | None = None
    thread: Mapping[str, str] = field(default_factory=dict)
    above: Callable[[bool], Awaitable[Picture | None]] | None = None

    @property
    def platform(self) -> str:
        """The part of `user` before the colon."""
        return self.user.partition(":")[0]


@dataclass(frozen=True, slots=True)
class PictureOf:
    """Picture *number* (from 1) of an earlier job, to draw from."""

    job_id: str
    number: int = 1


#: A picture that comes with words: its bytes, a function that fetches them, or one of an earlier
#: job. The function is called once the words have been understood and the person may draw, and
#: raises FluxbotError where the bytes cannot be fetched.
Picture = bytes | Callable[[], Awaitable[bytes]] | PictureOf
