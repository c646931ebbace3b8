"""Replies as messages: their words, with what can be pressed beside them. All pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from adapters.slack_chat import blocks
from adapters.slack_chat.home import first_file
from bot import replies
from bot.commands import read_filter, render_filter
from bot.conversation import Reply
from bot.jobs import Job, JobStatus
from bot.languages import Language

#: Replies from which people look further around.
SIGNPOSTS = frozenset({"help", "models", "presets", "queue", "quota", "thanks"})
#: Jobs that a queue offers to cancel.
MAX_CANCELLED = 5


def message_of(
    reply: Reply, say: Language, team: str = "", *, shows_pictures: bool = True
) -> tuple[str, list[blocks.Block]]:
    """The words of *reply*, short and in blocks, with buttons where there is something to press.

    *team* is the workspace whose files can be shown. Without *shows_pictures* a history is without
    them, since Slack refuses a message with a picture that somebody has deleted there.
    """
    text, parts = blocks.text_message(reply.text)
    if reply.kind == "history" and reply.jobs:
        parts = list(_history(reply, say, team if shows_pictures else ""))
    elif reply.kind == "history" and reply.words:
        parts = [*parts, blocks.actions(_whole_or_favourites(reply, say))]
    elif reply.kind == "queue":
        parts = [*parts, *(_cancel(job, say) for job in reply.jobs[:MAX_CANCELLED])]
    if reply.asks_to_join and reply.joining is not None:
        code = reply.joining.code
        yes = blocks.button(say("Yes, join them"), "linkyes", code, style="danger")
        parts = [*parts, blocks.actions(yes, blocks.button(say("No"), "linkno", code))]
    if reply.choices:
        parts = [*parts, blocks.choices(reply.choices)]
    if reply.link:
        opens = blocks.marked(f"<{reply.link}|{say('Open the page')}>")
        parts = [*parts, {"type": "section", "text": opens}]
    if reply.kind in SIGNPOSTS and reply.error is None:
        parts = [*parts, signposts(say, reply.kind)]
    return text, parts


def signposts(say: Language, here: str = "") -> blocks.Block:
    """Buttons for what people look up; not for *here*, where they are."""
    ways = [
        blocks.button(label, f"go:{word}", word)
        for word, label in (
            ("presets", say("Presets")),
            ("queue", say("Queue")),
            ("history", say("My pictures")),
        )
        if word != here
    ]
    return blocks.actions(*ways, blocks.button(say("Settings"), "settings", "home"))


def _history(reply: Reply, say: Language, team: str) -> Iterator[blocks.Block]:
    """A page of pictures, each with its thumbnail, where it is at Slack, and buttons."""
    for job in reply.jobs:
        is_drawn = job.status is JobStatus.SUCCEEDED
        about = replies.summary(job, say) if is_drawn else say(str(job.status))
        more = {}
        if is_drawn and (file := _file_in(team, job)) is not None:
            more["accessory"] = blocks.picture(file, replies.alternative(job, say))
        yield blocks.section(f"{replies.short(job)}\n{job.id} · {about}", **more)
        look = blocks.button(say("Show"), f"go:show:{job.id}", f"show {job.id}")
        again = blocks.button(say("Again"), f"go:again:{job.id}", f"again {job.id}")
        yield blocks.actions(look, again) if is_drawn else blocks.actions(again)
    turns = [_whole_or_favourites(reply, say)]
    if reply.page > 1:
        turns.append(_page(say("Newer"), "newer", reply, reply.page - 1))
    if reply.has_more:
        turns.append(_page(say("Older"), "older", reply, reply.page + 1))
    yield blocks.actions(*turns)


def _whole_or_favourites(reply: Reply, say: Language) -> blocks.Block:
    """A button for the favourites among what was looked for, or for all pictures."""
    wanted = read_filter(reply.words)
    if wanted.favourites or not reply.jobs:
        return blocks.button(say("All my pictures"), "turn:favourites", "history")
    words = render_filter(replace(wanted, favourites=True))
    return blocks.button(say("Favourites"), "turn:favourites", f"history {words}")


def _page(label: str, way: str, reply: Reply, page: int) -> blocks.Block:
    words = f"{reply.words} " if reply.words else ""
    return blocks.button(label, f"turn:{way}", f"history {words}--page {page}")


def _cancel(job: Job, say: Language) -> blocks.Block:
    """A button to cancel one of one's own jobs."""
    return blocks.section(
        replies.short(job), accessory=blocks.button(say("Cancel"), "cancel", job.id)
    )


def _file_in(team: str, job: Job) -> str | None:
    """Id of the first picture of *job* at Slack, if it may be shown in *team*."""
    is_here = bool(team) and (job.reply_to or {}).get("team") == team
    return first_file(job) if is_here and not (job.is_pruned or job.is_spoiler) else None
