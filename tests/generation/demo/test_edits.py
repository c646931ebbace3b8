"""Drawings before and after a change, and whether the checker sees what was changed."""

from random import Random

import pytest
from PIL import ImageDraw

from generation.demo import drawings, edits
from generation.demo.checker import EditVerdict, judge_edit
from generation.demo.vocabulary import has_subject, unknown_words


@pytest.mark.parametrize("sort", edits.SORTS)
def test_the_checker_sees_whether_a_change_was_made_and_what_else_was(sort):
    random = Random(sort)
    for _ in range(12):
        edit = edits.sample(random, sort, for_evaluation=True)
        before, after = (drawings.render(each) for each in (edit.before, edit.after))
        spoilt = after.copy()
        for top, fill in ((2, "white"), (10, "black")):
            ImageDraw.Draw(spoilt).rectangle((2, top, 40, top + 7), fill=fill)

        assert judge_edit(before, after, edit) == EditVerdict(done=True, kept=True), edit
        assert not judge_edit(before, before, edit).done, edit
        if sort not in ("ground", "sky"):
            assert judge_edit(before, before, edit).kept, edit
            assert not judge_edit(before, spoilt, edit).kept, edit


def test_only_what_the_words_name_differs_and_they_are_made_of_words_that_were_taught():
    random = Random(0)
    for _ in range(300):
        edit = edits.sample(random)
        is_other = edit.before.ground != edit.after.ground
        assert is_other == (edit.sort in ("ground", "sky"))
        assert (edit.before.things != edit.after.things) >= (edit.sort in ("recolour", "remove"))
        assert has_subject(edit.caption)
        assert not unknown_words(edit.caption, edits=True)
    assert unknown_words("remove the fox", edits=True) == ["fox"]
    assert has_subject("make it night")
    assert unknown_words("remove the star") == ["remove"]


def test_the_way_back_is_told_as_well():
    edit = edits.sample(Random(3), "recolour", plainly=True)

    told = edits.describe(Random(0), edit.after, edit.before, "recolour", plainly=True)

    assert edit.caption.startswith("make the ")
    assert told.startswith("make the ")
    old = {thing.colour for thing in edit.before.things} - {t.colour for t in edit.after.things}
    assert told.split()[-1] in old
