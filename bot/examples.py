"""Prompts to press, for people who have said nothing that could be drawn."""

from __future__ import annotations

from collections.abc import Mapping

from bot.commands import Command, ImagineCommand, PromptCommand, SeriesCommand
from bot.languages import Language
from bot.views import About, Choice
from generation.errors import InvalidRequest
from generation.types import GenerationRequest, Preset

#: Examples beside an answer.
EXAMPLES = 3
#: Characters of a prompt that a refusal repeats.
_SHOWN = 60


class NothingKnown(InvalidRequest):
    """The model knows nothing of the prompt, so that any picture of it would be an accident."""


def examples(about: About, presets: Mapping[str, Preset], default: str) -> tuple[Choice, ...]:
    """Prompts to press, as people type them, at most `EXAMPLES`, that the model can draw. The last
    one names a preset, where another than *default* draws from words alone."""
    found = list(about.examples[:EXAMPLES])
    from_words = (
        each.name for each in presets.values() if not each.needs_image and each.name != default
    )
    if found and (name := next(from_words, None)):
        found[-1] = f"{found[-1]} --preset {name}"
    return tuple(Choice(each, each) for each in found)


def check_known(about: About, request: GenerationRequest) -> None:
    """Raise NothingKnown, which names prompts that work, where the model knows nothing of
    *request*'s. No prompt at all is for others to judge."""
    prompt = request.prompt.strip()
    if not prompt or about.can_draw(request.templated_prompt, request.preset):
        return
    shown = prompt if len(prompt) <= _SHOWN else f"{prompt[:_SHOWN]}…"
    first, second, *_ = about.examples
    raise NothingKnown(
        f"the model knows no word of “{shown}”, so nothing was drawn, and nothing charged:"
        f" try “{first}” or “{second}”",
        field="prompt",
    )


def comes_to_nothing(about: About, said: str | Command, command: Command) -> bool:
    """Whether *command*, as a person has *said* it, asks for pictures of which the model knows
    nothing at all: an answer as in a conversation, where programs have an error."""
    if not isinstance(said, str | PromptCommand):
        return False
    members = command.members if isinstance(command, SeriesCommand) else ()
    drawn: list[Command] = [each.command for each in members] or [command]
    return all(
        isinstance(each, ImagineCommand) and not about.can_draw(each.prompt, each.preset)
        for each in drawn
    )


def cannot_be_drawn(say: Language) -> str:
    """The answer to a prompt of which the model knows nothing."""
    return say(
        "I know none of these words, so nothing was drawn, and nothing charged. Try one of these:"
    )
