"""The context of all listeners: person, place, answers and background work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from adapters.slack_chat import agent, blocks, files, forms
from adapters.slack_chat.errors import (
    OutcomeUnknown,
    RateLimited,
    SlackError,
    is_about_content,
)
from adapters.slack_chat.forms import Purposed
from adapters.slack_chat.grants import Grants
from adapters.slack_chat.home import home
from adapters.slack_chat.hooks import respond
from adapters.slack_chat.installations import (
    installation,
    is_admin,
    is_member,
    is_shared,
    team_of_person,
)
from adapters.slack_chat.own_data import hand_file_over, hand_over
from adapters.slack_chat.people import People
from adapters.slack_chat.places import Place, patiently, post, whisper, whisper_blocks
from adapters.slack_chat.replying import message_of
from adapters.slack_chat.showing import show_again
from adapters.slack_chat.threads import picture_above
from adapters.slack_chat.workspaces import Workspace
from bot import replies, sentences
from bot.commands import (
    AgainCommand,
    AnswerCommand,
    Command,
    CommandError,
    EditCommand,
    ImagineCommand,
    LinkCommand,
    MyDataCommand,
    PromptCommand,
    SeriesCommand,
    UpscaleCommand,
    VaryCommand,
    parse,
)
from bot.conversation import Reply, converse, later, refusal
from bot.following import Following
from bot.jobs import Job
from bot.origins import Origin
from bot.revisions import revise
from bot.sections import Slack
from bot.service import Service
from bot.source import Picture, Source
from generation.errors import FluxbotError

logger = logging.getLogger(__name__)

#: Seconds after which a command or button is acknowledged, done or not; Slack waits 3.
PATIENCE = 2.0
#: Seconds that background work may take at the end.
GRACE = 5.0

#: Seconds between attempts to open a form, for which there are 3 in all.
PAUSES_FOR_A_FORM = (0.3, 0.7)


class Context:
    """The surroundings of listeners.

    Attributes:
        workspaces: The workspaces by team.
        nobody: A workspace without a token, for answers to those that the bot has none for.
        grants: Installations that workspaces have made by themselves.
        people: The people, by their workspaces.
        patience: Seconds that a command or button may take before it is acknowledged.
    """

    def __init__(
        self,
        service: Service,
        settings: Slack,
        workspaces: Mapping[str, Workspace],
        following: Following,
        nobody: Workspace,
        grants: Grants,
        patience: float = PATIENCE,
    ) -> None:
        self.service = service
        self.settings = settings
        self.workspaces = workspaces
        self.following = following
        self.nobody = nobody
        self.grants = grants
        self.people = People()
        self.patience = patience
        self._background: set[asyncio.Task[Any]] = set()
        #: Those that wait for other people, for minutes.
        self._waiting: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait a little for background work; to be called once nothing new comes in."""
        for each in self._waiting:
            each.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        await self.people.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self._background:
                    await asyncio.wait(self._background)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # Who and where

    def workspace_of(self, body: Mapping[str, Any]) -> Workspace:
        """The workspace that *body* was sent to. `Listeners` lets no other body pass."""
        workspace = installation(self.workspaces, body)
        if workspace is None:
            raise LookupError("unknown workspace")
        return workspace

    def place(
        self,
        body: Mapping[str, Any],
        channel: str,
        root: str,
        user: str,
        thread: str = "",
        hook: str = "",
    ) -> Place:
        """The place of *user*: in *thread* of *channel*, if in any. Pictures are answered in the
        thread *root*. *hook* is the address for answers where *body* has none."""
        hook = str(body.get("response_url") or hook)
        workspace = self.workspace_of(body)
        is_direct = channel.startswith("D") or channel == user
        return Place(
            workspace,
            channel,
            root,
            user,
            thread,
            is_direct,
            hook,
            team_of_person(body),
            is_shared(body, workspace),
            self.people.language(workspace, user),
        )

    def root_of(self, body: Mapping[str, Any], message: Mapping[str, Any]) -> str:
        """The thread in which *message* of a conversation with the bot is answered: its own for an
        agent; empty for none."""
        own = str(message["ts"]) if self.workspace_of(body).is_agent else ""
        return message.get("thread_ts") or own

    def place_of(self, body: Mapping[str, Any]) -> Place:
        """The place of a button or shortcut: the thread of its message."""
        user = _user(body)
        channel = (body.get("channel") or {}).get("id") or user
        # A message for one person alone is not in the body; its container says where it is.
        message = body.get("message") or {}
        thread = message.get("thread_ts") or body.get("container", {}).get("thread_ts") or ""
        is_flat = channel.startswith("D") and not self.workspace_of(body).is_agent
        root = thread if is_flat else thread or message.get("ts") or ""
        return self.place(body, channel, root, user, thread)

    async def is_back(self, workspace: Workspace) -> bool:
        """Whether *workspace*, which had been lost, lets the bot in, as after a reinstallation."""
        try:
            await workspace.connect()
        except (OutcomeUnknown, RateLimited) as error:
            logger.warning(
                "whether workspace %s is back cannot be asked: %s", workspace.name, error
            )
            return False
        except SlackError as error:
            logger.error(
                "workspace %s still uses the app, but its token does not work (%s): %s",
                workspace.name or workspace.team,
                error,
                f"install it again at {self.settings.public_url}/slack/install"
                if self.grants.of(workspace.team)
                else "put the one from OAuth & Permissions into SLACK_BOT_TOKEN, and restart",
            )
            return False
        logger.info("workspace %s is back", workspace.name)
        await self.service.own_data.back(f"slack-server:{workspace.team}")
        self.spawn(self.following.follow_all())
        return True

    def is_home(self, workspace: Workspace) -> bool:
        """Whether the admins of *workspace* rule the bot: it is named as a home, or the only one
        there is, and can be. Where any workspace may install the app, the only one left could
        be a stranger's."""
        homes = self.settings.home_workspaces
        is_only = len(self.workspaces) == 1 and not self.settings.public_url
        return workspace.team in homes if homes else is_only

    async def recognise(self, place: Place) -> None:
        """Learn from Slack whether the person is an admin of the workspace just now."""
        member = await self._member(place)
        # Not every event from a shared channel says whose person it is, but this answer does.
        is_ours = place.team in ("", place.workspace.team) or place.workspace.is_org
        is_chief = is_ours and is_admin(member, place.workspace)
        rules = self.is_home(place.workspace)
        self.service.admin.recognise(
            self.key(place),
            is_admin=is_chief and rules,
            manages=self.origin(place).server if is_chief else None,
        )

    async def _member(self, place: Place) -> Mapping[str, Any]:
        """The person, as Slack knows them just now; empty where it does not say."""
        return await self.people.member(place.workspace, place.user)

    async def _name(self, place: Place) -> str:
        """What the person is called in their workspace, with the workspace; empty where Slack does
        not say."""
        member = await self._member(place)
        name = (member.get("profile") or {}).get("display_name") or member.get("name") or ""
        return f"{name} · {place.workspace.name}" if name else ""

    async def _is_external(self, place: Place) -> bool:
        """Whether the person belongs to another organisation, which shares the channel."""
        workspace = place.workspace
        if place.team == workspace.team:
            return False
        if place.team and not workspace.is_org:
            return True
        # An organisation has many workspaces, and not every payload says whose person it is.
        return place.is_shared and not is_member(await self._member(place), workspace)

    @staticmethod
    def key(place: Place) -> str:
        """The bot's id of a person."""
        return f"slack:{place.workspace.team}-{place.user}"

    @staticmethod
    def origin(place: Place) -> Origin:
        """The workspace, whose limits hold, and the channel."""
        return Origin(f"slack-server:{place.workspace.team}", (place.channel,))

    def source(
        self,
        place: Place,
        event_id: str | None = None,
        shown: str | None = None,
        before: str = "",
    ) -> Source:
        """The source of a request at *place*; *shown* is the id of the job under which it comes,
        and *before* the ts of its message, if there is one."""
        thread = {"channel": place.channel, "root": place.root}
        if place.is_direct and not place.thread:
            thread.pop("root")  # all that was drawn in the conversation
        is_shared = place.root or place.is_direct
        attached = self.pictures
        return Source(
            self.key(place),
            self.origin(place),
            reply_to=place.reply_to(),
            event_id=event_id,
            language=place.say,
            shown=shown,
            thread=thread if is_shared else {},
            above=partial(picture_above, place, before, attached) if before else None,
        )

    async def converse(
        self,
        place: Place,
        said: str | Command,
        pictures: Sequence[Picture] = (),
        *,
        event_id: str | None = None,
        shown: str | None = None,
        before: str = "",
        is_edited: bool = False,
    ) -> Reply:
        """The reply to *said* that is left to post at *place*, once a new job is followed.

        *before* is the ts of the message, if it is one. *is_edited* means that *said* are the new
        words of the message *event_id*.
        """
        source = self.source(place, event_id, shown, before)
        lets_everybody = self.settings.external_people or _is_own_data(said)
        if not lets_everybody and await self._is_external(place):
            return refusal(sentences.external(), place.say)
        if _draws(said) and not await _may_show(place.workspace):
            return refusal(sentences.may_not_show(), place.say)
        if self.service.admin.is_recognised(source.user):
            # Slack tells nobody when somebody is an admin no longer.
            await self.recognise(place)
        if isinstance(_understood(said), LinkCommand):
            source = replace(source, name=await self._name(place))
        talk = revise if is_edited else converse
        reply = await talk(self.service, source, said, pictures)
        asked_for = reply.series or reply.job
        if reply.is_new and asked_for is not None:
            self.following.follow(asked_for, is_new=True)
            if before and before == place.root and reply.job is not None:
                self.spawn(agent.name_thread(place, reply.job.request.prompt))
            return Reply()
        return reply

    def pictures(
        self, workspace: Workspace, attached: Sequence[Mapping[str, Any]]
    ) -> list[Picture]:
        """The *attached* files, to be read when they are needed."""
        max_bytes = int(self.service.config.control_images.max_megabytes * 1e6)
        return files.pictures(workspace, attached, self.settings, max_bytes)

    # Background work

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run *work* in the background; its failure is logged."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, (SlackError, OutcomeUnknown)):
            logger.warning("work for Slack failed: %s", error)
        elif error is not None and not isinstance(error, FluxbotError):
            logger.error("work for Slack failed", exc_info=error)

    @staticmethod
    def outcome(task: asyncio.Task[Reply], place: Place) -> Reply:
        """The reply of *task*, which is done, or that of its error, for the person at *place*."""
        if task.cancelled():
            return Reply()
        error = task.exception()
        if error is None:
            return task.result()
        what = error if isinstance(error, FluxbotError) else sentences.our_fault()
        return refusal(what, place.say)

    # Answering

    async def answer(self, place: Place, reply: Reply) -> None:
        """Post *reply*, unless it is empty, and what comes after it in its time."""
        self.tell_later(place, reply)
        try:
            if reply.is_export:
                await hand_over(self.service, place, self.key(place), reply)
            elif reply.file is not None:
                await hand_file_over(place, reply.text, reply.file)
            elif reply.job is not None:
                await self._show(place, reply.job)
            elif reply.text:
                await self._say(place, reply)
        except FluxbotError as error:
            await self.whisper_somehow(place, refusal(error, place.say).text)
        except (SlackError, OutcomeUnknown) as error:
            logger.info("an answer takes another way: %s", error)
            text = reply.text or (replies.how(reply.job, place.say) if reply.job else "")
            if reply.has_files:  # which are all that it is about
                text = refusal(sentences.our_fault(), place.say).text
            await self.whisper_somehow(place, text)

    async def _say(self, place: Place, reply: Reply) -> None:
        """Tell the person the words of *reply*, with its pictures if they can be shown."""
        workspace = place.workspace
        said = message_of(reply, place.say, workspace.team)
        try:
            await patiently(workspace, lambda: whisper_blocks(place, *said))
        except SlackError as error:
            if not reply.jobs or not is_about_content(error.error):
                raise
            bare = message_of(reply, place.say, workspace.team, shows_pictures=False)
            await patiently(workspace, lambda: whisper_blocks(place, *bare))

    def tell_later(self, place: Place, reply: Reply) -> None:
        """Tell the person what comes after *reply*, when it is time for that."""
        if reply.joining is None:
            return

        async def tell() -> None:
            async for more in later(self.service, self.source(place), reply):
                await self.answer(place, more)

        task = asyncio.create_task(tell())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        task.add_done_callback(self._ended)

    async def answer_later(self, place: Place, task: asyncio.Task[Reply]) -> None:
        """Post the outcome of *task*, once it is done."""
        await asyncio.wait({task})
        await self.answer(place, self.outcome(task, place))

    async def _show(self, place: Place, job: Job) -> None:
        if job.status.is_final and job.available:
            await show_again(self.service, place, job, place.say)
        else:
            line = replies.progress_line(job, job.progress, place.say)
            await whisper(place, f"{job.request.prompt}\n{job.id} · {line}")

    async def whisper_somehow(self, place: Place, text: str) -> None:
        """Tell one person *text* where nothing can be posted in the channel."""
        workspace, said = place.workspace, blocks.text_message(text)
        if place.hook:
            try:
                await respond(workspace, place.hook, *said)
                return
            except (SlackError, OutcomeUnknown) as error:
                logger.info("an answer takes another way: %s", error)
        try:
            await patiently(workspace, lambda: post(place.home(), *said))
        except (SlackError, OutcomeUnknown) as error:
            logger.warning("%s cannot be told anything: %s", place.user, error)

    async def open(
        self, place: Place, about: Purposed, trigger: str, values: Mapping[str, str]
    ) -> None:
        """Open a form, which Slack allows for 3 seconds."""
        view = self._form(place, replace(about, hook=place.hook), values)
        try:
            await _open(place.workspace, trigger, view)
        except (SlackError, OutcomeUnknown) as error:
            logger.warning("a form cannot be opened: %s", error)
            await self.whisper_somehow(place, refusal(sentences.form_is_late(), place.say).text)

    async def change_form(
        self, place: Place, about: Purposed, view_id: str, values: Mapping[str, str]
    ) -> None:
        """Show a form that is open as it is now."""
        view = self._form(place, about, values)
        try:
            await place.workspace.call("views.update", view_id=view_id, view=view)
        except (SlackError, OutcomeUnknown) as error:
            logger.info("a form stays as it was: %s", error)

    def _form(self, place: Place, about: Purposed, values: Mapping[str, str]) -> dict[str, Any]:
        service = self.service
        default, loras = service.config.model.default_preset, service.offered.loras
        return forms.form(about, service.presets, default, values, place.say, loras)

    async def publish_home(self, place: Place) -> None:
        """Show a person their App Home as it is now; without its pictures if need be, since Slack
        refuses a view with a deleted one."""
        service, user = self.service, self.key(place)
        for shows_pictures in (True, False):
            view = home(
                await service.quota(user, self.origin(place)),
                service.queue(user),
                (await service.lookups.history(user)).jobs,
                await service.own_settings.of(user),
                service.presets,
                service.config.model.default_preset,
                await service.catalogue.models(),
                why_not=service.state.said(place.say),
                say=place.say,
                shows_pictures=shows_pictures,
            )
            try:
                await place.workspace.call("views.publish", user_id=place.user, view=view)
                return
            except (SlackError, OutcomeUnknown) as error:
                logger.warning("an App Home cannot be shown: %s", error)


async def _open(workspace: Workspace, trigger: str, view: Mapping[str, Any]) -> None:
    """Open *view*, where Slack fails again: a *trigger* serves once, whatever happens."""
    is_repeated = False
    for pause in (*PAUSES_FOR_A_FORM, None):
        try:
            await workspace.call("views.open", trigger_id=trigger, view=view)
            return
        except OutcomeUnknown:
            if pause is None:
                raise
            await workspace.pace.sleep(pause)
            is_repeated = True
        except SlackError as error:
            if is_repeated and error.error == "exchanged_trigger_id":
                return  # it is open already
            raise


async def _may_show(workspace: Workspace) -> bool:
    """Whether pictures can be shown in *workspace*; Slack is asked again where they could not be,
    since the app may have been installed anew."""
    if not workspace.may("files:write"):
        await workspace.is_open()
    return workspace.may("files:write")


def _is_own_data(said: str | Command) -> bool:
    """Whether *said* asks for one's own data, which everybody may at any place."""
    return isinstance(_understood(said), MyDataCommand)


def _draws(said: str | Command) -> bool:
    """Whether *said* asks for a picture."""
    draws = (
        ImagineCommand,
        PromptCommand,
        SeriesCommand,
        AnswerCommand,
        AgainCommand,
        VaryCommand,
        UpscaleCommand,
        EditCommand,
    )
    return isinstance(_understood(said), draws)


def _understood(said: str | Command) -> Command | None:
    try:
        return parse(said) if isinstance(said, str) else said
    except CommandError:
        return None


def _user(body: Mapping[str, Any]) -> str:
    return str(body["user"]["id"])
