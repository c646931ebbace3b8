"""A workspace in which the app is installed: its token, and its calls."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack_chat.errors import (
    GONE,
    OutcomeUnknown,
    RateLimited,
    SlackError,
    TokenRevoked,
    is_limit,
    is_passing,
    word_of,
)
from adapters.slack_chat.pace import Pace
from bot.sections import Slack

logger = logging.getLogger(__name__)

#: Scopes that the bot uses; deploy/slack-manifest.yaml asks for them.
SCOPES = {
    "app_mentions:read": "hear when somebody mentions it",
    "assistant:write": "offer prompts to people who open it, and answer each message in a thread",
    "channels:history": "hear what is said in its threads without naming it, and find its own"
    " message again when Slack's answer was lost",
    "chat:write": "answer",
    "chat:write.public": "answer a command in a public channel that it is no member of",
    "commands": "offer its command and shortcuts",
    "files:read": "read the pictures that people attach",
    "files:write": "show the pictures that it draws",
    "groups:history": "do the same in private channels",
    "im:history": "hear what people write to it directly",
    "im:write": "find its own message again in a direct message that it began",
    "reactions:read": "take reactions to its pictures as favourites, and the like",
    "users:read": "tell who is an admin of the workspace, and speak people's languages",
}
#: Without these it cannot do anything; without others it does less.
NEEDED_SCOPES = frozenset({"chat:write", "app_mentions:read", "commands"})

#: Methods whose arguments go as a form; the others take JSON.
FORMS = frozenset(
    {
        "auth.test",
        "chat.getPermalink",
        "conversations.history",
        "conversations.replies",
        "files.getUploadURLExternal",
        "files.info",
        "users.info",
    }
)
#: Methods that can be called twice with the effect of once.
REPEATABLE = FORMS | {
    "assistant.threads.setStatus",
    "assistant.threads.setSuggestedPrompts",
    "assistant.threads.setTitle",
    "chat.delete",
    "chat.update",
    "conversations.open",
    "files.delete",
    "views.publish",
    "views.update",
}
ATTEMPTS = 4
TIMEOUT = 30


class Workspace:
    """An installation, known by its token; `connect` learns the rest.

    Attributes:
        team: Slack's id of the workspace, or of the organisation.
        is_org: Whether the app is installed for a whole organisation (Enterprise Grid).
        name: The workspace's name.
        bot_user, bot_id: Ids of the bot, as a member and as an app.
        scopes: Permissions of the token, as Slack told them last; empty where it did not.
        shows_carousels: Whether pictures may stand side by side in a message there.
        lost: Reason why the workspace cannot be reached any more; None while it can.
        renew: Gives the workspace another token than the one named, which has expired; says
            whether it did, and may raise OutcomeUnknown. None where tokens do not expire.
    """

    def __init__(
        self, token: str, settings: Slack, session: aiohttp.ClientSession, pace: Pace
    ) -> None:
        self.token = token
        self.session = session
        self.pace = pace
        self.shows_carousels = settings.carousel
        self.team = self.name = self.bot_user = self.bot_id = ""
        self.is_org = False
        self.scopes: frozenset[str] = frozenset()
        self.lost: str | None = None
        self.renew: Callable[[str], Awaitable[bool]] | None = None
        self.patient = self._client(settings, [AsyncRateLimitErrorRetryHandler(max_retry_count=3)])
        self._hasty = self._client(settings, [])

    def _client(self, settings: Slack, handlers: list[Any]) -> AsyncWebClient:
        # The library would also repeat posts whose answer was lost, and post twice.
        return AsyncWebClient(
            self.token,
            base_url=settings.api_base,
            session=self.session,
            timeout=TIMEOUT,
            retry_handlers=handlers,
            logger=logging.getLogger("slack_sdk"),
        )

    def use(self, token: str) -> None:
        """Call Slack with *token* from now on."""
        self.token = self.patient.token = self._hasty.token = token

    async def connect(self) -> None:
        """Learn the workspace of the token from Slack.

        Raises:
            TokenRevoked: The token does not work.
            OutcomeUnknown: Slack cannot be reached.
        """
        answer = await self.call("auth.test")
        self.is_org = bool(answer.get("is_enterprise_install"))
        self.team = answer["enterprise_id" if self.is_org else "team_id"]
        self.name = answer.get("team") or self.team
        self.bot_user, self.bot_id = answer["user_id"], answer.get("bot_id") or ""
        self.lost = None

    @property
    def is_agent(self) -> bool:
        """Whether the app is an agent there: installed with ``agent_view`` in its manifest, which
        comes with this permission."""
        return "assistant:write" in self.scopes

    def may(self, scope: str) -> bool:
        """Whether the token has the permission *scope*, as far as is known."""
        return not self.scopes or scope in self.scopes

    async def is_open(self) -> bool:
        """Whether the token works just now."""
        try:
            await self.connect()
        except (SlackError, OutcomeUnknown):
            return False
        return True

    @property
    def missing(self) -> list[str]:
        """Scopes that the token lacks."""
        return sorted(set(SCOPES) - self.scopes)

    async def direct(self, user: str) -> str:
        """Id of the bot's conversation with *user*; *user* itself, to whom messages can be posted
        all the same, where Slack does not tell.

        Raises:
            TokenRevoked, RateLimited, OutcomeUnknown: It may tell later.
        """
        try:
            answer = await self.call("conversations.open", users=user)
        except (TokenRevoked, RateLimited):
            raise
        except SlackError as error:
            logger.info("a conversation is not known: %s", error)
            return user
        return str(answer["channel"]["id"])

    async def call(self, method: str, /, *, is_hasty: bool = False, **arguments: Any) -> Any:
        """The answer to a call of *method*.

        A rate-limited call is repeated when Slack allows it, unless it *is_hasty*. Where no
        answer came, calls are repeated if that does no harm.

        Raises:
            TokenRevoked, RateLimited, SlackError: Slack refused the call.
            OutcomeUnknown: No answer came.
        """
        attempts = ATTEMPTS if method in REPEATABLE and not is_hasty else 1
        for attempt in range(attempts):
            try:
                return await self._call(
                    self._hasty if is_hasty else self.patient, method, arguments
                )
            except OutcomeUnknown:
                if attempt + 1 == attempts:
                    raise
                await self.pace.sleep(2.0**attempt)
        raise AssertionError("every attempt returns or raises")

    async def _call(
        self, client: AsyncWebClient, method: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        is_form, token = method in FORMS, self.token
        try:
            response = await client.api_call(
                method,
                params=arguments if is_form else None,
                json=None if is_form else arguments,
            )
        except SlackApiError as error:
            # Slack refuses such a call before it does anything.
            has_expired = word_of(error.response)[0] == "token_expired"
            if has_expired and self.renew is not None and await self.renew(token):
                return await self._call(client, method, arguments)
            raise self._meaning(method, error.response) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise OutcomeUnknown(f"{method}: {type(error).__name__} {error}") from error
        # Installing the app anew changes them.
        if scopes := response.headers.get("X-OAuth-Scopes"):
            self.scopes = frozenset(map(str.strip, scopes.split(",")))
        return response.data if isinstance(response.data, dict) else {}

    def _meaning(self, method: str, response: Any) -> Exception:
        error, status = word_of(response)
        if is_limit(error, status):
            return RateLimited(method, float(response.headers.get("Retry-After", 30)))
        if not error or is_passing(error, status):
            return OutcomeUnknown(f"{method}: HTTP {status} {error}".rstrip())
        if error in GONE:
            self.lost = GONE[error]
            return TokenRevoked(method, error)
        needed = f" ({scope})" if (scope := response.data.get("needed")) else ""
        return SlackError(method, error, needed)
