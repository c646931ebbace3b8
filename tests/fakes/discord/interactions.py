"""One interaction: what Discord remembers of it, and what the person who asked sees."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import messages, payloads, rules
from .rules import Refusal
from .state import EPHEMERAL, LOADING, Channel, File, Message, User, walk

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
REPLY, DEFERRED, DEFERRED_UPDATE, UPDATE, CHOICES, OPEN_MODAL = 4, 5, 6, 7, 8, 9
ANSWERS = {
    COMMAND: {REPLY, DEFERRED, OPEN_MODAL},
    COMPONENT: {REPLY, DEFERRED, DEFERRED_UPDATE, UPDATE, OPEN_MODAL},
    AUTOCOMPLETE: {CHOICES},
    MODAL: {REPLY, DEFERRED},
}
MOST_FOLLOWUPS_OF_A_GUEST = 5


@dataclass(frozen=True)
class Answer:
    """The first answer: its type, its data, and the seconds from event to request."""

    kind: int
    data: dict
    is_ephemeral: bool
    seconds: float


@dataclass(frozen=True)
class Modal:
    """A form that has been opened for somebody."""

    title: str
    custom_id: str
    components: list[dict]
    interaction: "Interaction"

    @property
    def fields(self) -> dict[str, dict]:
        """The fields to fill in, by custom id."""
        return {part["custom_id"]: part for part in walk(self.components) if "custom_id" in part}


class Interaction:
    """Something that a person did, and the bot's answers to it.

    Attributes:
        kind: 2 command, 3 component, 4 autocomplete, 5 modal.
        source: The message whose component was used, or under which a modal was opened.
        answer: The first answer, once there is one.
        original: The message that ``@original`` means.
        followups: The further messages.
        modal: The form that the answer opened.
        choices: What autocomplete offers.
        is_troubled: Whether a fault met the first answer, so that the bot may give it again, or
            take it for given.
    """

    def __init__(
        self,
        discord,
        kind: int,
        asker: User,
        channel: Channel,
        data: dict,
        *,
        source: Message | None = None,
        opener: "Interaction | None" = None,
    ):
        self._discord = discord
        self.id = discord.snowflake()
        self.token = "aW50ZXJhY3Rpb24" + secrets.token_urlsafe(48)
        self.kind = kind
        self.asker = asker
        self.channel = channel
        self.data = data
        self.source = source
        self.opener = opener
        self.made = discord.clock()
        self.sent = time.monotonic()
        self.answer: Answer | None = None
        self.original: Message | None = None
        self.followups: list[Message] = []
        self.modal: Modal | None = None
        self.choices: list[dict] | None = None
        self.is_troubled = False

    @property
    def message(self) -> Message | None:
        """The answer as it stands now; None until there is one."""
        return self.original

    @property
    def is_lost(self) -> bool:
        """Whether the person reads "did not respond"."""
        late = self._discord.clock() > self.made + rules.FIRST_ANSWER_SECONDS
        return self.answer is None and late

    @property
    def attachment_size_limit(self) -> int:
        guild = self.channel.guild
        return self._discord.attachment_size_limit if guild is None else guild.attachment_size_limit

    async def answered(self, *, within: float = 20) -> Answer:
        """The first answer."""
        return await self._discord.changes.until(lambda: self.answer, within, self.story)

    async def until(self, predicate: Callable[[Message], object], *, within: float = 20) -> Message:
        """The answering message, once there is one of which `predicate` is true."""

        def find():
            return self.message if self.message is not None and predicate(self.message) else None

        return await self._discord.changes.until(find, within, self.story)

    async def followed_up(self, number: int = 1, *, within: float = 20) -> Message:
        """The nth further message."""
        return await self._discord.changes.until(
            lambda: len(self.followups) >= number and self.followups[number - 1], within, self.story
        )

    def story(self) -> str:
        """The events so far, for a test that failed."""
        lines = [f"{self.asker.name} in {self.channel.name}: {self.data}", f"answer: {self.answer}"]
        lines += [f"message: {self.original!r}"]
        lines += [f"follow-up: {message!r}" for message in self.followups]
        return "\n".join([*lines, self._discord.story()])

    def owners(self) -> dict[str, str]:
        """The installers of the app: 0 is the server or the bot's own messages, 1 the person."""
        owners = {}
        if self.channel.guild is not None and self.channel.guild.has_bot:
            owners["0"] = str(self.channel.guild.id)
        elif self.channel.guild is None and self.channel.has_bot:
            owners["0"] = "0"
        if self.asker.has_installed:
            owners["1"] = str(self.asker.id)
        return owners

    def payload(self) -> dict:
        """INTERACTION_CREATE."""
        discord, channel = self._discord, self.channel
        guild = channel.guild
        body = {
            "id": str(self.id),
            "application_id": str(discord.application_id),
            "type": self.kind,
            "token": self.token,
            "version": 1,
            "data": self.data,
            "channel_id": str(channel.id),
            "channel": payloads.channel_for_gateway(channel),
            "app_permissions": str(discord.app_permissions(channel)),
            "locale": self.asker.locale,
            "entitlements": [],
            "authorizing_integration_owners": self.owners(),
            "context": 0 if guild else (1 if "0" in self.owners() else 2),
            "attachment_size_limit": self.attachment_size_limit,
        }
        if guild is not None:
            permissions = str(channel.permissions_of(self.asker))
            body |= {
                "guild_id": str(guild.id),
                "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
                "guild_locale": "en-US",
                "member": payloads.member(guild.members[self.asker.id])
                | {"permissions": permissions},
            }
        else:
            body["user"] = payloads.user(self.asker)
        if self.source is not None:
            body["message"] = messages.render(discord, self.source)
        return body

    def metadata(self) -> dict:
        """A message's data about the interaction that it answers."""
        body = {
            "id": str(self.id),
            "type": self.kind,
            "user": payloads.user(self.asker),
            "authorizing_integration_owners": self.owners(),
        }
        if self.kind == COMPONENT:
            body["interacted_message_id"] = str(self.source.id)
        if self.kind == MODAL:
            body["triggering_interaction_metadata"] = self.opener.metadata()
        return body

    def respond(self, body: dict, files: dict[int, File], arrived: float) -> Message | None:
        """Take the first answer; what it created or changed is returned.

        Raises:
            Refusal: It came late, or twice, or may not answer this.
        """
        kind, data = body.get("type"), body.get("data") or {}
        if self._discord.clock() > self.made + rules.FIRST_ANSWER_SECONDS:
            is_violation = not self.is_troubled
            raise Refusal(404, 10062, "Unknown interaction", is_violation=is_violation)
        if self.answer is not None:
            is_violation = not self.is_troubled
            said = "Interaction has already been acknowledged."
            raise Refusal(400, 40060, said, is_violation=is_violation)
        allowed = set(ANSWERS[self.kind])
        if self.kind == MODAL and self.source is not None:
            allowed |= {DEFERRED_UPDATE, UPDATE}
        form = rules.Form()
        if kind not in allowed:
            form.add(["type"], f"Value must be one of {sorted(allowed)}.")
        form.insist()
        changed = self._carry_out(kind, data, files)
        is_ephemeral = bool((data.get("flags") or 0) & EPHEMERAL)
        self.answer = Answer(kind, data, is_ephemeral, arrived - self.sent)
        return changed

    def _carry_out(self, kind: int, data: dict, files: dict[int, File]) -> Message | None:
        if kind == REPLY:
            self.original = self._create(data, files)
        elif kind == DEFERRED:
            flags = data.get("flags") or 0
            if flags & ~EPHEMERAL or set(data) - {"flags", "tts"}:
                self._discord.violation(f"A deferred answer carries only EPHEMERAL, not {data}.")
            self.original = self._create({"flags": flags & EPHEMERAL}, {}, is_loading=True)
        elif kind in (DEFERRED_UPDATE, UPDATE):
            self.original = self.source
            if kind == UPDATE:
                self.edit(self.source, data, files)
        elif kind == CHOICES:
            rules.choices(data).insist()
            self.choices = data["choices"]
        elif kind == OPEN_MODAL:
            rules.modal(data).insist()
            parts = messages.numbered(data["components"])
            self.modal = Modal(data["title"], data["custom_id"], parts, self)
        return self.original

    def _create(self, body: dict, files: dict[int, File], *, is_loading: bool = False) -> Message:
        flags = (body.get("flags") or 0) & EPHEMERAL
        more = {
            "seen_by": self.asker if flags else None,
            "interaction_metadata": self.metadata(),
            "webhook_id": self._discord.application_id,
        }
        if is_loading:
            message = messages.placeholder(
                self._discord, self.channel, flags=flags | LOADING, **more
            )
        else:
            self._discord.moderate(body)
            message = messages.compose(
                self._discord,
                self.channel,
                self._discord.bot,
                body,
                files,
                limit=self.attachment_size_limit,
                flags=flags,
                **more,
            )
        self._discord.tell("MESSAGE_CREATE", message)
        return message

    def edit(self, message: Message, body: dict, files: dict[int, File]) -> Message:
        """Change the answer, a follow-up, or the message with the component.

        Raises:
            Refusal: 10008 where it is gone, or the body breaks a rule.
        """
        if message.is_deleted:
            raise Refusal(404, 10008, "Unknown Message")
        self._discord.moderate(body)
        messages.edit(self._discord, message, body, files, limit=self.attachment_size_limit)
        self._discord.tell("MESSAGE_UPDATE", message)
        return message

    def follow_up(self, body: dict, files: dict[int, File]) -> Message:
        """A further message; right after a deferred answer it takes that one's place."""
        if self.original is not None and self.original.is_loading:
            return self.edit(self.original, {**body, "flags": 0}, files)
        guild = self.channel.guild
        is_guest = guild is not None and not guild.has_bot
        if is_guest and len(self.followups) >= MOST_FOLLOWUPS_OF_A_GUEST:
            raise Refusal(
                400,
                40094,
                "This interaction has reached the maximum number of follow up messages",
                is_violation=True,
            )
        message = self._create(body, files)
        self.followups.append(message)
        return message
