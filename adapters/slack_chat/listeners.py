"""What people write to the bot, or in threads with it; and the end of an installation.

Bolt acknowledges when a listener returns. An event is acknowledged once its job is on disk,
since Slack delivers it again until then. A command is never delivered again, so it is
acknowledged in time whatever happens.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from adapters.slack_chat import agent, blocks, wording
from adapters.slack_chat.context import Context
from adapters.slack_chat.errors import GONE
from adapters.slack_chat.forms import Purposed
from adapters.slack_chat.greetings import Greetings
from adapters.slack_chat.hooks import respond
from adapters.slack_chat.installations import installation, person_of
from adapters.slack_chat.messages import Messages
from adapters.slack_chat.places import Place
from adapters.slack_chat.replying import message_of
from adapters.slack_chat.threads import is_alone
from adapters.slack_chat.window import PLATFORM, abandon
from bot import sentences
from bot.conversation import Reply, refusal
from bot.overheard import is_meant
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

#: Events that are remembered, so that one that is delivered again is not answered again.
REMEMBERED = 1000
#: Events about the end of an installation.
FAREWELLS = ("app_uninstalled", "tokens_revoked")
#: Kinds of messages that say that somebody has joined a channel.
JOINED = ("channel_join", "group_join")


class Listeners:
    """Listeners on *app* for messages of people."""

    def __init__(self, app: AsyncApp, context: Context) -> None:
        self._context = context
        self._events: OrderedDict[str, asyncio.Task[None]] = OrderedDict()
        self._messages = Messages()
        self._greetings = Greetings(context.service)
        app.use(self._identify)
        app.error(self._on_error)
        app.event("app_mention")(self._on_mention)
        app.event("message")(self._on_message)
        app.event("app_home_opened")(self._on_home)
        app.event("app_uninstalled")(self._on_uninstalled)
        app.event("tokens_revoked")(self._on_uninstalled)
        app.event("user_change")(self._on_user_change)
        app.command(context.settings.command)(self._on_command)

    async def _identify(self, body: dict[str, Any], next: Any) -> BoltResponse | None:
        """Let pass what was sent to a workspace that the bot has a token for. The rest is
        acknowledged, since Slack would repeat it, and answered where that needs no token."""
        workspace = installation(self._context.workspaces, body)
        if workspace is None:
            logger.warning("Slack: no token for the workspace of a request: see docs/slack.md")
            await self._say_by_hook(body, sentences.not_installed_here())
            return BoltResponse(status=200)
        is_farewell = (body.get("event") or {}).get("type") in FAREWELLS
        if workspace.lost and not is_farewell and not await self._context.is_back(workspace):
            await self._say_by_hook(body, sentences.out_of_reach("Slack", workspace.lost))
            return BoltResponse(status=200)
        if user := person_of(body):
            await self._context.people.meet(workspace, user)
        await next()
        return None

    async def _on_error(self, error: Exception, body: dict[str, Any]) -> BoltResponse:
        """Acknowledge a payload of an unknown form: the next one would be no better."""
        logger.error("a request of Slack's cannot be read", exc_info=error)
        await self._say_by_hook(body, sentences.our_fault())
        return BoltResponse(status=200)

    async def _say_by_hook(self, body: dict[str, Any], error: FluxbotError) -> None:
        if hook := body.get("response_url"):
            said = blocks.text_message(refusal(error).text)
            self._context.spawn(respond(self._context.nobody, str(hook), *said))

    async def _on_mention(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        if event.get("bot_id") or "user" not in event:
            return  # bots that talk to each other never stop
        thread = event.get("thread_ts") or ""
        root = thread or event["ts"]
        place = self._context.place(body, event["channel"], root, event["user"], thread)
        await self._once(body["event_id"], self._hear(place, event))

    async def _on_message(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        is_direct = event.get("channel_type") == "im"
        if event.get("subtype") == "message_changed":
            message, previous = event["message"], event.get("previous_message") or {}
            if message.get("text") == previous.get("text"):
                return  # Slack itself changes messages too, to show a link
            event = {**message, "channel": event["channel"]}
        if event.get("bot_id") or "user" not in event:
            return
        if event.get("subtype") in JOINED:
            await self._on_joined(body, event)
        if event["user"] == self._context.workspace_of(body).bot_user:
            return
        if event.get("subtype") not in (None, "file_share", "thread_broadcast"):
            return  # deleted, joined, …
        thread = event.get("thread_ts") or ""
        root = self._context.root_of(body, event) if is_direct else thread
        place = self._context.place(body, event["channel"], root, event["user"], thread)
        if is_direct:
            await self._once(body["event_id"], self._hear(place, event))
        elif thread and event.get("subtype") != "thread_broadcast":
            await self._once(body["event_id"], self._overhear(body, place, event))

    async def _overhear(self, body: dict[str, Any], place: Place, event: dict[str, Any]) -> None:
        """Carry out a message in a thread that does not name the bot, if it is meant for it."""
        text = str(event.get("text") or "")
        # Where the bot itself is named, Slack delivers an event for that.
        if wording.names_somebody(text) or not await self._is_meant(place, text):
            return
        await self._context.people.meet(place.workspace, place.user)
        place = self._context.place(body, place.channel, place.root, place.user, place.thread)
        await self._hear(place, event)

    async def _is_meant(self, place: Place, text: str) -> bool:
        """Whether *text*, which somebody says in the thread *place*, is for the bot."""
        lookups = self._context.service.lookups
        where = {"channel": place.channel, "root": place.root}
        last = await lookups.latest_answered(PLATFORM, **where)
        last = last or lookups.being_made(PLATFORM, **where)
        if last is None:
            return False
        said = wording.words(text, place.workspace.bot_user, place.workspace.team)
        is_theirs = lookups.is_own(self._context.source(place), last)
        if is_meant(said, last, is_alone=False, is_theirs=is_theirs):
            return True
        # Slack is asked only where that decides.
        return is_meant(said, last, is_alone=True, is_theirs=is_theirs) and await is_alone(place)

    async def _on_home(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        place = self._context.place(body, event["channel"], "", event["user"])
        if event.get("tab") == "home":
            self._context.spawn(self._context.publish_home(place))
        elif event.get("tab") == "messages":
            self._context.spawn(self._greetings.open(place, event["event_ts"]))

    async def _on_joined(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        """Say hello in a channel to which somebody has invited the bot, in their language."""
        workspace, inviter = self._context.workspace_of(body), str(event.get("inviter") or "")
        if event["user"] != workspace.bot_user or body["event_id"] in self._events:
            return
        if inviter:
            await self._context.people.meet(workspace, inviter)
        place = self._context.place(body, event["channel"], "", inviter)
        await self._once(body["event_id"], self._greetings.join(place, event["ts"]))

    async def _on_uninstalled(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        workspace = self._context.workspace_of(body)
        if event["type"] == "tokens_revoked" and not event.get("tokens", {}).get("bot"):
            return
        # The event may be about an earlier installation, whose token was another.
        if not workspace.lost and await workspace.is_open():
            logger.info("workspace %s has the app again", workspace.name)
            return
        workspace.lost = GONE["app_uninstalled"]
        await self._context.grants.forget(workspace.team)
        await self._context.service.own_data.bot_removed(f"slack-server:{workspace.team}")
        self._context.spawn(abandon(self._context.following, workspace))

    async def _on_user_change(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        """Hear of people who were taken out of the workspace, or let in again."""
        place = self._context.place(body, "", "", event["user"]["id"])
        user, server = self._context.key(place), f"slack-server:{place.workspace.team}"
        self._context.people.forget(place.workspace, event["user"]["id"])
        own_data = self._context.service.own_data
        if event["user"].get("deleted"):
            await own_data.person_left(user, server)
        else:
            await own_data.back(server, user)

    async def _once(self, event_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Do *work*, or wait for it where an earlier delivery of the event has begun it."""
        task = self._events.get(event_id)
        if task is None:
            task = self._events[event_id] = self._context.spawn(work)
            while len(self._events) > REMEMBERED and next(iter(self._events.values())).done():
                self._events.popitem(last=False)
        else:
            work.close()
        await asyncio.shield(task)

    async def _hear(self, place: Place, event: dict[str, Any]) -> None:
        """Carry out a message; done when its job is on disk."""
        # An edited message is another event about the same message.
        id = f"{place.workspace.team}-{place.channel}-{event['ts']}"
        async with self._messages.turn(id):
            text, is_edited = str(event.get("text") or ""), "edited" in event
            if is_edited and not self._messages.may_be_heard_again(id, text):
                return
            files = event.get("files") or []
            await agent.think(place)
            try:
                reply = await self._converse(
                    place, text, files, f"slack:{id}", before=event["ts"], is_edited=is_edited
                )
            except Exception:
                logger.exception("an event cannot be carried out")
                reply = refusal(sentences.our_fault(), place.say)
            self._messages.remember(id, text, is_refused=reply.error is not None)
        # The reply is not worth waiting for: Slack wants its acknowledgement.
        self._context.spawn(self._context.answer(place, reply))

    async def _on_command(self, ack: Any, body: dict[str, Any], command: dict[str, Any]) -> None:
        place = self._context.place(command, command["channel_id"], "", command["user_id"])
        text = command.get("text") or ""
        if not text.strip():
            await ack()  # Slack allows 3 seconds for both this and the form
            about = Purposed("imagine", channel=place.channel)
            self._context.spawn(self._context.open(place, about, command["trigger_id"], {}))
            return

        async def work() -> Reply:
            return await self._converse(place, text, [], f"slack:{command['trigger_id']}")

        task = self._context.spawn(work())
        await asyncio.wait({task}, timeout=self._context.patience)
        reply = self._context.outcome(task, place) if task.done() else Reply()
        # Slack would refuse all of it for a picture that is gone.
        if reply.text and not reply.has_files and not reply.jobs:
            said, parts = message_of(reply, place.say)
            await ack(text=said, blocks=parts, response_type="ephemeral")
            self._context.tell_later(place, reply)
            return
        await ack()
        self._context.spawn(self._context.answer_later(place, task))

    async def _converse(
        self,
        place: Place,
        text: str,
        attachments: list[dict[str, Any]],
        event_id: str,
        before: str = "",
        is_edited: bool = False,
    ) -> Reply:
        """The reply to *text*; see `Context.converse`."""
        workspace = place.workspace
        is_admin_command = wording.is_admin_command(text)
        words = wording.words(
            text, workspace.bot_user, workspace.team, names_people=is_admin_command
        )
        if is_admin_command:
            await self._context.recognise(place)
        pictures = self._context.pictures(workspace, attachments)
        return await self._context.converse(
            place, words, pictures, event_id=event_id, before=before, is_edited=is_edited
        )


def acknowledge_the_rest(app: AsyncApp) -> None:
    """Acknowledge all other events, or Slack would repeat them."""

    async def acknowledge(ack: Any) -> None:
        await ack()

    everything = re.compile(".*")
    for kind in (app.event, app.command, app.action, app.view, app.view_closed, app.shortcut):
        kind(everything)(acknowledge)
