"""Pictures further up in a conversation are found where they are asked for, or needed."""

import pytest

from bot.above import without_above
from bot.conversation import converse
from bot.source import Source
from tests.samples import picture

ASKED = [
    ("a castle from the picture above", "a castle"),
    ("a castle, from the picture above, at night", "a castle at night"),
    ("a castle (like the sketch above)", "a castle"),
    ("From that photo above, a castle", "a castle"),
    ("ein Schloss nach dem Bild oben", "ein Schloss"),
    ("un château d'après l'image ci-dessus", "un château"),
    ("un castillo a partir de la imagen de arriba", "un castillo"),
    ("上の画像から城", "城"),
]


@pytest.mark.parametrize(("said", "prompt"), ASKED)
def test_the_words_are_no_part_of_the_prompt(said, prompt):
    assert without_above(said) == (prompt, True)


@pytest.mark.parametrize(
    "said", ["a picture above the sea", "from above", "the one before", "上の画像"]
)
def test_other_words_are_a_prompt(said):
    assert without_above(said) == (said, False)


def ada(found, asked):
    async def above(is_asked):
        asked.append(is_asked)
        return found

    return Source("slack:T1-U1", above=above)


async def test_a_preset_that_needs_a_picture_takes_the_one_above(bot):
    asked = []

    reply = await converse(bot.service, ada(picture(), asked), "a fox --preset canny")

    assert reply.job.request.control_image is not None
    assert asked == [False]


async def test_without_one_it_says_what_it_needs(bot):
    reply = await converse(bot.service, ada(None, []), "a fox --preset canny")

    assert "needs a control image" in reply.text


async def test_what_needs_none_looks_for_none(bot):
    asked = []

    reply = await converse(bot.service, ada(picture(), asked), "a fox")

    assert reply.job.request.control_image is None
    assert asked == []


async def test_a_picture_that_is_asked_for_and_not_there_is_said_and_costs_nothing(bot):
    said = "a fox from the picture above --preset canny"

    reply = await converse(bot.service, ada(None, []), said)

    assert reply.text.startswith("There is no picture further up")
    assert (await bot.service.quota("slack:T1-U1")).used == 0


async def test_an_attached_picture_comes_first(bot):
    asked = []

    reply = await converse(bot.service, ada(None, asked), "a fox --preset canny", [picture()])

    assert reply.job.request.control_image is not None
    assert asked == []


async def test_where_nobody_can_look_back_the_words_are_a_prompt(bot):
    reply = await converse(bot.service, Source("web:ada"), "a fox from the picture above")

    assert reply.job.request.prompt == "a fox from the picture above"
