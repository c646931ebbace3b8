"""Pictures that the demo model changes as words say, judged by its own checker."""

from random import Random

import pytest

from generation.demo import drawings, edits
from generation.demo.checker import judge_edit
from generation.diffusion.engine import DiffusionEngine
from generation.kinds import Edit
from generation.types import GenerationRequest


@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize(
    ("sort", "kinds"),
    [
        ("recolour", ("single", "count")),
        ("ground", ("single", "count", "pair")),
        ("remove", ("single", "count")),
        ("sky", ("scene",)),
    ],
)
def test_what_the_words_name_is_changed_and_the_rest_stays(sort, kinds, size, engine, tmp_path):
    """`python -m generation.demo.evaluate --only edits` judges more of them, and harder ones; its
    table is on the model's card."""
    picture, verdicts = tmp_path / "before.png", []
    for seed in range(3):
        random = Random(f"test {sort} {seed}")
        edit = edits.sample(random, sort, for_evaluation=True, plainly=True, kinds=kinds)
        shown = drawings.render(edit.before, size, size)
        shown.save(picture)
        request = GenerationRequest(
            prompt=edit.caption, width=size, height=size, seed=seed, num_inference_steps=12,
            guidance_scale=3.5, kind=Edit(), lora="demo/lora-edit",
            pictures={"control_image": picture},
        )  # fmt: skip
        drawn = engine.generate(request, lambda progress: None).image
        verdicts.append(judge_edit(shown, drawn, edit))

    assert sum(each.done for each in verdicts) >= 2
    assert sum(each.kept for each in verdicts) >= 2


@pytest.fixture(scope="module")
def engine():
    engine = DiffusionEngine("demo", device="cpu", max_sequence_length=64, threads=1)
    engine.load()
    yield engine
    engine.close()
