"""The look of a series on Discord: one message for all of its jobs."""

from __future__ import annotations

from typing import Any

import discord

from adapters.discord_chat.buttons import MAX_BUTTONS, JobButton
from adapters.discord_chat.messages import (
    DONE,
    DRAWING,
    MAX_DESCRIPTION,
    NOT_DONE,
    Post,
    asked_for,
    inert,
    shortened,
    who_asked,
)
from bot import contact_sheet, replies, series_talk
from bot.jobs import JobStatus
from bot.languages import Language
from bot.sentences import Hint
from bot.series import Series
from bot.service import Service


class SeriesLook:
    """The look of *series*."""

    def __init__(self, service: Service, series: Series, say: Language) -> None:
        self._service = service
        self._series = series
        self._say = say
        self._sheets = 0

    async def progress(self, why_not: str) -> Post:
        """The series on its way; *why_not* is the reason why nothing is being drawn."""
        self._sheets += 1
        sheet = await contact_sheet.growing(self._service, self._series)
        # Another name each time, since clients keep showing a file of the same name.
        return self._post(sheet, f"sheet-{self._sheets}.jpg", why_not)

    async def end(self, max_bytes: int, shrunk: int) -> Post:
        """The series, all of which has ended; see `adapters.discord_chat.window.end`."""
        most = int(max_bytes * 0.5**shrunk)
        sheet = await contact_sheet.finished(self._service, self._series, most)
        return self._post(sheet, f"{self._series.id}-sheet.jpg")

    def _post(self, sheet: bytes | None, name: str, why_not: str = "") -> Post:
        series, say = self._series, self._say
        is_over = series.status.is_final
        is_drawn = series.status is JobStatus.SUCCEEDED
        lines = [asked_for(series.lead), who_asked(series.lead, say)]
        lines.append(f"**{inert(series_talk.line(series, say))}**")
        lines += [inert(each) for each in series_talk.legend(series, say)]
        if why_not and not is_over:
            lines.append(f"-# {inert(why_not)}")
        if is_drawn:
            lines.append(f"-# {inert(say(Hint.PICK))}")
        colour = DRAWING if not is_over else DONE if is_drawn else NOT_DONE
        text = shortened("\n".join(lines), MAX_DESCRIPTION)
        embed = discord.Embed(description=text, colour=colour)
        items: list[discord.ui.DynamicItem[Any]] = []
        for number, job in enumerate(series.parts, start=1):
            if job.status is JobStatus.SUCCEEDED and len(items) < MAX_BUTTONS - 1:
                label = f"{number}. {series.labels[number - 1]}"
                items.append(JobButton(say, "single", job.id, 1, label=label))
        if not is_over:
            items.append(JobButton(say, "stop", series.lead.id))
        if sheet is None:
            return Post([embed], (), items)
        if not is_over:  # at the end it is an attachment, which Discord shows larger
            embed.set_image(url=f"attachment://{name}")
        alternatives = {name: replies.alternative(series.lead, say, is_unfinished=not is_over)}
        return Post([embed], [(name, sheet)], items, alternatives=alternatives)
