"""Where something was asked for: the server, its channel, and the asker's roles there.

The names of groups are written like users, with what they are behind the platform:
``discord-server:1234``, ``discord-role:5678``.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What may stand behind the platform in the name of a group.
KINDS = ("server", "role")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where somebody asks from.

    Attributes:
        server: ``platform-server:id``; None where there is none, as in a direct message.
        channels: The platform's own ids of the channel, and of what it belongs to (a
            thread's channel, a channel's category).
        roles: ``platform-role:id`` for each role that the person has in that server.
    """

    server: str | None = None
    channels: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


#: A place without any limits of its own.
NOWHERE = Origin()


def kind_of_group(name: str) -> str | None:
    """ "server" or "role"; None where *name* is a user."""
    kind = name.partition(":")[0].rpartition("-")[2]
    return kind if kind in KINDS and "-" in name.partition(":")[0] else None
