"""LoRAs that people ask for: what they typed, and what the operator lists for it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bot.commands import AskedLora, ImagineCommand, read_option
from bot.config import Config
from bot.languages import ENGLISH, Language
from bot.sections import ListedLora, Model
from generation.checks import check_text, public_name, shortened
from generation.errors import InvalidRequest
from generation.types import GenerationRequest, Lora, Preset

#: Names that a refusal lists at most.
MOST_NAMES = 12

#: A LoRA in a prompt, as people write it for A1111 and its kin: <lora:ink:0.8>.
_TAG = re.compile(r"(?<![ \t])[ \t]*<lora:([^<>:]+)(?::([^<>:]*))?(?::[^<>]*)?>", re.IGNORECASE)


def chosen(asked: Sequence[AskedLora], listed: Mapping[str, ListedLora]) -> tuple[Lora, ...]:
    """What *asked* means among those *listed*.

    Raises:
        InvalidRequest: There is no such LoRA, or its weight is out of its range.
    """
    return tuple(_chosen(each, listed) for each in asked)


def _chosen(asked: AskedLora, listed: Mapping[str, ListedLora]) -> Lora:
    known = listed.get(asked.name)
    if known is None:
        raise _unknown(asked.name, listed)
    scale = known.lora_scale if asked.lora_scale is None else asked.lora_scale
    lowest, highest = known.min_lora_scale, known.max_lora_scale
    if not lowest <= scale <= highest:
        raise InvalidRequest(
            f"the LoRA {known.name} takes weights from {lowest:g} to {highest:g}, not {scale:g}",
            field="loras",
        )
    return Lora(
        name=known.name,
        lora=known.repository,
        lora_scale=scale,
        trigger_words=known.trigger_words,
    )


def made_for(lora: ListedLora, model: Model) -> bool:
    """Whether *lora* may be asked for with *model*."""
    return lora.model in (None, model.repository, f"{model.repository}@{model.revision}")


def takers(lora: ListedLora, presets: Iterable[Preset], config: Config) -> tuple[str, ...]:
    """Names of those *presets* with which *lora* may be asked for."""
    return tuple(
        each.name
        for each in presets
        if each.kind.takes_loras and made_for(lora, config.model_for(each.model))
    )


def check_made_for(
    asked: Sequence[Lora], listed: Mapping[str, ListedLora], model: Model, preset: str
) -> None:
    """Raise InvalidRequest where one of *asked* was made for another model than that with which
    *preset* draws."""
    for each in asked:
        known = listed.get(each.name)
        if known is None or known.model is None or made_for(known, model):
            continue
        drawn, own = public_name(model.repository), public_name(known.model)
        raise InvalidRequest(
            f"the LoRA {each.name} was made for {own}, and the preset {preset} draws with {drawn}:"
            " leave it out, or choose another preset",
            field="loras",
        )


def _unknown(name: str, listed: Mapping[str, ListedLora]) -> InvalidRequest:
    if not listed:
        return InvalidRequest("there are no LoRAs to choose from here: leave it out", field="loras")
    names = ", ".join([*listed][:MOST_NAMES]) + (", …" if len(listed) > MOST_NAMES else "")
    near = difflib.get_close_matches(name, listed, 1)
    return InvalidRequest(
        f"there is no LoRA {shortened(name)}; did you mean {near[0]}? There are {names}"
        if near
        else f"there is no LoRA {shortened(name)}: choose one of {names}",
        field="loras",
    )


def asked_of(request: GenerationRequest) -> tuple[AskedLora, ...] | None:
    """The LoRAs that were asked for when *request* was made; None without any."""
    asked = tuple(AskedLora(each.name, each.lora_scale) for each in request.loras)
    return asked or None


def still_offered(
    request: GenerationRequest, listed: Mapping[str, ListedLora], model: Model
) -> tuple[GenerationRequest, tuple[str, ...]]:
    """*request* without LoRAs that are no longer *listed*, or not with their weights, or were made
    for another than *model*, and sentences about these."""
    left, gone, others = [], [], []
    for each in request.loras:
        known = listed.get(each.name)
        if known is None or not known.min_lora_scale <= each.lora_scale <= known.max_lora_scale:
            gone.append(each.name)
        elif not made_for(known, model):
            others.append(each.name)
        else:
            left.append(each)
    remarks = []
    if gone:
        names = ", ".join(gone)
        remarks.append(f"These LoRAs are no longer offered, and were left out: {names}.")
    if others:
        names = ", ".join(others)
        remarks.append(f"These LoRAs were made for another model, and were left out: {names}.")
    return replace(request, loras=tuple(left)), tuple(remarks)


def weights_of(lora: ListedLora) -> tuple[float, ...]:
    """Weights of *lora* that menus offer: the usual one, half of it, the most, and the least where
    that does the opposite."""
    usual = lora.lora_scale
    wanted = [
        usual,
        usual / 2,
        lora.max_lora_scale,
        *([lora.min_lora_scale] * (lora.min_lora_scale < 0)),
    ]
    allowed = [each for each in wanted if lora.min_lora_scale <= each <= lora.max_lora_scale]
    return tuple(dict.fromkeys(each for each in allowed if each))


def tags(loras: Sequence[Lora]) -> str:
    """*loras* as A1111 has them in prompts."""
    return "".join(f" <lora:{each.name}:{each.lora_scale:g}>" for each in loras)


def without_tags(command: ImagineCommand) -> tuple[ImagineCommand, tuple[str, ...]]:
    """*command* with the LoRAs that its prompt names among its options instead, and a sentence
    about them.

    Raises:
        InvalidRequest: One has no name or weight that could be one, or is named twice; or the
            prompt is no text.
    """
    check_text("prompt", command.prompt)
    prompt, tagged = parted(command.prompt)
    if not tagged:
        return command, ()
    value = ",".join([*map(str, command.loras or ()), tagged])
    asked = read_option("lora", value)["loras"]
    # What else stood in the tags was read by nobody, and is repeated to nobody.
    found = asked[len(command.loras or ()) :]
    texts, named = " ".join(f"<lora:{each}>" for each in found), ",".join(map(str, found))
    remark = f"In the prompt, {texts} was read as --lora {named}."
    return replace(command, prompt=prompt, loras=asked), (remark,)


def parted(prompt: str) -> tuple[str, str]:
    """*prompt* without the LoRAs that it names as A1111 does, and these as the value of an option;
    empty without any."""
    found = _TAG.findall(prompt)
    if not found:
        return prompt, ""
    named = ",".join(f"{name}:{scale}" if scale else name for name, scale in found)
    return _TAG.sub("", prompt).strip(), named


def remarks(request: GenerationRequest) -> tuple[str, ...]:
    """Sentences on what the LoRAs of *request* make of its prompt."""
    if not (words := request.added_trigger_words) or words[-1] not in request.templated_prompt:
        return ()
    listed = ", ".join(f"“{word}”" for word in words)
    return (f"Trigger words were added to the prompt: {listed}.",)


def listing(
    listed: Mapping[str, ListedLora], say: Language = ENGLISH, *, tells_models: bool = False
) -> str:
    """The LoRAs *listed*, a line each, and how to ask for them; with *tells_models* also for which
    model each was made."""
    if not listed:
        return say("There are no LoRAs to choose from here.")
    lines = [_line(lora, say, tells_models) for lora in listed.values()]
    return "\n".join([*lines, say("Write --lora NAME:WEIGHT behind a prompt; several add up.")])


def _line(lora: ListedLora, say: Language, tells_model: bool) -> str:
    weights = say(
        "weight {usual}, from {lowest} to {highest}",
        usual=f"{lora.lora_scale:g}",
        lowest=f"{lora.min_lora_scale:g}",
        highest=f"{lora.max_lora_scale:g}",
    )
    if tells_model and lora.model is not None:
        weights = f"{weights}, {say('made for {model}', model=public_name(lora.model))}"
    description = say(lora.description) if lora.description else say("no description")
    line = f"{lora.name} ({weights}): {description}"
    if lora.trigger_words:
        words = ", ".join(f"“{word}”" for word in lora.trigger_words)
        line += f" ({say('trigger words: {words}', words=words)})"
    return line
