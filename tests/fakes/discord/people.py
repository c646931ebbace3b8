"""People: what they type, press, choose and fill in, as Discord's own client lets them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import discord as library

from . import messages, payloads
from .interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction
from .interactions import Modal as OpenModal
from .rules import SELECTS, bounds
from .state import (
    EPHEMERAL,
    MEMBER_PERMISSIONS,
    Attachment,
    Channel,
    File,
    Guild,
    Member,
    Message,
    Role,
    User,
    bits,
    label_of,
)

if TYPE_CHECKING:
    from .server import FakeDiscord

ADD_REACTIONS = library.Permissions.add_reactions.flag
USE_COMMANDS = library.Permissions.use_application_commands.flag
TEXT, INTEGER, BOOLEAN, NUMBER, ATTACHMENT = 3, 4, 5, 10, 11
ENTITIES = {6: (User,), 7: (Channel,), 8: (Role,), 9: (User, Role)}
LINK = 5
HAS_SNAPSHOT = 1 << 14
CDN, PROXY = "cdn.discordapp.com", "images-ext-1.discordapp.net"


class RefusedByDiscord(Exception):
    """Discord's own client would not let a person do this, so the bot never hears of it."""


@dataclass
class Resolved:
    """The things that an interaction names by id."""

    discord: "FakeDiscord"
    channel: Channel
    found: dict[str, dict] = field(default_factory=dict)

    def add(self, thing) -> str:
        """The id of a thing that is told beside the options."""
        if isinstance(thing, File):
            attachment = Attachment.of(self.discord.snowflake(), thing, is_ephemeral=True)
            self.discord.files[attachment.id] = attachment
            url = messages.address(self.discord, self.channel, attachment)
            self._put("attachments", attachment.id, payloads.attachment(attachment, url))
            return str(attachment.id)
        if isinstance(thing, User):
            self._put("users", thing.id, payloads.user(thing))
            guild = self.channel.guild
            if guild is not None and thing.id in guild.members:
                member = payloads.member(guild.members[thing.id], with_user=False)
                del member["deaf"], member["mute"]
                permissions = str(self.channel.permissions_of(thing))
                self._put("members", thing.id, member | {"permissions": permissions})
        elif isinstance(thing, Role):
            self._put("roles", thing.id, payloads.role(thing))
        elif isinstance(thing, Channel):
            told = payloads.channel(thing) | {"permissions": "0"}
            self._put("channels", thing.id, told)
        elif isinstance(thing, Message):
            self._put("messages", thing.id, messages.render(self.discord, thing))
        return str(thing.id)

    def _put(self, kind: str, id: int, payload: dict) -> None:
        self.found.setdefault(kind, {})[str(id)] = payload


class Person(User):
    """Somebody who uses the bot. Every act returns the Interaction that it set off.

    Raises:
        RefusedByDiscord: From every act, where the client would not let them.
    """

    def __init__(self, discord: "FakeDiscord", id: int, name: str, **more):
        super().__init__(id, name, **more)
        self._discord = discord
        self._submitted: set[int] = set()

    @property
    def direct(self) -> Channel:
        """Their direct messages with the bot."""
        return self._discord.direct_channel(self)

    def join(self, guild: Guild, permissions=None) -> None:
        """Become a member of a server, with more permissions than everybody where told so."""
        member = Member(self)
        if permissions is not None:
            member.roles.append(guild.add_role(self.name, bits(permissions)))
        guild.members[self.id] = member

    def leave(self, guild: Guild) -> None:
        guild.members.pop(self.id, None)

    async def say(self, channel: Channel, content: str = "", *files: File) -> Message:
        """Write a message, as people do."""
        uploads = dict(enumerate(files))
        message = messages.compose(
            self._discord, channel, self, {"content": content}, uploads, limit=10 << 20
        )
        self._discord.tell("MESSAGE_CREATE", message)
        return message

    async def react(self, message: Message, emoji: str) -> None:
        """React to a message, once with each emoji."""
        self._expect_visible(message)
        channel = message.channel
        if message.flags & EPHEMERAL:
            raise RefusedByDiscord("Nobody reacts to a message for one person alone.")
        if not message.reactions.get(emoji) and not channel.permissions_of(self) & ADD_REACTIONS:
            raise RefusedByDiscord(f"{self.name} may not add a reaction here.")
        if self in message.reactions.setdefault(emoji, []):
            raise RefusedByDiscord(f"{self.name} has reacted so already.")
        message.reactions[emoji].append(self)
        channel.acts.append((self._discord.snowflake(), self, f"(reacts) {emoji}"))
        self._discord.tell_of_reaction("MESSAGE_REACTION_ADD", message, self, emoji)

    async def unreact(self, message: Message, emoji: str) -> None:
        """Take a reaction back."""
        self._expect_visible(message)
        if self not in message.reactions.get(emoji, []):
            raise RefusedByDiscord(f"{self.name} has not reacted so.")
        message.reactions[emoji].remove(self)
        message.channel.acts.append((self._discord.snowflake(), self, f"(takes back) {emoji}"))
        self._discord.tell_of_reaction("MESSAGE_REACTION_REMOVE", message, self, emoji)

    async def forward(self, channel: Channel, message: Message) -> Message:
        """Forward a message; Discord copies it, and names it in the new one."""
        self._expect_visible(message)
        made = Message(
            self._discord.snowflake(),
            channel,
            self,
            self._discord.clock(),
            flags=HAS_SNAPSHOT,
            forwarded=message,
        )
        made.keep()
        channel.stored[made.id] = made
        self._discord.tell("MESSAGE_CREATE", made)
        return made

    async def link(self, channel: Channel, url: str, file: File) -> Message:
        """Write the address of a picture, which Discord looks up through a proxy of its own and
        shows in an embed."""
        kept = Attachment.of(self._discord.snowflake(), file)
        self._discord.files[kept.id] = kept
        proxy = messages.address(self._discord, channel, kept).replace(CDN, PROXY)
        thumbnail = {"url": url, "proxy_url": proxy, "width": 96, "height": 96}
        said = await self.say(channel, url)
        said.embeds = [{"type": "image", "url": url, "thumbnail": thumbnail}]
        self._discord.tell("MESSAGE_UPDATE", said)
        return said

    async def command(self, channel: Channel, path: str, /, **options) -> Interaction:
        """Use a slash command: ``ada.command(channel, "flux imagine", prompt="a fox")``."""
        resolved = Resolved(self._discord, channel)
        command, words, declared = self._find(channel, path)
        self._expect_known(path, declared, options)
        values = []
        for option in declared:
            if option["name"] in options:
                value = _value(option, options[option["name"]], resolved)
                values.append({"name": option["name"], "type": option["type"], "value": value})
            elif option.get("required"):
                raise RefusedByDiscord(f"/{path} needs the option {option['name']}.")
        told = " ".join(f"{name}: {_in_words(value)}" for name, value in options.items())
        data = _data(command, words, values, resolved)
        return self._act(COMMAND, channel, data, told=f"/{path} {told}".rstrip())

    async def autocomplete(
        self, channel: Channel, path: str, focused: str, text: str = "", /, **options
    ) -> list[dict]:
        """The choices offered while they type `text` into the option `focused`."""
        resolved = Resolved(self._discord, channel)
        command, words, declared = self._find(channel, path)
        self._expect_known(path, declared, {focused: text, **options})
        values = []
        for option in declared:
            name, kind = option["name"], option["type"]
            if name == focused:
                if not option.get("autocomplete"):
                    raise RefusedByDiscord(f"/{path} completes nothing in {focused}.")
                values.append({"name": name, "type": kind, "value": text, "focused": True})
            elif name in options:
                value = _value(option, options[name], resolved)
                values.append({"name": name, "type": kind, "value": value})
        interaction = self._act(AUTOCOMPLETE, channel, _data(command, words, values, resolved))
        await interaction.answered()
        return interaction.choices

    async def menu(self, name: str, target: Message | User, channel: Channel | None = None):
        """Use a command of the context menu of a message or a person."""
        where = target.channel if isinstance(target, Message) else channel
        if isinstance(target, Message):
            self._expect_visible(target)
        resolved = Resolved(self._discord, where)
        kind = 3 if isinstance(target, Message) else 2
        command = self._registered(where, name, kind)
        data = {"id": command["id"], "name": name, "type": kind, "target_id": resolved.add(target)}
        told = f"(right click) {name}"
        return self._act(COMMAND, where, data | {"resolved": resolved.found}, told=told)

    async def press(self, message: Message, which: str) -> Interaction:
        """Press a button, named by its label, its emoji or its custom id."""
        self._expect_visible(message)
        buttons = [part for part in message.controls if part["type"] == 2]
        found = [part for part in buttons if which in (part.get("custom_id"), label_of(part))]
        if not found:
            raise RefusedByDiscord(f"There is no button {which!r} on {message!r}.")
        button = found[0]
        if button.get("disabled"):
            raise RefusedByDiscord(f"The button {which!r} is disabled.")
        if button["style"] == LINK:
            raise RefusedByDiscord(f"The button {which!r} opens {button['url']}.")
        data = {"custom_id": button["custom_id"], "component_type": 2, "id": button["id"]}
        told = f"(presses) [{label_of(button)}]"
        return self._act(COMPONENT, message.channel, data, source=message, told=told)

    async def select(self, message: Message, which: str, *values) -> Interaction:
        """Choose from a menu, named by custom id or placeholder; values by label or value."""
        self._expect_visible(message)
        menus = [part for part in message.controls if part["type"] in SELECTS]
        found = [one for one in menus if which in (one["custom_id"], one.get("placeholder"))]
        if not found:
            raise RefusedByDiscord(f"There is no menu {which!r} on {message!r}.")
        menu = found[0]
        if menu.get("disabled"):
            raise RefusedByDiscord(f"The menu {which!r} is disabled.")
        resolved = Resolved(self._discord, message.channel)
        data = {
            "custom_id": menu["custom_id"],
            "component_type": menu["type"],
            "id": menu["id"],
            "values": _chosen(menu, values, resolved),
        }
        if menu["type"] != 3:
            data["resolved"] = resolved.found
        told = f"(chooses) {', '.join(map(str, values))}"
        return self._act(COMPONENT, message.channel, data, source=message, told=told)

    async def submit(self, form: OpenModal | Interaction, values: dict | None = None):
        """Send a modal off; fields that are not named keep what they were filled in with.

        Args:
            values: By custom id: a text, a choice or a list of choices, a File or a list of them.
        """
        modal = form.modal if isinstance(form, Interaction) else form
        if modal is None:
            raise RefusedByDiscord("No form was opened.")
        opener = modal.interaction
        if opener.id in self._submitted or opener.asker is not self:
            raise RefusedByDiscord("This form is not open any more, or is somebody else's.")
        values = dict(values or {})
        if unknown := set(values) - set(modal.fields):
            raise RefusedByDiscord(f"The form has no field {sorted(unknown)}.")
        resolved = Resolved(self._discord, opener.channel)
        parts = [_filled(part, values, resolved) for part in modal.components]
        data = {"custom_id": modal.custom_id, "components": parts}
        if resolved.found:
            data["resolved"] = resolved.found
        self._submitted.add(opener.id)
        filled = " ".join(f"{name}: {_in_words(value)}" for name, value in values.items())
        told = f"(sends) ── {modal.title} ── {filled}".rstrip()
        more = {"source": opener.source, "opener": opener}
        return self._act(MODAL, opener.channel, data, told=told, **more)

    def _act(self, kind: int, channel: Channel, data: dict, told: str = "", **more) -> Interaction:
        interaction = Interaction(self._discord, kind, self, channel, data, **more)
        if told:
            channel.acts.append((interaction.id, self, told))
        self._discord.dispatch_interaction(interaction)
        return interaction

    def _expect_visible(self, message: Message) -> None:
        if message.is_deleted or message.seen_by not in (None, self):
            raise RefusedByDiscord(f"{self.name} does not see {message!r}.")

    def _expect_known(self, path: str, declared: list[dict], options: dict) -> None:
        if unknown := set(options) - {option["name"] for option in declared}:
            raise RefusedByDiscord(f"/{path} has no option {', '.join(sorted(unknown))}.")

    def _find(self, channel: Channel, path: str) -> tuple[dict, list[dict], list[dict]]:
        """A registered command, its sub-commands on the way, and the options at the end."""
        first, *rest = path.split()
        command = self._registered(channel, first, 1)
        declared, words = command["options"], []
        for word in rest:
            found = [one for one in declared if one["type"] in (1, 2) and one["name"] == word]
            if not found:
                raise RefusedByDiscord(f"/{first} has no sub-command {word}.")
            words.append(found[0])
            declared = found[0].get("options") or []
        if any(option["type"] in (1, 2) for option in declared):
            raise RefusedByDiscord(f"/{path} needs a sub-command.")
        return command, words, declared

    def _registered(self, channel: Channel, name: str, kind: int) -> dict:
        """A command that this person is offered in this place."""
        guild = channel.guild
        commands = self._discord.commands
        offered = [*commands.get(guild.id if guild else 0, []), *commands.get(None, [])]
        found = [one for one in offered if one["type"] == kind and one["name"] == name]
        if not found:
            raise RefusedByDiscord(f"No command {name!r} is registered.")
        command = found[0]
        is_brought_by_guild = channel.has_bot if guild is None else guild.has_bot
        brought = {0} if is_brought_by_guild else set()
        brought |= {1} if self.has_installed else set()
        context = 0 if guild else (1 if channel.has_bot else 2)
        if not brought & set(command["integration_types"]):
            raise RefusedByDiscord(f"Nobody brought the app with {name!r} to this place.")
        if guild is None and not command["dm_permission"]:
            raise RefusedByDiscord(f"{name!r} is not offered in direct messages.")
        if command["contexts"] is not None and context not in command["contexts"]:
            raise RefusedByDiscord(f"{name!r} is not offered in a place of kind {context}.")
        permissions = channel.permissions_of(self) if guild else MEMBER_PERMISSIONS
        if guild is not None and not permissions & USE_COMMANDS:
            raise RefusedByDiscord(f"{self.name} may not use commands here.")
        needed = command["default_member_permissions"]
        if guild is not None and needed is not None:
            is_admin_only = int(needed) == 0
            administrator = library.Permissions.administrator.flag
            if int(needed) & ~permissions or (is_admin_only and not permissions & administrator):
                raise RefusedByDiscord(f"{self.name} lacks the permissions for {name!r}.")
        return command


def _in_words(value) -> str:
    """What somebody put into a field, for a transcript."""
    if isinstance(value, File):
        return f"[{value.filename}]"
    return str(getattr(value, "name", value))


def _data(command: dict, words: list[dict], values: list[dict], resolved: Resolved) -> dict:
    options = values
    for word in reversed(words):
        options = [{"name": word["name"], "type": word["type"], "options": options}]
    data = {"id": command["id"], "name": command["name"], "type": 1, "options": options}
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    return data | ({"resolved": resolved.found} if resolved.found else {})


def _value(option: dict, given, resolved: Resolved):
    """The value sent for an option, after the checks that the client makes."""
    kind, name = option["type"], option["name"]

    def refuse(why: str):
        raise RefusedByDiscord(f"{name} cannot be {given!r}: {why}.")

    if option.get("choices"):
        for choice in option["choices"]:
            if given in (choice["value"], choice["name"]) and not isinstance(given, bool):
                return choice["value"]
        refuse("it is none of the choices")
    if kind == TEXT:
        if not isinstance(given, str):
            refuse("it is no text")
        if not option.get("min_length", 1) <= len(given) <= option.get("max_length", 6000):
            refuse("its length is out of bounds")
    elif kind in (INTEGER, NUMBER):
        types = (int,) if kind == INTEGER else (int, float)
        if isinstance(given, bool) or not isinstance(given, types):
            refuse("it is no number of this kind")
        if given < option.get("min_value", given) or given > option.get("max_value", given):
            refuse("it is out of range")
    elif kind == BOOLEAN:
        if not isinstance(given, bool):
            refuse("it is neither true nor false")
    elif kind == ATTACHMENT:
        if not isinstance(given, File):
            refuse("it is no file")
        return resolved.add(given)
    else:
        if not isinstance(given, ENTITIES[kind]):
            refuse("it is not of this kind")
        return resolved.add(given)
    return given


def _chosen(menu: dict, values, resolved: Resolved) -> list[str]:
    """The values of a menu's choices."""
    least, most = bounds(menu)
    if not least <= len(values) <= most:
        raise RefusedByDiscord(f"Between {least} and {most} can be chosen, not {len(values)}.")
    if menu["type"] != 3:
        return [resolved.add(value) for value in values]
    known = {}
    for option in menu["options"]:
        known |= {option["label"]: option["value"], option["value"]: option["value"]}
    if unknown := [value for value in values if value not in known]:
        raise RefusedByDiscord(f"{unknown} is not among {sorted(known)}.")
    return [known[value] for value in values]


def _filled(part: dict, values: dict, resolved: Resolved) -> dict:
    """A component of a modal with what a person put into it."""
    sent = {"type": part["type"], "id": part.get("id", 1)}
    if part["type"] == 1:
        return sent | {"components": [_field(one, values, resolved) for one in part["components"]]}
    if part["type"] == 18:
        return sent | {"component": _field(part["component"], values, resolved)}
    return sent


def _field(part: dict, values: dict, resolved: Resolved) -> dict:
    id, kind = part["custom_id"], part["type"]
    sent = {"type": kind, "id": part.get("id", 1), "custom_id": id}
    is_required = part.get("required", True)
    if kind == 4:
        text = values.get(id, part.get("value") or "")
        least = part.get("min_length") or (1 if is_required else 0)
        if (text or is_required) and not least <= len(text) <= (part.get("max_length") or 4000):
            raise RefusedByDiscord(f"The field {id!r} cannot hold {text[:80]!r}.")
        return sent | {"value": text}
    given = values.get(id, _preset(part))
    if kind == 23:
        return sent | {"value": bool(given)}
    if kind == 21:
        return sent | {"value": given}
    given = list(given) if isinstance(given, list | tuple) else [given]
    if not given and not is_required:
        return sent | {"values": []}
    if kind == 19:
        least, most = bounds(part)
        if not least <= len(given) <= most or not all(isinstance(one, File) for one in given):
            raise RefusedByDiscord(f"The field {id!r} takes {least} to {most} files.")
        return sent | {"values": [resolved.add(file) for file in given]}
    if kind == 22:
        return sent | {"values": given}
    return sent | {"values": _chosen(part, given, resolved)}


def _preset(part: dict):
    """The first value of a field of a modal."""
    if part["type"] == 23:
        return part.get("default", False)
    chosen = [option["value"] for option in part.get("options", []) if option.get("default")]
    return next(iter(chosen), None) if part["type"] == 21 else chosen
