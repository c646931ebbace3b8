"""FakeDiscord: the server on loopback, and all by which a test drives it."""

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable

import aiohttp
import discord as library
from aiohttp import web
from aiohttp.abc import AbstractResolver

from . import gateway as gateways
from . import messages, payloads
from .calls import VIEW
from .certificate import HOSTS, certificate
from .faults import Fault, Limit, Pace
from .gateway import Gateway
from .interactions import Interaction
from .people import Person
from .rest import Request, Rest, cut
from .rules import Refusal
from .schema import protocol_truth
from .state import (
    ALL_PERMISSIONS,
    EPHEMERAL,
    MEMBER_PERMISSIONS,
    MIB,
    Attachment,
    Changes,
    Channel,
    Clock,
    Guild,
    Member,
    Message,
    Role,
    Snowflakes,
    User,
    bits,
)

BOT_IN_DIRECT_MESSAGES = MEMBER_PERMISSIONS | library.Permissions.mention_everyone.flag
TOO_MANY = {"message": "You are being rate limited.", "retry_after": 0.02, "global": False}


class FakeDiscord:
    """Discord on loopback: ``async with FakeDiscord() as fake``.

    Args:
        clock: Unix seconds, for all that Discord times; stands still by default.
        shards: How many shards Discord recommends, and the least that it takes.
        privileged_intents: Those that the application was granted.

    Attributes:
        token: The bot's token.
        application_id, bot, owner: The application, its user and its owner.
        guild, channel: A first server and the channel in it.
        violations: What broke a rule or a schema, as sentences; also of the fake itself.
        requests: Every REST call in order.
        commands: Registered commands by server id; None holds the global ones.
        downloads: Requests to the CDN by host.
        copies: How often each interaction event is sent: 0 loses it, 2 repeats it.
        blocked_words: What automatic moderation refuses.
        invalid_requests: How many calls ended in 401, 403 or 429.
        pace: `pace.busiest_second` is the most calls that came within a second.
        truth: Discord's schemas; set it to None where checking costs a benchmark too much.
        gateway: `gateway.sessions` and `gateway.identifies` tell of the shards.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] | None = None,
        shards: int = 1,
        privileged_intents: int = 0,
    ):
        self.clock = clock or Clock()
        self.shards = shards
        self.privileged_intents = privileged_intents
        self.snowflake = Snowflakes(self.clock)
        self.changes = Changes()
        self.truth = protocol_truth()
        self.token = "MTIzNDU2Nzg5MDEyMzQ1Njc4.fake.a-token-of-the-fake"
        self.violations: list[str] = []
        self.requests: list[Request] = []
        self.downloads: Counter[str] = Counter()
        self.commands: dict[int | None, list[dict]] = {}
        self.interactions: dict[str, Interaction] = {}
        self.files: dict[int, Attachment] = {}
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.blocked_words: set[str] = set()
        self.attachment_size_limit = 10 * MIB
        self.copies = 1
        self.invalid_requests = 0
        self.pace = Pace()
        self.limits: list[Limit] = []
        self.gateway = Gateway(self)
        self._rest = Rest(self)
        self._faults: list[Fault] = []
        self.application_id = self.snowflake()
        self.bot = User(self.application_id, "flux", is_bot=True)
        self.owner = User(self.snowflake(), "owner")
        self.users |= {self.bot.id: self.bot, self.owner.id: self.owner}
        self.guild = self.add_guild("Workshop")
        self.channel = self.guild.add_channel("general")

    async def __aenter__(self) -> "FakeDiscord":
        app = web.Application(client_max_size=64 * MIB)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "127.0.0.1", 0, ssl_context=certificate().server, backlog=1024
        )
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        await self.gateway.drop()
        await self._runner.cleanup()

    def connector(self) -> aiohttp.TCPConnector:
        """Brings discord.py here: ``discord.Client(connector=fake.connector())``."""
        return aiohttp.TCPConnector(resolver=_Resolver(self), ssl=certificate().client, limit=0)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0]
        if host == "discord.com":
            return await self._rest.serve(request)
        if host == "gateway.discord.gg":
            return await self.gateway.serve(request)
        return await self._serve_file(host, request)

    async def _serve_file(self, host: str, request: web.Request) -> web.StreamResponse:
        self.downloads[host] += 1
        fault = self.fault(request.method, request.path)
        if fault is not None and fault.gate is not None:
            await fault.gate.wait()
        elif fault is not None and fault.keep is not None:
            await fault.keep.wait()
        elif fault is not None:
            return cut(request) if fault.status is None else web.Response(status=fault.status)
        parts = request.path.strip("/").split("/")
        id = int(parts[2]) if len(parts) == 4 and parts[2].isdigit() else 0
        file = self.files.get(id)
        path = request.rel_url.raw_path
        if file is None or not messages.is_valid_address(path, request.query, self.clock()):
            return web.Response(status=404, text="This content is no longer available.")
        kind = file.content_type or "application/octet-stream"
        return web.Response(body=file.data, headers={"Content-Type": kind})

    # What a test arranges

    def add_guild(
        self,
        name: str,
        *,
        has_bot: bool = True,
        bot_permissions: "int | library.Permissions | None" = None,
    ) -> Guild:
        """A further server, which the bot learns of when it next identifies, or at once."""
        id = self.snowflake.next_millisecond()
        everyone = Role(id, "@everyone", MEMBER_PERMISSIONS, position=0)
        guild = Guild(self, id, name, self.owner, everyone, has_bot=has_bot)
        guild.roles[id] = everyone
        guild.members[self.owner.id] = Member(self.owner)
        if has_bot:
            role = guild.add_role("flux", bits(bot_permissions, MEMBER_PERMISSIONS))
            guild.members[self.bot.id] = Member(self.bot, [role])
        self.guilds[id] = guild
        if has_bot:
            created = payloads.guild_create(guild, self.bot)
            self.gateway.dispatch("GUILD_CREATE", created, guild=guild)
        return guild

    def remove_guild(self, guild: Guild) -> None:
        """Throw the bot out of a server, channels and all."""
        guild.has_bot = False
        self.guilds.pop(guild.id)
        for channel in guild.channels.values():
            channel.is_deleted = True
        self.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id)}, guild=guild)

    def add_channel(self, channel: Channel) -> Channel:
        """Take a channel in; `Guild.add_channel` and `Channel.add_thread` make one."""
        self.channels[channel.id] = channel
        if channel.guild is not None:
            channel.guild.channels[channel.id] = channel
            event = "THREAD_CREATE" if channel.is_thread else "CHANNEL_CREATE"
            self.tell_of_channel(event, channel)
        return channel

    def person(
        self,
        name: str,
        *,
        permissions: "int | library.Permissions | None" = None,
        guild: Guild | None = None,
        locale: str = "en-US",
        has_installed: bool = False,
        is_member: bool = True,
    ) -> Person:
        """Somebody in a server (the first, unless told otherwise).

        Args:
            permissions: More than everybody has, by a role of their own.
            has_installed: Whether they brought the app along as their own.
            is_member: False is a stranger, who can only write directly.
        """
        who = Person(self, self.snowflake(), name, locale=locale, has_installed=has_installed)
        self.users[who.id] = who
        if is_member:
            who.join(guild or self.guild, permissions)
        return who

    def group(self, *people: User) -> Channel:
        """A conversation among people, in which the bot is not."""
        kind = 1 if len(people) <= 2 else 3
        id, recipients = self.snowflake(), list(people)
        return self.add_channel(
            Channel(self, id, kind, "group", recipients=recipients, has_bot=False)
        )

    def direct_channel(self, who: User) -> Channel:
        """The direct messages between the bot and a person."""
        for channel in self.channels.values():
            if channel.has_bot and channel.kind == 1 and channel.recipients == [who]:
                return channel
        return self.add_channel(Channel(self, self.snowflake(), 1, who.name, recipients=[who]))

    def delete(self, message: Message) -> None:
        """Delete a message, whoever wrote it."""
        message.is_deleted = True
        gone = {"id": str(message.id), "channel_id": str(message.channel.id)}
        self._tell("MESSAGE_DELETE", message, gone)

    def fail(
        self,
        method: str,
        path: str,
        *,
        status: int | None = 500,
        times: int = 1,
        body: dict | str | None = "",
        headers: dict[str, str] | None = None,
        lose_answer: bool = False,
        misreport: bool = False,
        gate: asyncio.Event | None = None,
        keep: asyncio.Event | None = None,
    ) -> Fault:
        """Let the next requests fail that match a method (``*`` is any) and a pattern of the path.

        Args:
            status: Of the answer; None cuts the connection before anything is done. A 429
                carries a body and ``Retry-After`` unless you give your own.
            body: JSON, or text as a broken proxy sends it.
            headers: More headers; an empty value takes one away, such as ``{"Via": ""}``.
            lose_answer: Do what was asked, then cut the connection.
            misreport: Do what was asked, then answer with `status` all the same, as proxies do.
            gate: Hold the requests back until it is set, then serve them.
            keep: Do what was asked, and hold the answers back, which get the `headers`, until it is
                set.
        """
        more = dict(headers or {})
        if status == 429 and body == "":
            body = TOO_MANY
            more.setdefault("Retry-After", "1")
        fault = Fault(method, re.compile(path), status, times, lose_answer, body, more, gate)
        fault.misreport, fault.keep = misreport, keep
        self._faults.append(fault)
        return fault

    def fault(self, method: str, path: str, body: dict | list | None = None) -> Fault | None:
        """The fault that meets a request, which counts as a hit. Called with every request that
        arrives, before anything is done about it."""
        for fault in self._faults:
            if fault.meets(method, path):
                fault.hits += 1
                self.changes.tell()
                return fault
        return None

    def limit(self, method: str, path: str, most: int, *, seconds: float) -> None:
        """Set a rate limit in real time for each path that matches a pattern."""
        self.limits.append(Limit(method, re.compile(path), most, seconds))

    def refuse_token(self) -> None:
        """Revoke the token: 401 from now on, and 4004 at the gateway."""
        self.token = "another token"

    async def connected(self, *, within: float = 20) -> None:
        """Wait until every shard is ready and has been told its servers."""
        await self.until(self.gateway.connected, within=within)

    async def registered(self, *, within: float = 20) -> list[dict]:
        """Wait for global commands."""
        return await self.until(lambda: self.commands.get(None), within=within)

    async def until(self, find: Callable[[], object], *, within: float = 20):
        """The first truthy result of `find`, which is asked after everything that happens."""
        return await self.changes.until(find, within, self.story)

    async def drop(self) -> None:
        """Cut every gateway connection."""
        await self.gateway.drop()

    async def close(self, code: int, reason: str = "") -> None:
        """Close every gateway connection with a code."""
        await self.gateway.close(code, reason)

    async def reconnect(self) -> None:
        """Ask every shard to connect again and resume (op 7)."""
        await self.gateway.reconnect()

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Declare every session invalid (op 9)."""
        await self.gateway.invalidate(resumable)

    # What the parts tell each other

    def violation(self, sentence: str) -> None:
        self.violations.append(sentence)

    def forgive(self, pattern: str) -> list[str]:
        """Take back the violations that match a pattern; there must be one.

        Raises:
            AssertionError: There is none.
        """
        forgiven = [sentence for sentence in self.violations if re.search(pattern, sentence)]
        assert forgiven, f"No violation matches {pattern!r}: {self.violations}"
        self.violations = [one for one in self.violations if one not in forgiven]
        return forgiven

    def check_payload(self, payload: dict, *, is_from_bot: bool) -> None:
        if self.truth is None:
            return
        for fault in self.truth.faults_of_payload(payload, is_from_bot=is_from_bot):
            sender = "bot" if is_from_bot else "fake"
            what = payload.get("t") or f"op {payload.get('op')}"
            self.violation(f"The {sender}'s gateway payload {what} breaks the schema: {fault}")

    def count_refusal(self, status: int) -> None:
        self.invalid_requests += status in (401, 403, 429)

    def moderate(self, body: dict) -> None:
        text = json.dumps(body, ensure_ascii=False)
        if any(word in text for word in self.blocked_words):
            raise Refusal(400, 200000, "Message was blocked by automatic moderation")

    def is_acquainted(self, who: User) -> bool:
        """Whether the bot may write to somebody directly: they share a server, or they have
        installed the app."""
        guilds = [guild for guild in self.guilds.values() if guild.has_bot]
        return who.has_installed or any(who.id in guild.members for guild in guilds)

    def app_permissions(self, channel: Channel) -> int:
        """The app's permissions where it was used."""
        if channel.guild is None or not channel.guild.has_bot:
            return BOT_IN_DIRECT_MESSAGES
        return channel.permissions_of(self.bot) & ALL_PERMISSIONS

    def dispatch_interaction(self, interaction: Interaction) -> None:
        self.interactions[interaction.token] = interaction
        guild = interaction.channel.guild
        self.gateway.dispatch(
            "INTERACTION_CREATE",
            interaction.payload(),
            guild=guild if guild is not None and guild.has_bot else None,
            copies=self.copies,
        )
        interaction.sent = time.monotonic()
        self.changes.tell()

    def tell(self, event: str, message: Message) -> None:
        """MESSAGE_CREATE or MESSAGE_UPDATE, to whom it concerns."""
        if message.flags & EPHEMERAL:
            self.changes.tell()
            return
        payload = messages.render(self, message)
        is_mine = message.author is self.bot or self.bot in message.mentions
        can_read = is_mine or message.channel.guild is None
        if not can_read and not self.privileged_intents & gateways.INTENT_CONTENT:
            payload |= {"content": "", "embeds": [], "attachments": [], "components": []}
        guild = message.channel.guild
        if guild is not None and message.author.id in guild.members:
            payload["member"] = payloads.member(guild.members[message.author.id], with_user=False)
        self._tell(event, message, payload)

    def _tell(self, event: str, message: Message, payload: dict) -> None:
        channel = message.channel
        sees = channel.has_bot and channel.permissions_of(self.bot) & VIEW
        if channel.guild is not None:
            payload["guild_id"] = str(channel.guild.id)
            sees = sees and channel.guild.has_bot
        intents = (
            gateways.INTENT_DIRECT_MESSAGES
            if channel.guild is None
            else gateways.INTENT_GUILD_MESSAGES
        )
        if sees and message.seen_by is None:
            self.gateway.dispatch(event, payload, guild=channel.guild, intents=intents)
        self.changes.tell()

    def tell_of_reaction(self, event: str, message: Message, who: User, emoji: str) -> None:
        """MESSAGE_REACTION_ADD or MESSAGE_REACTION_REMOVE, to a bot that sees the channel."""
        channel = message.channel
        guild = channel.guild
        sees = channel.has_bot and channel.permissions_of(self.bot) & VIEW
        intents = gateways.INTENT_DIRECT_REACTIONS
        if guild is not None:
            intents = gateways.INTENT_GUILD_REACTIONS
            sees = sees and guild.has_bot
        if sees:
            payload = payloads.reaction(
                message, who, emoji, is_added=event == "MESSAGE_REACTION_ADD"
            )
            self.gateway.dispatch(event, payload, guild=guild, copies=self.copies, intents=intents)
        self.changes.tell()

    def tell_of_channel(self, event: str, channel: Channel) -> None:
        if channel.guild is not None and channel.guild.has_bot:
            payload = payloads.channel(channel)
            if event == "THREAD_DELETE":
                kept = ("id", "guild_id", "parent_id", "type")
                payload = {key: payload[key] for key in kept}
            self.gateway.dispatch(event, payload, guild=channel.guild)
        self.changes.tell()

    def story(self) -> str:
        """The bot's latest requests, and their faults."""
        lines = [
            f"{one.method} {one.path[:80]} -> {one.status} {one.code or ''}"
            for one in self.requests[-12:]
        ]
        return "\n".join(["The last requests:", *lines, "Violations:", *self.violations])


class _Resolver(AbstractResolver):
    """Leads Discord's hosts to the fake, and nobody anywhere else."""

    def __init__(self, discord: FakeDiscord):
        self._discord = discord

    async def resolve(self, host: str, port: int = 0, family=socket.AF_INET) -> list:
        if host not in HOSTS or port != 443:
            self._discord.violation(f"The bot wanted to reach {host}:{port}.")
            raise OSError(f"{host} cannot be reached from here")
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self._discord.port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        pass
