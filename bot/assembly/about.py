"""The introduction of the model that the bot draws with."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bot.assembly.parts import role_of_model
from bot.config import Config
from bot.requests import model_name
from bot.views import About
from generation import weights
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
    """The introduction of the model in ``model.repository``."""
    token_remarks = _token_remarks(config)
    if config.model.repository == weights.DEMO:
        return _about_demo(token_remarks)
    text = f"I draw with {model_name(config.model)}. Say what you would like to see."
    return About(text, EXAMPLES, token_remarks)


def _about_demo(token_remarks: Callable[[GenerationRequest], tuple[str, ...]]) -> About:
    from generation.demo import SAMPLES
    from generation.demo.vocabulary import EXAMPLE_PROMPTS, SIZES, has_subject, unknown_words

    def remarks(request: GenerationRequest) -> tuple[str, ...]:
        found = []
        if words := unknown_words(request.prompt):
            listed = ", ".join(f"“{word}”" for word in words[:5])
            found.append(f"The demo model does not know {listed}, and draws the rest.")
        if (request.width, request.height) not in SIZES:
            known = ", ".join(f"{width} × {height}" for width, height in SIZES)
            found.append(f"The demo model knows the sizes {known}, and draws roughly at others.")
        return (*found, *token_remarks(request))

    return About(
        "This is a small demo model that needs no GPU: it knows ten colours, eight shapes, one to"
        " four of a kind, two different ones together, and little scenes with houses, boats and"
        " trees. For FLUX.1-dev, set model.repository in config.toml on a machine with a GPU.",
        tuple(EXAMPLE_PROMPTS),
        remarks,
        has_subject,
        SAMPLES,
    )


def _token_remarks(config: Config) -> Callable[[GenerationRequest], tuple[str, ...]]:
    """Remarks about prompts that are longer than the model reads, once the model is here."""
    counters: list[TokenCounter] = []

    def remarks(request: GenerationRequest) -> tuple[str, ...]:
        if not counters:
            is_demo = config.model.repository == weights.DEMO
            if not is_demo and "huggingface_hub" not in sys.modules:
                return ()  # importing it would keep everybody waiting; the engine is about to
            folder = weights.local_folder(
                config.model.repository,
                role_of_model(config),
                config.storage.download_dir,
                revision=config.model.revision,
            )
            if folder is None:
                return ()
            counters.append(TokenCounter(folder))
        texts = (request.templated_prompt, request.negative_prompt)
        found = (cut_remark(counters[0], text, config.model.max_sequence_length) for text in texts)
        return tuple(remark for remark in found if remark is not None)

    return remarks
