"""Steps that are guessed from those before."""

from itertools import pairwise

import pytest
import torch

from generation.diffusion.step_cache import StepCache

STEPS = 28


def drawn(velocity, tolerance, *, steps=STEPS, note=lambda cache, number: None):
    """Latents after *steps* with a model whose velocity at a level of noise is *velocity*, and the
    numbers of those that were computed."""
    cache, computed = StepCache(), []
    cache.begin(tolerance)
    levels = torch.linspace(1, 0, steps + 1).tolist()
    sample = torch.ones(1, 4, 8)
    for number in range(steps):
        note(cache, number)
        sigma, following = levels[number : number + 2]
        output = torch.full_like(sample, torch.nan)
        if not cache.is_skipping:
            computed.append(number)
            output = velocity(sigma) * torch.ones_like(sample)
        output, sample = cache.step(output, sample, sigma, following)
        sample = sample + (following - sigma) * output
        cache.decide(steps - number - 1)
    return sample, computed


def test_a_straight_line_is_guessed_to_the_same_picture():
    """What guesses miss by following half of the slope is put right afterwards."""
    whole, _ = drawn(lambda sigma: 1 + 2 * sigma, 0)

    guessed, computed = drawn(lambda sigma: 1 + 2 * sigma, 0.5)

    assert torch.allclose(guessed, whole, atol=1e-5)
    assert len(computed) < STEPS / 2


def test_the_first_steps_and_the_last_are_computed_and_runs_are_short():
    _, computed = drawn(lambda sigma: 1.0, 2.0)

    assert computed[:4] == [0, 1, 2, 3]
    assert computed[-1] == STEPS - 1
    between = [later - earlier for earlier, later in pairwise(computed)]
    assert max(between) == 4


@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_few_steps_are_all_computed(steps):
    _, computed = drawn(lambda sigma: 1.0, 2.0, steps=steps)

    assert computed == list(range(steps))


def test_a_line_that_bends_is_computed_more_often():
    def bent(sigma):
        return 1 + 3 * torch.sin(torch.tensor(40 * sigma))

    _, straight = drawn(lambda sigma: 1 + sigma, 0.3)
    _, bending = drawn(bent, 0.3)

    assert len(bending) > len(straight)


def test_without_tolerance_nothing_is_guessed_and_nothing_kept():
    cache = StepCache()
    output, sample = torch.ones(1, 4, 8), torch.zeros(1, 4, 8)

    same_output, same_sample = cache.step(output, sample, 1.0, 0.9)
    cache.decide(20)

    assert same_output is output
    assert same_sample is sample
    assert not cache._known


@pytest.mark.parametrize("change", range(8, 12))
def test_the_step_at_which_a_controlnet_ends_is_computed(change):
    """Whatever was foretold before it."""

    def note(cache, number):
        cache.note_guidance(number < change)

    _, computed = drawn(lambda sigma: 1.0, 2.0, note=note)

    assert {change, change + 1} <= set(computed)
