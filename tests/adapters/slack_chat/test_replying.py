"""What can be pressed beside the bot's answers: signposts, pictures of a history, its pages."""

import pytest

from adapters.slack_chat.replying import message_of
from bot.conversation import Reply
from bot.languages import ENGLISH
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours
from tests.fakes.slack.world import buttons, elements, shown_text


def thumbnails(message):
    return [
        each["slack_file"]["id"]
        for _, each in elements(message["blocks"])
        if each["type"] == "image"
    ]


@pytest.fixture
async def drawn(chat, ada, general, gate):
    """Three pictures of ada's: a cat, a dog, and one that was cancelled."""
    gate.open()
    for prompt in ("a cat", "a dog"):
        await ada.mention(general, f"{prompt} {SMALL}")
        await general.said(prompt, button="Again")
    await delivered(chat)
    return await jobs(chat)


@pytest.mark.parametrize(
    ("said", "words", "ways"),
    [
        ("help", "Say what to draw", ["Presets", "Queue", "My pictures", "Settings"]),
        ("quota", "credits left", ["Presets", "Queue", "My pictures", "Settings"]),
        ("presets", "canny", ["Queue", "My pictures", "Settings"]),
        ("models", "demo (the default)", ["Presets", "Queue", "My pictures", "Settings"]),
        ("queue", "None of them is yours", ["Presets", "My pictures", "Settings"]),
    ],
)
async def test_from_an_answer_people_look_further_around(chat, ada, general, said, words, ways):
    await ada.mention(general, said)

    message = await general.whispered(ada.id, words)

    assert buttons(message)[-len(ways) :] == ways


async def test_signposts_lead_where_they_say(chat, ada, general):
    await ada.mention(general, "quota")
    message = await general.whispered(ada.id, "credits left")

    await ada.press(message, "Presets", general)
    await general.whispered(ada.id, "canny")
    await ada.press(message, "My pictures", general)
    await general.whispered(ada.id, "You have drawn nothing yet")
    await ada.press(message, "Settings", general)

    assert (await ada.form())["title"]["text"] == "Your defaults"


async def test_a_history_shows_each_picture_and_what_to_do_with_it(
    chat, slack, ada, general, drawn
):
    cat, dog = drawn
    await ada.mention(general, "history")

    message = await general.whispered(ada.id, dog.id)

    assert thumbnails(message) == [dog.reply_to["files"][0], cat.reply_to["files"][0]]
    assert buttons(message) == [*["Show", "Again"] * 2, "Favourites"]
    await ada.press(message, "Show", general)
    await general.until(lambda _: sum("a dog" in shown_text(each) for each in ours(general)) == 2)
    await ada.press(message, "Again", general)
    await general.until(lambda _: sum("a dog" in shown_text(each) for each in ours(general)) == 3)
    assert (await jobs(chat))[-1].parent == dog.id


async def test_a_command_has_its_history_too(chat, ada, general, drawn):
    assert await ada.slash(general, "history cat") is None

    message = await general.whispered(ada.id, drawn[0].id)

    assert len(thumbnails(message)) == 1


async def test_a_picture_that_somebody_has_deleted_at_slack_hides_no_history(
    chat, slack, ada, general, drawn
):
    del slack.files[drawn[0].reply_to["files"][0]]
    await ada.mention(general, "history")

    message = await general.whispered(ada.id, drawn[0].id)

    assert thumbnails(message) == []
    assert buttons(message) == [*["Show", "Again"] * 2, "Favourites"]


async def test_pictures_of_elsewhere_are_listed_without_thumbnails(chat, drawn):
    """Files of one workspace cannot be shown in another."""
    reply = Reply("…", jobs=tuple(drawn), kind="history")

    assert len(thumbnails({"blocks": message_of(reply, ENGLISH, "T0123")[1]})) == 2
    assert thumbnails({"blocks": message_of(reply, ENGLISH, "T0999")[1]}) == []


async def test_an_answer_with_buttons_is_no_picture(chat, ada):
    await ada.tell("quota")
    message = await ada.direct.said("credits left")

    await ada.shortcut("flux_report", message, ada.direct)

    await ada.direct.said("I did not draw that")


async def test_pages_of_a_history_take_each_others_place(
    chat, slack, ada, general, drawn, monkeypatch
):
    monkeypatch.setattr("bot.conversation.PAGE_SIZE", 1)
    cat, dog = drawn
    await ada.mention(general, "history a")
    newest = await general.whispered(ada.id, dog.id)
    assert buttons(newest)[-1] == "Older"

    await ada.press(newest, "Older", general)
    older = await general.whispered(ada.id, cat.id)
    assert buttons(older)[-1] == "Newer"
    await ada.press(older, "Newer", general)
    await general.whispered(ada.id, dog.id)

    assert len(general.whispers) == 1


async def test_directly_too(chat, slack, ada, general, drawn, monkeypatch):
    monkeypatch.setattr("bot.conversation.PAGE_SIZE", 1)
    cat, dog = drawn
    await ada.tell("history")
    page = await ada.direct.said(dog.id, button="Older")

    await ada.press(page, "Older", ada.direct)
    await ada.direct.said(cat.id, button="Newer")

    assert len(ours(ada.direct)) == 1


async def test_a_page_that_cannot_take_the_place_of_another_is_shown_anew(
    chat, slack, ada, general, drawn, monkeypatch
):
    monkeypatch.setattr("bot.conversation.PAGE_SIZE", 1)
    await ada.mention(general, "history")
    newest = await general.whispered(ada.id, drawn[1].id)
    slack.api.fault("response_url", 404)

    await ada.press(newest, "Older", general)

    await general.whispered(ada.id, drawn[0].id)
    assert len(general.whispers) == 2


async def test_the_queue_offers_to_cancel_ones_own(chat, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    await ada.mention(general, f"a cat {SMALL}")
    await ada.mention(general, "queue")
    message = await general.whispered(ada.id, "a cat")

    cancel = [each for _, each in elements(message["blocks"]) if each["text"]["text"] == "Cancel"]
    assert [each["value"] for each in cancel] == [job.id for job in await jobs(chat)]


async def test_favourites_are_marked_in_the_menu_and_listed_by_a_button(chat, ada, general, drawn):
    cat, dog = drawn
    await ada.mention(general, f"favourite {cat.id}")
    await general.whispered(ada.id, f"★ {cat.id} is among your favourites now.")
    await ada.mention(general, "history")
    page = await general.whispered(ada.id, dog.id)

    await ada.press(page, "Favourites", general)

    def found(_):
        told = [message for _, message in general.whispers if cat.id in str(message)]
        return next((each for each in told if "All my pictures" in buttons(each)), None)

    favourites = await general.until(found)
    assert dog.id not in str(favourites)
    await ada.press(favourites, "All my pictures", general)
    await general.whispered(ada.id, dog.id)


async def test_the_star_in_the_menu_is_told_to_whoever_chooses_it(chat, slack, general, drawn):
    bob = slack.person("bob")
    cat, _ = drawn
    message = next(each for each in ours(general) if cat.id in str(each["blocks"]))

    await bob.press(message, "Favourite", general)
    await general.whispered(bob.id, f"★ {cat.id} is among your favourites now.")
    await bob.press(message, "Favourite", general)
    await general.whispered(bob.id, f"☆ {cat.id} is no favourite of yours any more.")
