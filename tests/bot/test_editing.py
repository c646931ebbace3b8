"""Pictures changed as words say: what is typed, what is meant, and what comes of it."""

from dataclasses import replace

import pytest

from bot.commands import (
    AnswerCommand,
    CommandError,
    EditCommand,
    ImagineCommand,
    parse,
)
from bot.conversation import converse
from bot.editing import is_instruction
from bot.lineage import Relation
from bot.refusals import NotFound
from bot.source import PictureOf, Source
from generation.kinds import Edit
from generation.types import Preset
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, BOB, INPAINTING, PRESETS, finished
from tests.samples import opened, picture

NIGHT = ImagineCommand("make it night")
EDITING = {**PRESETS, "edit": Preset(name="edit", kind=Edit(kontext="a/b"))}
THREAD = {"channel": "C1", "root": "1.5"}


@pytest.fixture
async def bot(make_bot, gate):
    gate.open()
    return await make_bot(presets=EDITING)


@pytest.fixture
async def circle(bot):
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(job)
    return job


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("edit make it night", EditCommand(NIGHT)),
        ("Edit: make it night", EditCommand(NIGHT)),
        ("edit k7m2p9qa make it night", EditCommand(NIGHT, "k7m2p9qa")),
        ("edit #k7m2p9qa 2 make it night", EditCommand(NIGHT, "k7m2p9qa", 2)),
        ("edit k7m2p9qa 2", EditCommand(ImagineCommand("2"), "k7m2p9qa")),
        ("edit daffodil into a rose", EditCommand(ImagineCommand("daffodil into a rose"))),
        ("edit darkness into light", EditCommand(ImagineCommand("darkness into light"))),
        ("edit #darkness make it night", EditCommand(NIGHT, "darkness")),
        (
            "edit make it night --steps 20 --repeat 2",
            EditCommand(replace(NIGHT, num_inference_steps=20), repeat=2),
        ),
        ("editor at a desk", ImagineCommand("editor at a desk")),
    ],
)
def test_edit_reads_an_id_a_number_and_what_to_change(text, command):
    assert parse(text) == command


@pytest.mark.parametrize("text", ["edit", "/edit", "edit k7m2p9qa", "edit k7m2p9qa --steps 20"])
def test_an_edit_without_words_says_what_is_missing(text):
    with pytest.raises(CommandError, match="edit how"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ["make it night", "Now make the sky red", "add a hat", "please remove the star",
     "replace the moon with a lamp", "turn it into a watercolour", "give her a hat",
     "mach es dunkler", "entferne den Stern", "rends-le plus sombre", "ajoute un chapeau",
     "change le fond", "hazlo de noche", "quita la estrella", "夜にして", "星を消してください"],
)  # fmt: skip
def test_sentences_that_say_what_to_change(text):
    assert is_instruction(text)


@pytest.mark.parametrize(
    "text",
    ["make a birthday card", "a red house", "change of seasons in a forest", "a fox, make it red",
     "additional lamps", "imagine make it night", "putti on a ceiling", "an addition",
     "fais un dessin", "mach mir ein Bild", "夜の城"],
)  # fmt: skip
def test_sentences_that_begin_a_new_picture(text):
    assert not is_instruction(text)


async def test_an_edit_starts_from_the_picture_that_was_chosen(bot, circle):
    source = Source(BOB, shown=circle.id)

    reply = await converse(bot.service, source, EditCommand(NIGHT, circle.id))

    job = reply.job
    assert reply.is_new
    assert (job.request.preset, job.request.prompt) == ("edit", "make it night")
    assert (job.parent, job.relation, job.user) == (circle.id, Relation.EDITED, BOB)
    drawn = await bot.service.lookups.picture(Source(ADA), circle.id)
    with opened(job.request.control_image) as start, opened(drawn) as image:
        assert start.tobytes() == image.convert("RGB").tobytes()
    await finished(job)


async def test_without_an_id_it_is_the_attached_picture_or_the_latest(bot, circle):
    attached = await converse(bot.service, Source(ADA), "edit make it night", [picture(96, 64)])
    latest = await converse(bot.service, Source(ADA), "edit make it day")

    assert attached.job.parent is None
    with opened(attached.job.request.control_image) as image:
        assert image.size == (96, 64)
    assert latest.job.parent == attached.job.id or latest.job.parent == circle.id
    assert latest.job.relation is Relation.EDITED


async def test_the_size_is_the_nearest_that_the_model_prefers_and_is_said(bot):
    reply = await converse(bot.service, Source(ADA), "edit make it night", [picture(90, 60)])

    request = reply.job.request
    assert abs(request.width / request.height - 1.5) < 0.1
    assert (
        f"Your picture has 90 × 60 pixels, the result {request.width} × {request.height}."
        in reply.job.remarks
    )


async def test_of_several_pictures_one_must_be_named(bot):
    several = await bot.service.submit(Source(ADA), replace(CIRCLE, images=2))
    await finished(several)

    reply = await converse(bot.service, Source(ADA), f"edit {several.id} make it night")
    second = await converse(bot.service, Source(ADA), f"edit {several.id} 2 make it night")
    third = await converse(bot.service, Source(ADA), f"edit {several.id} 3 make it night")

    assert f"has pictures 1 to 2: say which, for example edit {several.id} 2" in reply.text
    assert second.job.parent == several.id
    assert "not 3" in third.text


async def test_somebody_else_s_picture_is_edited_only_where_they_let_others_build_on_it(
    bot, circle
):
    hidden = await converse(bot.service, Source(BOB), EditCommand(NIGHT, circle.id))
    await converse(bot.service, Source(ADA), "settings --remix off")
    kept = await converse(bot.service, Source(BOB, shown=circle.id), EditCommand(NIGHT, circle.id))

    assert isinstance(hidden.error, NotFound)
    assert "keeps others from building on it" in kept.text


async def test_alternatives_are_a_series_of_edits_of_one_picture(bot, circle):
    reply = await converse(bot.service, Source(ADA), f"edit {circle.id} make it {{night,day}}")
    yes = await converse(bot.service, Source(ADA), AnswerCommand(""))

    assert "2 pictures" in reply.text
    assert [job.request.prompt for job in yes.series.parts] == ["make it night", "make it day"]
    assert {job.relation for job in yes.series.parts} == {Relation.EDITED}
    assert {job.parent for job in yes.series.parts} == {circle.id}


async def test_where_no_preset_edits_it_says_what_would_be_needed(make_bot, gate):
    gate.open()
    bot = await make_bot(presets=PRESETS)

    reply = await converse(bot.service, Source(ADA), "edit make it night", [picture()])

    assert "No preset here changes a picture by words" in reply.text


@pytest.mark.parametrize(
    ("said", "pictures", "words"),
    [
        ("edit make it night --preset canny", [picture()], "canny changes no picture by words"),
        ("edit it --presets edit,canny", [picture()], "canny changes no picture by words"),
        ("edit k7m2p9qa make it night", [picture()], "either the picture of k7m2p9qa or an"),
        ("edit make it night", [], "no picture yet that could be changed: attach one"),
        ("edit make it night", [picture()] * 2, "takes one"),
        ("edit make it night --crop 0,0", [picture()], "crops no picture"),
        ("edit make it night --strength 0.5", [picture()], "as far as the words say"),
    ],
)
async def test_what_an_edit_cannot_do_is_refused_in_a_sentence(bot, said, pictures, words):
    reply = await converse(bot.service, Source(ADA), said, pictures)

    assert words in reply.text
    assert reply.job is None


async def test_in_a_thread_an_instruction_changes_its_newest_picture(bot):
    ada = Source("slack:T1-U1", thread=THREAD, reply_to=THREAD)
    first = await converse(bot.service, ada, "a red circle --size 64x64")
    await finished(first.job)

    edit = await converse(bot.service, replace(ada, user="slack:T1-U2"), "now make it night")
    new = await converse(bot.service, ada, "a blue circle")
    insisted = await converse(bot.service, ada, "imagine make it night")

    assert (edit.job.relation, edit.job.parent) == (Relation.EDITED, first.job.id)
    assert edit.job.request.prompt == "now make it night"
    assert new.job.request.preset == insisted.job.request.preset == "plain"


async def test_elsewhere_and_without_such_a_preset_an_instruction_is_a_prompt(
    make_bot, bot, circle
):
    outside = await converse(bot.service, Source(ADA), "make it night")
    assert outside.job.request.preset == "plain"

    attached = await converse(bot.service, Source(ADA), "make it night", [picture()])
    assert attached.job.request.preset == "edit"


async def test_options_beside_an_instruction_and_shortcuts_in_it_hold_for_the_edit(bot):
    await converse(bot.service, Source(ADA), "prefer quick --steps 3")
    await converse(bot.service, Source(ADA), "prefer suffix in oil")
    beside = ImagineCommand("", seed=7, images=2)

    said = "make it night --quick"
    job = (await converse(bot.service, Source(ADA), said, [picture()], options=beside)).job

    assert (job.request.preset, job.request.prompt) == ("edit", "make it night")
    assert (job.request.num_inference_steps, job.request.seed, job.images) == (3, 7, 2)


@pytest.mark.parametrize(
    ("said", "pictures", "preset"),
    [
        ("remove the star", [picture(), picture(colour="white")], "inpaint"),
        ("remove the star --mask left", [picture()], "inpaint"),
        ("remove the star", [picture()], "edit"),
    ],
)
async def test_an_instruction_with_a_mask_is_no_edit(make_bot, gate, said, pictures, preset):
    gate.open()
    bot = await make_bot(presets={**INPAINTING, "edit": EDITING["edit"]})

    reply = await converse(bot.service, Source(ADA), said, pictures)

    assert reply.job is not None, reply.text
    assert reply.job.request.preset == preset


async def test_a_suffix_of_one_s_own_stands_behind_no_edit(bot, circle):
    await converse(bot.service, Source(ADA), 'prefer suffix ", film grain"')

    typed = await converse(bot.service, Source(ADA), f"edit {circle.id} make it night")
    attached = await converse(bot.service, Source(ADA), "make it night", [picture()])

    assert typed.job.request.prompt == attached.job.request.prompt == "make it night"


async def test_a_variation_of_an_edit_is_the_same_edit_with_a_new_seed(bot, circle):
    """ "Make it night" is no picture that could be drawn over the result."""
    night = (await converse(bot.service, Source(ADA), EditCommand(NIGHT, circle.id))).job
    await finished(night)

    varied = (await converse(bot.service, Source(ADA), f"vary {night.id} --subtle")).job

    assert (varied.request.preset, varied.request.pictures) == ("edit", night.request.pictures)
    assert varied.request.seed != night.request.seed


async def test_a_variation_is_never_drawn_by_a_preset_that_edits(make_bot, gate):
    gate.open()
    bot = await make_bot(presets={"plain": PRESETS["plain"], "edit": EDITING["edit"]})
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(job)

    varied = await bot.service.from_picture(Source(ADA), PictureOf(job.id), "vary")

    assert varied.request.preset == "plain"


async def test_a_model_that_takes_several_pictures_is_shown_all_that_are_attached(make_bot, gate):
    """Each costs as much as the picture itself."""
    gate.open()
    bot = await make_bot(presets={"edit": Preset(name="edit", kind=Edit(references=2))})
    attached = [picture(96, 64), picture(64, 96, "blue"), picture(64, 64, "green")]

    jobs = [
        (await converse(bot.service, Source(ADA), "edit put them together", attached[:count])).job
        for count in (1, 2, 3)
    ]
    too_many = await converse(bot.service, Source(ADA), "edit put them together", [*attached] * 2)

    assert [len(job.request.pictures) for job in jobs] == [1, 2, 3]
    assert [job.cost / jobs[0].cost for job in jobs] == pytest.approx([1, 1.5, 2], abs=0.05)
    assert too_many.job is None
    assert "takes 1 to 3 pictures, not 6" in too_many.text


async def test_what_is_attached_comes_behind_the_picture_of_the_id_where_both_are_taken(
    make_bot, gate
):
    gate.open()
    presets = {**EDITING, "several": Preset(name="several", kind=Edit(references=1))}
    bot = await make_bot(presets=presets)
    circle = await bot.service.submit(Source(ADA), CIRCLE)
    await finished(circle)

    said = f"edit {circle.id} put the hat of the second picture on it --preset several"
    reply = await converse(bot.service, Source(ADA), said, [picture(96, 64)])

    first, second = reply.job.request.pictures.values()
    drawn = await bot.service.lookups.picture(Source(ADA), circle.id)
    with opened(first) as start, opened(second) as hat, opened(drawn) as image:
        assert start.tobytes() == image.convert("RGB").tobytes()
        assert hat.size == (96, 64)
    assert reply.job.parent == circle.id
