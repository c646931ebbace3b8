"""People on Slack: they say, press, submit, and see the bot's answers."""

from __future__ import annotations

import asyncio

from tests.fakes.slack import schema
from tests.fakes.slack.world import Channel, elements


class Person:
    """A member of a workspace, and what the bot's doings look like to them.

    Attributes:
        direct: Their conversation with the bot.
        elsewhere: Id of their own workspace, where that is another organisation's and shares
            channels with this one (Slack Connect): payloads then name that.
        is_org_admin: Whether they are an admin of all the organisation.
        locale: Of their Slack, such as de-DE.
        view: The modal that is open for them; None without one.
        home: The App Home that was last published for them.
    """

    def __init__(
        self,
        slack,
        team,
        name,
        is_admin=False,
        is_owner=False,
        elsewhere=None,
        is_org_admin=False,
        locale="en-US",
    ):
        self.slack, self.team, self.name = slack, team, name
        self.id = slack.id("U")
        self.is_admin, self.is_owner = is_admin, is_owner
        self.elsewhere, self.is_org_admin = elsewhere, is_org_admin
        self.locale = locale
        self.direct = Channel(slack.id("D"), "directmessage", is_im=True)
        team.channels[self.direct.id] = self.direct
        self.view = None
        self.home = None
        self._here = self.direct
        self._changed = asyncio.Event()

    @property
    def key(self):
        """The bot's id of them."""
        return f"slack:{self.team.id}-{self.id}"

    @property
    def workspace(self):
        """Their own workspace."""
        return self.elsewhere or self.team.workspace

    @property
    def in_the_organisation(self):
        """What Slack says of them as one of an organisation."""
        if self.elsewhere is not None:
            return {}
        return {
            "id": self.id,
            "enterprise_id": self.team.id,
            "teams": [self.workspace],
            "is_admin": self.is_org_admin,
            "is_owner": False,
        }

    @property
    def of_the_team(self):
        """The fields by which an interactive payload names the place."""
        if self.team.is_org:
            organisation = {"id": self.team.id, "name": "org"}
            return {"team": None, "enterprise": organisation, "is_enterprise_install": True}
        return {"team": {"id": self.workspace, "domain": "team"}}

    # What they see

    def show(self, view):
        self.view = view
        self._touch()

    def show_home(self, view):
        self.home = view
        self._touch()

    def _touch(self):
        self._changed.set()
        self._changed = asyncio.Event()

    async def sees(self, predicate):
        """Wait until *predicate* of this person is true; returns what it returned."""
        async with asyncio.timeout(10):
            while True:
                changed, answer = self._changed, predicate(self)
                if answer:
                    return answer
                await changed.wait()

    async def form(self):
        """The modal that opens for them."""
        return await self.sees(lambda person: person.view)

    # What they do

    def act(self, what, channel=None, message=None):
        """Keep what they do, under *message*, for `transcript`; without a channel, where they were
        last."""
        self._here = channel or self._here
        thread = (message or {}).get("thread_ts")
        self._here.acts.append((self.slack.ts(), [f"({self.name} {what})"], thread))

    def file(self, data, name="fox.png", mimetype="image/png", url=None):
        """A file that they have attached."""
        file = self.slack.new_file(self.team, name, data, self.id)
        file.mimetype = mimetype
        if url is not None:
            file.url = url
        return file

    def write(self, channel, text, files=(), thread=None):
        """Their message stands in *channel*; nobody told the bot yet."""
        ts = self.slack.ts()
        message = {
            "type": "message",
            "ts": ts,
            "user": self.id,
            "team": self.team.id,
            "text": text,
            **({"thread_ts": thread} if thread else {}),
            **({"files": [file.shown() for file in files]} if files else {}),
        }
        channel.messages[ts] = message
        channel.texts[ts] = [text]
        channel.touch()
        return message

    async def mention(self, channel, text, files=(), thread=None, event_id=None):
        """Write ``@flux text``; returns the envelope, acknowledged."""
        text = f"<@{self.team.bot_user}> {text}"
        envelope = await self.send_mention(channel, text, files, thread, event_id)
        await self.acked(envelope)
        return envelope

    async def send_mention(self, channel, text, files=(), thread=None, event_id=None):
        told = next((each for each in self.slack.sockets.envelopes if each.is_of(event_id)), None)
        if told is not None:  # Slack delivers the very same event again
            return await self.slack.sockets.deliver(told.kind, told.payload)
        event = self.mention_event(channel, text, files, thread)
        return await self.event(event, event_id, "EnvelopedEvent<AppMentionEvent>")

    def mention_event(self, channel, text, files=(), thread=None):
        """The event of a message that they write, in which the bot is mentioned."""
        message = self.write(channel, text, files, thread)
        event = {
            "type": "app_mention",
            "user": self.id,
            "text": text,
            "ts": message["ts"],
            "team": self.team.id,
            "channel": channel.id,
            "event_ts": message["ts"],
            "client_msg_id": self.slack.id("msg"),
        }
        if thread:
            event["thread_ts"] = thread
        if files:
            event["files"] = message["files"]
        return event

    async def say(self, channel, text, files=(), thread=None):
        """Write in *channel* without naming the bot, which hears of it all the same where it is a
        member; returns the envelope, acknowledged."""
        message = self.write(channel, text, files, thread)
        event = {
            "type": "message",
            "channel_type": channel.kind,
            "user": self.id,
            "text": text,
            "ts": message["ts"],
            "team": self.team.id,
            "channel": channel.id,
            "event_ts": message["ts"],
            **({"thread_ts": thread} if thread else {}),
        }
        if files:
            event |= {"subtype": "file_share", "files": message["files"], "upload": True}
            event["display_as_bot"] = False
        self.slack.hold(schema.problems("MessageEvent", event) if not files else [])
        envelope = await self.event(event)
        await self.acked(envelope)
        return envelope

    async def tell(self, text, files=(), thread=None):
        """Write to the bot directly; returns the envelope, acknowledged."""
        return await self.say(self.direct, text, files, thread)

    async def edit(self, channel, message, text, names_the_bot=True):
        """Change the words of *message*; the bot is told by an event of its own, acknowledged.

        Where it is mentioned that is one more ``app_mention``, of the same ``ts``.
        """
        before = dict(message)
        is_mention = channel is not self.direct and names_the_bot
        mention = f"<@{self.team.bot_user}> " if is_mention else ""
        edited = {"user": self.id, "ts": self.slack.ts()}
        message |= {"text": mention + text, "edited": edited}
        channel.messages[message["ts"]] = message
        if not is_mention:
            event = {
                "type": "message",
                "subtype": "message_changed",
                "hidden": True,
                "channel_type": channel.kind,
                "message": message,
                "previous_message": before,
                "ts": edited["ts"],
            }
        else:
            event = {**message, "type": "app_mention"}
        event |= {"channel": channel.id, "event_ts": edited["ts"]}
        await self.acked(await self.event(event))

    async def event(self, event, event_id=None, kind=None):
        payload = {
            "token": "verification",
            "team_id": self.workspace,
            **({"enterprise_id": self.team.enterprise} if self.team.is_org else {}),
            "api_app_id": "A111",
            "event": event,
            "type": "event_callback",
            "event_id": event_id or self.slack.id("Ev"),
            "event_time": int(self.slack.time()),
            "authorizations": [
                {
                    "enterprise_id": self.team.enterprise,
                    "team_id": None if self.team.is_org else self.team.id,
                    "user_id": self.team.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": self.team.is_org,
                }
            ],
            "is_ext_shared_channel": self.elsewhere is not None,
        }
        if kind is not None:
            self.slack.hold(schema.problems(kind, payload))
        if event["type"] == "app_mention":
            # The sample is of a mention without these; the types know of them.
            more = ("files", "edited")
            bare = {**payload, "event": {k: v for k, v in event.items() if k not in more}}
            self.slack.hold(schema.strangers(bare, schema.mention()))
        return await self.slack.sockets.deliver("events_api", payload)

    async def react(self, channel, message, name, *, is_added=True):
        """React to a message with the emoji *name*, or take that back. A bot hears of it with the
        scope for that."""
        self.act(f"{'reacts' if is_added else 'takes back'} :{name}:", channel, message)
        item = {"type": "message", "channel": channel.id, "ts": message["ts"]}
        event = {
            "type": "reaction_added" if is_added else "reaction_removed",
            "user": self.id,
            "reaction": name,
            "item": item,
            "item_user": message.get("user", self.team.bot_user),
            "event_ts": self.slack.ts(),
        }
        if "reactions:read" in self.slack.scopes:
            await self.acked(await self.event(event))

    async def open_home(self, tab="home"):
        event = {
            "type": "app_home_opened",
            "user": self.id,
            "channel": self.direct.id,
            "tab": tab,
            "event_ts": self.slack.ts(),
        }
        if self.home is not None:
            event["view"] = self.home
        await self.acked(await self.event(event))

    async def invite(self, channel):
        """Have the bot join *channel*, which Slack tells everybody there."""
        ts, flux = self.slack.ts(), self.team.bot_user
        text = f"<@{flux}> has joined the channel"
        event = {"type": "message", "subtype": f"{channel.kind}_join", "user": flux, "text": text}
        event |= {"inviter": self.id, "ts": ts, "channel": channel.id, "event_ts": ts}
        event |= {"channel_type": channel.kind, "team": self.team.id}
        channel.messages[ts] = event
        await self.acked(await self.event(event))

    async def slash(self, channel, text="", command="/flux"):
        """Type a command; returns what the acknowledgement says, None where it says nothing."""
        assert self.elsewhere is None, "Slack offers commands to people of the workspace alone"
        self.act(f"types {command} {text}".rstrip(), channel)
        payload = {
            "token": "verification",
            "team_id": self.workspace,
            "team_domain": "team",
            **({"enterprise_id": self.team.id} if self.team.is_org else {}),
            "channel_id": channel.id,
            "channel_name": channel.name,
            "user_id": self.id,
            "user_name": self.name,
            "command": command,
            "text": text,
            "api_app_id": "A111",
            "is_enterprise_install": "true" if self.team.is_org else "false",
            "response_url": self.slack.new_hook(channel, self.id),
            "trigger_id": self.slack.new_trigger(self),
        }
        self.slack.hold(schema.problems("SlashCommand", payload))
        envelope = await self.slack.sockets.deliver("slash_commands", payload)
        answer = await self.acked(envelope)
        if answer:
            channel.whisper(self.id, answer, self.slack.ts())
        return answer

    async def press(self, message, label, channel=None, trigger=None):
        """Press the button called *label* of a message, or of the App Home; or choose that from a
        menu behind three dots."""
        block, button, option = next(
            (block, each, option)
            for block, each in elements(message["blocks"])
            if each["type"] in ("button", "overflow")
            for option in each.get("options", [each])
            if option["text"]["text"] == label
        )
        self.act(f"presses [{label}]", channel, message)
        action = {
            "type": button["type"],
            "action_id": button["action_id"],
            "block_id": block.get("block_id", "b1"),
            "action_ts": self.slack.ts(),
        }
        if button["type"] == "overflow":
            action["selected_option"] = option
        else:
            action["text"] = button["text"]
            action |= {"value": button["value"]} if "value" in button else {}
        payload = {
            "type": "block_actions",
            "user": {"id": self.id, "username": self.name, "name": self.name}
            | {"team_id": self.workspace},
            "api_app_id": "A111",
            "token": "verification",
            "trigger_id": trigger or self.slack.new_trigger(self),
            **self.of_the_team,
            "actions": [action],
        }
        if channel is None:
            payload["container"] = {"type": "view", "view_id": message["id"]}
            payload["view"] = _view_out(message)
        else:
            # Of a message for one person alone Slack tells no more than where it is.
            is_whisper = "ts" not in message
            payload |= {
                "container": {
                    "type": "message",
                    "message_ts": message.get("ts") or self.slack.ts(),
                    "channel_id": channel.id,
                    "is_ephemeral": is_whisper,
                    **({"thread_ts": message["thread_ts"]} if "thread_ts" in message else {}),
                },
                "channel": {"id": channel.id, "name": channel.name},
                "response_url": self.slack.new_hook(channel, self.id),
            }
            if not is_whisper:
                payload["message"] = {k: v for k, v in message.items() if k != "metadata"}
        # The types know of messages alone; a view has no response_url.
        self.slack.hold(schema.problems("BlockAction", {"response_url": "", **payload}))
        await self.acked(await self.slack.sockets.deliver("interactive", payload))

    async def judge(self, message, channel, *, is_good=True):
        """Press one of the thumbs under a message."""
        block, thumbs = next(
            (block, each)
            for block, each in elements(message["blocks"])
            if each["type"] == "feedback_buttons"
        )
        thumb = thumbs["positive_button" if is_good else "negative_button"]
        self.act(f"presses [{thumb['text']['text']}]", channel, message)
        action = {
            "type": "feedback_buttons",
            "action_id": thumbs["action_id"],
            "block_id": block.get("block_id", "b1"),
            "text": thumb["text"],
            "value": thumb["value"],
            "action_ts": self.slack.ts(),
        }
        payload = {
            "type": "block_actions",
            "user": {"id": self.id, "username": self.name, "name": self.name}
            | {"team_id": self.workspace},
            "api_app_id": "A111",
            "token": "verification",
            "trigger_id": self.slack.new_trigger(self),
            **self.of_the_team,
            "container": {"type": "message", "message_ts": message["ts"]}
            | {"channel_id": channel.id, "is_ephemeral": False},
            "channel": {"id": channel.id, "name": channel.name},
            "message": {k: v for k, v in message.items() if k != "metadata"},
            "response_url": self.slack.new_hook(channel, self.id),
            "actions": [action],
        }
        self.slack.hold(schema.problems("BlockAction", payload))
        await self.acked(await self.slack.sockets.deliver("interactive", payload))

    async def shortcut(self, callback_id, message, channel):
        """Choose a shortcut from the menu of a message."""
        self.act(f"chooses {callback_id} from the menu of a message", channel, message)
        payload = {
            "type": "message_action",
            "token": "verification",
            "action_ts": self.slack.ts(),
            "is_enterprise_install": False,
            "enterprise": None,
            **self.of_the_team,
            "user": {"id": self.id, "username": self.name, "team_id": self.workspace}
            | {"name": self.name},
            "channel": {"id": channel.id, "name": channel.name},
            "callback_id": callback_id,
            "trigger_id": self.slack.new_trigger(self),
            "response_url": self.slack.new_hook(channel, self.id),
            "message_ts": message["ts"],
            "message": {k: v for k, v in message.items() if k != "metadata"},
        }
        await self.acked(await self.slack.sockets.deliver("interactive", payload))

    async def submit(self, view, **values):
        """Fill in the modal *view* and send it; returns the errors by block, or None.

        What is filled in already is sent as it stands; *values* are by block id.
        """
        said = ", ".join(f"{id}: {_shown(value)}" for id, value in values.items())
        self.act(f"sends the form{f' ({said})' if said else ''}")
        state = {}
        for block in view["blocks"]:
            if block["type"] != "input":
                continue
            element = block["element"]
            value = values.pop(block["block_id"], _initial(element))
            state[block["block_id"]] = {element["action_id"]: _filled(element, value)}
        assert not values, f"the modal has no {list(values)}"
        payload = {
            "type": "view_submission",
            **self.of_the_team,
            "user": {"id": self.id, "name": self.name, "team_id": self.workspace},
            "api_app_id": "A111",
            "token": "verification",
            "trigger_id": self.slack.new_trigger(self),
            "view": _view_out(view)
            | {"state": {"values": state}, "app_installed_team_id": self.team.id},
            "response_urls": [],
        }
        self.slack.hold(schema.problems("ViewSubmitAction", payload))
        answer = await self.acked(await self.slack.sockets.deliver("interactive", payload))
        if answer:
            self.slack.hold(schema.problems("ViewResponseAction", answer))
        if answer and answer["response_action"] == "errors":
            unknown = set(answer["errors"]) - set(state)
            assert not unknown, f"errors for blocks that there are not: {unknown}"
            return answer["errors"]
        self.view = None
        return None

    async def acked(self, envelope):
        """The bot's acknowledgement of *envelope*."""
        async with asyncio.timeout(10):
            payload = await asyncio.shield(envelope.acked)
        if envelope in self.slack.sockets.late:
            self.slack.violations.append(f"acknowledged late: {envelope.frame()}")
        return payload


def _view_out(view):
    return {key: value for key, value in view.items() if key != "submit_disabled"}


def _shown(value):
    return "a file" if isinstance(value, list) else value


def _initial(element):
    if "initial_option" in element:
        return element["initial_option"]["value"]
    if "initial_options" in element:
        return [each["value"] for each in element["initial_options"]]
    return element.get("initial_value")


def _filled(element, value):
    """The state of one input, as Slack's client would let it be."""
    kind = element["type"]
    if kind == "static_select":
        chosen = next((each for each in element["options"] if each["value"] == value), None)
        assert value is None or chosen, f"{value!r} is no option"
        option = chosen and {"text": chosen["text"], "value": chosen["value"]}
        return {"type": kind, "selected_option": option}
    if kind == "checkboxes":
        by_value = {each["value"]: each for each in element["options"]}
        return {"type": kind, "selected_options": [by_value[each] for each in value or ()]}
    if kind == "multi_static_select":
        offered = [each for group in element["option_groups"] for each in group["options"]]
        by_value = {each["value"]: each for each in offered}
        assert set(value or ()) <= set(by_value), f"{value!r} are not all options"
        assert len(value or ()) <= element.get("max_selected_items", 100)
        return {"type": kind, "selected_options": [by_value[each] for each in value or ()]}
    if kind == "file_input":
        files = value or []
        assert len(files) <= element.get("max_files", 10)
        return {"type": kind, "files": [file.shown() for file in files]}
    if value is not None:
        value = str(value)
        assert len(value) <= element.get("max_length", 3000), "longer than the client lets anybody"
    return {"type": kind, "value": value}
