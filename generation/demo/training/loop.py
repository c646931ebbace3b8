"""A training loop bounded by seconds, which can be killed at any time and goes on from there."""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

LONGEST_STEP = 60.0
"""Seconds. A step that took longer was suspended in between, and counts as this long."""


class Training:
    """Steps, learning rates, averaged weights and checkpoints of one stage.

    Args:
        name: Names the checkpoint, the progress bar and the figures.
        folder: Where `<name>.ckpt` and `<name>.json` are kept.
        module: What learns; also what is averaged and saved.
        optimizers: Stepped together. Their learning rates are taken as the highest.
        seconds: Time to spend, over all runs; the learning rate falls to nothing at its end.
        decay_from: The share of the time, 0 to 1, after which the learning rate falls.
        average: Weight of the past in the moving average of the weights, per step.
        every: Seconds between two checkpoints.
        clock: Tells seconds.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        module: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        seconds: float,
        decay_from: float = 0.4,
        average: float = 0.998,
        every: float = 120,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.folder, self.module, self.optimizers = name, folder, module, optimizers
        self.seconds, self.decay_from, self.average, self.every = (
            seconds,
            decay_from,
            average,
            every,
        )
        self._clock = clock
        self.step, self.spent, self.log = 0, 0.0, []
        self._rates = [[group["lr"] for group in o.param_groups] for o in optimizers]
        self._weights = [p for p in module.parameters() if p.requires_grad]
        self._averaged = [p.detach().clone() for p in self._weights]
        self._recent: list[float] = []
        self._noted: list[float] = []
        self._resume()

    def __iter__(self) -> Iterator[float]:
        """The share of the time that is spent, once for every step to take."""
        last = saved = self._clock()
        bar = tqdm(total=round(self.seconds), initial=round(self.spent), desc=self.name, unit="s")
        with bar:
            while self.spent < self.seconds:
                self._set_rates()
                yield self.spent / self.seconds
                now = self._clock()
                self.spent, last = self.spent + min(now - last, LONGEST_STEP), now
                bar.n = min(round(self.spent), bar.total)
                if self.step % 50 == 0:
                    loss = sum(self._recent) / max(1, len(self._recent))
                    bar.set_postfix(step=self.step, loss=f"{loss:.4f}")
                    noted = sum(self._noted) / max(1, len(self._noted))
                    self.log.append([self.step, round(self.spent), round(noted, 5), round(loss, 5)])
                    self._recent.clear()
                    self._noted.clear()
                if now - saved > self.every:
                    self.save()
                    saved = now
            self.save()

    def learn(self, loss: torch.Tensor) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        share = min(self.average, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self._averaged, self._weights, 1 - share)
        self._recent.append(loss.item())

    def note(self, figure: torch.Tensor) -> None:
        """Another figure of this step, whose mean is logged beside the loss."""
        self._noted.append(figure.item())

    def swap_average(self) -> None:
        """Exchange the weights and their moving average; call again to exchange them back."""
        with torch.no_grad():
            for weight, averaged in zip(self._weights, self._averaged, strict=True):
                kept = weight.clone()
                weight.copy_(averaged)
                averaged.copy_(kept)

    def save(self) -> None:
        """Write the checkpoint and the figures; a crash in between leaves the old ones whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "module": self.module.state_dict(),
            "averaged": self._averaged,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
            "log": self.log,
        }
        aside = self._checkpoint.with_suffix(".part")
        torch.save(state, aside)
        os.replace(aside, self._checkpoint)
        figures = {"steps": self.step, "seconds": round(self.spent), "log": self.log}
        (self.folder / f"{self.name}.json").write_text(json.dumps(figures))

    @property
    def _checkpoint(self) -> Path:
        return self.folder / f"{self.name}.ckpt"

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, weights_only=True)
        self.module.load_state_dict(state["module"])
        for mine, saved in zip(self._averaged, state["averaged"], strict=True):
            mine.copy_(saved)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.spent, self.log = state["step"], state["spent"], state["log"]

    def _set_rates(self) -> None:
        share = self.spent / self.seconds
        fall = max(0.0, (share - self.decay_from) / (1 - self.decay_from))
        factor = min(1.0, (self.step + 1) / 50) * (
            0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall))
        )
        for optimizer, rates in zip(self.optimizers, self._rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor


@torch.no_grad()
def take_average(folder: Path, name: str, weights: Iterable[nn.Parameter]) -> None:
    """Give *weights*, those that learned in the stage *name*, the averages of its checkpoint."""
    averaged = torch.load(folder / f"{name}.ckpt", weights_only=True)["averaged"]
    for weight, average in zip(weights, averaged, strict=True):
        weight.copy_(average)


def use_the_processor_well(threads: int) -> None:
    """Set the number of threads; flush denormal numbers, which are slow, to zero."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
