"""Answers by ``response_url``, which a command or button brings along: it reaches the person in
any conversation, also in one that the bot is no member of, 5 times within 30 minutes."""

from __future__ import annotations

from typing import Any

import aiohttp

from adapters.slack_chat import blocks
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.workspaces import Workspace

ATTEMPTS = 4


async def respond(
    workspace: Workspace,
    hook: str,
    text: str,
    parts: list[blocks.Block],
    *,
    replaces: bool = False,
) -> None:
    """Show *parts* to the person of the address *hook* alone, where they asked; *text* is their
    text for notifications. With *replaces* they take the place of the message whose button was
    pressed.

    Raises:
        SlackError: The address serves no more.
        OutcomeUnknown: Slack did not answer, several times.
    """
    body: dict[str, Any] = {"response_type": "ephemeral", "text": text, "blocks": parts}
    if replaces:
        body["replace_original"] = True
    for attempt in range(ATTEMPTS):
        try:
            async with workspace.session.post(hook, json=body) as answer:
                if answer.status == 200:
                    return
                if answer.status < 500 and answer.status != 429:
                    raise SlackError("response_url", f"http_{answer.status}")
                fault = f"HTTP {answer.status}"
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            fault = type(error).__name__
        if attempt + 1 < ATTEMPTS:
            await workspace.pace.sleep(2.0**attempt)
    raise OutcomeUnknown(f"response_url: {fault}")
