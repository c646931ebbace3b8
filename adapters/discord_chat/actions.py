"""The acts behind the buttons under a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from adapters.discord_chat.acts import ButtonKind, FieldPress
from adapters.discord_chat.answers import SECONDS_TO_LOOK_UP, Answers
from adapters.discord_chat.attachments import Attachments
from adapters.discord_chat.buttons import MAX_WORDS
from adapters.discord_chat.fields import fields_post
from adapters.discord_chat.forms import ChangeForm, DrawForm, EditForm, PartForm, PictureForm
from adapters.discord_chat.linking import answer_link
from adapters.discord_chat.mentions import Mentions
from adapters.discord_chat.messages import Post, history_post, presets_post, text_post
from adapters.discord_chat.moderation import decided
from adapters.discord_chat.own_data import delete_my_data
from adapters.discord_chat.people import Interaction, lacking, say_of, source_of, user_of
from adapters.discord_chat.pictures import Listed
from adapters.discord_chat.window import end
from bot import fields, replies, sentences
from bot.commands import (
    AdminWho,
    AgainCommand,
    CancelCommand,
    Command,
    DeleteCommand,
    ExpandCommand,
    FavouriteCommand,
    FinalCommand,
    HistoryCommand,
    HowCommand,
    InspectCommand,
    LinkCommand,
    PresetsCommand,
    ReportCommand,
    ShowCommand,
    UpscaleCommand,
    VaryCommand,
    VoteCommand,
)
from bot.conversation import Reply, converse
from bot.decisions import Decision, command_of
from bot.jobs import Job
from bot.service import Service
from bot.source import Picture, PictureOf, Source
from generation.errors import FluxbotError


class Actions:
    """The acts behind buttons, and behind the commands that do the same.

    Everybody who sees a picture may draw it again or build on it, at their own expense; only its
    owner and admins may cancel or delete it.
    """

    def __init__(self, service: Service, answers: Answers, attachments: Attachments) -> None:
        self.service = service
        self.answers = answers
        self.attachments = attachments
        self.mentions = Mentions()
        self._chosen = fields.Chosen()

    async def press(
        self, interaction: Interaction, kind: ButtonKind, job_id: str, number: int
    ) -> None:
        """Carry out the button *kind* under picture *number* of a job."""
        match kind:
            case "again":
                await self.draw(interaction, AgainCommand(job_id), shown=job_id)
            case "same":
                same = AgainCommand(job_id, number=number or None, same=True)
                await self.draw(interaction, same, shown=job_id)
            case "vary":  # under messages of older versions
                await self.draw(interaction, VaryCommand(job_id, number), shown=job_id)
            case "subtle" | "strong":
                await self.draw(interaction, VaryCommand(job_id, number, kind), shown=job_id)
            case "variation":
                await self.draw(interaction, VaryCommand(job_id, number, "strong"), shown=job_id)
            case "upscale":
                await self.draw(interaction, UpscaleCommand(job_id, number), shown=job_id)
            case "final":
                await self.draw(interaction, FinalCommand(job_id, number), shown=job_id)
            case "edit":
                job = await self._job_at_once(interaction, ShowCommand(job_id))
                presets = self.service.presets.values()
                form = EditForm(presets, job, say_of(interaction))
                await self.answers.open_form(interaction, form)
            case "change":
                await self.change(interaction, PictureOf(job_id, number), shown=job_id)
            case "part":
                is_private = interaction.message is not None and interaction.message.flags.ephemeral
                press = FieldPress(job_id, number, is_private=is_private)
                await self.answers.show(interaction, lambda: self._fields(interaction, press))
            case "expand":
                await self.answers.show(
                    interaction, lambda: self._say(interaction, ExpandCommand(job_id), job_id)
                )
            case "control":
                await self.use_as_control_image(interaction, job_id, number)
            case "single":
                await self._show_single(interaction, job_id, number)
            case "cancel":
                await self.answers.acknowledge(interaction)
                # Its follower shows the end in the message.
                (await self._say(interaction, CancelCommand(job_id), job_id)).the_job()
            case "stop":
                await self.answers.acknowledge(interaction)
                reply = await self._say(interaction, CancelCommand(job_id, is_whole=True), job_id)
                if reply.error is not None:
                    raise reply.error
            case "delete":
                await self._delete(interaction, job_id, number)
            case "favourite":  # the message is everybody's, so the person alone is told
                turn = FavouriteCommand(job_id, is_on=None)
                await self.answers.show(interaction, lambda: self._say(interaction, turn, job_id))
            case "report":
                await self.report(interaction, job_id)
            case "vote":
                vote = VoteCommand(job_id, number)
                await self.answers.show(interaction, lambda: self._say(interaction, vote, job_id))

    async def press_field(self, interaction: Interaction, press: FieldPress) -> None:
        """Show which fields are chosen, or ask what to draw in them; see `acts.Acts`."""
        place = str(interaction.message and interaction.message.id)
        if press.pressed:
            self._chosen.press(place, press.chosen, press.pressed)
        press = replace(press, chosen=self._chosen.of(place, press.chosen))
        if press.pressed:
            await self.answers.update(interaction, lambda: self._fields(interaction, press))
            return
        if not press.chosen:
            raise sentences.no_field()
        own = await self.answers.is_private(interaction, of_message=False)
        form = PartForm(
            PictureOf(press.job_id, press.number),
            fields.mask_of(press.chosen),
            say_of(interaction),
            shown=press.job_id,
            is_private=press.is_private or own,
        )
        await self.answers.open_form(interaction, form)

    async def _fields(self, interaction: Interaction, press: FieldPress) -> Post:
        """The fields of a picture, some of which are chosen."""
        if self.service.offered.inpainting() is None:
            raise sentences.no_inpainter()
        source = source_of(interaction, press.job_id)
        job = await self.service.lookups.job(source, press.job_id)
        path = await self.service.lookups.picture(source, press.job_id, press.number)
        picture = await asyncio.to_thread(fields.shown, path, press.chosen)
        return fields_post(press, picture, say_of(interaction), is_spoiler=job.is_spoiler)

    async def say(self, interaction: Interaction, text: str) -> None:
        """Carry out *text* as if the person had typed it; see `acts.Acts`."""

        async def ask(source: Source) -> Reply:
            return await converse(self.service, source, text)

        # The question may have been for them alone; the picture is as private as any other.
        await self.answers.draw(
            interaction,
            ask,
            is_private=await self.answers.is_private(interaction, of_message=False),
        )

    async def report(self, interaction: Interaction, job_id: str) -> None:
        """Report a picture that the person sees to moderators."""
        await self.answers.show(
            interaction, lambda: self._say(interaction, ReportCommand(job_id), job_id)
        )

    async def who_asked(self, interaction: Interaction, job_id: str) -> None:
        """Tell a moderator alone who asked for a picture."""
        await self.answers.show(interaction, lambda: self._say(interaction, AdminWho(job_id)))

    async def decide(self, interaction: Interaction, decision: Decision, job_id: str) -> None:
        """Carry out a moderator's decision about a job, or show them its picture alone."""
        if decision is Decision.SHOW:
            await self.answers.show(interaction, lambda: self._held_picture(interaction, job_id))
            return
        await self.answers.acknowledge(interaction)
        reply = await self._say(interaction, command_of(decision, job_id))
        if reply.error is not None:
            raise reply.error
        if interaction.message is not None:
            post = decided(interaction.message, decision, interaction.user)
            await self.answers.finish(interaction, post)

    async def _held_picture(self, interaction: Interaction, job_id: str) -> Post:
        """The picture of a job that is held or reported, for a moderator."""
        path = await self.service.moderation.picture(user_of(interaction.user), job_id)
        data, suffix = await asyncio.to_thread(
            self.service.provenance.fitted, path, interaction.filesize_limit
        )
        return Post(files=[(f"{job_id}{suffix}", data)], is_spoiler=True)

    async def delete_my_data(self, interaction: Interaction) -> None:
        """Delete everything of the person, who has confirmed it, and tell them."""
        await self.answers.acknowledge(interaction)
        reply = await delete_my_data(self.service, interaction)
        await self.answers.finish(interaction, text_post(reply.text))

    async def link(self, interaction: Interaction, command: LinkCommand) -> None:
        """Carry out a person's yes or no to being joined, and tell them."""
        await answer_link(self.service, self.answers, interaction, command)

    async def draw(
        self,
        interaction: Interaction,
        command: Command,
        pictures: Sequence[Picture] = (),
        *,
        shown: str | None = None,
        is_private: bool | None = None,
    ) -> None:
        """Draw the picture of *command*, and show it in one message; see `acts.Acts`."""

        async def ask(source: Source) -> Reply:
            return await converse(self.service, source, command, pictures)

        await self.answers.draw(interaction, ask, shown=shown, is_private=is_private)

    def attached(self, file: Listed) -> Picture:
        """The picture in an attached *file*, which is fetched once the person may draw."""
        return partial(self.attachments.read, file)

    async def describe(self, interaction: Interaction) -> None:
        """Open an empty form for a picture."""
        preset = self.service.config.model.default_preset
        presets = self.service.presets.values()
        form = DrawForm(presets, say_of(interaction), preset)
        await self.answers.open_form(interaction, form)

    async def use_as_control_image(
        self,
        interaction: Interaction,
        job_id: str,
        number: int = 1,
        *,
        is_private: bool = False,
    ) -> None:
        """Open the form that draws from picture *number* of a job. The new picture stays private
        where *is_private* or the person's own default says so."""
        job = await self._job_at_once(interaction, ShowCommand(job_id))
        is_private = is_private or await self.answers.is_private(interaction)
        await self.answers.open_form(
            interaction,
            PictureForm(
                self.service.presets.values(),
                say_of(interaction),
                [PictureOf(job_id, each) for each in range(1, job.images + 1)],
                prompt=job.request.prompt,
                number=number,
                shown=job_id,
                is_private=is_private,
            ),
        )

    async def change(
        self,
        interaction: Interaction,
        picture: Picture,
        *,
        shown: str | None = None,
        is_private: bool = False,
    ) -> None:
        """Open the form that asks what to change in *picture*; *shown* is the id of the job under
        which the person asks. The new picture stays private where *is_private* or the person's own
        default says so."""
        editing = self.service.offered.editing()
        if editing is None:
            raise sentences.no_editor()
        more = len(editing.kind.more_pictures)
        is_private = is_private or await self.answers.is_private(interaction)
        form = ChangeForm(
            picture, say_of(interaction), more=more, shown=shown, is_private=is_private
        )
        await self.answers.open_form(interaction, form)

    async def turn_page(self, interaction: Interaction, page: int, words: str) -> None:
        """Show another page of the history in the same message."""
        await self.answers.update(interaction, lambda: self.history(interaction, words, page))

    async def turn_presets(self, interaction: Interaction, page: int) -> None:
        """Show another page of the presets in the same message."""
        await self.answers.update(interaction, lambda: self.presets(interaction, page))

    async def presets(self, interaction: Interaction, page: int) -> Post:
        """A page of the presets."""
        return presets_post((await self._say(interaction, PresetsCommand())).text, page)

    async def show(self, interaction: Interaction, job_id: str) -> None:
        """Show one of the person's own pictures, to them alone."""

        async def look_up() -> Post:
            job = (await self._say(interaction, ShowCommand(job_id))).the_job()
            return await self.post_of(interaction, job)

        await self.answers.show(interaction, look_up)

    async def how_made(self, interaction: Interaction, job_id: str) -> None:
        """Tell the person alone how a picture that they see was made."""
        await self.answers.show(
            interaction, lambda: self._say(interaction, HowCommand(job_id), job_id)
        )

    async def inspect(
        self, interaction: Interaction, picture: Picture, shown: str | None = None
    ) -> None:
        """Tell the person alone what *picture* says about itself; *shown* is the id of the job
        under which they ask."""
        source = source_of(interaction, shown)
        await self.answers.show(
            interaction, lambda: converse(self.service, source, InspectCommand(), [picture])
        )

    async def post_of(self, interaction: Interaction, job: Job, number: int | None = None) -> Post:
        """The look of a job as it is now, or of its picture *number*."""
        say = say_of(interaction)
        if not job.status.is_final and number is None:
            return text_post(replies.progress_line(job, job.progress, say))
        return await end(self.service, job, say, interaction.filesize_limit, number)

    async def history(self, interaction: Interaction, words: str, page: int) -> Post:
        """A page of the person's own pictures, with thumbnails."""
        source = source_of(interaction)
        if len(words) > MAX_WORDS:
            raise sentences.too_much_to_look_for(len(words), MAX_WORDS)
        reply = await converse(self.service, source, HistoryCommand(words, page))
        if reply.job is not None:
            return await self.post_of(interaction, reply.job)
        if not reply.jobs:
            return text_post(reply.text)
        thumbnails = {}
        for job in reply.jobs:
            if job.status.is_final and job.available and not job.is_spoiler:
                try:
                    path = await self.service.lookups.picture_file(source, job.id, "thumbnail")
                    thumbnails[job.id] = await asyncio.to_thread(path.read_bytes)
                except (FluxbotError, OSError):
                    continue  # without a picture the line stays
        return history_post(
            reply.jobs,
            thumbnails,
            source.language,
            words=words,
            page=page,
            has_more=reply.has_more,
        )

    async def report_error(self, interaction: Interaction, error: Exception) -> None:
        """Tell the person alone about *error*."""
        await self.answers.report_error(interaction, error)

    async def _say(
        self, interaction: Interaction, command: Command, shown: str | None = None
    ) -> Reply:
        return await converse(self.service, source_of(interaction, shown), command)

    async def _job_at_once(self, interaction: Interaction, command: ShowCommand) -> Job:
        """The job, looked up before Discord's time to answer is over."""
        try:
            async with asyncio.timeout(SECONDS_TO_LOOK_UP):
                return (await self._say(interaction, command, command.job_id)).the_job()
        except TimeoutError as error:
            raise sentences.busy() from error

    async def _show_single(self, interaction: Interaction, job_id: str, number: int) -> None:
        is_private = interaction.message is not None and interaction.message.flags.ephemeral
        is_private = is_private or bool(lacking(interaction))
        # Before an answer is promised, since refusals are for the person alone.
        job = await self._job_at_once(interaction, ShowCommand(job_id, number))
        await self.answers.promise(interaction, is_private=is_private)
        await self.answers.finish(interaction, await self.post_of(interaction, job, number))

    async def _delete(self, interaction: Interaction, job_id: str, number: int) -> None:
        """Delete a job's pictures and their message; for one of several (*number* is not 0) the
        message alone, which the person who had it shown may do as well."""
        await self.answers.acknowledge(interaction)
        shown = interaction.message.interaction_metadata if interaction.message else None
        if number == 0:
            (await self._say(interaction, DeleteCommand(job_id), job_id)).the_job()
        elif shown is None or shown.user.id != interaction.user.id:
            await self.service.lookups.own_job(source_of(interaction, job_id), job_id)
        await self.answers.remove(interaction)
