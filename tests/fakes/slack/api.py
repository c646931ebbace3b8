"""The Web API, the hosts of files, and response_url: what the bot asks of Slack."""

from __future__ import annotations

import asyncio
import base64
import json
import re

from aiohttp import web

from tests.fakes.slack import schema
from tests.fakes.slack.agents import Agents, Refused
from tests.fakes.slack.world import Budget, File, images, loose, markup_problems

#: What each method asks for; none of those that stand here is open to everybody.
SCOPES = {
    "assistant.threads.setStatus": "chat:write",
    "assistant.threads.setSuggestedPrompts": "assistant:write",
    "assistant.threads.setTitle": "assistant:write",
    "chat.postMessage": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "conversations.replies": "channels:history",
    "conversations.history": "channels:history",
    "conversations.open": "im:write",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "files.delete": "files:write",
    "files.info": "files:read",
    "users.info": "users:read",
}
#: Methods that take the app's own id and secret, and no token.
BASIC = frozenset({"oauth.v2.access"})
#: The types that a method's arguments are held against.
ARGUMENTS = {
    "chat.postMessage": "ChatPostMessageArguments",
    "chat.postEphemeral": "ChatPostEphemeralArguments",
    "chat.update": "ChatUpdateArguments",
    "files.getUploadURLExternal": "FilesGetUploadURLExternalArguments",
    "files.completeUploadExternal": "FilesCompleteUploadExternalArguments",
    "views.open": "ViewsOpenArguments",
}
ANSWERS = {
    "chat.postMessage": "ChatPostMessageResponse",
    "auth.test": "AuthTestResponse",
    "apps.connections.open": "AppsConnectionsOpenResponse",
    "files.getUploadURLExternal": "FilesGetUploadURLExternalResponse",
    "files.info": "FilesInfoResponse",
}
#: Methods that read no JSON, as Slack's pages say.
FORMS = frozenset(
    {
        "auth.test",
        "chat.getPermalink",
        "conversations.history",
        "conversations.replies",
        "files.getUploadURLExternal",
        "files.info",
        "users.info",
    }
)
#: Arguments that a form says as 1 or 0.
FLAGS = ("include_all_metadata", "include_locale", "unfurl_links")
#: What the types want of an answer to a response_url, whose kinds they have mixed up.
NOTHING = {"attachments": [], "markdown_text": ""}
SIGN_IN = "<!DOCTYPE html><html><head><title>Sign in to Slack</title></head><body></body></html>"
#: Seconds after which Slack has looked at a picture, though nobody asks whether it has.
SECONDS_OF_LOOKING = 3.0
HISTORY = {"channel": "channels:history", "group": "groups:history", "im": "im:history"}


class WebApi(Agents):
    """Answers what the bot asks, as Slack would; *slack* is the whole fake.

    Attributes:
        calls: (method, arguments) of everything that was asked, in order.
        trouble: Called with every request and its handler, and answers in its place; None
            for no trouble.
    """

    def __init__(self, slack):
        self.slack = slack
        self.calls = []
        self.faults = {}
        self.limited = []
        self.trouble = None
        self._methods = {}
        self._channels = {}

    def routes(self):
        return [
            web.route("*", "/api/{method}", self.answer),
            web.get("/files-pri/{id}/{name}", self.file),
            web.post("/upload/{id}", self.upload),
            web.post("/hooks/{key}", self.hook),
        ]

    @web.middleware
    async def meet(self, request, handler):
        """Let *request* meet `trouble` on its way to *handler*."""
        return await (self.trouble(request, handler) if self.trouble else handler(request))

    def called(self, method):
        """The arguments of every call of *method*."""
        return [arguments for name, arguments in self.calls if name == method]

    # The frame of every call

    async def answer(self, request):
        method = request.match_info["method"]
        arguments = await _arguments(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = arguments.pop("token", None) or token
        if method in BASIC:
            token, arguments = "", {**arguments, "basic": token.removeprefix("Basic ")}
        self.calls.append((method, arguments))
        if request.content_type == "application/json" and method in FORMS:
            arguments = {}  # it is not read
        fault = self._fault(method)
        if isinstance(fault, asyncio.Event):
            await fault.wait()
        elif fault == "lost":
            request.transport.abort()
            return web.Response()
        elif isinstance(fault, int):
            return web.Response(status=fault, text="upstream trouble")
        elif isinstance(fault, tuple):
            return self._too_many(method, fault[1])
        wait = self._spend(method, arguments)
        if wait:
            return self._too_many(method, wait)
        try:
            if isinstance(fault, str) and fault != "drop":
                raise Refused(fault)
            team = self._team(method, token)
            about = team.channels.get(arguments.get("channel")) if team is not None else None
            if about is not None and method in about.broken:
                raise Refused(about.broken[method])
            if method in ARGUMENTS:
                self.slack.hold(schema.problems(ARGUMENTS[method], arguments))
            if method == "apps.connections.open":
                body = self.slack.sockets.ticket()
            else:
                handler = getattr(self, method.replace(".", "_"), None)
                if handler is None:
                    self.slack.violations.append(f"{method} is no method that this fake knows")
                    raise Refused("unknown_method")
                body = handler(team, arguments)
            body = {"ok": True, **(body or {})}
        except Refused as refused:
            body = {"ok": False, "error": refused.error, **refused.more}
        if method in ANSWERS:
            # The blocks in it are the bot's own, and were looked at when they came.
            said = {key: value for key, value in body.get("message", {}).items() if key != "blocks"}
            judged = {**body, "message": said} if "message" in body else body
            self.slack.hold(schema.problems(ANSWERS[method], judged))
        if fault == "drop":  # carried out, but nobody is told
            request.transport.abort()
            return web.Response()
        return web.json_response(body, headers={"X-OAuth-Scopes": ",".join(self.slack.scopes)})

    def fault(self, method, *faults):
        """The next calls of *method* go wrong, one for each of *faults*.

        An error's name; ``"lost"`` (the line is cut before), ``"drop"`` (it is carried out,
        then the line is cut), an HTTP status, ``("ratelimited", seconds)``, an event to
        wait for, or None for a call that goes well.
        """
        self.faults.setdefault(method, []).extend(faults)

    def _fault(self, method):
        waiting = self.faults.get(method)
        return waiting.pop(0) if waiting else None

    def _too_many(self, method, seconds):
        self.limited.append(method)
        after = str(max(0, round(seconds + 0.499)))
        body = {"ok": False, "error": "ratelimited"}
        return web.json_response(body, status=429, headers={"Retry-After": after})

    def _spend(self, method, arguments):
        if not self.slack.enforces_rates:
            return 0.0
        now = self.slack.time()
        if method in ("chat.postMessage", "chat.update"):
            # About one message a second, with short bursts.
            budget = self._channels.setdefault(arguments.get("channel"), Budget(1.0, 4))
            if wait := budget.spend(now):
                return wait
        if method == "chat.postMessage":
            return 0.0
        minute = schema.tier(method)
        return self._methods.setdefault(method, Budget(minute / 60, minute / 4 + 5)).spend(now)

    def _team(self, method, token):
        if method == "apps.connections.open":
            if token != self.slack.app_token:
                raise Refused(
                    "not_allowed_token_type" if token.startswith("xoxb") else "invalid_auth"
                )
            if self.slack.app_error:
                raise Refused(self.slack.app_error)
            return None
        if method in BASIC:
            return None
        team = next((team for team in self.slack.teams.values() if team.token == token), None)
        if any(token in team.expired for team in self.slack.teams.values()):
            raise Refused("token_expired")
        if team is None:
            raise Refused("invalid_auth" if token else "not_authed")
        if team.error:
            raise Refused(team.error)
        self._need(SCOPES.get(method))
        return team

    def _need(self, scope):
        if scope and scope not in self.slack.scopes:
            raise Refused("missing_scope", needed=scope, provided=",".join(self.slack.scopes))

    # Methods, under Slack's names

    def auth_test(self, team, arguments):
        return {
            "url": f"https://{team.id.lower()}.slack.com/",
            "team": f"team {team.id}",
            "user": "flux",
            "team_id": team.workspace,
            "user_id": team.bot_user,
            "bot_id": team.bot_id,
            **({"enterprise_id": team.id} if team.is_org else {}),
            "is_enterprise_install": team.is_org,
        }

    def oauth_v2_access(self, _, arguments):
        who = base64.b64decode(arguments["basic"]).decode()
        if who != f"{self.slack.client_id}:{self.slack.client_secret}":
            raise Refused("bad_client_secret")
        if arguments.get("grant_type") == "refresh_token":
            asked = arguments["refresh_token"]
            found = [team for team in self.slack.teams.values() if team.refresh_token == asked]
            if not found:
                raise Refused("invalid_refresh_token")
            return self.slack.grant(found[0])
        team, address = self.slack.codes.pop(arguments["code"], (None, ""))
        if team is None:
            raise Refused("invalid_code")
        if arguments.get("redirect_uri") != address:
            raise Refused("bad_redirect_uri")
        return self.slack.grant(team)

    def apps_uninstall(self, team, arguments):
        if arguments.get("client_secret") != self.slack.client_secret:
            raise Refused("bad_client_secret")
        team.error = "account_inactive"
        return {}

    def users_info(self, team, arguments):
        person = team.people.get(arguments["user"])
        if person is None:
            raise Refused("user_not_found")
        return {
            "user": {
                "id": person.id,
                "team_id": person.workspace,
                "is_stranger": person.elsewhere is not None,
                "name": person.name,
                "deleted": False,
                "is_bot": False,
                "is_admin": person.is_admin,
                "is_owner": person.is_owner,
                **({"locale": person.locale} if arguments.get("include_locale") else {}),
                **({"enterprise_user": person.in_the_organisation} if team.is_org else {}),
            }
        }

    def chat_postMessage(self, team, arguments):
        person = team.people.get(arguments["channel"])  # a message to one opens a conversation
        channel = self._open(team, arguments["channel"] if person is None else person.direct.id)
        if arguments.get("unfurl_links") is not False or arguments.get("unfurl_media") is not False:
            self.slack.violations.append(f"a message could unfurl: {arguments.get('text')!r}")
        self._check(arguments)
        thread = arguments.get("thread_ts")
        if thread is not None and thread not in channel.messages:
            raise Refused("thread_not_found")
        ts = self.slack.ts()
        message = {
            "type": "message",
            "ts": ts,
            "user": team.bot_user,
            "bot_id": team.bot_id,
            "app_id": "A111",
            "team": team.id,
            **{key: arguments[key] for key in ("text", "blocks", "metadata") if key in arguments},
            **({"thread_ts": thread} if thread else {}),
        }
        channel.messages[ts] = message
        channel.statuses.pop(thread, None)
        channel.texts[ts] = [arguments.get("text", "")]
        self.slack.posted(message, channel)
        shown = {key: value for key, value in message.items() if key != "metadata"}
        return {"channel": channel.id, "ts": ts, "message": shown}

    def chat_update(self, team, arguments):
        channel = self._open(team, arguments["channel"])
        message = channel.messages.get(arguments["ts"])
        if message is None:
            raise Refused("message_not_found")
        if message["user"] != team.bot_user:
            raise Refused("cant_update_message")
        if arguments["ts"] in channel.unchangeable:
            raise Refused("edit_window_closed")
        self._check(arguments)
        message |= {
            key: arguments[key] for key in ("text", "blocks", "metadata") if key in arguments
        }
        channel.texts[arguments["ts"]].append(arguments.get("text", ""))
        channel.touch()
        return {"channel": channel.id, "ts": arguments["ts"], "text": arguments.get("text", "")}

    def chat_getPermalink(self, team, arguments):
        channel = self._channel(team, arguments["channel"])
        if arguments["message_ts"] not in channel.messages:
            raise Refused("message_not_found")
        path = f"archives/{channel.id}/p{arguments['message_ts'].replace('.', '')}"
        link = f"https://{team.id.lower()}.slack.com/{path}"
        return {"channel": channel.id, "permalink": link}

    def chat_delete(self, team, arguments):
        channel = self._channel(team, arguments["channel"])
        message = channel.messages.get(arguments["ts"])
        if message is None:
            raise Refused("message_not_found")
        if message["user"] != team.bot_user:
            raise Refused("cant_delete_message")
        del channel.messages[arguments["ts"]]
        channel.touch()
        return {"channel": channel.id, "ts": arguments["ts"]}

    def chat_postEphemeral(self, team, arguments):
        channel = self._open(team, arguments["channel"], is_public_enough=False)
        if arguments["user"] not in team.people:
            raise Refused("user_not_in_channel")
        self._check(arguments)
        ts = self.slack.ts()
        channel.whisper(arguments["user"], arguments, ts)
        return {"message_ts": ts}

    def conversations_replies(self, team, arguments):
        channel = self._channel(team, arguments["channel"])
        self._need(HISTORY[channel.kind])
        root = arguments["ts"]
        if root not in channel.messages:
            raise Refused("thread_not_found")
        found = [
            message
            for ts, message in channel.messages.items()
            if root in (ts, message.get("thread_ts")) and ts >= str(arguments.get("oldest", "0"))
        ]
        limit = int(arguments.get("limit", 1000))
        shown = _without_metadata(found[:limit], arguments)
        return {"messages": shown, "has_more": len(found) > limit}

    def conversations_history(self, team, arguments):
        channel = self._channel(team, arguments["channel"])
        self._need(HISTORY[channel.kind])
        found = [
            message
            for ts, message in channel.messages.items()
            if "thread_ts" not in message and ts >= str(arguments.get("oldest", "0"))
        ]
        found = found[::-1][: int(arguments.get("limit", 100))]
        return {"messages": _without_metadata(found, arguments), "has_more": False}

    def conversations_open(self, team, arguments):
        person = team.people.get(arguments["users"])
        if person is None:
            raise Refused("user_not_found")
        return {"channel": {"id": person.direct.id}}

    def files_getUploadURLExternal(self, team, arguments):
        file = self.slack.new_file(team, arguments["filename"], b"", team.bot_user)
        file.length, file.is_complete = int(arguments["length"]), False
        return {"upload_url": f"{self.slack.url}/upload/{file.id}", "file_id": file.id}

    def files_completeUploadExternal(self, team, arguments):
        files = []
        for each in arguments["files"]:
            file = self.slack.files.get(each["id"])
            if file is None or file.is_complete or len(file.data) != file.length:
                raise Refused("file_not_found")
            file.is_complete, file.title = True, each.get("title", "")
            file.completed_at = self.slack.time()
            file.channel = arguments.get("channel_id", "")
            files.append({"id": file.id, "title": file.title})
        return {"files": files}

    def files_info(self, team, arguments):
        file = self.slack.files.get(arguments["file"])
        if file is None or not file.is_complete:
            raise Refused("file_not_found")
        file.lookups += 1
        return {"file": file.shown(is_ready=file.lookups > 1 or file.owner != team.bot_user)}

    def files_delete(self, team, arguments):
        if self.slack.files.pop(arguments["file"], None) is None:
            raise Refused("file_not_found")
        return {}

    def views_open(self, team, arguments):
        person = self.slack.use_trigger(arguments["trigger_id"])
        if isinstance(person, str):
            raise Refused(person)
        view = self._view(team, arguments["view"], "ModalView")
        person.show(view)
        return {"view": view}

    def views_update(self, team, arguments):
        for person in team.people.values():
            if person.view is not None and person.view["id"] == arguments["view_id"]:
                view = self._view(team, arguments["view"], "ModalView")
                person.show({**view, "id": arguments["view_id"]})
                return {"view": view}
        raise Refused("not_found")

    def views_publish(self, team, arguments):
        view = self._view(team, arguments["view"], "HomeView")
        team.people[arguments["user_id"]].show_home(view)
        return {"view": view}

    def _view(self, team, view, kind):
        problems = schema.problems(kind, view) + schema.block_problems(view["blocks"], True)
        self.slack.hold(problems + [f"loose {each}" for each in markup_problems(view)])
        self._check_files(view["blocks"])
        return {
            "id": self.slack.id("V"),
            "team_id": team.id,
            "app_id": "A111",
            "bot_id": team.bot_id,
            "hash": "156772938.1827394",
            "state": {"values": {}},
            "private_metadata": "",
            "callback_id": "",
            "root_view_id": None,
            "previous_view_id": None,
            "title": {"type": "plain_text", "text": "Home"},
            "submit": None,
            "close": None,
            "clear_on_close": False,
            "notify_on_close": False,
            "external_id": "",
            **view,
        }

    def _channel(self, team, id):
        channel = team.channels.get(id)
        if channel is None:
            raise Refused("channel_not_found")
        return channel

    def _open(self, team, id, is_public_enough=True):
        """The channel, if the bot may write there."""
        channel = self._channel(team, id)
        if channel.is_archived:
            raise Refused("is_archived")
        if not channel.has_bot:
            if channel.is_private:
                raise Refused("channel_not_found")
            if not is_public_enough or "chat:write.public" not in self.slack.scopes:
                raise Refused("not_in_channel")
        return channel

    def _check(self, arguments):
        """Raises where Slack, or its readers, would not accept a message."""
        blocks = arguments.get("blocks") or []
        self.slack.hold(schema.block_problems(blocks))
        if not arguments.get("text"):
            self.slack.violations.append("a message without a text for notifications")
        for each in (*loose(arguments.get("text", "")), *markup_problems(blocks)):
            self.slack.violations.append(f"not escaped: {each}")
        if arguments.get("link_names") or arguments.get("parse") == "full":
            self.slack.violations.append("names in a text would call people")
        self._check_files(blocks)

    def _check_files(self, blocks):
        if not self.slack.takes_carousels and any(each["type"] == "carousel" for each in blocks):
            raise Refused("invalid_blocks")
        shown = [each["accessory"] for each in blocks if "accessory" in each]
        shown = images({"blocks": [*blocks, *(each for each in shown if each["type"] == "image")]})
        for id in shown:
            file = self.slack.files.get(id)
            is_young = (
                file is not None and self.slack.time() - file.completed_at < SECONDS_OF_LOOKING
            )
            if file is None or not file.is_complete or (file.lookups < 2 and is_young):
                raise Refused("invalid_blocks")  # it is not processed yet

    def _is_processed(self, file):
        age = self.slack.time() - file.completed_at
        return file.is_complete and (file.lookups >= 2 or age >= SECONDS_OF_LOOKING)

    # Files

    async def file(self, request):
        file = self.slack.files.get(request.match_info["id"])
        self.calls.append(("file", {"id": request.match_info["id"], "host": request.host}))
        fault = self._fault("file")
        if isinstance(fault, asyncio.Event):
            await fault.wait()
        elif isinstance(fault, str):
            return web.Response(status=302, headers={"Location": fault})
        elif isinstance(fault, int):
            return web.Response(status=fault)
        elif self.slack.is_grid and request.host == self.slack.host:
            location = f"http://{self.slack.origin_host}{request.path}"
            return web.Response(status=302, headers={"Location": location})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        is_known = any(team.token == token for team in self.slack.teams.values())
        if not is_known or "files:read" not in self.slack.scopes:
            return web.Response(text=SIGN_IN, content_type="text/html")
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.data, content_type=file.mimetype)

    async def upload(self, request):
        file = self.slack.files.get(request.match_info["id"])
        data = await request.read()
        self.calls.append(("upload", {"id": request.match_info["id"]}))
        fault = self._fault("upload")
        if fault == "lost":
            request.transport.abort()
            return web.Response()
        if isinstance(fault, int):
            return web.Response(status=fault)
        if request.headers.get("Authorization"):
            self.slack.violations.append("the token was sent to an upload address")
        if file is None or file.is_complete or len(data) != file.length:
            return web.Response(status=400, text="no such upload, or not of the announced length")
        file.data = data
        return web.Response(text=f"OK - {len(data)}")

    async def hook(self, request):
        """A response_url: 5 times within 30 minutes."""
        body = await request.json()
        self.calls.append(("response_url", body))
        fault = self._fault("response_url")
        if fault == "lost":
            request.transport.abort()
            return web.Response()
        if isinstance(fault, int):
            return web.Response(status=fault)
        hook = self.slack.hooks.get(request.match_info["key"])
        if hook is None or hook.left == 0 or self.slack.time() > hook.expires:
            return web.Response(status=404, text="expired_url")
        hook.left -= 1
        self.slack.hold(schema.problems("RespondArguments", {**NOTHING, **body}))
        self._check(body)
        if body.get("response_type") == "in_channel":
            self.slack.violations.append("what was meant for one person was told to all")
        if body.get("replace_original"):
            hook.channel.replace_whisper(hook.user, body)
        else:
            hook.channel.whisper(hook.user, body, self.slack.ts())
        return web.json_response({"ok": True})


async def _arguments(request):
    """The arguments of a call, whether they came as JSON or as a form."""
    if request.content_type == "application/json":
        return await request.json()
    form = {**request.query, **await request.post()}
    for key in ("blocks", "files", "view", "metadata"):
        if isinstance(form.get(key), str):
            form[key] = json.loads(form[key])
    for key, value in form.items():
        if value in ("true", "false", "1", "0") and key in FLAGS:
            form[key] = value in ("true", "1")
        if key in ("length", "limit") and re.fullmatch(r"\d+", str(value)):
            form[key] = int(value)  # forms know text alone
    return form


def _without_metadata(messages, arguments):
    if arguments.get("include_all_metadata"):
        return messages
    return [{k: v for k, v in each.items() if k != "metadata"} for each in messages]


__all__ = ["ARGUMENTS", "SCOPES", "File", "Refused", "WebApi"]
