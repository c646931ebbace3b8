"""What ``python -m bot check`` finds of the models: where they are, and how they fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from bot.assembly.engine import Plan, devices
from bot.assembly.parts import role_of
from bot.config import Config, ConfigError, Secrets, check_license
from bot.models import model_name
from bot.sections import Model
from generation import weights
from generation.checks import public_name
from generation.errors import FluxbotError
from generation.preprocessors import Preprocessors

if TYPE_CHECKING:
    from generation.diffusion.memory import Plan as MemoryPlan


class Finding(NamedTuple):
    """A part of the bot, whether nothing is missing there, and a sentence about it."""

    name: str
    is_right: bool
    sentence: str


def main_memory_findings(config: Config, secrets: Secrets) -> Iterator[Finding]:
    """A finding about the weights that wait in this machine's memory for their turn on a card, and
    one about models that are to share a card, once they are here."""
    if config.engine.ray is not None:
        return
    from generation.diffusion.device import choose_device
    from generation.diffusion.main_memory import room

    waiting = []
    try:
        for number, name in enumerate(devices(config), start=1):
            is_card = choose_device(name, config.model.dtype).has_own_memory
            if not is_card and len(config.drawn_with) == 1:
                return
            from generation.diffusion.several_models import engine_of  # which takes seconds

            plan = Plan(config, secrets, Preprocessors(), name, number)
            engine = engine_of(**plan.arguments, preprocessors=plan.preprocessors)
            planned = {each: found for each, found in engine.planned().items() if found}
            if model_name(config.model) not in planned:
                return
            if len(planned) > 1:
                yield together_finding(plan.name, planned, None if is_card else room())
            waiting.append(max(found.waiting[found.level] for found in planned.values()))
            for found in planned.values():
                if is_card and found.advice is not None:
                    yield Finding("device", True, f"{plan.name}: {found.advice}")
    except FluxbotError:
        return  # other findings say more
    if is_card:
        yield main_memory_finding(waiting, room())


def together_finding(
    engine: str, planned: Mapping[str, MemoryPlan], main_memory: int | None
) -> Finding:
    """The finding about the models of an *engine*, which are *planned* so: whether all stay in
    memory at once.

    Args:
        main_memory: Bytes that there are for weights, where they lie there; None where they lie on
            a card.
    """
    from generation.diffusion.memory import in_gigabytes
    from generation.diffusion.others import has_room

    if main_memory is None:
        resting = sum(plan.resting for plan in planned.values())
        all_stay = all(
            plan.free is None or has_room(plan, plan.free - (resting - plan.resting))
            for plan in planned.values()
        )
        sizes = {
            name: f"{in_gigabytes(plan.weights)}, {plan.sentence()}"
            for name, plan in planned.items()
        }
    else:
        all_stay = sum(plan.weights for plan in planned.values()) <= main_memory
        sizes = {name: in_gigabytes(plan.weights) for name, plan in planned.items()}
    listed = "; ".join(f"{public_name(name)} ({size})" for name, size in sizes.items())
    both = "both" if len(planned) == 2 else "all"
    end = f"{both} stay in memory" if all_stay else "they take turns in memory"
    return Finding("models", True, f"{engine}: {listed}: {end}")


def main_memory_finding(waiting: Sequence[int], room: int) -> Finding:
    """The finding about engines whose weights take so many bytes of main memory, which has *room*
    for so many."""
    from generation.diffusion.main_memory import WAY_OUT
    from generation.diffusion.memory import in_gigabytes

    drawing = [number for number, sums in enumerate(accumulate(waiting)) if sums <= room]
    engines = "the engine" if len(waiting) == 1 else f"{len(waiting)} engines"
    sentence = (
        f"{in_gigabytes(sum(waiting))} of weights for {engines}, and room for {in_gigabytes(room)}"
    )
    if len(drawing) == len(waiting):
        return Finding("memory", True, sentence)
    if len(waiting) == 1:
        slow = "they are read from the disk again and again"
        return Finding("memory", False, f"{sentence}: {slow}; {WAY_OUT}")
    left_out = len(waiting) - max(1, len(drawing))
    return Finding("memory", False, f"{sentence}, so {left_out} of them cannot draw: {WAY_OUT}")


def transformer_findings(config: Config) -> Iterator[Finding]:
    """A finding about the transformer that stands in for the model's own, where one is named."""
    name = config.model.transformer
    if name is None:
        return
    try:
        wanted = weights.wanted_from_hub(name, "transformer")
    except FluxbotError as error:
        yield Finding("model", False, f"model.transformer: {error}")
        return
    where = "which is here"
    if wanted is not None:
        from generation import hub

        is_here = hub.cached(wanted) is not None
        where = "which is in the cache" if is_here else "to be fetched from the Hugging Face Hub"
    yield Finding("model", True, f"with the transformer of {name}, {where}")


def model_finding(config: Config, model: Model, secrets: Secrets) -> Finding:
    """The finding about *model*: the place of its weights, or the reason why there is none."""
    repository, revision = model.repository, model.revision
    try:
        check_license(config, model)
        wanted = weights.wanted_from_hub(repository, role_of(model), revision)
    except (ConfigError, FluxbotError) as error:
        return Finding("model", False, str(error))
    if repository == weights.DEMO:
        if weights.has_trained_demo():
            return Finding("model", True, "demo, which ships with the project")
        missing = "demo, but its weights are not here: a random model draws noise"
        return Finding("model", True, missing)
    if wanted is None:
        return Finding("model", True, f"the folder {repository}")
    from generation import hub

    if hub.cached(wanted) is not None:
        return Finding("model", True, f"{repository}, which is in the cache")
    has_token = bool(secrets.hf_token or hub.stored_token())
    known = config.models.get(repository)  # its own table, not that of a profile
    if known is not None and known.gated and not has_token:
        return Finding("model", False, hub.gated_sentence(repository))
    token = "a token is set" if has_token else "no HF_TOKEN is set"
    sentence = f"{repository}, to be fetched from the Hugging Face Hub; {token}"
    return Finding("model", True, sentence)
