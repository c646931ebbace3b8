"""The look of a series in Slack: one message for all of its jobs."""

from __future__ import annotations

from adapters.slack_chat import blocks
from adapters.slack_chat.wording import clipped
from bot import replies, series_talk
from bot.jobs import JobStatus
from bot.languages import Language
from bot.sentences import Hint
from bot.series import Series


def series_message(
    series: Series, note: str, sheet: str | None, say: Language, *, why_not: str = ""
) -> tuple[str, list[blocks.Block]]:
    """*series* on its way, or at its end: a line for each job, the file *sheet* with all pictures,
    and a button for each that is there. *why_not* is the reason why nothing is being drawn."""
    line, is_over = series_talk.line(series, say), series.status.is_final
    legend = "\n".join(series_talk.legend(series, say))
    parts = [*blocks.head(series.lead, note, say), blocks.section(f"{line}\n{legend}")]
    if why_not and not is_over:
        parts.append(blocks.context(blocks.plain(why_not)))
    if sheet is not None:
        words = replies.alternative(series.lead, say, is_unfinished=not is_over)
        parts.append(blocks.picture(sheet, words))
    picks = [
        blocks.button(clipped(f"{number}. {label}", blocks.MAX_LABEL), f"show:{number}", job.id)
        for number, (job, label) in enumerate(
            zip(series.parts, series.labels, strict=True), start=1
        )
        if job.status is JobStatus.SUCCEEDED
    ]
    if picks:
        parts.append(blocks.context(blocks.plain(say(Hint.PICK))))
        parts.append(blocks.actions(*picks[: blocks.MAX_BUTTONS]))
    if not is_over:
        parts.append(blocks.actions(blocks.button(say("Cancel all"), "stop", series.lead.id)))
    return blocks.fallback(f"{series_talk.head(series)} · {line}"), parts
