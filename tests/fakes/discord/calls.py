"""The REST calls. The table at the end lists all that the fake knows.

A handler takes a Call and returns the status and the JSON of the answer; None is no body.
"""

from collections.abc import Callable
from dataclasses import dataclass

import discord as library

from . import messages, payloads, rules
from .interactions import DEFERRED, REPLY, UPDATE, Interaction
from .rules import NONCE_SECONDS, TOKEN_SECONDS, Refusal
from .state import Channel, File, Guild, Message

VIEW = library.Permissions.view_channel.flag
SEND = library.Permissions.send_messages.flag
SEND_IN_THREADS = library.Permissions.send_messages_in_threads.flag
CREATE_THREADS = library.Permissions.create_public_threads.flag
ATTACH = library.Permissions.attach_files.flag
EMBED = library.Permissions.embed_links.flag
HISTORY = library.Permissions.read_message_history.flag
MANAGE = library.Permissions.manage_messages.flag


@dataclass(frozen=True)
class Call:
    """One request, taken apart.

    Attributes:
        values: What stands in the braces of the path's template.
        files: Uploads by the n of their ``files[n]``.
        arrived: When it came, in monotonic seconds.
    """

    discord: object
    values: dict[str, str]
    query: dict[str, str]
    body: dict | list | None
    files: dict[int, File]
    arrived: float

    def channel(self) -> Channel:
        """The channel of the path, if the bot sees it."""
        channel = self.discord.channels.get(_number(self.values["channel_id"]))
        if channel is None or channel.is_deleted:
            raise Refusal(404, 10003, "Unknown Channel")
        is_mine = channel.guild is not None or channel.has_bot
        if not is_mine or not channel.permissions_of(self.discord.bot) & VIEW:
            raise Refusal(403, 50001, "Missing Access")
        return channel

    def message(self, channel: Channel) -> Message:
        """The message of the path. Ephemeral ones cannot be reached this way."""
        message = channel.stored.get(_number(self.values["message_id"]))
        if message is None or message.is_deleted or message.seen_by is not None:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def guild(self) -> Guild:
        guild = self.discord.guilds.get(_number(self.values["guild_id"]))
        if guild is None:
            raise Refusal(404, 10004, "Unknown Guild")
        if not guild.has_bot:
            raise Refusal(403, 50001, "Missing Access")
        return guild

    def interaction(self) -> Interaction:
        """The answered interaction behind a webhook's token."""
        if self.values["webhook_id"] != str(self.discord.application_id):
            raise Refusal(404, 10015, "Unknown Webhook")
        interaction = self.discord.interactions.get(self.values["webhook_token"])
        if interaction is None or self.discord.clock() > interaction.made + TOKEN_SECONDS:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        if interaction.answer is None:
            is_violation = not interaction.is_troubled
            raise Refusal(404, 10015, "Unknown Webhook", is_violation=is_violation)
        return interaction

    def response(self, interaction: Interaction) -> Message:
        """The message of a webhook's path, or its original answer."""
        if "message_id" not in self.values:
            message = interaction.original
        else:
            wanted = _number(self.values["message_id"])
            known = [interaction.original, interaction.source, *interaction.followups]
            message = next((one for one in known if one is not None and one.id == wanted), None)
        if message is None or message.is_deleted:
            raise Refusal(404, 10008, "Unknown Message")
        return message


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _need(channel: Channel, who, wanted: int) -> None:
    if wanted & ~channel.permissions_of(who):
        raise Refusal(403, 50013, "Missing Permissions")


def gateway(call: Call):
    return 200, {"url": "wss://gateway.discord.gg"}


def gateway_bot(call: Call):
    discord = call.discord
    limit = {
        "total": 1000,
        "remaining": max(0, 1000 - len(discord.gateway.identifies)),
        "reset_after": 86_400_000,
        "max_concurrency": 1,
    }
    shards = {"shards": discord.shards, "session_start_limit": limit}
    return 200, {"url": "wss://gateway.discord.gg", **shards}


def me(call: Call):
    who = payloads.user(call.discord.bot)
    return 200, who | {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}


def application(call: Call):
    discord = call.discord
    return 200, {
        "id": str(discord.application_id),
        "name": discord.bot.name,
        "icon": None,
        "description": "",
        "type": None,
        "verify_key": "0" * 64,
        "flags": 0,
        "flags_new": "0",
        "redirect_uris": [],
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "owner": payloads.user(discord.owner),
        "bot": payloads.user(discord.bot),
        "bot_public": True,
        "bot_require_code_grant": False,
        "approximate_guild_count": len(discord.guilds),
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
        "explicit_content_filter": 0,
        "team": None,
        "eligible_oauth2_scopes": [],
        "integration_types_config": {"0": {}, "1": {}},
    }


def my_guilds(call: Call):
    return 200, [
        {
            "id": str(guild.id),
            "name": guild.name,
            "icon": None,
            "banner": None,
            "owner": False,
            "permissions": "0",
            "features": [],
        }
        for guild in call.discord.guilds.values()
        if guild.has_bot
    ]


def user(call: Call):
    who = call.discord.users.get(_number(call.values["user_id"]))
    if who is None:
        raise Refusal(404, 10013, "Unknown User")
    return 200, payloads.user(who)


def open_direct_message(call: Call):
    who = call.discord.users.get(_number(str(call.body.get("recipient_id", ""))))
    if who is None:
        raise Refusal(404, 10013, "Unknown User")
    return 200, payloads.channel(call.discord.direct_channel(who))


def guild(call: Call):
    return 200, payloads.guild(call.guild())


def guild_channels(call: Call):
    found = call.guild().channels.values()
    return 200, [payloads.channel(one) for one in found if not one.is_thread and not one.is_deleted]


def member(call: Call):
    who = call.guild().members.get(_number(call.values["user_id"]))
    if who is None:
        raise Refusal(404, 10007, "Unknown Member")
    return 200, payloads.member(who)


def channel(call: Call):
    return 200, payloads.channel(call.channel())


def typing(call: Call):
    where = call.channel()
    _need(where, call.discord.bot, SEND_IN_THREADS if where.is_thread else SEND)
    return 204, None


def messages_of_channel(call: Call):
    where = call.channel()
    _need(where, call.discord.bot, HISTORY)
    newest_first = where.messages[::-1]
    if "before" in call.query:
        newest_first = [one for one in newest_first if one.id < int(call.query["before"])]
    if "after" in call.query:
        newest_first = [one for one in newest_first if one.id > int(call.query["after"])]
    most = int(call.query.get("limit", 50))
    return 200, [messages.render(call.discord, one) for one in newest_first[:most]]


def get_message(call: Call):
    where = call.channel()
    _need(where, call.discord.bot, HISTORY)
    return 200, messages.render(call.discord, call.message(where))


def create_message(call: Call):
    discord, where, body = call.discord, call.channel(), call.body
    _need_to_write(call, where)
    if where.guild is None and not where.recipients[0].accepts_direct_messages:
        raise Refusal(403, 50007, "Cannot send messages to this user")
    if where.guild is None and not discord.is_acquainted(where.recipients[0]):
        said = "Cannot send messages to this user due to having no mutual guilds"
        raise Refusal(403, 50278, said)
    nonce = body.get("nonce")
    if body.get("enforce_nonce") and (twin := _twin(discord, where, nonce)) is not None:
        return 200, messages.render(discord, twin)
    discord.moderate(body)
    message = messages.compose(
        discord,
        where,
        discord.bot,
        body,
        call.files,
        limit=discord.attachment_size_limit
        if where.guild is None
        else where.guild.attachment_size_limit,
        reference=_reference(where, body),
        nonce=nonce,
    )
    discord.tell("MESSAGE_CREATE", message)
    return 200, messages.render(discord, message)


def _need_to_write(call: Call, where: Channel) -> None:
    wanted = SEND_IN_THREADS if where.is_thread else SEND
    if call.files:
        wanted |= ATTACH
    if call.body.get("embeds"):
        wanted |= EMBED
    _need(where, call.discord.bot, wanted)


def _twin(discord, where: Channel, nonce) -> Message | None:
    """The message that was sent with this nonce a moment ago."""
    earliest = discord.clock() - NONCE_SECONDS
    for message in where.stored.values():
        if nonce is not None and message.nonce == nonce and message.timestamp >= earliest:
            return message
    return None


def _reference(where: Channel, body: dict) -> int | None:
    reference = body.get("message_reference")
    if not reference:
        return None
    id = int(reference["message_id"])
    if id in where.stored and not where.stored[id].is_deleted:
        return id
    if reference.get("fail_if_not_exists", True):
        unknown = {"code": "REPLIES_UNKNOWN_MESSAGE", "message": "Unknown message"}
        errors = {"message_reference": {"_errors": [unknown]}}
        raise Refusal(400, 50035, "Invalid Form Body", errors=errors)
    return None


def edit_message(call: Call):
    discord, where = call.discord, call.channel()
    message = call.message(where)
    if message.author is not discord.bot:
        raise Refusal(403, 50005, "Cannot edit a message authored by another user")
    _need_to_write(call, where)
    discord.moderate(call.body)
    limit = where.guild.attachment_size_limit if where.guild else discord.attachment_size_limit
    messages.edit(discord, message, call.body, call.files, limit=limit)
    discord.tell("MESSAGE_UPDATE", message)
    return 200, messages.render(discord, message)


def start_thread(call: Call):
    where = call.channel()
    message = call.message(where)
    _need(where, call.discord.bot, CREATE_THREADS)
    if message.id in call.discord.channels:
        raise Refusal(400, 160004, "A thread has already been created for this message")
    thread = where.add_thread(call.body["name"], of=message)
    return 201, payloads.channel(thread)


def delete_message(call: Call):
    discord, where = call.discord, call.channel()
    message = call.message(where)
    if message.author is not discord.bot:
        _need(where, discord.bot, MANAGE)
    discord.delete(message)
    return 204, None


def answer_interaction(call: Call):
    discord = call.discord
    interaction = discord.interactions.get(call.values["interaction_token"])
    if interaction is None or str(interaction.id) != call.values["interaction_id"]:
        raise Refusal(404, 10062, "Unknown interaction", is_violation=True)
    changed = interaction.respond(call.body, call.files, call.arrived)
    if call.query.get("with_response") not in ("1", "true", "True"):
        return 204, None
    about = {"id": str(interaction.id), "type": interaction.kind}
    about["channel_id"] = str(interaction.channel.id)
    if interaction.channel.guild is not None:
        about["guild_id"] = str(interaction.channel.guild.id)
    answer = {"interaction": about}
    if changed is not None:
        about |= {
            "response_message_id": str(changed.id),
            "response_message_loading": changed.is_loading,
            "response_message_ephemeral": changed.is_ephemeral,
        }
        kind = REPLY if interaction.answer.kind == DEFERRED else interaction.answer.kind
        if kind in (REPLY, UPDATE):
            answer["resource"] = {"type": kind, "message": messages.render(discord, changed)}
    return 200, answer


def get_response(call: Call):
    return 200, messages.render(call.discord, call.response(call.interaction()))


def edit_response(call: Call):
    interaction = call.interaction()
    message = interaction.edit(call.response(interaction), call.body, call.files)
    return 200, messages.render(call.discord, message)


def delete_response(call: Call):
    call.discord.delete(call.response(call.interaction()))
    return 204, None


def follow_up(call: Call):
    message = call.interaction().follow_up(call.body, call.files)
    return 200, messages.render(call.discord, message)


def _scope(call: Call) -> int | None:
    """Where commands are registered: None is everywhere, else a server's id."""
    if call.values["application_id"] != str(call.discord.application_id):
        raise Refusal(
            403, 20012, "You are not authorized to perform this action on this application"
        )
    return call.guild().id if "guild_id" in call.values else None


def get_commands(call: Call):
    return 200, call.discord.commands.get(_scope(call), [])


def put_commands(call: Call):
    scope = _scope(call)
    rules.commands(call.body or []).insist()
    known = {(one["type"], one["name"]): one for one in call.discord.commands.get(scope, [])}
    made = [_registered(call, scope, body, known) for body in call.body or []]
    call.discord.commands[scope] = made
    call.discord.changes.tell()
    return 200, made


def post_command(call: Call):
    scope = _scope(call)
    known = {(one["type"], one["name"]): one for one in call.discord.commands.get(scope, [])}
    made = _registered(call, scope, call.body, known)
    is_new = (made["type"], made["name"]) not in known
    known[made["type"], made["name"]] = made
    rules.commands(list(known.values())).insist()
    call.discord.commands[scope] = list(known.values())
    return 201 if is_new else 200, made


def delete_command(call: Call):
    scope = _scope(call)
    before = call.discord.commands.get(scope, [])
    after = [one for one in before if one["id"] != call.values["command_id"]]
    if len(after) == len(before):
        raise Refusal(404, 10063, "Unknown application command")
    call.discord.commands[scope] = after
    return 204, None


def _registered(call: Call, scope: int | None, body: dict, known: dict) -> dict:
    kind = body.get("type", 1)
    old = known.get((kind, body["name"]))
    made = {
        "id": old["id"] if old else str(call.discord.snowflake()),
        "application_id": str(call.discord.application_id),
        "version": str(call.discord.snowflake()),
        "type": kind,
        "name": body["name"],
        "name_localizations": body.get("name_localizations"),
        "description": body.get("description") or "",
        "description_localizations": body.get("description_localizations"),
        "default_member_permissions": _text(body.get("default_member_permissions")),
        "dm_permission": body.get("dm_permission", True),
        "contexts": body.get("contexts"),
        "integration_types": body.get("integration_types") or [0],
        "nsfw": body.get("nsfw", False),
        "options": body.get("options") or [],
    }
    return made if scope is None else made | {"guild_id": str(scope)}


def _text(value) -> str | None:
    return None if value is None else str(value)


COMMANDS = "/applications/{application_id}/commands"
GUILD_COMMANDS = "/applications/{application_id}/guilds/{guild_id}/commands"
MESSAGES = "/channels/{channel_id}/messages"
WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"

CALLS: dict[tuple[str, str], Callable] = {
    ("GET", "/gateway"): gateway,
    ("GET", "/gateway/bot"): gateway_bot,
    ("GET", "/users/@me"): me,
    ("GET", "/users/@me/guilds"): my_guilds,
    ("POST", "/users/@me/channels"): open_direct_message,
    ("GET", "/users/{user_id}"): user,
    ("GET", "/applications/@me"): application,
    ("GET", "/oauth2/applications/@me"): application,
    ("GET", COMMANDS): get_commands,
    ("PUT", COMMANDS): put_commands,
    ("POST", COMMANDS): post_command,
    ("DELETE", COMMANDS + "/{command_id}"): delete_command,
    ("GET", GUILD_COMMANDS): get_commands,
    ("PUT", GUILD_COMMANDS): put_commands,
    ("POST", GUILD_COMMANDS): post_command,
    ("DELETE", GUILD_COMMANDS + "/{command_id}"): delete_command,
    ("GET", "/guilds/{guild_id}"): guild,
    ("GET", "/guilds/{guild_id}/channels"): guild_channels,
    ("GET", "/guilds/{guild_id}/members/{user_id}"): member,
    ("GET", "/channels/{channel_id}"): channel,
    ("POST", "/channels/{channel_id}/typing"): typing,
    ("GET", MESSAGES): messages_of_channel,
    ("POST", MESSAGES): create_message,
    ("GET", MESSAGES + "/{message_id}"): get_message,
    ("PATCH", MESSAGES + "/{message_id}"): edit_message,
    ("DELETE", MESSAGES + "/{message_id}"): delete_message,
    ("POST", MESSAGES + "/{message_id}/threads"): start_thread,
    ("POST", "/interactions/{interaction_id}/{interaction_token}/callback"): answer_interaction,
    ("POST", WEBHOOK): follow_up,
    ("GET", WEBHOOK + "/messages/@original"): get_response,
    ("PATCH", WEBHOOK + "/messages/@original"): edit_response,
    ("DELETE", WEBHOOK + "/messages/@original"): delete_response,
    ("GET", WEBHOOK + "/messages/{message_id}"): get_response,
    ("PATCH", WEBHOOK + "/messages/{message_id}"): edit_response,
    ("DELETE", WEBHOOK + "/messages/{message_id}"): delete_response,
}
WITHOUT_TOKEN = frozenset({"/gateway"})


def needs_token(path: str) -> bool:
    """Interactions and webhooks carry their own token in the path."""
    return path not in WITHOUT_TOKEN and not path.startswith(("/interactions/", "/webhooks/"))
