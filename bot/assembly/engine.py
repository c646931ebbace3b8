"""The executors: one for each device, made by the word of ``engine.process``."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bot.assembly.neighbours import Call, Event, tell
from bot.assembly.parts import controlnets, listed_loras, loras, preprocessor_models
from bot.config import Config, Secrets
from bot.models import model_name
from bot.sections import Engine as EngineSettings
from bot.sections import Model
from generation.cards import alone_with, cards, has_card
from generation.child import ChildEngine
from generation.executor import ThreadExecutor
from generation.preprocessors import Preprocessors
from generation.protocols import Engine, Executor
from generation.ray_executor import Place, RayExecutor
from generation.resting_executor import RestingExecutor, Unloadable

#: Seconds to wait for the next step of a running picture when the bot stops.
SECONDS_TO_STOP = 10.0

#: The engine in another process.
ENGINE = "generation.diffusion.several_models:engine_of"

logger = logging.getLogger("bot")


@dataclass(frozen=True, slots=True)
class Plan:
    """An engine that is still to be made: for one device, from the configuration.

    Attributes:
        device: As in ``model.device``.
        preprocessors: For an engine in this process, which shares them with the chats.
        number: Which of the engines it is, from 1.
        gpu: The GPU of a cluster that it is for; None for any that is free.
    """

    config: Config
    secrets: Secrets
    preprocessors: Preprocessors
    device: str
    number: int = 1
    gpu: Place | None = None

    @property
    def name(self) -> str:
        """Name of the engine, for operators."""
        return engine_name(self.number)

    @property
    def place(self) -> str:
        """The device, where the configuration names it; else empty."""
        return "" if self.device == "auto" else self.device

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of `engine_of`, but for its preprocessors."""
        model = self.config.model
        return {
            "models": {model_name(each): self._of_model(each) for each in self.config.drawn_with},
            "download_dir": self.config.storage.download_dir,
            "device": self.device,
            "dtype": model.dtype,
            "offload_level": model.offload_level,
            "quantized": model.quantization,
            "text_quantized": model.text_encoder_quantization,
            "compiled": model.compile,
            "attention": model.attention,
            "token": self.secrets.hf_token,
        }

    @property
    def portable_arguments(self) -> dict[str, Any]:
        """Arguments of `engine_of` that make the same engine in another process."""
        preprocessors = preprocessor_models(self.config, self.secrets.hf_token)
        return {**self.arguments, "preprocessors": preprocessors}

    def _of_model(self, model: Model) -> dict[str, Any]:
        """Arguments that hold for *model* alone."""
        return {
            "repository": model.repository,
            "revision": model.revision,
            "transformer": model.transformer,
            "max_sequence_length": model.max_sequence_length,
            "controlnets": controlnets(self.config, model),
            "loras": loras(self.config, model),
            "combines_loras": bool(listed_loras(self.config, model)),
            "pixels": max(model.width * model.height, self.config.limits.pixels),
        }


def _on_thread(plan: Plan) -> Unloadable:
    """An executor whose engine lives in this process; torch is imported on its thread."""

    def load() -> Engine:
        _announce(plan)
        from generation.diffusion.several_models import engine_of

        return engine_of(**plan.arguments, preprocessors=plan.preprocessors)

    return ThreadExecutor(load, name=plan.name, device=plan.place, seconds_to_close=SECONDS_TO_STOP)


def _in_child(plan: Plan) -> Unloadable:
    """An executor whose engine lives in a process of its own, which can be killed."""

    def load() -> Engine:
        _announce(plan)
        device, environment = alone_with(plan.device, os.environ)
        return ChildEngine(
            ENGINE,
            {**plan.portable_arguments, "device": device},
            environment=environment,
            seconds_to_load=plan.config.engine.seconds_to_load,
            seconds_per_step=plan.config.engine.seconds_per_step,
        )

    return ThreadExecutor(load, name=plan.name, device=plan.place, seconds_to_close=SECONDS_TO_STOP)


def _on_ray(plan: Plan) -> Unloadable:
    """An executor whose engine lives on a node of the cluster."""
    address = plan.config.engine.ray
    assert address is not None
    return RayExecutor(
        address,
        plan.name,
        ENGINE,
        # An actor sees its own card alone, as the first.
        {**plan.portable_arguments, "device": plan.device.partition(":")[0]},
        place=plan.gpu,
        seconds_to_load=plan.config.engine.seconds_to_load,
        seconds_per_step=plan.config.engine.seconds_per_step,
        seconds_to_close=SECONDS_TO_STOP,
    )


def _announce(plan: Plan) -> None:
    place = plan.place and f" on {plan.place}"
    repository = plan.config.model.repository
    logger.info(
        "%s%s: importing torch and diffusers, loading the model %s", plan.name, place, repository
    )


#: Executors by the word of ``engine.process``, where "auto" chooses among them, or by that of a
#: cluster.
EXECUTORS: dict[str, Callable[[Plan], Unloadable]] = {
    "thread": _on_thread,
    "child": _in_child,
    "ray": _on_ray,
}


def executors(
    config: Config, secrets: Secrets, preprocessors: Preprocessors
) -> tuple[Executor, ...]:
    """An executor for each device, not started yet; beside them there may be a fleet."""
    plan = partial(Plan, config, secrets, preprocessors)
    made = (
        EXECUTORS[executor_word(config, device)](plan(device, number))
        for number, device in enumerate(devices(config), start=1)
    )
    return tuple(_resting(executor, config.engine) for executor in made)


def _resting(executor: Unloadable, settings: EngineSettings) -> Executor:
    """*executor*, which gives its memory back when it idles, if *settings* want that, and has its
    neighbours told."""
    if not (settings.unload_after or settings.before_loading or settings.after_unloading):
        return executor

    def told(call: Call, event: Event) -> Callable[[], Awaitable[None]]:
        return partial(tell, call, event, executor.name, settings.seconds_to_call)

    return RestingExecutor(
        executor,
        60 * settings.unload_after or None,
        before_loading=told(settings.before_loading, "before_loading"),
        after_unloading=told(settings.after_unloading, "after_unloading"),
    )


def engine_name(number: int) -> str:
    """Name of an engine of this bot, by its number from 1."""
    return f"engine-{number}"


def devices(config: Config) -> tuple[str, ...]:
    """Devices that draw as long as the bot runs, as in ``model.device``: that one, those of
    ``engine.devices``, or as many as ``engine.workers`` says of a cluster; none where a fleet
    follows that."""
    if config.engine.ray is None:
        named = config.engine.devices
        return (cards(os.environ) if named == ("auto",) else named) or (config.model.device,)
    workers = config.engine.workers
    return () if workers == "auto" else (config.model.device,) * workers


def executor_word(config: Config, device: str) -> str:
    """The key of `EXECUTORS` for *device*: a child of its own for a GPU, unless
    ``engine.process`` says otherwise; with a cluster its own word."""
    if config.engine.ray is not None:
        return "ray"
    word = config.engine.process
    if word != "auto":
        return word
    is_gpu = device.startswith("cuda") or (device == "auto" and has_card())
    return "child" if is_gpu else "thread"
