"""What people are told of the models that they draw with."""

from functools import partial

import pytest

from bot import switches
from bot.catalogue import Catalogue, listing
from bot.config import Config
from bot.conversation import converse
from bot.languages import language_of
from bot.presets import Presets
from bot.source import Source
from generation.types import Preset
from tests.conftest import ADA, PRESETS

DEV = "black-forest-labs/FLUX.1-dev"
KNOWN = {"description": "Fine detail", "license_name": "Non-Commercial", "license": "https://l.org"}
NUMBERS = {"num_inference_steps": 28, "width": 1024, "height": 768}


@pytest.fixture
def catalogue(bot):
    """Makes the catalogue of a model, of which *loaded* is in memory."""

    def make(repository=DEV, known=KNOWN, loaded=(), **model):
        config = Config(
            model={"repository": repository, **NUMBERS, **model},
            presets=PRESETS,
            models={repository: known},
        )
        presets = Presets(config, lambda: config)
        return Catalogue(config, presets, lambda: dict.fromkeys(loaded, 1), bot.database)

    return make


async def note(bot, name, value):
    await bot.database.write(partial(switches.write, name=name, value=value))


async def test_a_model_is_told_with_its_licence_its_numbers_and_its_presets(catalogue):
    text = listing(await catalogue(loaded=[DEV]).models())

    assert text.splitlines() == [
        f"{DEV} (the default, in memory): Fine detail",
        "28 steps · 1024×768 · Non-Commercial",
        "Presets: plain, canny, redraw",
    ]


async def test_how_long_changing_to_it_takes_is_said_where_it_was_measured(catalogue, bot):
    unknown = listing(await catalogue().models())
    await note(bot, f"seconds to load: {DEV}", "75.3")
    known = listing(await catalogue().models(), language_of("de"))

    assert unknown.startswith(f"{DEV} (the default): ")
    assert known.startswith(f"{DEV} (die Voreinstellung, lädt etwa 2 Minuten): Fine detail\n")


async def test_a_licence_without_a_name_is_told_by_its_page_and_no_path_is_told(catalogue):
    text = listing(await catalogue("/srv/secret/mine", {"license": "https://l.org"}).models())

    assert text.splitlines()[:2] == [
        "mine (the default): no description",
        "28 steps · 1024×768 · https://l.org",
    ]


FAST = {"description": "Draws fast", "num_inference_steps": 4, "width": 512, "height": 512}


async def test_each_of_several_models_has_its_own_numbers_and_presets(make_bot):
    fast = Preset(name="fast", model="/srv/secret/klein")
    bot = await make_bot(
        presets={**PRESETS, "fast": fast}, models={"demo": KNOWN, "/srv/secret/klein": FAST}
    )

    reply = await converse(bot.service, Source(ADA), "models")

    assert reply.text.split("\n\n") == [
        "demo (the default): Fine detail\n12 steps · 256×256 · Non-Commercial\n"
        "Presets: plain, canny, redraw",
        "klein: Draws fast\n4 steps · 512×512\nPresets: fast",
        "A preset chooses its model: write --preset NAME behind a prompt.",
    ]
    assert bot.service.catalogue.names()["fast"] == "klein"


async def test_presets_that_are_switched_off_are_left_out_of_it(bot):
    bot.service.offered.disabled = frozenset({"canny"})

    reply = await converse(bot.service, Source(ADA), "models")

    assert reply.kind == "models"
    assert reply.text.splitlines()[-1] == "Presets: plain, redraw"
    assert bot.service.catalogue.names() == {"plain": "demo", "redraw": "demo"}
