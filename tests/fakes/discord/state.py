"""Discord's memory: people, servers, channels, messages and files.

Permissions are integers as `discord.Permissions` counts them; either is taken.
"""

import asyncio
import io
import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import discord
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from .server import FakeDiscord

EPHEMERAL = 1 << 6
LOADING = 1 << 7
COMPONENTS_V2 = 1 << 15
MEMBER_PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    create_public_threads=True,
    embed_links=True,
    attach_files=True,
    read_message_history=True,
    use_application_commands=True,
    add_reactions=True,
).value
ALL_PERMISSIONS = discord.Permissions.all().value
MIB = 1 << 20


class Clock:
    """Discord's clock, in Unix seconds: it stands still until a test advances it."""

    def __init__(self, now: float | None = None):
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Snowflakes:
    """Ids that tell when they were made, and never repeat."""

    EPOCH = 1_420_070_400_000

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._last = 0

    def __call__(self) -> int:
        earliest = (int(self._clock() * 1000) - self.EPOCH) << 22
        self._last = max(self._last + 1, earliest)
        return self._last

    def next_millisecond(self) -> int:
        """An id that differs in the bits by which servers are spread over shards."""
        self._last = ((self._last >> 22) + 1) << 22
        return self()


class Changes:
    """Wakes whoever waits for the state to change."""

    def __init__(self):
        self._waiters: set[asyncio.Event] = set()

    def tell(self) -> None:
        for waiter in self._waiters:
            waiter.set()

    async def until(self, find: Callable[[], object], within: float, dump: Callable[[], str]):
        """The first truthy result of `find`, which is asked after every change.

        Raises:
            TimeoutError: Nothing was found in time; with what happened instead.
        """
        waiter = asyncio.Event()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(within):
                while not (found := find()):
                    await waiter.wait()
                    waiter.clear()
                return found
        except TimeoutError:
            raise TimeoutError(f"Waited {within:g} s in vain. {dump()}") from None
        finally:
            self._waiters.discard(waiter)


@dataclass(frozen=True)
class File:
    """A file as somebody attaches it."""

    data: bytes
    filename: str = "picture.png"
    content_type: str | None = None


@dataclass(eq=False)
class User:
    id: int
    name: str
    is_bot: bool = False
    locale: str = "en-US"
    accepts_direct_messages: bool = True
    has_installed: bool = False


@dataclass(eq=False)
class Role:
    id: int
    name: str
    permissions: int = 0
    position: int = 1


@dataclass(eq=False)
class Member:
    user: User
    roles: list[Role] = field(default_factory=list)


@dataclass(eq=False)
class Guild:
    """A server. `has_bot` is False where only people brought the app along."""

    discord: "FakeDiscord"
    id: int
    name: str
    owner: User
    everyone: Role
    has_bot: bool = True
    attachment_size_limit: int = 10 * MIB
    roles: dict[int, Role] = field(default_factory=dict)
    channels: dict[int, "Channel"] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)

    def add_channel(self, name: str) -> "Channel":
        return self.discord.add_channel(
            Channel(self.discord, self.discord.snowflake(), 0, name, guild=self)
        )

    def add_role(self, name: str, permissions: "int | discord.Permissions" = 0) -> Role:
        role = Role(self.discord.snowflake(), name, bits(permissions), len(self.roles))
        self.roles[role.id] = role
        return role


@dataclass(eq=False)
class Attachment:
    id: int
    filename: str
    data: bytes
    content_type: str | None = None
    description: str | None = None
    is_ephemeral: bool = False
    size_in_pixels: tuple[int, int] | None = None
    is_spoiler: bool = False

    @classmethod
    def of(
        cls,
        id: int,
        file: File,
        description: str | None = None,
        is_ephemeral: bool = False,
        is_spoiler: bool = False,
    ):
        kind = file.content_type or mimetypes.guess_type(file.filename)[0]
        size = None
        if (kind or "").startswith("image/"):
            try:
                size = Image.open(io.BytesIO(file.data)).size
            except (UnidentifiedImageError, OSError, ValueError):
                size = None
        return cls(id, file.filename, file.data, kind, description, is_ephemeral, size, is_spoiler)


@dataclass(frozen=True)
class Edit:
    """One state of a message: the first is its creation. `seconds` are monotonic."""

    seconds: float
    content: str
    embeds: list
    components: list
    attachments: tuple[Attachment, ...]


@dataclass(eq=False)
class Message:
    """A message as it stands now.

    Attributes:
        embeds, components: In Discord's own JSON.
        mentions: Whom it mentions, after `allowed_mentions`.
        edits: Every state so far, the creation first.
        forwarded: The message that this one forwards, as it was then.
        seen_by: The one person who sees an ephemeral message; None is everybody.
        reactions: Who has reacted, by emoji.
    """

    id: int
    channel: "Channel"
    author: User
    timestamp: float
    content: str = ""
    embeds: list[dict] = field(default_factory=list)
    components: list[dict] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    mentions: list[User] = field(default_factory=list)
    mention_roles: list[int] = field(default_factory=list)
    mention_everyone: bool = False
    flags: int = 0
    edited: float | None = None
    reference: int | None = None
    forwarded: "Message | None" = None
    nonce: str | int | None = None
    interaction_metadata: dict | None = None
    webhook_id: int | None = None
    seen_by: User | None = None
    is_deleted: bool = False
    reactions: dict[str, list[User]] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)

    @property
    def is_ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def is_loading(self) -> bool:
        """Whether the message still says that the bot is thinking."""
        return bool(self.flags & LOADING)

    @property
    def controls(self) -> list[dict]:
        """Every component in it, however deep."""
        return list(walk(self.components))

    @property
    def buttons(self) -> dict[str, dict]:
        """Its buttons by label (by emoji, where there is no label)."""
        return {label_of(part): part for part in self.controls if part["type"] == 2}

    @property
    def text(self) -> str:
        """All that can be read in it: content, embeds and text components."""
        parts = [self.content]
        for embed in self.embeds:
            parts += [embed.get("title"), embed.get("description")]
            for item in embed.get("fields", []):
                parts += [item["name"], item["value"]]
            parts += [embed.get("footer", {}).get("text"), embed.get("author", {}).get("name")]
        parts += [part["content"] for part in self.controls if part["type"] == 10]
        return "\n".join(part for part in parts if part)

    def keep(self) -> None:
        """Remember the state that it has now."""
        self.edits.append(
            Edit(
                time.monotonic(),
                self.content,
                self.embeds,
                self.components,
                tuple(self.attachments),
            )
        )

    def __repr__(self) -> str:
        files = [attachment.filename for attachment in self.attachments]
        return (
            f"<Message by {self.author.name}: {self.text!r}, files {files}, "
            f"buttons {list(self.buttons)}, {len(self.edits)} states"
            f"{', deleted' if self.is_deleted else ''}>"
        )


def walk(components):
    """Every component in a tree, parents first."""
    for part in components:
        yield part
        yield from walk(part.get("components", []))
        for key in ("component", "accessory"):
            if key in part:
                yield from walk([part[key]])


def label_of(button: dict) -> str:
    return button.get("label") or (button.get("emoji") or {}).get("name") or ""


@dataclass(eq=False)
class Channel:
    """Where people write: a text channel, a thread, a direct message or a group.

    Attributes:
        kind: Discord's type of channel: 0 text, 1 direct message, 3 group, 11 thread.
        recipients: The people of a direct message or a group, the bot not among them.
        overwrites: By role or member: whether it is a member, what is allowed, what is denied.
        stored: Every message by id, deleted and ephemeral ones too.
        has_bot: False where people write among themselves.
        acts: What people did with the bot: an id that tells when, the person, and the act in words.
    """

    discord: "FakeDiscord"
    id: int
    kind: int
    name: str
    guild: Guild | None = None
    parent: "Channel | None" = None
    recipients: list[User] = field(default_factory=list)
    overwrites: dict[int, tuple[bool, int, int]] = field(default_factory=dict)
    stored: dict[int, Message] = field(default_factory=dict)
    is_deleted: bool = False
    has_bot: bool = True
    acts: list[tuple[int, User, str]] = field(default_factory=list)

    @property
    def is_thread(self) -> bool:
        return self.kind == 11

    @property
    def messages(self) -> list[Message]:
        """Messages that everybody sees, the oldest first."""
        return [
            message
            for message in self.stored.values()
            if not message.is_deleted and message.seen_by is None
        ]

    def add_thread(self, name: str, of: "Message | None" = None) -> "Channel":
        """A thread of its own, or below the message *of*, whose id it has then."""
        id = self.discord.snowflake() if of is None else of.id
        return self.discord.add_channel(
            Channel(self.discord, id, 11, name, self.guild, parent=self)
        )

    def overwrite(
        self,
        whom: "User | Role",
        *,
        allow: "int | discord.Permissions" = 0,
        deny: "int | discord.Permissions" = 0,
    ) -> None:
        """Set what a role, a person or the bot may do in this channel; the bot is told."""
        self.overwrites[whom.id] = (isinstance(whom, User), bits(allow), bits(deny))
        self.discord.tell_of_channel("CHANNEL_UPDATE", self)

    def delete(self) -> None:
        """Delete the channel with all that is in it; the bot is told."""
        self.is_deleted = True
        self.discord.tell_of_channel("THREAD_DELETE" if self.is_thread else "CHANNEL_DELETE", self)

    async def until(
        self, predicate: Callable[[list[Message]], object], *, within: float = 20
    ) -> list[Message]:
        """The messages that everybody sees, once `predicate` is true of them."""

        def find():
            return (self.messages or [None]) if predicate(self.messages) else None

        await self.discord.changes.until(find, within, self._story)
        return self.messages

    def _story(self) -> str:
        told = [repr(message) for message in self.stored.values()]
        return "\n".join([f"#{self.name} has", *told, self.discord.story()])

    def permissions_of(self, user: User) -> int:
        """Permissions of a person or the bot here."""
        if self.guild is None:
            return MEMBER_PERMISSIONS
        member = self.guild.members.get(user.id)
        if member is None:
            return 0
        roles = [self.guild.everyone, *member.roles]
        allowed = 0
        for role in roles:
            allowed |= role.permissions
        if user is self.guild.owner or allowed & discord.Permissions.administrator.flag:
            return ALL_PERMISSIONS
        overwrites = (self.parent or self).overwrites
        for group in ([self.guild.everyone.id], [role.id for role in member.roles], [user.id]):
            found = [overwrites[id] for id in group if id in overwrites]
            for _, _, deny in found:
                allowed &= ~deny
            for _, allow, _ in found:
                allowed |= allow
        if not allowed & discord.Permissions.view_channel.flag:
            return 0
        return allowed


def bits(permissions: "int | discord.Permissions | None", default: int = 0) -> int:
    """Permissions as a number, however they were given."""
    if permissions is None:
        return default
    return getattr(permissions, "value", permissions)
