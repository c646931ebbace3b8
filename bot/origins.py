"""Origins of requests: the server, its channel, and the person's roles there.

Groups are named like users, with their kind behind the platform:
``discord-server:1234``, ``discord-role:5678``.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Kinds of groups, as they stand in a name.
KINDS = ("server", "role")


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a request.

    Attributes:
        server: ``platform-server:id``; None outside of servers, as in a direct message.
        channels: The platform's own ids of the channel and of its parents (a thread's channel,
            a channel's category).
        roles: ``platform-role:id`` for each role that the person has in that server.
        is_age_restricted: Whether the platform lets only adults see the channel.
    """

    server: str | None = None
    channels: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    is_age_restricted: bool = False


#: A place without any limits of its own.
NOWHERE = Origin()


def kind_of_group(name: str) -> str | None:
    """Kind of the group *name*, "server" or "role"; None where *name* is a user."""
    kind = name.partition(":")[0].rpartition("-")[2]
    return kind if kind in KINDS and "-" in name.partition(":")[0] else None
