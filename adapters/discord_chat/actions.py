"""What happens when somebody presses a button under a picture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from adapters.discord_chat.answers import SECONDS_TO_LOOK_UP, Answers
from adapters.discord_chat.buttons import ButtonKind
from adapters.discord_chat.forms import EditForm, PictureForm
from adapters.discord_chat.messages import Post, history_post, text_post
from adapters.discord_chat.people import (
    Interaction,
    lacking,
    origin_of,
    say_of,
    user_of,
)
from adapters.discord_chat.window import end
from bot import replies
from bot.commands import HistoryCommand
from bot.conversation import answer
from bot.jobs import Job, JobStatus
from bot.refusals import NotAllowed, StorageTrouble
from bot.service import Service
from generation.errors import FluxbotError

if TYPE_CHECKING:
    from adapters.discord_chat.attachments import Attachments


class Actions:
    """The acts behind the buttons, also for the commands that do the same.

    Whoever sees a picture may draw it again or build on it, at their own expense; to cancel
    it or to delete it is for its owner and for admins.
    """

    def __init__(
        self,
        service: Service,
        answers: Answers,
        attachments: Attachments,
    ) -> None:
        self.service = service
        self.answers = answers
        self.attachments = attachments

    async def press(
        self, interaction: Interaction, kind: ButtonKind, job_id: str, number: int
    ) -> None:
        """Do what the button *kind* under picture *number* of a job says."""
        user = user_of(interaction.user)
        service = self.service
        match kind:
            case "again":
                await self.answers.draw(
                    interaction, lambda where: service.again(user, job_id, is_shown=True, **where)
                )
            case "vary" | "variation":
                await self.answers.draw(
                    interaction,
                    lambda where: service.from_picture(
                        user, job_id, number, "vary", is_shown=True, **where
                    ),
                )
            case "upscale":
                await self.answers.draw(
                    interaction,
                    lambda where: service.from_picture(
                        user, job_id, number, "upscale", is_shown=True, **where
                    ),
                )
            case "edit":
                job = await self._job_at_once(user, job_id)
                await interaction.response.send_modal(EditForm(self, job, say_of(interaction)))
            case "control":
                await self.use_as_control_image(interaction, job_id, number)
            case "single":
                await self._show_single(interaction, user, job_id, number)
            case "cancel":
                await self._cancel(interaction, user, job_id)
            case "delete":
                await self._delete(interaction, user, job_id, number)

    async def use_as_control_image(
        self,
        interaction: Interaction,
        job_id: str,
        number: int = 1,
        *,
        is_private: bool | None = None,
    ) -> None:
        """Open the form that draws from picture *number* of a job."""
        user = user_of(interaction.user)
        job = await self._job_at_once(user, job_id)
        await interaction.response.send_modal(
            PictureForm(
                self,
                say_of(interaction),
                prompt=job.request.prompt,
                images=job.images,
                number=number,
                is_private=is_private,
                read=lambda chosen: self._picture(user, job_id, chosen),
            )
        )

    async def turn_page(self, interaction: Interaction, page: int, words: str) -> None:
        """Show another page of the history in the same message."""
        await self.answers.update(interaction, lambda: self.history(interaction, words, page))

    async def show(self, interaction: Interaction, job_id: str) -> None:
        """Show one picture of the person's own, to them alone."""

        async def look_up() -> Post:
            job = await self.service.job(user_of(interaction.user), job_id)
            return await self.post_of(interaction, job)

        await self.answers.show(interaction, look_up)

    async def how_made(self, interaction: Interaction, job_id: str) -> None:
        """Say to the person alone how a picture that they see was made."""

        async def look_up() -> Post:
            job = await self.service.job(user_of(interaction.user), job_id, is_shown=True)
            return text_post(replies.how(job))

        await self.answers.show(interaction, look_up)

    async def post_of(self, interaction: Interaction, job: Job, number: int | None = None) -> Post:
        """A job as it is now."""
        if not job.status.is_final:
            return text_post(replies.progress_line(job, job.progress, say_of(interaction)))
        say = say_of(interaction)
        return await end(self.service, job, say, interaction.filesize_limit, number)

    async def history(self, interaction: Interaction, words: str, page: int) -> Post:
        """A page of the person's own pictures, with thumbnails."""
        user, say = user_of(interaction.user), say_of(interaction)
        reply = await answer(self.service, user, HistoryCommand(words, page))
        if not reply.jobs:
            return text_post(reply.text)
        thumbnails = {}
        for job in reply.jobs:
            if job.status is JobStatus.SUCCEEDED and not job.is_pruned:
                try:
                    path = await self.service.picture_file(user, job.id, "thumbnail")
                    thumbnails[job.id] = await asyncio.to_thread(path.read_bytes)
                except (FluxbotError, OSError):
                    continue  # a line without a picture is still a line
        return history_post(
            reply.jobs, thumbnails, say, words=words, page=page, has_more=reply.has_more
        )

    async def _job_at_once(self, user: str, job_id: str, number: int | None = None) -> Job:
        """A job that must be known before Discord gives up on us; with *number*, one that
        still has that picture."""
        try:
            async with asyncio.timeout(SECONDS_TO_LOOK_UP):
                if number is not None:
                    await self.service.picture(user, job_id, number, is_shown=True)
                return await self.service.job(user, job_id, is_shown=True)
        except TimeoutError as error:
            raise StorageTrouble("the bot is busy; please try again") from error

    async def _picture(self, user: str, job_id: str, number: int) -> bytes:
        path = await self.service.picture(user, job_id, number, is_shown=True)
        return await asyncio.to_thread(path.read_bytes)

    async def _show_single(
        self, interaction: Interaction, user: str, job_id: str, number: int
    ) -> None:
        is_private = interaction.message is not None and interaction.message.flags.ephemeral
        is_private = is_private or bool(lacking(interaction))
        await self.service.check_may_draw(user, origin_of(interaction))
        # Before an answer is promised: what is refused is for the person alone.
        job = await self._job_at_once(user, job_id, number)
        await interaction.response.defer(thinking=True, ephemeral=is_private)
        post = await self.post_of(interaction, job, number)
        await interaction.edit_original_response(**post.for_edit())

    async def _cancel(self, interaction: Interaction, user: str, job_id: str) -> None:
        await interaction.response.defer()
        await self._check_owner(user, job_id)
        # Its follower shows the end in the message.
        await self.service.cancel(user, job_id)

    async def _delete(self, interaction: Interaction, user: str, job_id: str, number: int) -> None:
        """Delete a job's pictures and their message; of one of several (*number* is not 0) the
        message alone, which whoever had it shown may do as well."""
        await interaction.response.defer()
        shown = interaction.message.interaction_metadata if interaction.message else None
        if number == 0 or shown is None or shown.user.id != interaction.user.id:
            await self._check_owner(user, job_id)
        if number == 0:
            await self.service.delete(user, job_id)
        await interaction.delete_original_response()

    async def _check_owner(self, user: str, job_id: str) -> None:
        job = await self.service.job(user, job_id, is_shown=True)
        if job.user != user and not self.service.admin.is_admin(user):
            raise NotAllowed("only whoever asked for this picture, or an admin, may do that")
