"""The introduction of the model that the bot draws with."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bot.assembly.parts import role_of
from bot.config import Config
from bot.models import model_name, names_of
from bot.sections import Model
from bot.views import About
from generation import weights
from generation.errors import ModelUnavailable
from generation.tokens import TokenCounter, cut_remark
from generation.types import GenerationRequest

EXAMPLES = (
    "a fox in snow, early morning light",
    "a lighthouse in a storm, oil painting",
    "the inside of a clockmaker's shop, warm lamps",
    "a paper boat on a puddle, macro photograph",
    "a mountain village at night, long exposure",
)


def about_model(config: Config) -> About:
    """The introduction of the main model, of which all but the remarks tells."""
    token_remarks = _token_remarks(config)
    if config.model.repository == weights.DEMO:
        return _about_demo(config, token_remarks)
    text = f"I draw with {model_name(config.model)}. Say what you would like to see."
    return About(text, EXAMPLES, token_remarks)


def _about_demo(
    config: Config, token_remarks: Callable[[GenerationRequest], tuple[str, ...]]
) -> About:
    from generation.demo import SAMPLES
    from generation.demo.vocabulary import EXAMPLE_PROMPTS, SIZES, has_subject, unknown_words

    by_others = {
        each.name
        for each in config.presets.values()
        if config.model_for(each.model) != config.model
    }

    def can_draw(prompt: str, preset: str | None) -> bool:
        is_by_another = bool(by_others) if preset is None else preset in by_others
        return is_by_another or has_subject(prompt)

    def remarks(request: GenerationRequest) -> tuple[str, ...]:
        if request.preset in by_others:
            return token_remarks(request)
        found = []
        if words := unknown_words(request.prompt, edits=request.kind.edits):
            listed = ", ".join(f"“{word}”" for word in words[:5])
            found.append(f"The demo model does not know {listed}, and draws the rest.")
        if (request.width, request.height) not in SIZES:
            known = ", ".join(f"{width} × {height}" for width, height in SIZES)
            found.append(f"The demo model knows the sizes {known}, and draws roughly at others.")
        return (*found, *token_remarks(request))

    return About(
        "This is a small demo model that needs no GPU: it knows ten colours, eight shapes, one to"
        " four of a kind, two different ones together, and little scenes with houses, boats and"
        " trees. It changes them as well: make the circle blue. For FLUX.1-dev, set"
        " model.repository in config.toml on a machine with a GPU.",
        tuple(EXAMPLE_PROMPTS),
        remarks,
        can_draw,
        SAMPLES,
    )


def _token_remarks(config: Config) -> Callable[[GenerationRequest], tuple[str, ...]]:
    """Remarks about prompts that are longer than their model reads, once that is here."""
    counters: dict[Model, TokenCounter] = {}

    def remarks(request: GenerationRequest) -> tuple[str, ...]:
        model = names_of(config).get(request.model, config.model)
        if model not in counters:
            is_demo = model.repository == weights.DEMO
            if not is_demo and "huggingface_hub" not in sys.modules:
                return ()  # importing it would keep everybody waiting; the engine is about to
            try:
                folder = weights.local_folder(
                    model.repository,
                    role_of(model),
                    config.storage.download_dir,
                    revision=model.revision,
                )
            except ModelUnavailable:
                return ()  # the engine says why
            if folder is None:
                return ()
            counters[model] = TokenCounter(folder)
        texts = (request.templated_prompt, request.negative_prompt)
        found = (cut_remark(counters[model], text, model.max_sequence_length) for text in texts)
        return tuple(remark for remark in found if remark is not None)

    return remarks
