"""Pictures further up in a conversation: drawn from where somebody says so, or where a preset
needs a picture and none is attached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.commands import ImagineCommand
from bot.sentences import nothing_above
from bot.service import Service
from bot.source import Picture, PictureOf, Source

#: "from the picture above", with what people put around it.
_PHRASES = (
    r"(?:from|with|like|using|of|on|after|based on)\s+(?:the|that|this)\s+"
    r"(?:picture|image|photo|photograph|sketch|drawing|one)\s+(?:above|further up|up there|before)",
    r"(?:nach|aus|von|mit|wie)\s+(?:dem|der|das)\s+"
    r"(?:bild|foto|skizze|zeichnung)\s+(?:oben|weiter oben|darüber)",
    r"(?:d['’]après|à partir de|avec|comme|de)\s+(?:l['’]|la\s+|le\s+)"
    r"(?:image|photo|dessin|croquis)\s+(?:ci-dessus|au-dessus|plus haut)",
    r"(?:a partir de|de|con|como|según)\s+(?:la|el)\s+"
    r"(?:imagen|foto|dibujo|boceto)\s+(?:de arriba|de más arriba|anterior)",
)
_ABOVE = re.compile(
    rf"[\s,;(]*(?<!\w)(?:{'|'.join(_PHRASES)})\)?(?!\w)(?:\s*,)?"
    r"|上の(?:画像|写真|絵|スケッチ)(?:から|をもとに|を元に|を使って|で)",
    re.IGNORECASE,
)


def without_above(prompt: str) -> tuple[str, bool]:
    """*prompt* without words that ask for the picture above, and whether there were any."""
    found = _ABOVE.search(prompt)
    if found is None:
        return prompt, False
    return " ".join(f"{prompt[: found.start()]} {prompt[found.end() :]}".split()), True


async def with_picture_above(
    service: Service, source: Source, command: ImagineCommand
) -> tuple[Source, ImagineCommand, Sequence[Picture]]:
    """*command*, for which nothing is attached, with the picture that it is about, if it is about
    one; and its source, who may build on that picture.

    Raises:
        NotFound: A picture is asked for, and none is above.
    """
    if source.above is None:
        return source, command, ()
    prompt, is_asked = without_above(command.prompt)
    if not is_asked and not await service.needs_a_picture(source.user, command):
        return source, command, ()
    picture = await source.above(is_asked)
    if picture is None:
        if is_asked:
            raise nothing_above()
        return source, command, ()
    if isinstance(picture, PictureOf):
        source = replace(source, shown=picture.job_id)
    return source, replace(command, prompt=prompt), (picture,)
