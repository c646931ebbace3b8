"""Steps that are likely to be computed, by which pictures are priced."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from generation.evaluations import FIRST_STEPS, LAST_STEPS, LONGEST_RUN, expected
from generation.kinds import ImageToImage
from tests.generation.conftest import FOX

steps = st.integers(1, 50)
tolerances = st.floats(0, 2)


@given(steps, tolerances, tolerances)
def test_more_tolerance_never_costs_more_nor_less_than_the_longest_runs(steps, one, other):
    less, more = sorted((one, other))

    least = FIRST_STEPS + LAST_STEPS + (steps - FIRST_STEPS - LAST_STEPS) / (1 + LONGEST_RUN)
    assert min(steps, least) <= expected(steps, more) <= expected(steps, less) <= steps
    assert expected(steps, 0) == steps
    assert expected(steps, less, has_negative_prompt=True) >= expected(steps, less)


def test_a_request_counts_the_steps_that_it_takes_and_negative_prompts_twice():
    whole = replace(FOX, num_inference_steps=28)
    assert whole.expected_evaluations == 28
    assert replace(whole, negative_prompt="rain", true_cfg_scale=3).expected_evaluations == 56

    guessing = replace(whole, step_cache_tolerance=0.6)
    assert guessing.expected_evaluations == expected(28, 0.6) < 14
    guided = replace(guessing, negative_prompt="rain", true_cfg_scale=3)
    assert guided.expected_evaluations == 2 * expected(28, 0.6, has_negative_prompt=True)
    assert replace(
        guessing, kind=ImageToImage(strength=0.5), pictures={"control_image": "x.png"}
    ).expected_evaluations == expected(14, 0.6)
