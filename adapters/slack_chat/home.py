"""The App Home of one person: credits, jobs, pictures, defaults. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.slack_chat.blocks import (
    Block,
    actions,
    button,
    picture,
    section,
    text_message,
)
from bot import catalogue, replies, welcomes
from bot.catalogue import ListedModel
from bot.jobs import Job, JobStatus
from bot.languages import ENGLISH, Language
from bot.ledger import QuotaStatus
from bot.views import QueueView
from generation.types import Preset

#: Pictures and jobs that are listed.
MAX_LISTED = 10
BAR = 20


def home(
    quota: QuotaStatus,
    queue: QueueView,
    latest: Sequence[Job],
    own: Mapping[str, Any],
    presets: Mapping[str, Preset],
    default: str,
    models: Iterable[ListedModel] = (),
    *,
    why_not: str = "",
    shows_pictures: bool = True,
    say: Language = ENGLISH,
) -> dict[str, Any]:
    """The view; *why_not* is the reason why nothing is being drawn, if nothing is.

    Without *shows_pictures* the latest pictures are listed in words, since Slack refuses a view
    with a picture that somebody has deleted there.
    """
    total = quota.credits + quota.granted
    used = 1 - quota.left / total if total else 1.0
    counts = replies.queue(queue.waiting, queue.running, (), why_not, say).splitlines()
    blocks: list[Block] = [
        _header(say("Credits")),
        section(f"{replies.bar(used, BAR)}\n{replies.quota(quota, say)}"),
        actions(button(say("Draw a picture"), "draw", "home", style="primary")),
        _header(say("Waiting and being drawn")),
        section("\n".join(counts if not queue.mine else counts[:-1])),
    ]
    for job in queue.mine[:MAX_LISTED]:
        line = f"{replies.short(job)}\n{replies.progress_line(job, job.progress, say)}"
        blocks.append(section(line, accessory=button(say("Cancel"), "cancel", job.id)))
    blocks.append(_header(say("Your latest pictures")))
    drawn = [job for job in latest if job.status is JobStatus.SUCCEEDED][:MAX_LISTED]
    for job in drawn:
        file = first_file(job) if shows_pictures and not (job.is_pruned or job.is_spoiler) else None
        more: dict[str, Any] = {}
        if file is not None:
            more["accessory"] = picture(file, replies.alternative(job, say))
        blocks.append(
            section(f"{replies.short(job)}\n{job.id} · {replies.summary(job, say)}", **more)
        )
    if not drawn:
        blocks.append(section(welcomes.words_of_welcome(say, is_direct=True)))
    blocks += [
        _header(say("Your defaults")),
        section(replies.settings(own, say)),
        actions(
            button(say("Change"), "settings", "home"),
            *([button(say("Forget"), "forget", "home")] if own else []),
        ),
        _header(say("Presets")),
        *text_message(replies.presets(presets, default, say))[1],
    ]
    if listed := catalogue.listing(models, say):
        blocks += [_header(say("Models")), *text_message(listed)[1]]
    return {"type": "home", "blocks": blocks[:100]}


def first_file(job: Job) -> str | None:
    """Id of the first picture of *job* at Slack; None without one."""
    files = (job.reply_to or {}).get("files") or []
    return str(files[0]) if files else None


def _header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}
