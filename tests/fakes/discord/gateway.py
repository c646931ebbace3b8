"""The gateway: sessions that outlive their sockets, and the events in them."""

import asyncio
import contextlib
import json
import secrets
import time
import zlib
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

from . import payloads

HEARTBEAT_MILLISECONDS = 600_000
LARGEST_FRAME = 4096
FRAMES_A_MINUTE = 120
INTENT_GUILDS = 1 << 0
INTENT_MEMBERS = 1 << 1
INTENT_PRESENCES = 1 << 8
INTENT_GUILD_MESSAGES = 1 << 9
INTENT_GUILD_REACTIONS = 1 << 10
INTENT_DIRECT_MESSAGES = 1 << 12
INTENT_DIRECT_REACTIONS = 1 << 13
INTENT_CONTENT = 1 << 15
PRIVILEGED = INTENT_MEMBERS | INTENT_PRESENCES | INTENT_CONTENT
HIGHEST_INTENT = 1 << 25
KEPT_EVENTS = 10_000


@dataclass(eq=False)
class Session:
    """Discord's memory of one shard, connected or not.

    Attributes:
        sent: Every event by its sequence number, to be replayed when the shard resumes.
        resumes: How often the shard came back to this session.
    """

    id: str
    shard: tuple[int, int]
    intents: int
    sent: dict[int, dict] = field(default_factory=dict)
    sequence: int = 0
    resumes: int = 0
    connection: "Connection | None" = None

    def add(self, event: str, data: dict) -> dict:
        self.sequence += 1
        payload = {"op": 0, "t": event, "s": self.sequence, "d": data}
        self.sent[self.sequence] = payload
        self.sent.pop(self.sequence - KEPT_EVENTS, None)
        return payload


class Connection:
    """One socket: what is put into it leaves in order, compressed as was asked."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, is_compressed: bool):
        self._request = request
        self._socket = socket
        self._compressor = zlib.compressobj() if is_compressed else None
        self._outbox: asyncio.Queue[dict] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())
        self.closed = asyncio.Event()
        self.is_closing = False
        self.frames: list[float] = []

    def put(self, payload: dict) -> None:
        self._outbox.put_nowait(payload)

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                text = json.dumps(await self._outbox.get())
                if self._compressor is None:
                    await self._socket.send_str(text)
                else:
                    packed = self._compressor.compress(text.encode())
                    packed += self._compressor.flush(zlib.Z_SYNC_FLUSH)
                    await self._socket.send_bytes(packed)
                self._outbox.task_done()

    async def flush(self) -> None:
        """Wait until all that was put in has left."""
        flushed = asyncio.create_task(self._outbox.join())
        await asyncio.wait({flushed, self._writer}, return_when=asyncio.FIRST_COMPLETED)
        flushed.cancel()

    async def close(self, code: int, reason: str = "") -> None:
        self.is_closing = True
        await self.flush()
        await self._socket.close(code=code, message=reason.encode())

    def abort(self) -> None:
        """Cut the cable: no close frame, no goodbye."""
        self.is_closing = True
        if self._request.transport is not None:
            self._request.transport.abort()

    async def end(self) -> None:
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._writer
        self.closed.set()


class Gateway:
    """All sessions, and the protocol by which shards join them.

    Args:
        discord: The whole fake; see server.py.
    """

    def __init__(self, discord):
        self._discord = discord
        self.sessions: list[Session] = []
        self.identifies: list[dict] = []
        self._connections: set[Connection] = set()

    def connected(self) -> bool:
        """Whether every shard of the bot is here and has been told its servers."""
        live = [session for session in self.sessions if session.connection is not None]
        return bool(live) and len({session.shard[0] for session in live}) == live[0].shard[1]

    def dispatch(
        self, event: str, data: dict, *, guild=None, copies: int = 1, intents: int = 0
    ) -> None:
        """Send an event to the shard that serves the server, or keep it until it resumes.

        Args:
            guild: None goes to the first shard, as direct messages do.
            copies: 0 loses the event, 2 sends it twice.
            intents: Which of these intents the shard must have asked for.
        """
        for session in self.sessions:
            shard, shards = session.shard
            if shard != (0 if guild is None else (guild.id >> 22) % shards):
                continue
            if intents and not session.intents & intents:
                continue
            for _ in range(copies):
                self._send(session.connection, session.add(event, data))

    def _send(self, connection: Connection | None, payload: dict) -> None:
        self._discord.check_payload(payload, is_from_bot=False)
        if connection is not None:
            connection.put(payload)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One socket from its first frame to its last."""
        socket = web.WebSocketResponse(max_msg_size=0, autoping=True)
        await socket.prepare(request)
        wants = request.query
        if wants.get("v") != "10" or wants.get("encoding") != "json":
            self._discord.violation(
                f"The gateway was asked for version and encoding {dict(wants)}."
            )
        connection = Connection(request, socket, wants.get("compress") == "zlib-stream")
        self._connections.add(connection)
        session: Session | None = None
        try:
            self._send(
                connection,
                {
                    "op": 10,
                    "d": {"heartbeat_interval": HEARTBEAT_MILLISECONDS},
                    "s": None,
                    "t": None,
                },
            )
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    await connection.close(4002, "Only text is understood.")
                    break
                if (refusal := self._refusal_of_frame(connection, frame.data)) is not None:
                    await connection.close(*refusal)
                    break
                payload = json.loads(frame.data)
                self._discord.check_payload(payload, is_from_bot=True)
                op, data = payload["op"], payload["d"]
                if op == 1:
                    self._send(connection, {"op": 11, "d": None, "s": None, "t": None})
                elif session is None and op == 2:
                    session = await self._identify(connection, data)
                elif session is None and op == 6:
                    session = await self._resume(connection, data)
                elif session is None:
                    await self._refuse(connection, 4003, "Not authenticated.")
                elif op in (4, 8):
                    self._discord.violation(f"This fake does not answer op {op}.")
                elif op in (2, 6):
                    await self._refuse(connection, 4005, "Already authenticated.")
        except ConnectionError:
            pass
        finally:
            if session is not None and session.connection is connection:
                session.connection = None
                # The bot's own 1000 or 1001 ends a session for good; everything else may resume.
                goodbye = socket.close_code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY)
                if goodbye and not connection.is_closing and session in self.sessions:
                    self.sessions.remove(session)
            self._connections.discard(connection)
            await connection.end()
            self._discord.changes.tell()
        return socket

    def _refusal_of_frame(self, connection: Connection, text: str) -> tuple[int, str] | None:
        now = time.monotonic()
        connection.frames = [moment for moment in connection.frames if moment > now - 60] + [now]
        if len(connection.frames) > FRAMES_A_MINUTE:
            self._discord.violation("More than 120 gateway frames in a minute.")
            return 4008, "Rate limited."
        if len(text.encode()) > LARGEST_FRAME:
            self._discord.violation(f"A gateway frame of {len(text)} bytes.")
            return 4002, "Payload too large."
        try:
            payload = json.loads(text)
            known = payload["op"] in (1, 2, 3, 4, 6, 8) and "d" in payload
        except (ValueError, TypeError, KeyError):
            self._discord.violation(f"A gateway frame that is not a payload: {text[:100]}")
            return 4002, "Decode error."
        if not known:
            self._discord.violation(f"A gateway frame with the unknown opcode {payload['op']}.")
            return 4001, "Unknown opcode."
        return None

    async def _refuse(self, connection: Connection, code: int, reason: str) -> None:
        self._discord.violation(f"The gateway closed with {code}: {reason}")
        await connection.close(code, reason)

    async def _identify(self, connection: Connection, data: dict) -> Session | None:
        self.identifies.append(data)
        if data["token"] != self._discord.token:
            await connection.close(4004, "Authentication failed.")
            return None
        shard = tuple(data.get("shard", (0, 1)))
        if len(shard) != 2 or not 0 <= shard[0] < shard[1]:
            await self._refuse(connection, 4010, "Invalid shard.")
            return None
        if shard[1] < self._discord.shards:
            await self._refuse(connection, 4011, "Sharding required.")
            return None
        intents = data["intents"]
        if not 0 <= intents < HIGHEST_INTENT << 1:
            await self._refuse(connection, 4013, "Invalid intent(s).")
            return None
        if intents & PRIVILEGED & ~self._discord.privileged_intents:
            await self._refuse(connection, 4014, "Disallowed intent(s).")
            return None
        self.sessions = [old for old in self.sessions if old.shard[0] != shard[0]]
        session = Session(secrets.token_hex(16), shard, intents, connection=connection)
        self.sessions.append(session)
        mine = [
            guild
            for guild in self._discord.guilds.values()
            if guild.has_bot and (guild.id >> 22) % shard[1] == shard[0]
        ]
        ready = {
            "v": 10,
            "user": payloads.user(self._discord.bot)
            | {"mfa_enabled": False, "verified": True, "email": None},
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in mine],
            "session_id": session.id,
            "resume_gateway_url": "wss://gateway.discord.gg",
            "shard": list(shard),
            "application": {"id": str(self._discord.application_id), "flags": 0, "flags_new": "0"},
        }
        self._send(connection, session.add("READY", ready))
        if intents & INTENT_GUILDS:
            for guild in mine:
                self._send(
                    connection,
                    session.add("GUILD_CREATE", payloads.guild_create(guild, self._discord.bot)),
                )
        await connection.flush()
        self._discord.changes.tell()
        return session

    async def _resume(self, connection: Connection, data: dict) -> Session | None:
        if data["token"] != self._discord.token:
            await connection.close(4004, "Authentication failed.")
            return None
        session = next((one for one in self.sessions if one.id == data["session_id"]), None)
        if session is None:
            self._send(connection, {"op": 9, "d": False, "s": None, "t": None})
            return None
        missed = range(data["seq"] + 1, session.sequence + 1)
        if data["seq"] > session.sequence or any(number not in session.sent for number in missed):
            await self._refuse(connection, 4007, "Invalid seq.")
            return None
        session.connection = connection
        session.resumes += 1
        for number in missed:
            self._send(connection, session.sent[number])
        self._send(connection, session.add("RESUMED", {"_trace": ["fake"]}))
        await connection.flush()
        self._discord.changes.tell()
        return session

    async def _lose(self, act) -> None:
        """Do `act` to every connection, and wait until each is gone."""
        connections = list(self._connections)
        for connection in connections:
            await act(connection)
        for connection in connections:
            await connection.closed.wait()

    async def drop(self) -> None:
        async def cut(connection):
            connection.abort()

        await self._lose(cut)

    async def close(self, code: int, reason: str) -> None:
        await self._lose(lambda connection: connection.close(code, reason))

    async def reconnect(self) -> None:
        async def ask(connection):
            self._send(connection, {"op": 7, "d": None, "s": None, "t": None})
            await connection.flush()

        await self._lose(ask)

    async def invalidate(self, resumable: bool) -> None:
        async def tell(connection):
            self._send(connection, {"op": 9, "d": resumable, "s": None, "t": None})
            await connection.flush()

        if not resumable:
            self.sessions, ended = [], self.sessions
            for session in ended:
                session.connection = None
        await self._lose(tell)
