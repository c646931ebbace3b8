"""A part of a picture drawn anew by the demo model, judged by its own checker."""

from benchmarks.inpainting import cases, outcome
from generation.diffusion.engine import DiffusionEngine


def test_another_colour_below_a_mask_is_drawn_and_the_rest_stays(tmp_path):
    """`python -m benchmarks.inpainting` does so with twenty, of which 19 are right."""
    engine = DiffusionEngine("demo", device="cpu", max_sequence_length=64, threads=1)
    engine.load()

    outcomes = [outcome(engine, case, seed, tmp_path) for seed, case in enumerate(cases(3))]

    engine.close()
    assert all(each.is_kept for each in outcomes)
    assert sum(each.is_right for each in outcomes) >= 2
