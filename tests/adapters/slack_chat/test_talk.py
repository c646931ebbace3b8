"""Words to the bot in Slack, and its answers."""

import json

import pytest

from bot.jobs import JobStatus
from bot.views import About
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours
from tests.conftest import at_step
from tests.fakes.slack.world import buttons, images, shown_text
from tests.samples import opened, picture


async def drawn(person, channel, text, words="seed", **more):
    """The message in which a mention ended."""
    before = set(channel.messages)
    await person.mention(channel, text, **more)
    return await channel.until(
        lambda messages: next(
            (
                message
                for message in messages
                if message["ts"] not in before
                and "bot_id" in message
                and "Again" in buttons(message)
                and words in shown_text(message)
            ),
            None,
        )
    )


async def test_a_mention_is_answered_in_its_thread_with_the_picture(
    chat, slack, ada, general, gate
):
    gate.open()

    envelope = await ada.mention(general, f"a fox in snow {SMALL} --seed 7")
    message = await general.said("seed 7", button="Again")

    asked = envelope.payload["event"]["ts"]
    assert message["thread_ts"] == asked
    (file,) = images(message)
    shown = opened(slack.files[file].data)
    assert shown.size == (64, 64)
    (job,) = await jobs(chat)
    assert json.loads(shown.text["fluxbot"])["job"] == job.id
    assert (job.user, job.request.seed) == (ada.key, 7)
    assert message["blocks"][2]["alt_text"] == "Made by AI: a fox in snow"
    assert buttons(message) == [
        "Again",
        "Vary subtle",
        "Vary strong",
        "Edit prompt",
        "Use as control image",
        "Report",
        "Delete",
    ]


async def test_one_message_is_edited_from_its_place_to_the_picture(chat, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    (fox,) = await jobs(chat)
    await at_step(fox, 0)
    await ada.mention(general, f"a cat {SMALL}")

    waiting = await general.said("Queued, 1 ahead of you", button="Cancel")
    gate.allow(1)
    await general.said("▰▰▰▰▱▱▱▱▱▱▱▱  Drawing step 1 of 3")
    gate.open()
    await general.until(lambda _: "Again" in buttons(waiting))

    assert len([each for each in general.messages.values() if "bot_id" in each]) == 2
    texts = [text.partition(" · ")[2] for text in general.texts[waiting["ts"]]]
    assert texts[0].startswith("Queued, 1 ahead")
    assert "seed" in texts[-1]


async def test_only_the_person_who_asked_is_called_and_nothing_unfurls(
    chat, slack, ada, general, gate
):
    gate.open()
    prompt = "<!channel> <@U999> & <https://evil.example|x> @everyone *bold* \u202egnp"

    message = await drawn(ada, general, f"{prompt} {SMALL}")

    assert set(slack.called_people) == {ada.id}
    assert "\u202e" not in json.dumps(message, ensure_ascii=False)


async def test_dashes_that_slack_makes_of_two_begin_options(chat, ada, general, gate):
    gate.open()

    await drawn(ada, general, "a fox in snow —steps 2 –size 64x64 —seed 5")

    (job,) = await jobs(chat)
    assert (job.request.num_inference_steps, job.request.seed) == (2, 5)
    assert job.request.prompt == "a fox in snow"


async def test_escapes_and_links_are_read_as_the_person_saw_them(chat, ada, general, gate):
    gate.open()

    await drawn(ada, general, f"cats &amp; dogs, 1 &lt; 2 <http://a.example|a.example> {SMALL}")

    (job,) = await jobs(chat)
    assert job.request.prompt == "cats & dogs, 1 < 2 a.example"


async def test_an_attached_picture_is_followed(chat, slack, ada, general, gate):
    gate.open()

    await drawn(ada, general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    (job,) = await jobs(chat)
    assert job.request.control_image is not None
    assert job.request.preset == "canny"


async def test_a_mistake_is_told_to_the_person_alone_and_costs_nothing(chat, ada, general):
    await ada.mention(general, "a fox --steps 80")

    whisper = await general.whispered(ada.id, "Steps must be a whole number between 1 and 50")

    assert "thread_ts" not in whisper
    assert [each for each in general.messages.values() if "bot_id" in each] == []
    assert (await chat.bot.service.quota(ada.key)).used == 0


SAYINGS = [
    ("presets", "canny (attach a picture)"),
    ("models", "Presets: plain, canny, redraw"),
    ("history", "You have drawn nothing yet."),
    ("quota", "10000 credits left"),
    ("queue", "None of them is yours."),
    ("settings --steps 20", "Your defaults: steps 20"),
    ("help", "Say what to draw"),
    ("help steps", "--steps, --num-inference-steps"),
    ("show abc23def", "There is no picture"),
    ("cancel", "None of your jobs is waiting"),
    ("", "The prompt is empty"),
]


@pytest.mark.parametrize(("text", "answer"), SAYINGS)
async def test_words_to_the_bot_are_answered_to_whoever_said_them(chat, ada, general, text, answer):
    await ada.mention(general, text)

    await general.whispered(ada.id, answer)


async def test_show_posts_a_picture_again(chat, slack, ada, general, gate):
    gate.open()
    first = await drawn(ada, general, f"a fox {SMALL} --seed 7")
    (job,) = await jobs(chat)

    again = await drawn(ada, general, f"show {job.id}", "seed 7")

    assert slack.files[images(again)[0]].data == slack.files[images(first)[0]].data
    assert len(await jobs(chat)) == 1


async def test_a_picture_sent_directly_is_followed(chat, ada, gate):
    gate.open()

    await ada.tell(f"a fox --preset redraw {SMALL}", files=[ada.file(picture())])

    await ada.direct.said("redraw", button="Again")


# A thread is a session


async def test_in_a_thread_same_keeps_everything_and_says_what(chat, slack, ada, general, gate):
    gate.open()
    control = ada.file(picture())
    first = await drawn(
        ada, general, f"a fox in snow --preset canny --seed 7 {SMALL}", files=[control]
    )

    thread = first["thread_ts"]
    message = await drawn(ada, general, "same, at night", "at night", thread=thread)

    fox, night = await jobs(chat)
    assert night.request.prompt == "a fox in snow, at night"
    assert night.request.control_image == fox.request.control_image
    assert night.request.seed == 7
    assert night.parent == fox.id
    assert message["thread_ts"] == thread
    taken = f"Builds on {fox.id} and keeps preset canny, 64×64, seed 7, its control image."
    assert taken in shown_text(message)


async def test_in_a_thread_others_build_on_the_picture_too(chat, slack, ada, general, gate):
    gate.open()
    bob = slack.person("bob")
    first = await drawn(ada, general, f"a fox {SMALL} --seed 7")

    await drawn(bob, general, "again --steps 2", "2 steps", thread=first["thread_ts"])
    await drawn(bob, general, "vary", thread=first["thread_ts"])

    fox, again, varied = await jobs(chat)
    assert (again.user, again.parent) == (bob.key, fox.id)
    assert (again.request.seed, again.request.num_inference_steps) == (7, 2)
    assert varied.parent == again.id, "the last picture there is what is built on"
    assert varied.request.seed != 7


async def test_each_thread_goes_on_from_its_own_picture(chat, ada, general, gate):
    gate.open()
    fox = await drawn(ada, general, f"a fox {SMALL}")
    await drawn(ada, general, f"a cat {SMALL}")

    await drawn(ada, general, "same, at night", "a fox, at night", thread=fox["thread_ts"])

    assert (await jobs(chat))[2].parent == (await jobs(chat))[0].id


async def test_a_thread_under_the_answer_of_a_command_is_a_session_too(chat, ada, general, gate):
    gate.open()
    await ada.slash(general, f"a fox {SMALL} --seed 7")
    first = await general.said("seed 7", button="Again")

    await drawn(ada, general, "same --steps 2", "2 steps", thread=first["ts"])

    fox, again = await jobs(chat)
    assert again.parent == fox.id


async def test_where_nothing_was_drawn_again_means_ones_own_latest(chat, slack, ada, general, gate):
    gate.open()
    bob, other = slack.person("bob"), slack.channel("other")
    await drawn(ada, general, f"a fox {SMALL} --seed 7")

    await drawn(ada, other, "again")
    await bob.mention(other, "again")

    await other.whispered(bob.id, "You have no picture yet")
    assert len(await jobs(chat)) == 2


async def test_without_a_thread_same_means_ones_own_latest(chat, ada, general, gate):
    gate.open()
    await drawn(ada, general, f"a fox {SMALL}")

    await ada.slash(general, "same, at night")
    await general.said("a fox, at night", button="Again")

    fox, night = await jobs(chat)
    assert night.parent == fox.id


async def test_same_at_the_beginning_of_a_prompt_is_a_prompt(chat, ada, general, gate):
    gate.open()
    first = await drawn(ada, general, f"a fox {SMALL}")

    await drawn(ada, general, f"same old fox {SMALL}", thread=first["thread_ts"])

    assert (await jobs(chat))[1].request.prompt == "same old fox"


# Who may do what


async def test_admins_of_the_workspace_are_obeyed_and_nobody_else_sees_it(chat, slack, general):
    boss, ada = slack.person("boss", is_admin=True), slack.person("ada")
    channel_before = dict(general.messages)

    await ada.mention(general, "admin pause")
    await general.whispered(ada.id, "Only admins may do that")
    await boss.mention(general, f"admin quota set <@{ada.id}> 5")
    await general.whispered(boss.id, f"{ada.key}: 5 credits left")
    await boss.slash(general, f"admin quota grant <@{ada.id}|ada> 3")
    await general.whispered(boss.id, "3 were granted by an admin")
    await boss.mention(general, "admin drain")
    await general.whispered(boss.id, "No new jobs are accepted")

    said = [each for ts, each in general.messages.items() if ts not in channel_before]
    assert [each for each in said if "bot_id" in each] == []
    audit = await chat.bot.rows("SELECT admin, act FROM audit ORDER BY number")
    assert audit == [
        {"admin": boss.key, "act": "set quota"},
        {"admin": boss.key, "act": "grant"},
        {"admin": boss.key, "act": "drain"},
    ]


async def test_whoever_is_an_admin_no_longer_is_refused(chat, slack, general):
    boss = slack.person("boss", is_owner=True)
    await boss.mention(general, "admin stats")
    await general.whispered(boss.id, "In the last 24 hours")

    boss.is_owner = False
    await boss.mention(general, "admin pause")

    await general.whispered(boss.id, "Only admins may do that")


async def test_people_named_in_the_configuration_are_admins_of_no_workspace(make_chat, slack):
    ada, general = slack.person("ada"), slack.channel()
    await make_chat(admins={"users": (ada.key, "web:local")})

    await ada.slash(general, "admin ban slack:T0123-U9 spam")

    await general.whispered(ada.id, "slack:T0123-U9 is banned")


async def test_a_channel_that_was_not_allowed_draws_nothing(chat, slack, ada, general):
    await chat.bot.service.servers.set_channel(
        "web:local", "slack-server:T0123", "C999", is_allowed=True
    )

    await ada.mention(general, "a fox")

    await general.whispered(ada.id, "This is no channel for drawing")


async def test_workspaces_are_told_apart(make_chat, slack, gate):
    gate.open()
    other = slack.add_team("T0456")
    ada, eve = slack.person("ada"), slack.person("eve", other)
    here, there = slack.channel("here"), slack.channel("there", other)
    chat = await make_chat()

    await drawn(ada, here, f"a fox {SMALL}")
    await drawn(eve, there, f"a cat {SMALL}")

    fox, cat = await jobs(chat)
    assert (fox.user, cat.user) == (ada.key, eve.key)
    assert (fox.origin.server, cat.origin.server) == ("slack-server:T0123", "slack-server:T0456")
    assert cat.status is JobStatus.SUCCEEDED


async def test_bots_are_not_answered(chat, slack, ada, general):
    event = {"type": "app_mention", "user": ada.id, "bot_id": "B9", "text": "<@UBOT1> a fox"}
    event |= {"ts": slack.ts(), "channel": general.id, "event_ts": slack.ts(), "team": "T0123"}

    await ada.acked(await ada.event(event))

    assert await jobs(chat) == []


async def test_a_reply_that_is_also_sent_to_the_conversation_is_heard(
    chat, slack, ada, general, gate
):
    """D17: Slack delivers a direct message of that kind as a ``thread_broadcast``."""
    gate.open()
    root = ada.write(ada.direct, "about foxes")["ts"]
    message = ada.write(ada.direct, f"a fox {SMALL}", thread=root)
    said = {"subtype": "thread_broadcast", "channel_type": "im", "channel": ada.direct.id}

    event = {**message, **said, "event_ts": message["ts"], "root": {"ts": root}}
    await ada.acked(await ada.event(event))

    assert (await ada.direct.said("seed", button="Again"))["thread_ts"] == root


async def test_a_greeting_is_answered_with_an_example_that_is_drawn_when_pressed(
    chat, ada, general, gate
):
    gate.open()
    example = f"a red circle {SMALL}"
    chat.bot.service.about = About("A test.", (example,))
    await ada.mention(general, ", help")
    told = await general.whispered(ada.id, "A test.")
    assert await jobs(chat) == []

    await ada.press(told, example, general)

    await general.said("seed", button="Again")
    (job,) = await jobs(chat)
    assert job.request.prompt == "a red circle"


async def test_thanks_in_a_form_draw_nothing(chat, ada, general):
    await ada.slash(general)
    assert await ada.submit(await ada.form(), prompt="Merci beaucoup !") is None

    await general.whispered(ada.id, "You are welcome!")
    assert await jobs(chat) == []


# Called to what is done


async def test_after_a_long_wait_the_person_alone_is_called_in_the_thread(
    chat, slack, ada, general, gate
):
    await ada.mention(general, f"a fox {SMALL}")
    fox = await general.said("Drawing step 0", button="Cancel")
    slack.called_people.clear()
    chat.bot.clock.advance(31)
    gate.open()

    call = await general.said("Your picture is ready.")

    assert call["thread_ts"] == fox["thread_ts"]
    assert slack.called_people.count(ada.id) == 1
    await delivered(chat)


async def test_who_wants_that_is_called_directly_in_slack(chat, slack, ada, general, gate):
    await ada.mention(general, "settings --notify dm")
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("Drawing step 0", button="Cancel")
    chat.bot.clock.advance(31)
    gate.open()

    call = await ada.direct.said("Your picture is ready.")

    assert "slack.com/archives/" in call["blocks"][0]["text"]["text"]
    assert not any("Your picture is ready" in shown_text(each) for each in ours(general))
