"""Buttons, forms and shortcuts. Slack delivers each once, so that each is acknowledged in time,
whatever happens."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from slack_bolt.app.async_app import AsyncApp

from adapters.slack_chat import blocks, files, forms
from adapters.slack_chat.context import Context
from adapters.slack_chat.forms import Purposed
from adapters.slack_chat.places import Place
from adapters.slack_chat.workspaces import OutcomeUnknown, SlackError, Workspace
from bot import replies
from bot.conversation import Reply
from bot.jobs import Job
from bot.refusals import NotFound

logger = logging.getLogger(__name__)

#: Callback ids of the shortcuts in the menu of a message.
USE_AS_CONTROL_IMAGE = "flux_control_image"
SHOW_HOW = "flux_how"


class Actions:
    """Listens on *app* for what people press and send."""

    def __init__(self, app: AsyncApp, context: Context) -> None:
        self._context = context
        app.action(re.compile("^flux:"))(self._on_button)
        app.view(forms.CALLBACK)(self._on_form)
        app.message_shortcut(USE_AS_CONTROL_IMAGE)(self._on_use_as_control_image)
        app.message_shortcut(SHOW_HOW)(self._on_show_how)

    async def _on_button(self, ack: Any, body: dict[str, Any], action: dict[str, Any]) -> None:
        _, verb, *more = str(action["action_id"]).split(":")
        number = int(more[0]) if more else 1
        job_id = str(action.get("value") or "")
        place = self._context.place_of(body)
        trigger = body["trigger_id"]
        task = self._context.spawn(self._press(place, body, verb, job_id, number, trigger))
        await asyncio.wait({task}, timeout=self._context.patience)
        await ack()
        self._context.spawn(self._context.answer_later(place, task, body.get("response_url")))

    async def _press(
        self,
        place: Place,
        body: dict[str, Any],
        verb: str,
        job_id: str,
        number: int,
        trigger: str,
    ) -> Reply:
        """What the button *verb* of a job's message, or of the App Home, comes to."""
        service, user = self._context.service, self._context.key(place)
        where = self._context.where(place, f"slack:{trigger}")
        url = body.get("response_url")
        match verb:
            case "again":
                self._context.follow(await service.again(user, job_id, is_shown=True, **where))
            case "vary" | "upscale":
                job = await service.from_picture(
                    user,
                    job_id,
                    number,
                    "vary" if verb == "vary" else "upscale",
                    is_shown=True,
                    **where,
                )
                self._context.follow(job)
            case "edit":
                job = await service.job(user, job_id, is_shown=True)
                about = Purposed("edit", job.id, place.channel, place.root)
                await self._context.open(place, about, trigger, forms.values_of(job), url)
            case "control":
                job = await service.job(user, job_id, is_shown=True)
                about = Purposed("control", job.id, place.channel, place.root)
                values = {"prompt": job.request.prompt, "preset": self._taker()}
                await self._context.open(place, about, trigger, values, url)
            case "cancel":
                await service.cancel(user, job_id)
            case "delete":
                await self._delete(place, body, await service.delete(user, job_id))
            case "draw":
                await self._context.open(place, Purposed("imagine"), trigger, {}, url)
            case "settings":
                values = forms.values_of_settings(await service.settings(user))
                await self._context.open(place, Purposed("settings"), trigger, values, url)
            case "forget":
                await service.change_settings(user, None)
        if "view" in body:
            self._context.spawn(self._context.publish_home(place))
        return Reply()

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
        filled = forms.filled(view)
        if filled.errors:
            await ack(response_action="errors", errors=filled.errors)
            return
        place = self._context.place(
            body, about.channel or body["user"]["id"], about.root, str(body["user"]["id"])
        )
        task = self._context.spawn(self._submit(place, about, filled, body["trigger_id"]))
        await asyncio.wait({task}, timeout=self._context.patience)
        if task.done() and (reply := self._context.outcome(task)).text:
            field = reply.error.field if reply.error is not None else None
            block = forms.block_of(field, view["blocks"])
            await ack(response_action="errors", errors={block: reply.text})
            return
        await ack()
        self._context.spawn(self._context.answer_later(place, task, None))

    async def _submit(
        self, place: Place, about: Purposed, filled: forms.Filled, trigger: str
    ) -> Reply:
        """What the form that was sent comes to."""
        service, user, command = self._context.service, self._context.key(place), filled.command
        where = self._context.where(place, f"slack:{trigger}")
        match about.purpose:
            case "settings":
                own = await service.change_settings(user, command)  # refused if it is wrong
                await service.change_settings(user, None)
                await service.change_settings(user, command, is_private=own.get("private"))
                self._context.spawn(self._context.publish_home(place))
            case "edit":
                job = await service.again(user, about.job, command, is_shown=True, **where)
                self._context.follow(job)
            case "control":
                taken = await self._control_image(place.workspace, about, user)
                job = await service.submit(user, command, taken, parent=about.job or None, **where)
                self._context.follow(job)
            case "imagine":
                image = await self._context.attached(place.workspace, filled.files)
                self._context.follow(await service.submit(user, command, image, **where))
        return Reply()

    async def _control_image(self, workspace: Workspace, about: Purposed, user: str) -> bytes:
        if about.file:
            max_bytes = int(self._context.service.config.control_images.max_megabytes * 1e6)
            return await files.read(
                workspace, {"id": about.file}, self._context.settings, max_bytes
            )
        path = await self._context.service.picture(user, about.job, is_shown=True)
        return await asyncio.to_thread(path.read_bytes)

    async def _on_use_as_control_image(self, ack: Any, body: dict[str, Any]) -> None:
        place = self._context.place_of(body)
        message = body["message"]
        job = await self._job_of(place, body)
        about = Purposed("control", channel=place.channel, root=place.root)
        attachments = message.get("files") or []
        if job is not None:
            about = Purposed("control", job.id, place.channel, place.root)
        elif attachments:
            about = Purposed("control", "", place.channel, place.root, str(attachments[0]["id"]))
        else:
            await ack()
            text = "There is no picture in that message."
            self._context.spawn(self._context.answer(place, Reply(text), body.get("response_url")))
            return
        values = {"prompt": job.request.prompt if job else "", "preset": self._taker()}
        await self._context.open(place, about, body["trigger_id"], values, body.get("response_url"))
        await ack()

    async def _on_show_how(self, ack: Any, body: dict[str, Any]) -> None:
        place = self._context.place_of(body)
        job = await self._job_of(place, body)
        text = "I did not draw that." if job is None else replies.how(job)
        await ack()
        self._context.spawn(self._context.answer(place, Reply(text), body.get("response_url")))

    async def _job_of(self, place: Place, body: dict[str, Any]) -> Job | None:
        """The job that the message of a shortcut shows; None where it is not ours."""
        message = body["message"]
        if message.get("bot_id") != place.workspace.bot_id:
            return None
        job_id = blocks.job_of(message)
        if job_id is None:
            return None
        try:
            return await self._context.service.job(self._context.key(place), job_id, is_shown=True)
        except NotFound:
            return None

    def _taker(self) -> str:
        """A preset that takes a picture, for people who have not chosen one yet."""
        presets = self._context.service.presets.values()
        return next((preset.name for preset in presets if preset.needs_image), "")
