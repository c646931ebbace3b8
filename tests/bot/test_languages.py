"""Sentences on Discord are there in each of our languages, and fit their places."""

import ast
import re
import string
from pathlib import Path
from unittest.mock import Mock

import pytest
from discord import app_commands

from adapters.discord_chat.administration import admin_commands
from adapters.discord_chat.buttons import LABELS
from adapters.discord_chat.commands import flux_commands, menus
from bot import replies, standstill
from bot.administration import PAUSED
from bot.config import Config
from bot.engines import LOADING, LOADING_FOR, NO_ENGINE
from bot.jobs import Job, JobStatus, Progress
from bot.languages import ENGLISH, LANGUAGES, in_words, language_of
from bot.reasons import RESTARTS, LeftBehind, Reason
from bot.screens import BROKEN
from bot.sentences import Hint, Sentence
from bot.worker import NOTES
from generation.errors import FluxbotError

ROOT = Path(__file__).parent.parent.parent
NAME = re.compile(r"[-_'\w]{1,32}")
#: Groups that stay what they are called, since people are told to type them.
KEPT = {"flux", "flux-admin"}


def spoken():
    """Every sentence that a piece of our code says in the person's language."""
    found = {label for label, _ in LABELS.values()} | {str(status) for status in JobStatus}
    found |= {PAUSED, LOADING, LOADING_FOR, NO_ENGINE, BROKEN, *standstill.SENTENCES}
    found |= {*NOTES, RESTARTS, *map(str, Reason), *map(str, LeftBehind)}
    found |= {*map(str, Sentence), *map(str, Hint)}
    for path in (*ROOT.glob("bot/*.py"), *ROOT.glob("adapters/*/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                says = {"say": node.args[:1]}.get(name, [])
                if name == "counted" and isinstance(node.func, ast.Attribute):
                    says = node.args[1:3]
                found |= {arg.value for arg in says if isinstance(arg, ast.Constant)}
    return found


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
