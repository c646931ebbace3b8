"""Moderation in Slack: reports, the log channel, its buttons, and who asked."""

import json
from dataclasses import replace

import pytest

from adapters.slack_chat.errors import SlackError
from adapters.slack_chat.moderation import decision_of, incident_message, teller
from bot.decisions import Decision
from bot.incidents import Incident, Kind
from bot.moderation_log import CannotBeTold
from bot.screens import Action, Verdict
from tests.adapters.slack_chat.conftest import SMALL, ours
from tests.conftest import until
from tests.fakes.slack.world import images
from tests.judges import HIDDEN, Judge

HELD = Verdict(Action.HOLD, "held", "judge", "0.90")
REPORTED = Incident(
    number=1,
    made_at=1_700_000_000.0,
    kind=Kind.REPORTED,
    user="slack:U7",
    server="slack-server:T5",
    job_id="k7m2p9xd",
    note="a fox",
)


@pytest.fixture
def judge():
    return Judge()


@pytest.fixture
def mods(slack):
    return slack.channel("mods")


@pytest.fixture
async def chat(make_chat, make_bot, judge, mods, monkeypatch):
    monkeypatch.setattr("bot.moderation_log.SECONDS_BETWEEN_LOOKS", 0.01)
    bot = await make_bot(moderation={"slack_channel": mods.id})
    bot.judges = {"judge": lambda: judge}
    await bot.restart()
    return await make_chat(bot)


async def test_a_held_picture_is_released_by_a_button(chat, slack, mods, judge, gate):
    gate.open()
    judge.picture = HELD
    boss, ada = slack.person("boss", is_admin=True), slack.person("ada")
    general = slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    waiting = await general.said("A moderator looks at this picture")
    assert not any(block["type"] == "actions" for block in waiting["blocks"])
    told = await mods.said("Held for you", button="Release")

    await ada.press(told, "Release", mods)
    await mods.whispered(ada.id, "Only admins may do that")
    await boss.press(told, "Release", mods)

    await general.said("seed", button="Again")
    decided = await mods.said(f"Released · <@{boss.id}>")
    assert not any(block["type"] == "actions" for block in decided["blocks"])


async def test_a_report_reaches_the_log_channel(chat, slack, mods, gate):
    gate.open()
    boss, ada, eve = (slack.person("boss", is_admin=True), slack.person("ada"), slack.person("eve"))
    general = slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Report")

    await eve.press(message, "Report", general)

    await general.whispered(eve.id, "moderators will look")
    told = await mods.said("Reported", button="Dismiss")
    await boss.press(told, "Dismiss", mods)
    await mods.said("Dismissed")


async def test_a_spoiler_is_shown_to_whoever_asks_for_it_alone(chat, slack, judge, gate):
    gate.open()
    judge.picture = HIDDEN
    ada, general = slack.person("ada"), slack.channel()
    await ada.mention(general, f"a fox {SMALL}")

    message = await general.said("not everybody wants to see", button="Show")
    assert not any(block["type"] == "image" for block in message["blocks"])
    await ada.press(message, "Show", general)
    await chat.close()

    ((to, shown),) = general.whispers
    assert (to, len(images(shown))) == (ada.id, 1)
    assert ours(general) == [message]


@pytest.mark.parametrize("who", ["the person", "a moderator"])
async def test_a_picture_for_one_person_is_shown_though_slack_fails_at_first(
    chat, slack, judge, mods, gate, who
):
    """I8"""
    gate.open()
    boss, general = slack.person("boss", is_admin=True), slack.channel()
    judge.picture = HIDDEN if who == "the person" else HELD
    await boss.mention(general, f"a fox {SMALL}")
    place = general if who == "the person" else mods
    message = await place.said("", button="Show")
    slack.api.fault("chat.postEphemeral", "internal_error", 503)

    await boss.press(message, "Show", place)

    await place.until(lambda _: place.whispers)
    assert images(place.whispers[0][1])


async def test_who_cannot_be_shown_a_picture_is_told_so(chat, slack, judge, gate):
    gate.open()
    judge.picture = HIDDEN
    ada, general = slack.person("ada"), slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("not everybody wants to see", button="Show")
    slack.api.fault("chat.postEphemeral", "any_new_word")

    await ada.press(message, "Show", general)

    await general.whispered(ada.id, "Something went wrong on our side")


async def test_a_log_entry_leads_to_the_message(chat, slack, mods, gate):
    gate.open()
    ada, bob, general = slack.person("ada"), slack.person("bob"), slack.channel()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Report")

    await bob.press(message, "Report", general)

    told = await mods.said("Reported")
    assert f"/archives/{general.id}/p{message['ts'].replace('.', '')}|Go to the message>" in str(
        told
    )


async def test_the_audit_log_is_a_file_for_the_person_alone(chat, slack, mods):
    boss = slack.person("boss", is_admin=True)
    await boss.mention(mods, "admin ban slack:U5 spam")
    await mods.whispered(boss.id, "banned")

    await boss.slash(mods, "admin audit export")

    await until(lambda: any(file.is_complete for file in slack.files.values()))
    (file,) = slack.files.values()
    assert file.channel.startswith("D")
    assert json.loads(file.data)["act"] == "ban"


def test_a_message_about_an_incident_says_who_what_and_which_job():
    text, parts = incident_message(REPORTED)
    nobody, _ = incident_message(replace(REPORTED, user=None))
    shown = json.dumps(parts, ensure_ascii=False)

    assert text == "Reported · slack:U7"
    assert parts[2]["elements"][0]["text"] == "k7m2p9xd"
    assert nobody == "Reported"
    assert all(word in shown for word in ("slack:U7", "a fox"))
    assert "Go to the message" not in shown
    assert "Go to the message" in str(incident_message(REPORTED, "https://slack.test/m")[1])


def test_a_button_that_deletes_is_red_and_each_leads_to_its_decision():
    (actions,) = (part for part in incident_message(REPORTED)[1] if part["type"] == "actions")
    styles = {each["text"]["text"]: each.get("style") for each in actions["elements"]}
    verbs = [each["action_id"].removeprefix("flux:") for each in actions["elements"]]

    assert [decision_of(verb) for verb in verbs] == [
        Decision.SHOW,
        Decision.DISMISS,
        Decision.REMOVE,
    ]
    assert decision_of("show") is None, "a button of pictures in a grid"
    assert styles == {"Show": None, "Dismiss": None, "Delete picture": "danger"}
    for incident in (replace(REPORTED, kind=Kind.ACT), replace(REPORTED, job_id=None)):
        assert not [part for part in incident_message(incident)[1] if part["type"] == "actions"]


async def test_a_log_entry_leads_to_no_direct_message(chat, slack, mods, judge, gate):
    """Nobody else can open one."""
    gate.open()
    judge.picture = HELD
    ada = slack.person("ada")

    await ada.tell(f"a fox {SMALL}")

    told = await mods.said("Held for you", button="Release")
    assert "Go to the message" not in str(told)


class Team:
    """A workspace that refuses calls with *error*, or takes them."""

    def __init__(self, team, asked, error=""):
        self.team, self.error = team, error
        self._asked = asked
        self.pace = self

    async def turn(self, channel):
        pass

    async def call(self, method, **arguments):
        self._asked.append(self.team)
        if self.error:
            raise SlackError(method, self.error)
        return {"ok": True}


async def test_the_log_channel_is_looked_for_where_it_happened_and_then_everywhere():
    asked = []
    teams = {name: Team(name, asked, "channel_not_found") for name in ("T1", "T3", "T5")}

    with pytest.raises(CannotBeTold):
        await teller(teams)("C1", REPORTED)
    assert asked == ["T5", "T1", "T3"]

    teams["T1"].error = ""
    await teller(teams)("C1", replace(REPORTED, server=None))
    assert asked[3:] == ["T1"]
    await teller(teams)("C1", REPORTED)
    assert asked[4:] == ["T5", "T1"]


async def test_a_fault_that_may_pass_is_no_missing_channel():
    asked = []

    with pytest.raises(SlackError, match="ratelimited"):
        await teller({"T1": Team("T1", asked), "T5": Team("T5", asked, "ratelimited")})(
            "C1", REPORTED
        )

    assert asked == ["T5"]
