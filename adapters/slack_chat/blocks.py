"""Messages in Block Kit. All functions are pure.

The words of people stand in ``plain_text``, where nothing is markup; text in ``mrkdwn`` is
escaped, and mentions nobody but the person who asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.slack_chat.wording import clipped, escape, pieces, printable
from bot import lineage, reasons, replies
from bot.jobs import Job, JobStatus, Progress, share_done
from bot.languages import ENGLISH, Language
from bot.sentences import Hint, Sentence
from bot.views import Choice

Block = dict[str, Any]

#: Slack's limits, in characters and blocks.
MAX_TEXT = 3000
MAX_ALT_TEXT = 2000
MAX_TITLE = 2000
MAX_BLOCKS = 50
MAX_FALLBACK = 300
MAX_LABEL, MAX_BUTTONS = 75, 25
MAX_CARDS = 10
#: Buttons whose value is no id of a job.
ABOUT_NO_JOB = frozenset({"say", "go", "turn", "draw", "settings", "forget", "linkyes", "linkno"})
#: Buttons for each picture, up to this many pictures.
MAX_NUMBERED = 4


def plain(text: str, length: int = MAX_TEXT) -> dict[str, Any]:
    """*text* as it stands, without markup or emoji."""
    return {"type": "plain_text", "text": clipped(printable(text), length), "emoji": False}


def section(text: str, **more: Any) -> Block:
    return {"type": "section", "text": plain(text), **more}


def marked_section(text: str) -> Block:
    """A paragraph of *text* with Slack's markup; see `marked`."""
    return {"type": "section", "text": marked(text)}


def context(*elements: dict[str, Any]) -> Block:
    """A small grey line."""
    return {"type": "context", "elements": list(elements)}


def marked(text: str) -> dict[str, Any]:
    """*text* with Slack's markup, in which the words of people are escaped already."""
    return {"type": "mrkdwn", "text": clipped(text, MAX_TEXT)}


def button(
    label: str,
    action: str,
    value: str,
    *,
    style: str | None = None,
    ask: str = "",
    no: str = "No",
) -> dict[str, Any]:
    """A button; with *ask* Slack asks that question first, and *no* is the label to refuse."""
    element: dict[str, Any] = {
        "type": "button",
        "text": {"type": "plain_text", "text": label, "emoji": False},
        "action_id": f"flux:{action}",
        "value": value,
    }
    if style:
        element["style"] = style
    if ask:
        element["confirm"] = {
            "title": plain(label, 100),
            "text": plain(ask, 300),
            "confirm": plain(label, 30),
            "deny": plain(no, 30),
        }
    return element


def overflow(action: str, options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A menu behind three dots: labels, each with the value that it stands for."""
    return {
        "type": "overflow",
        "action_id": f"flux:{action}",
        "options": [{"text": plain(label, MAX_LABEL), "value": value} for label, value in options],
    }


def choices(offered: Sequence[Choice]) -> Block:
    """Buttons that say words for the person who presses them."""
    return actions(
        *(
            button(
                clipped(each.label, MAX_LABEL),
                f"say:{number}",
                each.says,
                style="primary" if each.is_main else None,
            )
            for number, each in enumerate(offered[:MAX_BUTTONS], start=1)
        )
    )


def actions(*elements: dict[str, Any]) -> Block:
    return {"type": "actions", "elements": list(elements)}


def picture(file: str, alt_text: str, title: str | None = None) -> Block:
    block: Block = {
        "type": "image",
        "slack_file": {"id": file},
        "alt_text": clipped(printable(alt_text), MAX_ALT_TEXT),
    }
    if title is not None:
        block["title"] = plain(title, MAX_TITLE)
    return block


def text_message(text: str) -> tuple[str, list[Block]]:
    """A text of any length: its short form for notifications, and its blocks."""
    parts = pieces(printable(text), MAX_TEXT)[: MAX_BLOCKS - 2]
    return fallback(text), [section(part) for part in parts] or [section("…")]


def fallback(text: str) -> str:
    """*text* for a notification."""
    return escape(clipped(" ".join(printable(text).split()), MAX_FALLBACK)).strip() or "…"


def parent_by(job: Job) -> str:
    """A mention of the person who asked for the parent of *job*; empty where it is the same, or
    nobody of this workspace."""
    workspace = job.user.rpartition("-")[0]
    if job.parent_user == job.user or job.parent_user.rpartition("-")[0] != workspace:
        return ""
    return f"<@{job.parent_user.rpartition('-')[2]}>"


def asker(job: Job) -> str:
    """Slack's id of the person who asked."""
    return job.user.rpartition("-")[2]


def progress_message(
    job: Job,
    progress: Progress,
    note: str = "",
    preview: str | None = None,
    *,
    files: Sequence[str] = (),
    why_not: str = "",
    say: Language = ENGLISH,
) -> tuple[str, list[Block]]:
    """A job on its way: prompt, progress and a button to cancel.

    Args:
        files: Its first pictures, which are there already, at Slack.
        why_not: The reason why nothing is being drawn, if nothing is.
    """
    line = replies.progress_line(job, progress, say)
    shown = line
    if progress.status is JobStatus.RUNNING:
        shown = f"{replies.bar(share_done(job))}  {line}"
    blocks = head(job, note, say)
    blocks.append(section(shown))
    if why_not and progress.status is not JobStatus.RUNNING:
        blocks.append(context(plain(why_not)))
    if not job.is_spoiler:
        blocks.extend(pictures(job, files, say))
    if job.is_relaxed:
        blocks.append(context(plain(say(Sentence.RELAXED))))
    if preview is not None:
        blocks.append(picture(preview, replies.alternative(job, say, is_unfinished=True)))
    if progress.status is not JobStatus.HELD:
        blocks.append(actions(button(say("Cancel"), "cancel", job.id)))
    return fallback(f"{replies.short(job)} · {line}"), blocks


def picture_message(
    job: Job,
    files: Sequence[str],
    note: str = "",
    *,
    can_upscale: bool = False,
    can_change: bool = False,
    can_mask: bool = False,
    side_by_side: bool = False,
    can_expand: bool = False,
    can_vote: bool = False,
    say: Language = ENGLISH,
) -> tuple[str, list[Block]]:
    """A job that succeeded, or that ended early with some pictures: its pictures, their numbers,
    and buttons; *side_by_side* where there are several. Without *files* the pictures were deleted.

    Slack has no spoilers: a picture that is one is shown to whoever presses a button, alone.
    """
    summary = replies.summary(job, say)
    text, blocks = fallback(f"{replies.short(job)} · {summary}"), head(job, note, say)
    if not files:
        return text, [*blocks, section(reasons.deleted(say)), _buttons_without_picture(job, say)]
    if job.status is not JobStatus.SUCCEEDED:
        blocks.append(section(replies.progress_line(job, job.progress, say)))
    if job.is_spoiler:
        blocks.append(section(say(Hint.SPOILER)))
        blocks.append(actions(button(say("Show"), "reveal", job.id)))
        files = ()
    numbered = [("subtle", say("Vary subtle")), ("strong", say("Vary strong"))]
    if job.request.is_draft:
        numbered.append(("final", say("Final picture")))
    elif can_upscale:
        numbered.append(("upscale", say("Upscale")))
    numbered += [("change", say("Edit picture"))] if can_change else []
    numbered += [("part", say("Change a part"))] if can_mask else []
    numbered += [("vote", say("Vote"))] if can_vote else []
    if side_by_side and len(files) > 1:
        blocks.extend(carousels(job, files, numbered, say))
        numbered = []  # they are below each
    else:
        blocks.extend(pictures(job, files, say))
    blocks.append(context(plain(summary)))
    blocks.extend(context(plain(say(remark))) for remark in job.remarks[:5])
    row = [button(say("Again"), "again", job.id)]
    for purpose, label in numbered:
        if job.images == 1:
            row.append(button(label, f"{purpose}:1", job.id))
            continue
        numbers = job.available[:MAX_NUMBERED]
        blocks.append(
            actions(*(button(f"{label} {each}", f"{purpose}:{each}", job.id) for each in numbers))
        )
    delete = button(
        say("Delete"),
        "delete",
        job.id,
        style="danger",
        ask=say(Hint.DELETES),
        no=say("No"),
    )
    edit = button(say("Edit prompt"), "edit", job.id)
    control = button(say("Use as control image"), "control", job.id)
    report = button(say("Report"), "report", job.id)
    expand = [button(say("Expand"), "expand", job.id)] if can_expand else []
    more = overflow(
        "more",
        [(say("Same again"), f"same:{job.id}"), (say("Favourite"), f"favourite:{job.id}")],
    )
    blocks.append(actions(*row, edit, *expand, control, report, delete, more))
    return text, blocks


#: Values of the buttons for an opinion, before the id of the job.
GOOD, BAD = "good", "bad"


def opinion(job: Job, say: Language) -> Block:
    """Two thumbs for the pictures of *job*. Slack shows which one somebody has pressed."""

    def thumb(label: str, value: str) -> dict[str, Any]:
        return {"text": plain(label, MAX_LABEL), "value": f"{value}:{job.id}"}

    both = {
        "type": "feedback_buttons",
        "action_id": "flux:opinion",
        "positive_button": thumb(say("Good picture"), GOOD),
        "negative_button": thumb(say("Bad picture"), BAD),
    }
    return {"type": "context_actions", "elements": [both]}


def carousels(
    job: Job, files: Sequence[str], numbered: Sequence[tuple[str, str]], say: Language
) -> list[Block]:
    """The pictures of *job*, which are at Slack as *files*, side by side, each with the buttons
    *numbered* (purpose and label)."""
    cards = []
    for number, shown in zip(job.available, pictures(job, files, say), strict=False):
        title = {"title": marked(escape(shown["title"]["text"]))} if "title" in shown else {}
        words = {"alt_text": shown["alt_text"], "slack_file": shown["slack_file"]}
        row = [button(label, f"{purpose}:{number}", job.id) for purpose, label in numbered]
        picture_of = {"type": "image", **words}
        cards.append({"type": "card", "hero_image": picture_of, **title, "actions": row})
    rows = range(0, len(cards), MAX_CARDS)
    return [{"type": "carousel", "elements": cards[at : at + MAX_CARDS]} for at in rows]


def has_carousel(parts: Sequence[Block]) -> bool:
    """Whether pictures stand side by side in *parts*."""
    return any(part["type"] == "carousel" for part in parts)


def pictures(job: Job, files: Sequence[str], say: Language = ENGLISH) -> list[Block]:
    """The pictures of *job*, which are at Slack as *files*, with their numbers and seeds."""
    blocks: list[Block] = []
    requests = list(job.requests)
    for number, file in zip(job.available, files, strict=False):
        request = requests[number - 1]
        title = None
        if job.images > 1:
            title = say(
                "{number} of {images}, seed {seed}",
                number=number,
                images=job.images,
                seed=request.seed,
            )
        blocks.append(picture(file, replies.alternative(job, say), title))
    return blocks


def ended_message(job: Job, note: str = "", *, say: Language = ENGLISH) -> tuple[str, list[Block]]:
    """A job that failed or was cancelled."""
    line = replies.progress_line(job, job.progress, say)
    blocks = [*head(job, note, say), section(line), _buttons_without_picture(job, say)]
    return fallback(f"{replies.short(job)} · {line}"), blocks


def note_message(job: Job, sentence: str, say: Language = ENGLISH) -> tuple[str, list[Block]]:
    """The last word in the message of a job that was answered elsewhere, or nowhere."""
    return fallback(f"{replies.short(job)} · {sentence}"), [*head(job, "", say), section(sentence)]


def _buttons_without_picture(job: Job, say: Language) -> Block:
    return actions(
        button(say("Again"), "again", job.id),
        button(say("Edit prompt"), "edit", job.id),
        button(say("Delete"), "delete", job.id),
    )


def head(job: Job, note: str, say: Language = ENGLISH) -> list[Block]:
    made = lineage.line(job.parent, job.relation, say, parent_by=parent_by(job))
    parts = [f"<@{asker(job)}>", job.id, *([made] if made else [])]
    blocks = [section(job.request.prompt), context(marked(" · ".join(parts)))]
    if note:
        blocks.append(context(plain(note)))
    return blocks


def job_of(message: Mapping[str, Any]) -> str | None:
    """Id of the job that a message of the bot shows, from its buttons; None without one."""
    for block in message.get("blocks") or ():
        for element in block.get("elements", ()):
            prefix, _, verb = str(element.get("action_id", "")).partition(":")
            is_about_job = prefix == "flux" and verb.partition(":")[0] not in ABOUT_NO_JOB
            if is_about_job and element.get("value"):
                return str(element["value"])
    return None
