"""Buttons, forms and shortcuts. Slack delivers each once, so each is acknowledged in time,
whatever happens."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from slack_bolt.app.async_app import AsyncApp

from adapters.slack_chat import blocks, files, forms
from adapters.slack_chat.context import Context
from adapters.slack_chat.errors import OutcomeUnknown, SlackError
from adapters.slack_chat.forms import Purpose, Purposed
from adapters.slack_chat.hooks import respond
from adapters.slack_chat.linking import link_command
from adapters.slack_chat.moderation import decided, decision_of, peek
from adapters.slack_chat.places import Place, patiently, whisper_blocks
from adapters.slack_chat.replying import message_of
from bot import fields, sentences
from bot.commands import (
    AdminWho,
    AgainCommand,
    CancelCommand,
    Command,
    CommandError,
    DeleteCommand,
    EditCommand,
    ExpandCommand,
    FavouriteCommand,
    FinalCommand,
    HowCommand,
    InspectCommand,
    LinkCommand,
    OpinionCommand,
    PromptCommand,
    ReportCommand,
    SettingsCommand,
    ShowCommand,
    UpscaleCommand,
    VaryCommand,
    VoteCommand,
    series_of,
)
from bot.conversation import Reply, refusal
from bot.decisions import Decision, command_of
from bot.jobs import Job
from bot.source import Picture, PictureOf

logger = logging.getLogger(__name__)

#: Callback ids of the shortcuts in the menu of a message.
USE_AS_CONTROL_IMAGE = "flux_control_image"
SHOW_HOW = "flux_how"
REPORT = "flux_report"
WHO_ASKED = "flux_who"
INSPECT = "flux_inspect"


#: Forms about a job, by the verb of the button that opens them.
ABOUT_A_JOB: dict[str, Purpose] = {
    "edit": "edit",
    "control": "control",
    "change": "change",
    "part": "part",
}
#: Kinds of commands whose buttons are answered in words, or with a picture that is there already.
TOLD = ("report", "link", "again", "vote", "favourite")


class Actions:
    """Listeners on *app* for buttons, forms and shortcuts."""

    def __init__(self, app: AsyncApp, context: Context) -> None:
        self._context = context
        self._chosen = fields.Chosen()
        app.action(re.compile("^flux:"))(self._on_button)
        app.view(forms.CALLBACK)(self._on_form)
        app.message_shortcut(USE_AS_CONTROL_IMAGE)(self._on_use_as_control_image)
        app.message_shortcut(SHOW_HOW)(self._on_show_how)
        app.message_shortcut(REPORT)(self._on_report)
        app.message_shortcut(WHO_ASKED)(self._on_who_asked)
        app.message_shortcut(INSPECT)(self._on_inspect)

    async def _on_button(self, ack: Any, body: dict[str, Any], action: dict[str, Any]) -> None:
        _, verb, *more = str(action["action_id"]).split(":")
        number = int(more[0]) if more and more[0].isdecimal() else 1
        job_id = str(action.get("value") or "")
        if chosen := action.get("selected_option"):  # in a menu, whose choices name their verb
            verb, _, job_id = str(chosen["value"]).partition(":")
        place = self._context.place_of(body)
        trigger = body["trigger_id"]
        task = self._context.spawn(self._press(place, body, verb, job_id, number, trigger))
        await asyncio.wait({task}, timeout=self._context.patience)
        await ack()
        self._context.spawn(self._context.answer_later(place, task))

    async def _press(
        self,
        place: Place,
        body: dict[str, Any],
        verb: str,
        job_id: str,
        number: int,
        trigger: str,
    ) -> Reply:
        """The reply to the button *verb* of a job's message, or of the App Home."""
        event_id = f"slack:{trigger}"
        command = _command(verb, job_id, number)
        decision = decision_of(verb)
        reply = Reply()
        if decision is not None:
            await self._context.recognise(place)
        if decision is Decision.SHOW:
            await peek(self._context.service, place, self._context.key(place), job_id)
        elif decision is not None:
            reply = await self._context.converse(place, command_of(decision, job_id))
            if reply.error is None:
                await self._show_decision(place, body, decision)
        elif command is not None:
            is_about_job = not isinstance(command, SettingsCommand | LinkCommand)
            reply = await self._context.converse(
                place, command, event_id=event_id, shown=job_id if is_about_job else None
            )
        elif verb == "expand":
            return await self._context.converse(place, ExpandCommand(job_id), shown=job_id)
        elif verb == "show":
            return await self._context.converse(place, ShowCommand(job_id, 1), shown=job_id)
        elif verb in ("say", "go"):
            # Whatever is said in answer is for the person alone, as the button was.
            return await self._context.converse(place, job_id, event_id=event_id)
        elif verb == "turn":
            reply = await self._context.converse(place, job_id)
            return reply if await self._turn(place, body, reply) else Reply()
        elif verb == "opinion":
            opinion, _, job_id = job_id.partition(":")
            said = OpinionCommand(job_id, is_good=opinion == blocks.GOOD)
            reply = await self._context.converse(place, said, shown=job_id)
        elif (purpose := ABOUT_A_JOB.get(verb)) is not None:
            reply = await self._open_about(place, purpose, job_id, trigger, number)
        elif verb == "field":
            await self._press_field(place, body["view"], number)
        elif verb == "reveal":
            reply = await self._reveal(place, job_id)
        elif verb == "draw":
            await self._context.open(place, Purposed("imagine"), trigger, {})
        elif verb == "settings":
            own = await self._context.service.own_settings.of(self._context.key(place))
            values = forms.values_of_settings(own)
            await self._context.open(place, Purposed("settings"), trigger, values)
        if reply.kind == "delete" and reply.job is not None:
            await self._delete(place, body, reply.job)
        if body.get("view", {}).get("type") == "home":
            self._context.spawn(self._context.publish_home(place))
        # The message itself shows the result, but for some.
        return reply if reply.error is not None or reply.kind in TOLD else Reply()

    async def _turn(self, place: Place, body: dict[str, Any], reply: Reply) -> bool:
        """Whether the page *reply* is still to be shown, since it could not take the place of the
        one whose button was pressed."""
        said = message_of(reply, place.say, place.workspace.team)
        ts = body.get("container", {}).get("message_ts")
        try:
            if body.get("container", {}).get("is_ephemeral"):
                await respond(place.workspace, place.hook, *said, replaces=True)
            else:
                await place.workspace.call(
                    "chat.update", channel=place.channel, ts=ts, text=said[0], blocks=said[1]
                )
        except (SlackError, OutcomeUnknown) as error:
            logger.info("a page is shown anew: %s", error)
            return True
        return False

    async def _open_about(
        self, place: Place, purpose: Purpose, job_id: str, trigger: str, number: int
    ) -> Reply:
        """Open the form that draws a job differently, or from its picture, or changes this."""
        if purpose == "change" and self._context.service.offered.editing() is None:
            return refusal(sentences.no_editor(), place.say)
        if purpose == "part" and self._context.service.offered.inpainting() is None:
            return refusal(sentences.no_inpainter(), place.say)
        reply = await self._context.converse(place, ShowCommand(job_id), shown=job_id)
        if reply.job is not None:
            about = Purposed(purpose, reply.job.id, place.channel, place.root, number=number)
            values = {"prompt": reply.job.request.prompt, "preset": self._taker()}
            if purpose == "edit":
                values = forms.values_of(reply.job)
            elif purpose in ("change", "part"):
                values = {}
            await self._context.open(place, about, trigger, values)
        return reply

    async def _press_field(self, place: Place, view: dict[str, Any], number: int) -> None:
        """Choose a field in the form *view*, or leave it out. Words that stand there stay."""
        about = forms.about_of(view)
        about = replace(about, chosen=self._chosen.press(view["id"], about.chosen, number))
        await self._context.change_form(place, about, view["id"], forms.typed(view))

    async def _show_decision(self, place: Place, body: dict[str, Any], decision: Decision) -> None:
        """Say in the message about an incident what a moderator has decided."""
        message = body.get("message") or {}
        text, parts = decided(message, decision, place.user)
        try:
            await place.workspace.call(
                "chat.update", channel=place.channel, ts=message.get("ts"), text=text, blocks=parts
            )
        except (SlackError, OutcomeUnknown) as error:
            logger.info("a decision is not shown: %s", error)

    async def _reveal(self, place: Place, job_id: str) -> Reply:
        """Show the pictures of a job that are hidden from others to the person alone."""
        command = ShowCommand(job_id, 1)
        reply = await self._context.converse(place, command, shown=job_id)
        if reply.job is not None:
            held = list((reply.job.reply_to or {}).get("files") or [])
            shown = blocks.pictures(reply.job, held, place.say)
            if shown:
                said = blocks.fallback(reply.job.request.prompt)
                try:
                    await patiently(place.workspace, lambda: whisper_blocks(place, said, shown))
                except (SlackError, OutcomeUnknown) as error:
                    logger.info("pictures cannot be shown to one person: %s", error)
                    return refusal(sentences.our_fault(), place.say)
        return reply

    async def _delete(self, place: Place, body: dict[str, Any], job: Job) -> None:
        """Take the pictures of *job*, and the message that shows them, from Slack too."""
        ts = body.get("container", {}).get("message_ts")
        try:
            if ts is not None:
                await place.workspace.call("chat.delete", channel=place.channel, ts=ts)
        except (SlackError, OutcomeUnknown) as error:
            logger.info("a message cannot be deleted: %s", error)
        await files.delete(place.workspace, list((job.reply_to or {}).get("files") or []))

    async def _on_form(self, ack: Any, body: dict[str, Any], view: dict[str, Any]) -> None:
        about = forms.about_of(view)
        about = replace(about, chosen=self._chosen.of(view["id"], about.chosen))
        user = str(body["user"]["id"])
        place = self._context.place(body, about.channel or user, about.root, user, hook=about.hook)
        filled = forms.filled(view, about, place.say)
        if filled.errors:
            await ack(response_action="errors", errors=filled.errors)
            return
        task = self._context.spawn(self._submit(place, about, filled, body["trigger_id"]))
        await asyncio.wait({task}, timeout=self._context.patience)
        if task.done() and (reply := self._context.outcome(task, place)).error is not None:
            field = reply.error.field
            block = forms.block_of(field, view["blocks"])
            await ack(response_action="errors", errors={block: reply.text})
            return
        await ack()
        self._context.spawn(self._context.answer_later(place, task))

    async def _submit(
        self, place: Place, about: Purposed, filled: forms.Filled, trigger: str
    ) -> Reply:
        """The reply to a form that was sent."""
        command: Command = filled.command
        pictures: list[Picture] = self._context.pictures(place.workspace, filled.files)
        match about.purpose:
            case "imagine":
                command = PromptCommand(filled.command)
            case "settings":
                command = SettingsCommand(filled.command, is_complete=True)
            case "edit":
                try:
                    command = series_of(AgainCommand(about.job, filled.command))
                except CommandError as error:
                    return refusal(error, place.say)
            case "change":
                command = EditCommand(filled.command)
                pictures = [PictureOf(about.job, about.number), *pictures]
            case "part":
                command = replace(filled.command, mask=fields.mask_of(about.chosen))
                pictures = [PictureOf(about.job, about.number)]
            case "control" if about.file:
                pictures = self._context.pictures(place.workspace, [{"id": about.file}])
            case "control":
                pictures = [PictureOf(about.job)]
        reply = await self._context.converse(
            place, command, pictures, event_id=f"slack:{trigger}", shown=about.job or None
        )
        if about.purpose == "settings":
            self._context.spawn(self._context.publish_home(place))
        return Reply() if about.purpose == "settings" and reply.error is None else reply

    async def _on_use_as_control_image(self, ack: Any, body: dict[str, Any]) -> None:
        await ack()
        self._context.spawn(self._use_as_control_image(self._context.place_of(body), body))

    async def _use_as_control_image(self, place: Place, body: dict[str, Any]) -> None:
        job = await self._job_of(place, body)
        about = Purposed("control", channel=place.channel, root=place.root)
        attachments = body["message"].get("files") or []
        if job is not None:
            about = Purposed("control", job.id, place.channel, place.root)
        elif attachments:
            about = Purposed("control", "", place.channel, place.root, str(attachments[0]["id"]))
        else:
            await self._context.answer(place, refusal(sentences.no_picture_there(), place.say))
            return
        values = {"prompt": job.request.prompt if job else "", "preset": self._taker()}
        await self._context.open(place, about, body["trigger_id"], values)

    async def _on_show_how(self, ack: Any, body: dict[str, Any]) -> None:
        await ack()
        self._context.spawn(self._show_how(self._context.place_of(body), body))

    async def _show_how(self, place: Place, body: dict[str, Any]) -> None:
        job = await self._job_of(place, body)
        reply = refusal(sentences.not_ours(), place.say)
        if job is not None:
            reply = await self._context.converse(place, HowCommand(job.id), shown=job.id)
        # The words alone: the picture is there already.
        await self._context.answer(place, Reply(reply.text))

    async def _on_report(self, ack: Any, body: dict[str, Any]) -> None:
        await ack()
        self._context.spawn(self._about_message(body, ReportCommand))

    async def _on_who_asked(self, ack: Any, body: dict[str, Any]) -> None:
        await ack()
        self._context.spawn(self._about_message(body, AdminWho))

    async def _about_message(self, body: dict[str, Any], command: Callable[[str], Command]) -> None:
        """Carry out *command* about the picture of a shortcut's message, and tell the person."""
        place = self._context.place_of(body)
        is_ours = body["message"].get("bot_id") == place.workspace.bot_id
        job_id = blocks.job_of(body["message"]) if is_ours else None
        reply = refusal(sentences.not_ours(), place.say)
        if job_id is not None:
            await self._context.recognise(place)
            reply = await self._context.converse(place, command(job_id), shown=job_id)
        await self._context.answer(place, reply)

    async def _on_inspect(self, ack: Any, body: dict[str, Any]) -> None:
        await ack()
        self._context.spawn(self._inspect(self._context.place_of(body), body))

    async def _inspect(self, place: Place, body: dict[str, Any]) -> None:
        job = await self._job_of(place, body)
        pictures: list[Picture] = [PictureOf(job.id)] if job is not None else []
        if job is None and (attachments := body["message"].get("files")):
            pictures = self._context.pictures(place.workspace, attachments[:1])
        reply = refusal(sentences.no_picture_there(), place.say)
        if pictures:
            shown = None if job is None else job.id
            reply = await self._context.converse(place, InspectCommand(), pictures, shown=shown)
        await self._context.answer(place, reply)

    async def _job_of(self, place: Place, body: dict[str, Any]) -> Job | None:
        """The job in the message of a shortcut; None where the message is not the bot's."""
        message = body["message"]
        if message.get("bot_id") != place.workspace.bot_id:
            return None
        job_id = blocks.job_of(message)
        if job_id is None:
            return None
        reply = await self._context.converse(place, ShowCommand(job_id), shown=job_id)
        return reply.job

    def _taker(self) -> str:
        """A preset that takes a picture, for people who have not chosen one yet."""
        presets = self._context.service.presets.values()
        return next((preset.name for preset in presets if preset.needs_image), "")


def _command(verb: str, job_id: str, number: int) -> Command | None:
    """The command of the button *verb*; None where it opens a form."""
    match verb:
        case "again":
            return AgainCommand(job_id)
        case "same":
            return AgainCommand(job_id, same=True)
        case "vary":  # under messages of older versions
            return VaryCommand(job_id, number)
        case "subtle" | "strong":
            return VaryCommand(job_id, number, verb)
        case "upscale":
            return UpscaleCommand(job_id, number)
        case "final":
            return FinalCommand(job_id, number)
        case "cancel":
            return CancelCommand(job_id)
        case "stop":
            return CancelCommand(job_id, is_whole=True)
        case "delete":
            return DeleteCommand(job_id)
        case "favourite":
            return FavouriteCommand(job_id, is_on=None)
        case "report":
            return ReportCommand(job_id)
        case "vote":
            return VoteCommand(job_id, number)
        case "forget":
            return SettingsCommand(is_reset=True)
        case _:
            return link_command(verb, job_id)
