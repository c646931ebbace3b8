"""Tools for agents: what an MCP client may ask for, as typed arguments, carried out.

Nothing here knows the protocol; `adapters.web_chat.mcp_server` speaks it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import anyio
from pydantic import Field

from adapters.web_chat.drawing import imagine
from adapters.web_chat.facts import list_models, list_presets
from adapters.web_chat.fields import Body, PictureNumber, Prompt
from adapters.web_chat.jobs import MAX_ROW
from adapters.web_chat.schemas import NextPictures, OptionsBody
from adapters.web_chat.sharing import Web
from adapters.web_chat.views import JobView
from bot import catalogue, loras, replies, sentences
from bot.commands import AgainCommand, CancelCommand, Command, HistoryFilter
from bot.commands.history import narrowed
from bot.conversation import converse
from bot.jobs import Job, JobStatus
from bot.source import Picture, PictureOf, Source
from generation.errors import InvalidRequest

#: Steps by which progress grows where only its words change.
NUDGE = 0.001

JobIdText = Annotated[str, Field(min_length=1, max_length=64, examples=["k7m2p9xd"])]


class DrawArguments(OptionsBody):
    """A picture of words."""

    prompt: Prompt = Field(description="What to draw")


class EditArguments(NextPictures, DrawArguments):
    """A picture of words, drawn from another picture: an earlier one of yours, or one that is
    sent along."""

    id: JobIdText | None = Field(None, description="Job of the picture to start from")
    number: PictureNumber = Field(1, description="Which of the pictures of that job")
    image: str | None = Field(
        None,
        min_length=4,
        description="In the place of an id: PNG, JPEG or WebP in base64",
        json_schema_extra={"contentEncoding": "base64"},
    )
    mask_image: str | None = Field(
        None,
        min_length=4,
        description="To draw a part of the picture alone: another one of the same shape that is"
        " white where to draw, or a copy that is painted over there, in base64. `mask` names a part"
        " in words",
        json_schema_extra={"contentEncoding": "base64"},
    )


class AgainArguments(Body):
    """An earlier request again, with the same pixels or with a new seed."""

    id: JobIdText | None = Field(None, description="The newest one where it is left out")
    vary: bool = Field(True, description="Take a new seed; else the pixels are the same")
    number: PictureNumber | None = Field(
        None, description="This picture alone; all of them where it is left out"
    )


class HistoryArguments(Body):
    """One's own pictures, newest first; with an id that job alone, and its picture."""

    id: JobIdText | None = None
    words: str = Field("", max_length=200, description="Words of the prompt")
    favourites: bool = Field(False, description="Favourites alone")
    preset: str = Field("", max_length=64, description="Pictures of this preset alone")
    since: str = Field("", max_length=10, description="First day (UTC), such as 2026-11-01")
    until: str = Field("", max_length=10, description="Last day (UTC), likewise")
    before: int | None = Field(None, ge=0, le=MAX_ROW, description="`next` of the page before")
    limit: Annotated[int, Field(ge=1, le=50)] = 10


class PresetsArguments(Body):
    """The ways of making pictures here."""


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a tool.

    Attributes:
        text: For a reader.
        data: The same for a program.
        job: The job whose pictures go along.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    job: Job | None = None


#: Is told of each step: done, all, and a line of words.
Report = Callable[[float, float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its arguments, its description, and what carries it out."""

    name: str
    title: str
    description: str
    arguments: type[Body]
    call: Callable[[Web, Source, Any, Report], Awaitable[Found]]
    is_read_only: bool = False


async def _draw(web: Web, source: Source, arguments: DrawArguments, report: Report) -> Found:
    return await _drawn(web, source, imagine(arguments, arguments.prompt), (), report)


async def _edit(web: Web, source: Source, arguments: EditArguments, report: Report) -> Found:
    if (arguments.id is None) == (arguments.image is None):
        raise InvalidRequest("name one picture to start from: an id, or an image", field="id")
    picture: Picture
    if arguments.id is not None:
        picture = PictureOf(arguments.id, arguments.number)
    else:
        picture = await web.image(arguments.image or "", "image")
    command = imagine(arguments, arguments.prompt)
    pictures = [picture]
    for name, image in arguments.next_images.items():
        pictures.append(await web.image(image, name))
    if arguments.mask_image is not None:
        pictures.append(await web.image(arguments.mask_image, "mask_image"))
    preset = web.service.offered.drawing_over(has_strength=command.strength is not None)
    said = (arguments.mask_image, command.mask, command.outpaint)
    says_where = any(each is not None for each in said)
    if command.preset is None and preset is not None and not says_where:
        command = replace(command, preset=preset.name)
    return await _drawn(web, source, command, tuple(pictures), report)


async def _again(web: Web, source: Source, arguments: AgainArguments, report: Report) -> Found:
    command = AgainCommand(
        arguments.id, vary=arguments.vary, number=arguments.number, same=not arguments.vary
    )
    return await _drawn(web, source, command, (), report)


async def _history(web: Web, source: Source, arguments: HistoryArguments, report: Report) -> Found:
    if arguments.id is not None:
        job = await web.service.lookups.job(source, arguments.id)
        shown = JobView.of(job)
        line = replies.progress_line(job, job.progress)
        return Found(
            f"{job.id}: {line}", shown.model_dump(mode="json"), job if shown.pictures else None
        )
    wanted = narrowed(
        HistoryFilter(arguments.words),
        favourites=arguments.favourites,
        preset=arguments.preset,
        since=arguments.since,
        until=arguments.until,
    )
    page = await web.service.histories.find(
        source.user, wanted, before=arguments.before, limit=arguments.limit
    )
    jobs = [JobView.of(job).model_dump(mode="json") for job in page.jobs]
    text = replies.history(page.jobs, arguments.words, 1, has_more=False)
    if page.next is not None:
        text += f"\nnext: {page.next}"
    return Found(text, {"jobs": jobs, "next": page.next})


async def _presets(web: Web, source: Source, arguments: PresetsArguments, report: Report) -> Found:
    told = await list_presets(web, source)
    models = await list_models(web, source)
    text = replies.presets(web.service.presets, told.default)
    if listed := web.service.offered.loras:
        several = web.service.catalogue.has_several
        text += f"\n\n{loras.listing(listed, tells_models=several)}"
    text += f"\n\n{catalogue.listing(await web.service.catalogue.models())}"
    return Found(text, {**told.model_dump(mode="json"), **models.model_dump(mode="json")})


TOOLS = (
    Tool(
        "draw",
        "Draw a picture",
        "Draw a picture of words and wait for it. It costs credits.",
        DrawArguments,
        _draw,
    ),
    Tool(
        "edit",
        "Draw from a picture",
        "Change an earlier picture, or one that is sent along, and wait for it. Where a preset"
        " edits by words the prompt says what to change, such as: make it night. Else, and with a"
        " strength, it says what to draw over the picture. It costs credits.",
        EditArguments,
        _edit,
    ),
    Tool(
        "again",
        "Draw it again",
        "Draw an earlier picture again, and wait for it. It costs credits.",
        AgainArguments,
        _again,
    ),
    Tool(
        "history",
        "Earlier pictures",
        "List earlier pictures, newest first; with an id, look at that one.",
        HistoryArguments,
        _history,
        is_read_only=True,
    ),
    Tool(
        "presets",
        "Ways of drawing",
        "List the presets: ways of making pictures, and which of them start from a picture; the"
        " LoRAs that may be added; and the models that they draw with.",
        PresetsArguments,
        _presets,
        is_read_only=True,
    ),
)


async def _drawn(
    web: Web, source: Source, command: Command, pictures: tuple[Picture, ...], report: Report
) -> Found:
    """The job for *command* once it is drawn, after all of its steps were reported.

    Raises:
        FluxbotError: It was refused, or there is no picture of it.
    """
    with anyio.CancelScope(shield=True):  # or nobody would know which job to cancel
        job = (await converse(web.service, source, command, pictures)).the_job()
    steps, told = job.request.steps_taken, -NUDGE
    try:
        async for progress in job.watch():
            if progress.status.is_final or progress.status is JobStatus.HELD:
                break
            done = max(0, progress.picture - 1) * steps + progress.step
            told = max(done, told + NUDGE)  # the protocol wants it to grow with every line
            await report(told, job.images * steps, replies.progress_line(job, progress))
    except anyio.get_cancelled_exc_class():
        if not web.stopping.is_set():
            with anyio.CancelScope(shield=True):
                await converse(web.service, source, CancelCommand(job.id))
        raise
    sentences.check_drawn(job)
    return Found(replies.how(job), JobView.of(job).model_dump(mode="json"), job)
