"""The ends of steps, on a device that computes on while they are told."""

import math
from dataclasses import replace

import pytest
import torch

from generation.diffusion.step_ends import StepEnds
from generation.errors import DegenerateResult, GenerationCancelled
from tests.generation.engines import SmallDevice, alike, ignore, model, new_engine

PREVIEW = torch.zeros(8, 8, 3, dtype=torch.uint8)


class Asynchronous(SmallDevice):
    """The CPU, taken for a device that works through a queue."""

    is_asynchronous = True


@pytest.fixture(scope="module")
def at_once(tiny):
    engine = new_engine(tiny)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def behind(tiny):
    device = Asynchronous()
    engine = new_engine(tiny, choose_device=lambda *asked: device)
    engine.load()
    return engine


@pytest.fixture
def fox(fox):
    return replace(fox, num_inference_steps=5)


def calls_of(engine, change=None):
    """The numbers of the transformer's calls from now on, whose output *change* may replace."""
    calls = []

    def hook(module, args, output):
        calls.append(len(calls) + 1)
        return output if change is None else change(len(calls), output)

    return calls, model(engine).text_to_image.transformer.register_forward_hook(hook)


def test_a_step_is_told_when_the_next_one_is_queued_and_its_numbers_have_arrived():
    happened = []

    def copy(*tensors):
        number = sum(word == "copied" for word, _ in happened) + 1
        happened.append(("copied", number))
        return lambda: happened.append(("waited for", number)) or tensors

    ends = StepEnds(Asynchronous(), lambda step: happened.append(("told", step.number)), copy)
    for number in (1, 2):
        ends.add(number, torch.zeros(1), PREVIEW)
    ends.finish()
    ends.finish()

    assert happened == [
        ("copied", 1), ("copied", 2),
        ("waited for", 1), ("told", 1), ("waited for", 2), ("told", 2),
    ]  # fmt: skip


def test_one_step_behind_the_same_steps_are_told_and_the_same_picture_is_drawn(
    at_once, behind, fox, canny
):
    for request in (fox, canny):
        told, later = [], []

        drawn = [at_once.generate(request, told.append), behind.generate(request, later.append)]

        told, later = ([step for step in steps if not step.note] for steps in (told, later))
        assert told == later
        assert [step.number for step in told] == list(range(1, len(told) + 1))
        assert alike(*drawn)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_cancel_costs_the_step_that_was_begun_meanwhile_and_no_more(behind, fox, number):
    def cancel(step):
        if step.number == number:
            raise GenerationCancelled

    calls, hook = calls_of(behind)
    with hook, pytest.raises(GenerationCancelled):
        behind.generate(fox, cancel)

    assert len(calls) == min(number + 1, fox.num_inference_steps)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_numbers_that_overflow_are_told_with_their_own_step_even_the_last(behind, fox, number):
    def poison(call, output):
        return (output[0] * math.nan,) if call == number else output

    steps = []
    _, hook = calls_of(behind, poison)
    with hook, pytest.raises(DegenerateResult, match=f"overflowed at step {number}"):
        behind.generate(fox, lambda step: steps.append(step.number))

    assert steps == list(range(1, number))
    behind.generate(fox, ignore)


def test_within_a_step_everything_before_is_told_first():
    told = []
    ends = StepEnds(Asynchronous(), lambda step: told.append((step.number, bool(step.preview))))

    ends.between(0)
    ends.add(1, torch.zeros(1), PREVIEW)
    ends.between(1)

    assert told == [(0, False), (1, True), (1, False)]
