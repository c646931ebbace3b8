"""Slack's errors, and their meaning: a rule over the words by which Slack names them.

Each method documents words of its own, and new ones come without notice, so that no list of them
is ever complete. The word tells what it is about:

| about | then |
| --- | --- |
| Slack itself (``internal_error``, ``update_failed``, …) | `OutcomeUnknown` |
| the pace of calls (``ratelimited``) | `RateLimited` |
| the token (`GONE`) | `TokenRevoked` |
| the message, wherever it is posted (`is_about_content`) | `SlackError`, final |
| anything else: the conversation | `SlackError`, final there; another place may do |
"""

from __future__ import annotations

import re
from typing import Any

from bot.reasons import Reason

#: Slack's errors for a token that will not work again by itself.
GONE = {
    "account_inactive": Reason.REMOVED,
    "app_uninstalled": Reason.REMOVED,
    "invalid_auth": Reason.UNKNOWN_TOKEN,
    "not_allowed_token_type": Reason.OTHER_TOKEN,
    "not_authed": Reason.NO_TOKEN,
    "team_access_not_granted": Reason.SHUT_OUT,
    "token_expired": Reason.EXPIRED,
    "token_revoked": Reason.REVOKED,
}
#: Reasons that people are told for conversations that nothing can be posted to. Others are
#: `Reason.NOT_ALLOWED`.
CLOSED = {
    "cannot_reply_to_message": Reason.NO_REPLIES,
    "channel_not_found": Reason.NO_MEMBER,
    "is_archived": Reason.ARCHIVED,
    "is_inactive": Reason.ARCHIVED,
    "not_in_channel": Reason.NO_MEMBER,
    "restricted_action_non_threadable_channel": Reason.NO_REPLIES,
    "restricted_action_read_only_channel": Reason.READ_ONLY,
    "restricted_action_thread_only_channel": Reason.THREADS_ONLY,
    "thread_locked": Reason.NO_REPLIES,
    "thread_not_found": Reason.THREAD_DELETED,
}
#: Words for Slack's own faults, and for a workspace or channel that is just being moved.
_PASSING = re.compile(
    r"(?:^|_)(?:error|unavailable|timeout|timed_out|failed|failure|conflict|migrating|busy)$"
    r"|^(?:team_added_to_org|org_login_required)$"
)
_LIMITED = re.compile(r"(?:^|_)rate_?limited$|^message_limit_exceeded$")
_ABOUT_CONTENT = re.compile(
    r"^(?:invalid_(?!channel|thread|user)|msg_|no_text|too_many_|metadata_|missing_|file_|blocked_"
    r"|storage_limit|slack_connect_(?:file|blocked))|_too_(?:long|large)$|_limit_exceeded$"
)


class SlackError(Exception):
    """A call that Slack refused; *error* is its word for the reason."""

    def __init__(self, method: str, error: str, more: str = "") -> None:
        super().__init__(f"{method}: {error}{more}")
        self.error = error


class TokenRevoked(SlackError):
    """The workspace cannot be reached with this token any more."""


class RateLimited(SlackError):
    """Too many calls; the next may come *seconds* later."""

    def __init__(self, method: str, seconds: float) -> None:
        super().__init__(method, "ratelimited")
        self.seconds = seconds


class OutcomeUnknown(Exception):
    """No answer came, or a fault of Slack's own, so that the call may or may not have succeeded.
    The same call may succeed a little later."""


def word_of(response: Any) -> tuple[str, int]:
    """Slack's word for the fault in *response*, empty where it is no answer of the Web API's, and
    its HTTP status."""
    data = response.data if isinstance(getattr(response, "data", None), dict) else {}
    status = getattr(response, "status_code", getattr(response, "status", 0))
    return str(data.get("error") or ""), status


def is_passing(error: str, status: int = 200) -> bool:
    """Whether Slack may take *error* back, which came with an HTTP *status*."""
    return status >= 500 or _PASSING.search(error) is not None


def is_limit(error: str, status: int = 200) -> bool:
    """Whether *error*, with an HTTP *status*, means that calls come too fast."""
    return status == 429 or _LIMITED.search(error) is not None


def is_about_content(error: str) -> bool:
    """Whether *error* is about the message or its files, so that no other place would take it."""
    return _ABOUT_CONTENT.search(error) is not None
