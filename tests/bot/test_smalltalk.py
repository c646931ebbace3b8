"""Words that ask for no picture are answered, and cost nothing."""

import pytest

from bot.assembly.about import about_model
from bot.commands import (
    AgainCommand,
    HelpCommand,
    ImagineCommand,
    PromptCommand,
    ThanksCommand,
    parse,
)
from bot.config import Config
from bot.conversation import converse, understand
from bot.examples import examples
from bot.languages import language_of
from bot.quoting import quote
from bot.sections import Model
from bot.source import Source
from generation.types import Preset
from tests.bot.conftest import left
from tests.conftest import ADA, PRESETS
from tests.samples import picture


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "Hey, what can you do?",
        ", help",
        "Hi there bot!",
        "help!!!",
        "Grüß Gott",
        "Wie geht's?",
        "Was kannst du?",
        "Bonjour !",
        "Qu'est-ce que tu sais faire ?",
        "¡Hola! ¿Qué puedes hacer?",
        "ayuda",
        "こんにちは！",
        "何ができますか？",
        "使い方を教えてください。",
        "hello --steps 5",
    ],
)
def test_a_greeting_asks_for_help_in_every_language(text):
    assert parse(text) == HelpCommand(is_greeting=text != "help!!!")


@pytest.mark.parametrize(
    "text",
    [
        "thanks!",
        "Thank you so much, bot 🙏",
        "that's so beautiful",
        "thanks <3",
        "👍🏽",
        "Vielen Dank!",
        "wie schön",
        "Merci beaucoup !",
        "c'est magnifique",
        "d'accord",
        "¡Muchas gracias!",
        "Qué bonito",
        "ありがとうございます！",
        "すごいですね",
    ],
)
def test_thanks_and_praise_are_taken_in_every_language(text):
    assert parse(text) == ThanksCommand()


@pytest.mark.parametrize("text", ["bye!", "Gute Nacht", "au revoir", "hasta luego", "おやすみ"])
def test_a_goodbye_is_one(text):
    assert parse(text) == ThanksCommand(is_farewell=True)


@pytest.mark.parametrize(
    "prompt",
    [
        "hello kitty on a beach",
        "hi5",
        "great wave",
        "sweet heart",
        "beautiful man",
        "perfect circle",
        "good night moon",
        "a thank you card",
        "danke für nichts, in stone",
        "merci chérie, an old poster",
        "🐱",
        "love",
        '"thanks"',
        "さくら",
    ],
)
def test_a_picture_that_begins_with_courtesy_is_drawn(prompt):
    assert parse(prompt) == ImagineCommand(prompt)


def test_words_that_are_insisted_on_are_drawn():
    assert parse("imagine hello") == ImagineCommand("hello")


@pytest.mark.parametrize("said", ["hello", PromptCommand(ImagineCommand("Merci !"))])
async def test_courtesy_costs_nothing_and_offers_three_pictures_to_press(make_bot, said):
    config = Config()
    bot = await make_bot()
    bot.service.about = about_model(config)
    before = await left(bot.service)

    reply = await converse(bot.service, Source(ADA), said)

    assert reply.job is None
    assert await left(bot.service) == before
    assert [each.says for each in reply.choices] == [
        "three yellow stars on a purple background",
        "a red heart next to a green star",
        "a blue boat at night under a white moon",
    ]
    for each in reply.choices:
        assert isinstance(parse(each.says), ImagineCommand)


def test_an_example_names_a_preset_that_draws_from_words_alone():
    presets = {name: Preset(name=name) for name in ("plain", "ink")} | {"canny": PRESETS["canny"]}

    *_, last = examples(about_model(Config()), presets, "plain")

    assert last.says == "a blue boat at night under a white moon --preset ink"


def test_courtesy_in_a_field_for_prompts_is_courtesy():
    assert understand(PromptCommand(ImagineCommand("Merci !")), None) == ThanksCommand()


async def test_a_prompt_of_which_the_model_knows_nothing_is_not_charged(make_bot):
    bot = await make_bot()
    bot.service.about = about_model(Config())
    before = await left(bot.service)
    german = Source(ADA, language=language_of("de"))

    reply = await converse(bot.service, german, "please draw me a dragon")

    assert (reply.job, reply.kind) == (None, "help")
    assert reply.text.startswith("Ich kenne keines dieser Wörter")
    assert len(reply.choices) == 3
    assert await left(bot.service) == before


async def test_a_known_word_is_enough(make_bot):
    bot = await make_bot()
    bot.service.about = about_model(Config())

    assert (await converse(bot.service, Source(ADA), "a red dragon")).job is not None


@pytest.mark.parametrize(
    ("said", "has_picture"),
    [
        (ImagineCommand("please, the dragon"), False),
        (ImagineCommand("a dragon", preset="canny"), True),
        ("a dragon --preset canny", True),
        ("12345 --preset redraw", True),
        ("a {red star, dragon}", False),
    ],
    ids=str,
)
async def test_a_program_a_form_and_a_picture_are_refused_alike_with_words_that_work(
    make_bot, said, has_picture
):
    bot = await make_bot()
    bot.service.about = about_model(Config())
    before = await left(bot.service)
    french = Source(ADA, language=language_of("fr"))

    reply = await converse(bot.service, french, said, [picture()] if has_picture else [])

    assert (reply.job, reply.series, reply.error.field) == (None, None, "prompt")
    assert reply.text.startswith("Le modèle ne connaît aucun mot de «")
    assert "« three yellow stars on a purple background »" in reply.text
    assert len(reply.choices) == 3
    assert await left(bot.service) == before


async def test_a_picture_of_unknown_words_is_drawn_again_with_known_ones_alone(make_bot):
    bot = await make_bot()
    old = (await converse(bot.service, Source(ADA), "a dragon")).job
    bot.service.about = about_model(Config())

    refused = await converse(bot.service, Source(ADA), AgainCommand(old.id))
    changed = AgainCommand(old.id, ImagineCommand("a red circle"))

    assert refused.error.field == "prompt"
    assert (await converse(bot.service, Source(ADA), changed)).job is not None


async def test_words_of_a_preset_are_known_words(make_bot):
    """What people add to them may be any words, or none."""
    preset = Preset(name="moonlit", prompt_template="a blue boat at night, {prompt}")
    bot = await make_bot(presets={**PRESETS, "moonlit": preset})
    bot.service.about = about_model(Config())

    said = ImagineCommand("my dragon", preset="moonlit")

    assert (await converse(bot.service, Source(ADA), said)).job is not None


async def test_unknown_words_have_a_price_like_any(make_bot):
    bot = await make_bot()
    bot.service.about = about_model(Config())

    assert (await quote(bot.service, Source(ADA), "a dragon", ImagineCommand(""))).cost > 0


async def test_another_model_may_know_any_word():
    config = Config(model=Model(repository="black-forest-labs/FLUX.1-schnell"))

    assert about_model(config).can_draw("a dragon", None)
