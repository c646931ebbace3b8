"""Pictures that are changed as words say, by a preset that edits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.commands import (
    AgainCommand,
    Command,
    CommandError,
    EditCommand,
    ImagineCommand,
    SeriesCommand,
    completed,
    parse,
    series_of,
)
from bot.refusals import NotFound
from bot.requests import check_picture_number
from bot.sentences import no_editor
from bot.service import Service
from bot.source import Picture, PictureOf, Source
from generation.errors import InvalidRequest

#: Options that choose another preset, by its name or by what it alone does.
_CHOOSING = ("preset", "mask", "outpaint")

#: Beginnings of sentences that say what to change in a picture, and that nobody begins a new one
#: with: "make it night", but not "make a birthday card".
_BEGINNINGS = (
    r"(?:make|turn|change|transform|convert|recolou?r|colou?r)\s+"
    r"(?:it|this|that|the|him|her|them|his|its|their|everything|everyone)\b",
    r"(?:add|remove|replace|erase|put|take\s+away|take\s+out|get\s+rid\s+of)\s",
    r"(?:give|let)\s+(?:it|him|her|them|the|this|that)\b",
    r"(?:mach|mache|machen\s+sie)\s+(?:es|das|die|den|ihn|sie|daraus|alles)\b",
    r"(?:entferne?|ersetze?|ändere?|verwandle|verwandele|färbe?|füge?|nimm|gib|setze?)\s",
    r"(?:rends|fais|mets|donne)[-\s](?:le|la|les|lui|leur|que|en)\b",
    r"(?:ajoute|enlève|retire|supprime|remplace|transforme)\s",
    r"change\s+(?:le|la|les|son|sa|ses|en|l['’])",
    r"(?:hazlo|hazla|hazlos|hazlas|ponlo|ponla|ponle|ponles|haz\s+que|pon)\b",
    r"(?:cambia|transforma|convierte|añade|agrega|quita|elimina|borra|sustituye|reemplaza)\s",
)
_INSTRUCTION = re.compile(
    r"\s*(?:(?:now|and|then|please|but|jetzt|und|bitte|dann|maintenant|et|puis|ahora|y|luego)"
    r"[\s,]+)*"
    rf"(?:{'|'.join(_BEGINNINGS)})"
    r"|.*(?:にして|に変えて|を消して|を加えて|を追加して|を足して|を取って)(?:ください)?[。！!]?\s*$",
    re.IGNORECASE,
)


def is_instruction(text: str) -> bool:
    """Whether *text* says what to change in a picture, rather than what to draw."""
    return _INSTRUCTION.match(text) is not None


async def meant(
    service: Service,
    source: Source,
    said: str,
    command: ImagineCommand,
    pictures: Sequence[Picture],
    options: ImagineCommand | None = None,
) -> Command:
    """*command*, which was made of *said*, or the edit that is meant: of a picture that comes
    along, or of the newest in the thread. Where none of the presets edits, or the first of
    these takes fewer pictures, and where an option chooses another preset, there are no edits.

    Args:
        options: Options chosen beside *said*, which are in *command*.
    """
    if not is_instruction(said) or any(getattr(command, each) is not None for each in _CHOOSING):
        return command
    preset = service.offered.editing()
    if preset is None or preset.kind.names_of(max(1, len(pictures))) is None:
        return command
    own = await service.preferences.of(source.user)
    try:
        # Without words that the person has behind every prompt.
        asked = parse(str(own.expanded(said)))
    except CommandError:
        asked = command
    if not isinstance(asked, ImagineCommand):
        return command
    if options is not None:
        asked = completed(asked, options)
    if pictures:
        return EditCommand(asked)
    if not source.thread:
        return command
    place = dict(source.thread)
    last = await service.lookups.latest_answered(source.platform, place.pop("channel"), **place)
    return command if last is None else EditCommand(asked)


async def edited(
    service: Service, source: Source, command: EditCommand, pictures: Sequence[Picture]
) -> tuple[Source, ImagineCommand | SeriesCommand, Sequence[Picture]]:
    """What *command* asks for, as a prompt for a preset that edits; with the picture, before those
    that came along for a model that takes several, and its source, who may build on that.

    Raises:
        NotFound: No preset edits, or there is no such picture.
        InvalidRequest: It names a preset that does not edit, or leaves open which picture it means.
    """
    preset = service.offered.editing()
    if preset is None:
        raise no_editor()
    for name in {command.asked.preset, *command.presets} - {None}:
        named = service.presets.get(str(name))
        if named is not None and not named.kind.edits:
            raise InvalidRequest(
                f"the preset {named.name} changes no picture by words: leave it out, or choose"
                f" {preset.name}",
                field="preset",
            )
    asked = replace(command.asked, preset=command.asked.preset or preset.name)
    drawn = series_of(asked, command.repeat, command.presets)
    assert not isinstance(drawn, AgainCommand)
    chosen = service.presets.get(asked.preset or "", preset)
    takes_both = chosen.kind.names_of(1 + len(pictures)) is not None
    if pictures and command.job_id is not None and not takes_both:
        raise InvalidRequest(
            f"edit takes either the picture of {command.job_id} or an attached one: leave one of"
            " them out",
            field="control_image",
        )
    if not pictures or command.job_id is not None:
        source, picture = await _earlier(service, source, command)
        pictures = (picture, *pictures)
    return source, drawn, pictures


async def _earlier(
    service: Service, source: Source, command: EditCommand
) -> tuple[Source, PictureOf]:
    """The picture of an earlier job that *command* means, and its *source*."""
    if command.job_id is not None:
        job = await service.lookups.job(source, command.job_id)
    else:
        latest = await service.lookups.latest(source)
        if latest is None:
            raise NotFound(
                "you have no picture yet that could be changed: attach one", field="control_image"
            )
        job, source = latest, replace(source, shown=latest.id)
    if command.number is None and job.images > 1:
        raise InvalidRequest(
            f"{job.id} has pictures 1 to {job.images}: say which, for example"
            f" edit {job.id} 2 make it night",
            field="number",
        )
    check_picture_number(job, command.number or 1)
    return source, PictureOf(job.id, command.number or 1)
