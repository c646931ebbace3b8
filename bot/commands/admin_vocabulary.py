"""The commands for admins alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class AdminCommand:
    """A command for admins alone; users are written ``platform:id``."""


@dataclass(frozen=True, slots=True)
class AdminPresets(AdminCommand):
    """List the presets, read them anew, or enable or disable *name*."""

    action: Literal["list", "reload", "enable", "disable"] = "list"
    name: str = ""


@dataclass(frozen=True, slots=True)
class AdminQuota(AdminCommand):
    """Show, grant (1 to 10**9), set (0 to 10**9, or None for the default) or reset credits.

    Attributes:
        user: Also a role or a server, to show or set its quota; see `bot.origins`.
        roles: The person's roles where the admin asks, if the platform has any.
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
class AdminBans(AdminCommand):
    """List the people who are banned in a server."""


@dataclass(frozen=True, slots=True)
class AdminRoles(AdminCommand):
    """List the roles of a server whose members alone may draw, add one, or remove one.

    Attributes:
        role: ``platform-role:id``.
    """

    action: Literal["list", "allow", "remove"] = "list"
    role: str = ""


@dataclass(frozen=True, slots=True)
class AdminPause(AdminCommand): ...


@dataclass(frozen=True, slots=True)
class AdminResume(AdminCommand): ...


@dataclass(frozen=True, slots=True)
class AdminDrain(AdminCommand): ...


@dataclass(frozen=True, slots=True)
class AdminQueue(AdminCommand):
    """List everybody's jobs, or those that were given up, or change one."""

    action: Literal["list", "failed", "first", "last", "cancel", "refund", "replay"] = "list"
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class AdminChannels(AdminCommand):
    """List the channels of a server to which drawing is restricted, add one, or remove one."""

    action: Literal["list", "allow", "remove"] = "list"
    channel: str = ""


@dataclass(frozen=True, slots=True)
class AdminReview(AdminCommand):
    """List the pictures that a screen holds, decide about one, or take a spoiler away.

    Attributes:
        reason: A sentence for the person whose picture is rejected.
    """

    action: Literal["list", "release", "reject", "reveal"] = "list"
    job_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AdminWho(AdminCommand):
    """Tell who asked for a picture."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AdminReports(AdminCommand):
    """List reported pictures, close the reports about one, or delete a picture."""

    action: Literal["list", "dismiss", "remove"] = "list"
    job_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AdminErase(AdminCommand):
    """Delete everything of a person within the server where this is said.

    Attributes:
        is_sure: Whether to do it; else it is asked for once.
    """

    user: str
    is_sure: bool = False


@dataclass(frozen=True, slots=True)
class AdminLog(AdminCommand):
    """Tell the channel where this is said of incidents in its server, or end that."""

    action: Literal["show", "here", "off"] = "show"


@dataclass(frozen=True, slots=True)
class AdminShowcase(AdminCommand):
    """Show the best pictures of a server in the channel where this is said, or end that."""

    action: Literal["show", "here", "off"] = "show"


@dataclass(frozen=True, slots=True)
class AdminStrikes(AdminCommand):
    """Show the strikes of a person, or lift them."""

    user: str
    is_lifted: bool = False


@dataclass(frozen=True, slots=True)
class AdminWords(AdminCommand):
    """List the words that a server refuses, refuse one, or allow it again."""

    action: Literal["list", "refuse", "allow"] = "list"
    word: str = ""


@dataclass(frozen=True, slots=True)
class AdminInvite(AdminCommand):
    """Add somebody who signs in on the page, or give them a new link.

    Attributes:
        name: Of ``web:name``.
    """

    name: str


@dataclass(frozen=True, slots=True)
class AdminSample(AdminCommand):
    """Have the sample of a preset drawn; without a *prompt* from the example of the help."""

    name: str
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class AdminAudit(AdminCommand):
    """List the acts of admins; for people who manage one server, the acts there.

    Attributes:
        words: Text that an act has in it: a name, an act, a reason.
        page: Counts from 1.
        is_export: Whether all of them are wanted, in a file.
    """

    words: str = ""
    page: int = 1
    is_export: bool = False


@dataclass(frozen=True, slots=True)
class AdminStats(AdminCommand):
    """Show the figures of the last *days* (1 to 366); for people who manage one server, those of
    it."""

    days: int = 1
