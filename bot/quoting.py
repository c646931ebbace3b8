"""The price of words that somebody is typing, before they send them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bot.commands import ImagineCommand, SeriesCommand, with_options
from bot.conversation import understood
from bot.drafts import ToBeAttached
from bot.service import Service
from bot.source import Source
from bot.views import Quote
from generation.errors import InvalidRequest

#: The prompt of a price, which no price depends on.
ANY_PROMPT = "not yet known"


async def quote(
    service: Service,
    source: Source,
    said: str,
    options: ImagineCommand,
    pictures: Sequence[bytes | ToBeAttached] = (),
) -> Quote:
    """The price of all pictures that *said* asks for, as `converse` would understand it.

    Args:
        said: Typed words; empty for *options* alone.
        options: Options chosen beside them; the words win over them.
        pictures: Pictures that came along, or are to come.

    Raises:
        InvalidRequest: The words are wrong, ask for no picture, or for one that can never succeed.
        Refused: The person is banned, or asks too often.
    """
    if not said.strip():
        return await service.previews.quote(source, replace(options, prompt=ANY_PROMPT), pictures)
    _, command, _ = await understood(service, source, said)
    command = with_options(command, options)
    members = [each.command for each in getattr(command, "members", ())] or [command]
    asked = Counter(
        replace(each, prompt=ANY_PROMPT) for each in members if isinstance(each, ImagineCommand)
    )
    if asked.total() < len(members):
        raise InvalidRequest(
            "only what is drawn from a prompt has a price beforehand", field="text"
        )
    is_series = isinstance(command, SeriesCommand)
    return await service.previews.quote_all(source, asked, pictures, is_series=is_series)
