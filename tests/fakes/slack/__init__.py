"""A Slack on loopback that keeps Slack's rules, for the real slack_bolt and slack_sdk.

| module | what it is |
| --- | --- |
| ``world`` | people, channels, messages, files, and time that passes when somebody sleeps |
| ``api`` | the Web API with its errors, scopes and limits; file hosts; response_url |
| ``agents`` | the part of it that agents have: statuses, titles, prompts |
| ``sockets`` | Socket Mode: tickets, envelopes, acknowledgements, redelivery; or HTTP |
| ``people`` | what a person does: mention, slash, press, shortcut, submit |
| ``transcript`` | a conversation, a form or a home as plain text |
| ``schema`` | Slack's own types, by which all of this is judged |

What the bot does wrong is kept in ``violations``, which a test finds empty at its end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field

from aiohttp import web
from yarl import URL

from tests.fakes.slack.api import WebApi
from tests.fakes.slack.people import Person
from tests.fakes.slack.sockets import Sockets
from tests.fakes.slack.transcript import form, transcript
from tests.fakes.slack.world import Channel, File, Time, pings

#: What the manifest asks for.
ALL_SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "chat:write",
    "chat:write.public",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "im:history",
    "im:write",
    "reactions:read",
    "users:read",
)


@dataclass(eq=False)
class Team:
    """A workspace in which the app is installed; *error* is what its token gets, if anything.

    An organisation (`is_org`) has it in all its workspaces: payloads name one of those, or none.
    """

    id: str
    token: str
    bot_user: str
    bot_id: str
    error: str | None = None
    is_org: bool = False
    refresh_token: str | None = None
    expired: set[str] = field(default_factory=set)
    people: dict[str, Person] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)

    @property
    def workspace(self):
        """The workspace that payloads name."""
        return "T0777" if self.is_org else self.id

    @property
    def enterprise(self):
        """The organisation that payloads name."""
        return self.id if self.is_org else None


@dataclass
class Hook:
    """Where one response_url leads."""

    channel: Channel
    user: str
    expires: float
    left: int = 5


class FakeSlack:
    """Start it, point the bot at ``api_base``, and be a person in it."""

    def __init__(self, clock):
        self.time = Time(clock)
        self.violations = []
        self.scopes = set(ALL_SCOPES)
        self.app_token, self.app_error = "xapp-1-A111-222", None
        self.client_id, self.client_secret = "111.222", "client-secret"
        self.redirect_urls, self.rotates, self.codes = set(), False, {}
        self.signing_secret = "8f742231b10e8888abcd99yyyzzz85a5"
        self.request_url = None
        self.enforces_rates = True
        self.takes_carousels = True
        self.is_grid = False  # files then lie on another host, to which the first one leads
        self.teams = {}
        self.files = {}
        self.hooks = {}
        self.called_people = []
        self.api = WebApi(self)
        self.sockets = Sockets(self)
        self._triggers, self._exchanged = {}, set()
        self._numbers = itertools.count(1)
        self._last_ts = 0.0
        self.add_team("T0123")

    async def start(self):
        app = web.Application(client_max_size=2**26, middlewares=[self.api.meet])
        app.add_routes([*self.api.routes(), web.get("/link/", self.sockets.connect)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.origin_host = f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def close(self):
        await self.sockets.close()
        await self._runner.cleanup()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_base(self):
        return f"{self.url}/api/"

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    # What there is

    @property
    def team(self):
        return next(iter(self.teams.values()))

    def add_team(self, id, **more):
        number = len(self.teams) + 1
        team = Team(id, f"xoxb-{number}-secret", f"UBOT{number}", f"B{number}", **more)
        self.teams[id] = team
        return team

    def allow(self, address, team):
        """Let the app that leads to *address* into *team*, as its admin; returns the address to
        which Slack leads back, whose code serves once."""
        url = URL(address)
        assert url.path == "/oauth/v2/authorize"
        asked = dict(url.query)
        if asked["client_id"] != self.client_id:
            self.violations.append(f"there is no app {asked['client_id']}")
        if asked["redirect_uri"] not in self.redirect_urls:
            self.violations.append(f"{asked['redirect_uri']} is no redirect URL of the app")
        if set(asked["scope"].split(",")) != set(ALL_SCOPES) or asked.get("user_scope"):
            self.violations.append(f"{asked['scope']} is not what the manifest asks for")
        code = self.id("code")
        self.codes[code] = (team, asked["redirect_uri"])
        return URL(asked["redirect_uri"]).with_query(code=code, state=asked["state"])

    def grant(self, team):
        """What Slack says of a token for *team*: the old one has served, where tokens rotate."""
        said = {"token_type": "bot", "scope": ",".join(sorted(self.scopes)), "app_id": "A111"}
        if self.rotates:
            team.expired.add(team.token)
            team.token, team.refresh_token = f"xoxe.{self.id('xoxb-')}", self.id("xoxe-1-")
            said |= {"refresh_token": team.refresh_token, "expires_in": 43200}
        workspace = None if team.is_org else {"id": team.id, "name": f"team {team.id}"}
        return said | {
            "access_token": team.token,
            "bot_user_id": team.bot_user,
            "team": workspace,
            "enterprise": {"id": team.id, "name": f"org {team.id}"} if team.is_org else None,
            "is_enterprise_install": team.is_org,
            "authed_user": {"id": "U1"},
        }

    def person(self, name, team=None, **more):
        team = team or self.team
        person = Person(self, team, name, **more)
        team.people[person.id] = person
        return person

    def channel(self, name="general", team=None, **more):
        channel = Channel(self.id("C"), name, **more)
        (team or self.team).channels[channel.id] = channel
        return channel

    def conversation_of_two(self, team=None):
        """A direct message between two people, which no bot can join."""
        channel = Channel(self.id("D"), "directmessage", is_im=True, is_private=True)
        channel.has_bot = False
        (team or self.team).channels[channel.id] = channel
        return channel

    def hold_up(self, method):
        """The next call of *method* waits until the returned event is set."""
        goes_on = asyncio.Event()
        self.api.fault(method, goes_on)
        return goes_on

    def new_file(self, team, name, data, owner):
        id = self.id("F")
        url = f"{self.url}/files-pri/{id}/{name}"
        now = self.time()
        self.files[id] = File(id, name, data, len(data), owner=owner, url=url, completed_at=now)
        return self.files[id]

    def transcript(self, channel, thread=None):
        """What stands in *channel*, or in one thread of it, as plain text."""
        return transcript(self, channel, thread)

    def form(self, view):
        """A modal or a home, as plain text."""
        return form(self, view)

    # What Slack hands out

    def id(self, letter):
        return f"{letter}{next(self._numbers):06d}"

    def ts(self):
        self._last_ts = max(self.time(), self._last_ts + 0.000100)
        return f"{self._last_ts:.6f}"

    def new_trigger(self, person):
        trigger = self.id("trigger")
        self._triggers[trigger] = (person, self.time.waited + 3.0)
        return trigger

    def use_trigger(self, trigger):
        """Whose it is, the first time and within 3 seconds; Slack's word for the fault else."""
        if trigger not in self._triggers:
            return "exchanged_trigger_id" if trigger in self._exchanged else "invalid_trigger_id"
        person, expires = self._triggers.pop(trigger)
        self._exchanged.add(trigger)
        return person if self.time.waited <= expires else "expired_trigger_id"

    def new_hook(self, channel, user):
        key = self.id("hook")
        self.hooks[key] = Hook(channel, user, self.time() + 1800)
        return f"{self.url}/hooks/{key}"

    # What the bot does

    def hold(self, problems):
        """Keep what is wrong with something."""
        self.violations += problems

    def posted(self, message, channel):
        """A new message of the bot stands in *channel*: whom does it call?"""
        text = message.get("text", "") + json.dumps(message.get("blocks", []))
        for user, everybody in pings(text):
            self.called_people.append(user or everybody)
        channel.touch()

    async def advance(self, seconds):
        """Let time pass; what was not acknowledged is delivered again when its time has come."""
        await self.time.advance(seconds)
        await self.sockets.redeliver_overdue()


__all__ = ["FakeSlack", "Person", "Team"]
