"""Sentences are there in each of our languages, and fit their places."""

import re
import string
from unittest.mock import Mock

import pytest
from discord import app_commands

from adapters.discord_chat.administration import admin_commands
from adapters.discord_chat.buttons import LABELS
from adapters.discord_chat.commands import flux_commands
from adapters.discord_chat.menus import menus
from bot import replies
from bot.config import Config
from bot.jobs import Job, JobStatus, Progress
from bot.languages import ENGLISH, LANGUAGES, in_words, language_of
from generation.errors import FluxbotError
from tests.bot.spoken import spoken as spoken_by_code

NAME = re.compile(r"[-_'\w]{1,32}")
#: Groups that stay what they are called, since people are told to type them.
KEPT = {"flux", "flux-admin"}


def spoken():
    """Every sentence that a piece of our code says to people."""
    return {label for label, _ in LABELS.values()} | spoken_by_code()


def commands():
    presses = Mock()
    tops = [
        flux_commands(presses, Config()),
        admin_commands(presses.service, presses.answers, Config()),
    ]
    for top in tops:
        yield top
        yield from top.walk_commands()


def command_sentences():
    found = {str(menu.name) for menu in menus(Mock(), Config())}
    for command in commands():
        found.add(str(command.description))
        if isinstance(command, app_commands.Command):
            found |= {str(each.description) for each in command.parameters}
    return found - {"…"}


def command_names():
    found = set()
    for command in commands():
        found.add(command.name)
        if isinstance(command, app_commands.Command):
            found |= {each.display_name for each in command.parameters}
    return found - KEPT - {"id"}


def fields(sentence):
    return sorted(name for _, name, _, _ in string.Formatter().parse(sentence) if name)


@pytest.fixture(params=LANGUAGES)
def language(request):
    return language_of(request.param)


async def test_every_command_and_option_has_a_description():
    for command in commands():
        if isinstance(command, app_commands.Command):
            for option in command.parameters:
                assert str(option.description) != "…", f"{command.qualified_name} {option.name}"


async def test_every_sentence_is_said_in_every_language(language):
    wanted = spoken() | command_sentences()

    assert sorted(wanted - set(language.sentences)) == []
    assert sorted(command_names() - set(language.names)) == []


async def test_nothing_is_translated_that_nobody_says(language):
    assert sorted(set(language.sentences) - spoken() - command_sentences()) == []
    assert sorted(set(language.names) - command_names()) == []


def test_a_translation_has_the_places_of_its_sentence(language):
    for sentence, said in language.sentences.items():
        assert fields(said) == fields(sentence), sentence


async def test_translations_fit_where_discord_shows_them(language):
    described = command_sentences()
    for sentence, said in language.sentences.items():
        assert not (sentence in described and len(said) > 100), said
    for label, _ in LABELS.values():
        assert len(language(label)) <= 40
    for menu in menus(Mock(), Config()):
        assert len(language(str(menu.name))) <= 32


async def test_names_are_what_discord_takes_for_names_and_tell_options_apart(language):
    for name in language.names.values():
        assert NAME.fullmatch(name), name
        assert name == name.lower(), name
    for command in commands():
        if isinstance(command, app_commands.Command):
            names = [each.display_name for each in command.parameters]
        else:
            names = [each.name for each in command.commands]
        translated = [language.names.get(name, name) for name in names]
        assert len(set(translated)) == len(names), command.qualified_name


@pytest.mark.parametrize(
    ("locale", "code"),
    [
        ("de", "de"),
        ("es-ES", "es"),
        ("es-419", "es"),
        ("ja", "ja"),
        ("en-GB", "en"),
        ("xx", "en"),
        (None, "en"),
    ],
)
def test_a_locale_finds_its_language_or_english(locale, code):
    assert language_of(locale).code == code


def test_numbers_stand_in_their_places(fox):
    job = Job(user="web:ada", request=fox)
    german = language_of("de")

    line = replies.progress_line(job, Progress(JobStatus.RUNNING, picture=1, step=2), german)

    assert line == german.sentences["Drawing step {step} of {steps}"].format(step=2, steps=3)
    assert in_words(90, german) == german.sentences["{count} minutes"].format(count=2)


def test_a_sentence_with_braces_of_somebodys_own_is_no_template():
    error = FluxbotError("there is no {preset}")

    assert replies.error_sentence(error, ENGLISH) == "There is no {preset}."


def test_a_sentence_is_found_again_by_its_pattern():
    german = language_of("de")
    error = FluxbotError("the file has 3.1 MB; at most 2 MB are allowed: send a smaller one")

    assert replies.error_sentence(error, german) == (
        "Die Datei hat 3.1 MB; höchstens 2 MB sind erlaubt: schick eine kleinere."
    )


def test_parts_of_a_sentence_are_translated_too():
    german = language_of("de")

    said = german("Builds on k7m2p9qa and keeps preset canny, 64×64, seed 7, its control image.")

    assert said == (
        "Baut auf k7m2p9qa auf und behält: Preset canny, 64×64, Seed 7, sein Kontrollbild."
    )
    assert german(
        "you cannot draw for another 12 minutes, after 3 requests that were refused;"
        " an admin can lift that"
    ) == (
        "nach 3 abgelehnten Wünschen kannst du erst in 12 Minuten wieder zeichnen; ein Admin kann"
        " das aufheben"
    )


def test_the_pattern_with_most_words_is_meant():
    german = language_of("de")

    assert german("steps must be a whole number between 1 and 50, not 99") == (
        "steps muss eine ganze Zahl zwischen 1 und 50 sein, nicht 99"
    )
    assert german("there is no pattern for this") == "there is no pattern for this"


def test_sentences_end_as_those_of_the_language_do():
    japanese = language_of("ja")

    assert (
        replies.error_sentence(FluxbotError("there is no picture in that message"), japanese)[-1]
        == "。"
    )
