"""What people say in a conversation with the bot without naming it, and whether they mean it.

| said | meant for the bot |
| --- | --- |
| by somebody who is alone there with the bot | unless it is thanks |
| ``again``, ``vary`` and other commands about pictures | by whomever |
| ``edit k7m2p9qa make it night`` | by whomever |
| ``same, at night`` | by the person whose picture is the last one there |
| anything else | never: people talk to each other |
"""

from __future__ import annotations

from bot.commands import (
    AgainCommand,
    CancelCommand,
    CommandError,
    EditCommand,
    HowCommand,
    ShowCommand,
    ThanksCommand,
    UpscaleCommand,
    VaryCommand,
)
from bot.conversation import begins_with_same, understand
from bot.jobs import Job

#: Commands that nobody would say to another person by chance.
ABOUT_PICTURES = (
    AgainCommand,
    CancelCommand,
    HowCommand,
    ShowCommand,
    UpscaleCommand,
    VaryCommand,
)


def is_meant(said: str, last: Job, *, is_alone: bool, is_theirs: bool) -> bool:
    """Whether *said* is for the bot.

    Args:
        last: The newest picture there, or one that is still being made.
        is_alone: Whether nobody but this person and the bot has said anything there.
        is_theirs: Whether *last* is this person's.
    """
    if not said.strip():
        return False
    try:
        command = understand(said, last)
    except CommandError:
        return is_alone
    if isinstance(command, ThanksCommand):
        return False
    if is_alone:
        return True
    if begins_with_same(said):
        return is_theirs and isinstance(command, AgainCommand)
    if isinstance(command, EditCommand):  # "edit the minutes, please"
        return command.job_id is not None
    return isinstance(command, ABOUT_PICTURES)
