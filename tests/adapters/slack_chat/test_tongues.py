"""People in Slack are answered in the language of their Slack."""

import asyncio
import json

import pytest

from bot.languages import LANGUAGES, language_of
from tests.adapters.slack_chat.conftest import SMALL, jobs, restarted
from tests.conftest import at_step
from tests.fakes.slack.world import buttons, shown_text


@pytest.fixture
def uwe(slack):
    return slack.person("uwe", locale="de-DE")


async def test_a_picture_is_shown_in_the_language_of_the_person(chat, uwe, general, gate):
    await uwe.mention(general, f"a fox {SMALL} --seed 7")
    gate.allow(1)
    await general.said("Zeichne, Schritt 1 von 3", button="Abbrechen")
    gate.open()

    message = await general.said("Seed 7", button="Nochmal")

    assert "Stark variieren" in buttons(message)
    assert message["blocks"][2]["alt_text"] == "Von einer KI gemacht: a fox"


async def test_people_in_one_channel_are_answered_each_in_their_own(chat, uwe, ada, general, gate):
    await uwe.mention(general, "quota")
    await ada.mention(general, "quota")

    await general.whispered(uwe.id, "Noch 10000 Credits")
    await general.whispered(ada.id, "10000 credits left")


async def test_a_refusal_and_an_acknowledgement_are_said_in_it_too(chat, uwe, general):
    await uwe.mention(general, "a fox --steps 80")
    await general.whispered(uwe.id, "zwischen 1 und 50")

    assert "Noch 10000 Credits" in (await uwe.slash(general, "quota"))["text"]


async def test_forms_and_the_home_are_in_it(chat, uwe, general):
    await uwe.slash(general)
    form = await uwe.form()
    errors = await uwe.submit(form, prompt="   ")
    await uwe.open_home()
    home = await uwe.sees(lambda uwe: uwe.home)

    assert form["title"]["text"] == "Neues Bild"
    labels = [block["label"]["text"] for block in form["blocks"]]
    assert labels[:4] == ["Was ich zeichnen soll", "Preset", "Schritte", "Größe"]
    assert form["blocks"][2]["element"]["placeholder"]["text"] == "etwa 20"
    assert errors == {"prompt": "Der Prompt ist leer: sag, was ich zeichnen soll."}
    assert "Deine neuesten Bilder" in shown_text(home)
    assert buttons(home) == ["Bild zeichnen", "Ändern"]


@pytest.mark.parametrize("code", LANGUAGES)
async def test_no_word_of_a_form_or_the_home_is_left_in_english(chat, slack, general, code):
    """What stays is what people type, and the operator's own words about presets."""
    someone, other = slack.person("someone", locale=code), slack.person("other")
    seen = []
    for person in (someone, other):
        await person.slash(general)
        form = await person.form()
        await person.open_home()
        home = await person.sees(lambda person: person.home)
        seen.append(json.dumps([form, home]))
    theirs, english = ({*_texts(json.loads(each))} for each in seen)

    known = {say for say in language_of(code).sentences if language_of(code)(say) == say}
    presets = {preset.description for preset in chat.bot.service.presets.values()}
    left = {text for text in theirs & english if not _is_a_name(text, chat)} - known - presets
    assert left == set()


def _texts(node):
    """Every text that a person reads in *node*."""
    if isinstance(node, dict):
        if isinstance(node.get("text"), str):
            yield node["text"]
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def _is_a_name(text, chat):
    """Whether *text* is the name of an option or a preset, or has no letters."""
    names = {*chat.bot.service.presets, "guidance", "seed", "preset", "images", "home"}
    return text.lower() in names or not any(each.isalpha() for each in text)


async def test_a_job_keeps_the_language_over_a_restart(make_chat, chat, uwe, general, gate):
    await uwe.mention(general, f"a fox {SMALL} --seed 7")
    (job,) = await jobs(chat)
    await at_step(job, 0)

    await restarted(make_chat, chat, gate)
    gate.open()

    await general.said("Seed 7", button="Nochmal")


async def test_where_slack_does_not_tell_in_time_it_is_english_and_later_their_own(
    chat, slack, uwe, general, monkeypatch
):
    monkeypatch.setattr("adapters.slack_chat.people.SECONDS_TO_LOOK_UP", 0.01)
    goes_on = slack.hold_up("users.info")

    await uwe.mention(general, "quota")
    await general.whispered(uwe.id, "10000 credits left")
    goes_on.set()

    async with asyncio.timeout(10):
        while "Noch 10000 Credits" not in (await uwe.slash(general, "quota"))["text"]:
            continue


async def test_somebody_is_asked_about_once_and_again_when_they_change(chat, slack, uwe, general):
    await uwe.mention(general, "quota")
    await uwe.mention(general, "queue")
    assert len(slack.api.called("users.info")) == 1

    uwe.locale = "fr-FR"
    event = {"type": "user_change", "user": {"id": uwe.id, "deleted": False}}
    await uwe.acked(await uwe.event(event))
    await uwe.mention(general, "quota")

    await general.whispered(uwe.id, "crédits")
