"""The look of jobs and texts on Discord. Nothing here sends anything.

The words of people are shown inert: in a code span nothing is a link, a mention or bold.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import discord

from adapters.discord_chat.acts import ButtonKind
from adapters.discord_chat.buttons import (
    EACH,
    MOST_OF_A_GRID,
    ROWS,
    JobButton,
    JobMenu,
    JobSelect,
    Look,
    PageButton,
    PresetsButton,
    choice_buttons,
)
from adapters.discord_chat.people import PLATFORM
from bot import lineage, reasons, replies
from bot.conversation import Reply
from bot.jobs import Job, JobStatus, Progress
from bot.languages import ENGLISH, Language
from bot.provenance import enlarged_preview

DRAWING, DONE, NOT_DONE = (
    discord.Colour(0x6C5CE7),
    discord.Colour(0x2E9E6B),
    discord.Colour(0x8A8F98),
)

#: Discord's own limits, in characters.
MAX_DESCRIPTION = 4096
MAX_ALTERNATIVE = 1024
MAX_CHOICE = 100

#: Presets of one page, at most.
PRESETS_ON_A_PAGE = 20

#: A preview has an eighth of the picture's sides, which on Discord would be a stamp.
PREVIEW_SIDE = 384

#: Marks that turn the direction of text around, and other invisible characters.
_ESCAPED_BLANKS = re.compile(r"\\([ \t]+)(?=-)")
_HIDDEN = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x08\x0b-\x1f\x7f]")
_PERSON = re.compile(rf"\b{PLATFORM}:(\d{{5,20}})\b")
_ROLE = re.compile(rf"\b{PLATFORM}-role:(\d{{5,20}})\b")
_CHANNEL = re.compile(rf"\b{PLATFORM}-channel:(\d{{5,20}})\b")


class _Spoiler(discord.File):
    """A file that Discord hides until somebody wants to see it.

    discord.py says so by the file's name, which nobody can take back; by Discord's own word,
    ``is_spoiler`` of an attachment, an edit of the message lifts it.
    """

    def to_dict(self, index: int) -> dict[str, Any]:
        return {**super().to_dict(index), "is_spoiler": True}


@dataclass(frozen=True, slots=True)
class Kept:
    """An attachment that stays in an edited message, hidden or no longer, and with *alternative*
    as its words; stands where discord.py takes a `discord.Attachment`, which says neither."""

    attachment: discord.Attachment
    is_spoiler: bool
    alternative: str

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.attachment.to_dict(),
            "is_spoiler": self.is_spoiler,
            "description": _alternative(self.alternative),
        }


@dataclass(frozen=True, slots=True)
class Post:
    """The look of a message.

    Attributes:
        embeds: At most 10.
        files: Names and bytes; embeds show them as ``attachment://name``.
        items: Buttons and menus, row by row.
        content: Plain text above the embeds; the only part in which a mention pings.
        alternatives: Files in words, by their names, for people who do not see them.
        is_spoiler: Whether the files are hidden until somebody wants to see them.
    """

    embeds: Sequence[discord.Embed] = ()
    files: Sequence[tuple[str, bytes]] = ()
    items: Sequence[discord.ui.DynamicItem[Any]] = ()
    content: str | None = None
    alternatives: Mapping[str, str] = field(default_factory=dict)
    is_spoiler: bool = False

    def view(self) -> discord.ui.View | None:
        """The buttons, never expiring; None without any."""
        if not self.items:
            return None
        view = discord.ui.View(timeout=None)
        for item in self.items:
            view.add_item(item)
        return view

    def attachments(self) -> list[discord.File]:
        """The files, anew for every attempt, since sending consumes them."""
        kind = _Spoiler if self.is_spoiler else discord.File
        return [
            kind(io.BytesIO(data), name, description=_alternative(self.alternatives.get(name, "")))
            for name, data in self.files
        ]

    def for_edit(self) -> dict[str, Any]:
        """Arguments of `discord.WebhookMessage.edit` and its like."""
        return {
            "content": self.content,
            "embeds": list(self.embeds),
            "attachments": self.attachments(),
            "view": self.view(),
        }

    def for_send(self) -> dict[str, Any]:
        """Arguments of `discord.abc.Messageable.send` and its like."""
        arguments: dict[str, Any] = {"embeds": list(self.embeds), "files": self.attachments()}
        if self.content is not None:
            arguments["content"] = self.content
        if view := self.view():
            arguments["view"] = view
        return arguments


def code(text: str, length: int = 1000) -> str:
    """*text* as a code span, or as a block where it has several lines."""
    text = shortened(_HIDDEN.sub("", text).replace("`", "ˋ").strip(), length)
    return f"```\n{text}\n```" if "\n" in text else f"`{text or ' '}`"


def inert(text: str) -> str:
    """A sentence of the bot that may quote people, in which nothing pings, links or is bold."""
    text = discord.utils.escape_markdown(_HIDDEN.sub("", text))
    # discord.py escapes an indented dash in front of the blanks, where Discord shows the escape.
    text = _ESCAPED_BLANKS.sub(r"\1\\", text)
    return text.replace("@", "@\u200b").replace("://", ":\u200b//").replace(".gg/", ".gg\u200b/")


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def text_post(text: str) -> Post:
    """A reply of several lines. Ids become names, which ping nobody, since embeds never do. A text
    that is too long for a message is attached as a whole."""
    shown = _PERSON.sub(r"<@\1>", inert(text))
    shown = _CHANNEL.sub(r"<#\1>", _ROLE.sub(r"<@&\1>", shown))
    embed = discord.Embed(description=shortened(shown, MAX_DESCRIPTION), colour=DRAWING)
    is_too_long = len(shown) > MAX_DESCRIPTION
    return Post([embed], [("answer.txt", text.encode())] if is_too_long else ())


def presets_post(text: str, page: int) -> Post:
    """Page *page* (from 1) of the presets, of which *text* has a line each."""
    pages: list[list[str]] = [[]]
    size = 0
    for line in text.splitlines():
        size += len(inert(line)) + 1
        if pages[-1] and (size > MAX_DESCRIPTION or len(pages[-1]) == PRESETS_ON_A_PAGE):
            pages.append([])
            size = len(inert(line)) + 1
        pages[-1].append(line)
    page = min(max(page, 1), len(pages))
    items = []
    if page > 1:
        items.append(PresetsButton(f"◀ {page - 1}", page - 1))
    if page < len(pages):
        items.append(PresetsButton(f"{page + 1} ▶", page + 1))
    return replace(text_post("\n".join(pages[page - 1])), items=items)


def reply_post(reply: Reply, say: Language = ENGLISH) -> Post:
    """A reply of several lines, with its buttons, file and link; for the person alone."""
    post = replace(text_post(reply.text), items=choice_buttons(reply.choices))
    if reply.link:  # the text itself has no links that work, since it may quote people
        (embed,) = post.embeds
        embed.description = f"{embed.description}\n[{say('Open the page')}]({reply.link})"
    if reply.file is None:
        return post
    return replace(post, files=[(reply.file.name, reply.file.text.encode())])


def progress_post(
    job: Job,
    progress: Progress,
    say: Language,
    now: float,
    why_not: str = "",
    sheet: bytes | None = None,
) -> Post:
    """A job that waits or is being drawn, with buttons that show the pictures that are there.

    Args:
        now: Unix seconds, from which the start becomes a time of day.
        why_not: The reason why nothing is being drawn; empty where something is.
        sheet: JPEG of the pictures of several that are there already, and of the one that is being
            drawn; None shows that alone.
    """
    line = replies.progress_line(job, progress, say, when=lambda wait: f"<t:{round(now + wait)}:R>")
    lines = [asked_for(job), who_asked(job, say), f"**{line}**"]
    if progress.status is JobStatus.RUNNING and not progress.note:
        steps = job.request.steps_taken
        done = max(0, progress.picture - 1) * steps + progress.step
        lines.append(replies.bar(done / (steps * job.images)))
    elif why_not:
        lines.append(f"-# {inert(why_not)}")
    embed = discord.Embed(description="\n".join([*lines, *_remarks(job, say)]), colour=DRAWING)
    files, alternatives = [], {}
    if sheet is None and progress.preview is not None:
        sheet = enlarged_preview(progress.preview, PREVIEW_SIDE)
    if sheet is not None:
        # Another name each time, since clients keep showing a file of the same name.
        name = f"preview-{progress.picture}-{progress.step}.jpg"
        files.append((name, sheet))
        alternatives[name] = replies.alternative(job, say, is_unfinished=True)
        embed.set_image(url=f"attachment://{name}")
    # Nobody but moderators decides about a held picture.
    is_held = progress.status is JobStatus.HELD
    shown = job.ready[:MOST_OF_A_GRID]
    buttons = [JobButton(say, "single", job.id, each, row=0) for each in shown]
    if not is_held:
        buttons.append(JobButton(say, "cancel", job.id, row=1 if buttons else None))
    return Post([embed], files, buttons, alternatives=alternatives)


def ended_post(
    job: Job,
    say: Language,
    picture: tuple[str, bytes] | None,
    *,
    can_upscale: bool,
    can_change: bool = False,
    can_mask: bool = False,
    can_expand: bool = False,
    can_vote: bool = False,
    note: str = "",
    number: int | None = None,
) -> Post:
    """A job that has ended, or one of its pictures, which may be there earlier.

    The picture is an attachment above the embed: Discord shows it larger there, reads its words to
    people who do not see it, and can hide it. A gallery of components would be no larger, and takes
    neither embeds nor a mention beside it. Progress stays in the embed, where nothing jumps.

    Args:
        picture: Name and bytes of the file; None where there is none to show.
        can_upscale: Whether the picture can be upscaled.
        can_change: Whether it can be changed by words.
        can_mask: Whether a part of it can be drawn anew.
        can_expand: Whether its words can be made richer.
        can_vote: Whether people vote for pictures.
        note: A sentence about the file, such as that it is smaller than the original.
        number: Number of the picture to show, of several; None for all of them.
    """
    lines = [asked_for(job), who_asked(job, say)]
    is_whole = job.status is JobStatus.SUCCEEDED or number is not None
    if is_whole:
        if picture is None:
            lines.append(reasons.deleted(say))
        shown = job
        if number is not None and job.images > 1:
            one = replace(job.request, seed=list(job.requests)[number - 1].seed)
            shown = Job(user=job.user, request=one, seconds=job.seconds, id=job.id)
        footer = f"{replies.summary(shown, say)} · {job.id}"
        lines += _remarks(job, say)
    else:  # perhaps with some of its pictures
        lines.append(f"**{inert(replies.progress_line(job, job.progress, say))}**")
        footer = job.id
    if note:
        lines.append(f"-# {note}")
    colour = DONE if is_whole else NOT_DONE
    embed = discord.Embed(description="\n".join(lines), colour=colour).set_footer(text=footer)
    is_draft = job.request.is_draft
    offered: dict[ButtonKind, bool] = {
        "upscale": can_upscale and not is_draft,
        "final": is_draft,
        "change": can_change,
        "part": can_mask,
        "expand": can_expand,
        "vote": can_vote,
    }
    left_out = {kind for kind, is_offered in offered.items() if not is_offered}
    buttons = job_buttons(job, say, left_out, has_picture=picture is not None, number=number)
    items: list[discord.ui.DynamicItem[Any]] = [*buttons]
    if picture is None:
        return Post([embed], (), items)
    items.append(JobMenu(say, job.id, number or 0, row=4))
    alternatives = {picture[0]: replies.alternative(job, say)}
    return Post([embed], (picture,), items, alternatives=alternatives, is_spoiler=job.is_spoiler)


def note_post(job: Job, sentence: str) -> Post:
    """The last word in the message of a job that was answered elsewhere, or nowhere.

    It is shown without the prompt, which a filter may have blocked.
    """
    embed = discord.Embed(description=f"**{inert(sentence)}**", colour=NOT_DONE)
    return Post([embed.set_footer(text=job.id)])


def job_buttons(
    job: Job,
    say: Language,
    left_out: Collection[ButtonKind],
    *,
    has_picture: bool,
    number: int | None = None,
) -> list[JobButton]:
    """The buttons under a job that has ended, as `ROWS` has them, without those *left_out*."""
    if not has_picture:
        look: Look = "nothing"
    else:
        look = "grid" if job.images > 1 and number is None else "picture"
    buttons = []
    for row, kinds in enumerate(ROWS[look]):
        for kind in kinds:
            if kind in EACH:
                for each in job.available[:MOST_OF_A_GRID]:
                    buttons.append(JobButton(say, kind, job.id, each, row=row))
            elif kind not in left_out:
                # 0 is the whole job.
                about = number if job.images > 1 else None
                is_whole = look == "nothing" or (kind == "delete" and about is None)
                buttons.append(JobButton(say, kind, job.id, 0 if is_whole else about or 1, row=row))
    return buttons


def history_post(
    jobs: Iterable[Job],
    thumbnails: dict[str, bytes],
    say: Language,
    *,
    words: str,
    page: int,
    has_more: bool,
) -> Post:
    """A page of a person's pictures, each with its thumbnail, and a menu to pick one."""
    embeds, files, choices, alternatives = [], [], [], {}
    for job in jobs:
        embed = discord.Embed(description=code(job.request.prompt, 150), colour=DRAWING)
        done = job.status is JobStatus.SUCCEEDED
        embed.set_footer(
            text=f"{job.id} · {replies.summary(job, say) if done else say(str(job.status))}"
        )
        if job.id in thumbnails:
            name = f"{job.id}.webp"
            files.append((name, thumbnails[job.id]))
            alternatives[name] = replies.alternative(job, say)
            embed.set_thumbnail(url=f"attachment://{name}")
        embeds.append(embed)
        choices.append(
            discord.SelectOption(
                label=shortened(replies.short(job), MAX_CHOICE), value=job.id, description=job.id
            )
        )
    items: list[discord.ui.DynamicItem[Any]] = [JobSelect(say, choices)]
    if page > 1:
        items.append(PageButton(say("Newer"), page - 1, words))
    if has_more:
        items.append(PageButton(say("Older"), page + 1, words))
    return Post(embeds, files, items, alternatives=alternatives)


def _alternative(text: str) -> str | None:
    return shortened(_HIDDEN.sub("", text), MAX_ALTERNATIVE) or None


def asked_for(job: Job) -> str:
    text = code(job.request.prompt)
    if job.request.negative_prompt:
        text += f"\n-# – {code(job.request.negative_prompt, 300)}"
    return text


def who_asked(job: Job, say: Language) -> str:
    """The person who asked, and how the picture came of an earlier one, whose person is named where
    that is somebody else. Mentions in embeds ping nobody."""
    parent_by = "" if job.parent_user == job.user else job.parent_user
    names = [_PERSON.sub(r"<@\1>", each) for each in (job.user, parent_by)]
    asker, other = (each if each.startswith("<@") else "" for each in names)
    parts = [asker, lineage.line(job.parent, job.relation, say, parent_by=other)]
    return f"-# {' · '.join(filter(None, parts))}"


def _remarks(job: Job, say: Language) -> list[str]:
    return [f"-# {inert(say(remark))}" for remark in job.remarks]
