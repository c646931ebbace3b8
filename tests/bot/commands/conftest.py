from __future__ import annotations

import pytest

from bot.commands import CommandError, ImagineCommand, parse
from generation.types import GenerationRequest

FOX = GenerationRequest(
    prompt="a fox", num_inference_steps=20, guidance_scale=3.5, width=256, height=256, seed=7
)
LETTER_ID = "backyard"  # a job's id by chance, one in eleven has no digit
ID = "k7m2p9qa"


def imagine(text: str) -> ImagineCommand:
    command = parse(text)
    assert isinstance(command, ImagineCommand)
    return command


def refusal(text: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        parse(text)
    return caught.value


def refusal_of(text: str) -> CommandError | None:
    try:
        parse(text)
    except CommandError as error:
        return error
    return None
