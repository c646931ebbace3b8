"""What a person can ask for, and how the bot says that it did not understand."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from generation.errors import InvalidRequest

#: More pictures than this are never one request; the configured limit is lower.
MAX_IMAGES = 16
MAX_CREDITS = 10**9
EXAMPLE = "a red house under a yellow sun --steps 20"
EXAMPLE_ID = "k7m2p9qa"


class CommandError(InvalidRequest):
    """The text is no command; the sentence points at the wrong word.

    Attributes:
        word: The word that is wrong, exactly as typed; empty where one is missing.
        position: Its offset in the text, in characters.
    """

    def __init__(
        self, sentence: str, *, word: str = "", position: int = 0, field: str | None = None
    ) -> None:
        super().__init__(sentence, field=field)
        self.word = word
        self.position = position


@dataclass(frozen=True, slots=True)
class ImagineCommand:
    """A picture as a person asked for it, before presets and defaults fill it in.

    None means that the person did not say. Where it stands for changes (`AgainCommand`,
    `SettingsCommand`) the prompt is empty, which means the same.

    Attributes:
        prompt: Without outer white space.
        preset: Lower case; whether there is such a preset is not known here.
        num_inference_steps: 1 to 50.
        width: Pixels, a multiple of 16 from 64 to 2048; given together with `height`.
        height: Likewise.
        aspect_ratio: Width to height, such as (16, 9), instead of both; see `fit_size`.
        guidance_scale: 0 to 30.
        seed: 0 <= seed < 2**32.
        images: 1 to 16.
        strength: 0 to 1.
        negative_prompt: Empty means that the person wants none.
    """

    prompt: str = ""
    preset: str | None = None
    num_inference_steps: int | None = None
    width: int | None = None
    height: int | None = None
    aspect_ratio: tuple[int, int] | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    images: int | None = None
    strength: float | None = None
    negative_prompt: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the person said beside the prompt: field to value, in the table's order."""
        values = {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PresetsCommand:
    """Which presets are there?"""


@dataclass(frozen=True, slots=True)
class HistoryCommand:
    """My pictures: those whose prompt has these words, or all. Pages count from 1."""

    words: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class ShowCommand:
    """One job of mine."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AgainCommand:
    """The same again, or with changes. Without an id: my latest. `vary`: with a new seed."""

    job_id: str | None = None
    changes: ImagineCommand = field(default=ImagineCommand())
    vary: bool = False


@dataclass(frozen=True, slots=True)
class QuotaCommand:
    """What have I left?"""


@dataclass(frozen=True, slots=True)
class QueueCommand:
    """What waits before me?"""


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """Stop a job of mine; without an id: my latest that has not ended."""

    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class SettingsCommand:
    """My defaults: show them (no changes), change them, or forget them all."""

    changes: ImagineCommand | None = None
    is_reset: bool = False


@dataclass(frozen=True, slots=True)
class HelpCommand:
    """Help, on one of `TOPICS` or in general."""

    topic: str | None = None


class AdminCommand:
    """What only admins may say; a user is written ``platform:id``."""


@dataclass(frozen=True, slots=True)
class AdminPresets(AdminCommand):
    """The presets: list them, read them anew, or let people choose *name* or no longer."""

    action: Literal["list", "reload", "enable", "disable"] = "list"
    name: str = ""


@dataclass(frozen=True, slots=True)
class AdminQuota(AdminCommand):
    """Credits: for grant 1 to 10**9, for set 0 to 10**9 or None, which is the default again.

    Attributes:
        user: To show and to set, a role or a server too; see `bot.origins`.
        roles: Those that the person has where this is asked, if the platform has any.
    """

    action: Literal["show", "grant", "set", "reset"]
    user: str
    credits: int | None = None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdminBan(AdminCommand):
    user: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AdminUnban(AdminCommand):
    user: str


@dataclass(frozen=True, slots=True)
class AdminPause(AdminCommand): ...


@dataclass(frozen=True, slots=True)
class AdminResume(AdminCommand): ...


@dataclass(frozen=True, slots=True)
class AdminDrain(AdminCommand): ...


@dataclass(frozen=True, slots=True)
class AdminQueue(AdminCommand):
    """Everybody's jobs: list them, or those that were given up, or do something with one."""

    action: Literal["list", "failed", "first", "last", "cancel", "refund", "replay"] = "list"
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class AdminAudit(AdminCommand): ...


@dataclass(frozen=True, slots=True)
class AdminStats(AdminCommand): ...


Command = (
    (ImagineCommand | AgainCommand | ShowCommand | HistoryCommand | CancelCommand)
    | (PresetsCommand | QuotaCommand | QueueCommand | SettingsCommand | HelpCommand)
    | AdminCommand
)
