"""The page in other languages: no sentence without its translation, and no English left over."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from adapters.web_chat import picture_pages
from adapters.web_chat.pages import STATIC
from bot.views import EngineStatus
from tests.adapters.web_chat.literals import literals

LANGUAGES = sorted(path.stem for path in (STATIC / "languages").glob("*.json"))
SCRIPTS = sorted(path for path in STATIC.glob("*.js") if path.stem != "languages")
PAGES = ("index.html", "admin.html")
#: Words that come from the bot, one of a few.
STATES = {"queued", "running", "held", "succeeded", "failed", "cancelled"}
STATES |= {*get_args(EngineStatus), "paused", "draining", "stopping"}
#: Names, which are the same in every language.
NAMES = {
    "fluxbot",
    "Admin",
    "admin",
    "discord:1234",
    "Enter",
    "Shift",
    "--",
    "help",
    "link",
    "/openapi.json",
}
#: Nouns that the page counts.
COUNTED = re.compile(r"plural\([^()]*(?:\([^()]*\))?[^()]*, \"([a-z ]+)\"\)")


class Written(HTMLParser):
    """The texts and attributes of a page that people read."""

    def __init__(self):
        super().__init__()
        self.found, self._skips = set(), 0

    def handle_starttag(self, tag, attributes):
        self._skips += tag in ("title", "style", "script")
        for name, value in attributes:
            if name in ("aria-label", "title", "placeholder", "alt") and value:
                self.found.add(value)

    def handle_endtag(self, tag):
        self._skips -= tag in ("title", "style", "script")

    def handle_data(self, data):
        text = " ".join(data.split())
        if not self._skips and re.search(r"[A-Za-z]{2}", text):
            self.found.add(text)


def said():
    """Every sentence of the page, in English."""
    page = Written()
    for name in PAGES:
        page.feed((STATIC / name).read_text(encoding="utf-8"))
    for path in picture_pages.TEMPLATES.glob("*.html"):
        page.feed(path.read_text(encoding="utf-8"))
    found = {each for each in page.found if not each.startswith("$")} - NAMES | STATES
    code = Path(picture_pages.__file__).read_text(encoding="utf-8")
    found |= set(re.findall(r'say\("([^"]+)"', code)) | {"Download {0}"}
    for path in SCRIPTS:
        code = path.read_text(encoding="utf-8")
        found |= {each.text for each in literals(code) if each.is_translated}
        for noun in COUNTED.findall(code):
            found |= {f"1 {noun}", f"{{0}} {noun}s"}
    return found - {"1 {0}", "{0} {0}s"}  # what `plural` puts together


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_people_read_on_the_page_is_given_to_be_translated(path):
    """Write t("Close") or t`Picture ${number}` for it, and put it into every languages/*.json."""
    code = path.read_text(encoding="utf-8")
    left = [each for each in literals(code) if each.is_read and not each.is_translated]
    assert [f"line {code[: each.start].count(chr(10)) + 1}: {each.text}" for each in left] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_the_page_is_translated(language):
    text = (STATIC / "languages" / f"{language}.json").read_text(encoding="utf-8")
    sentences = json.loads(text)

    missing = sorted(said() - sentences.keys())
    assert missing == [], "put them into adapters/web_chat/static/languages/*.json"
    assert sorted(sentences.keys() - said()) == [], "nobody says them any longer"
    for english, other in sentences.items():
        assert sorted(re.findall(r"\{\d\}", english)) == sorted(re.findall(r"\{\d\}", other)), (
            english
        )
    assert list(sentences) == sorted(sentences), "sorted, so that two changes seldom meet"
