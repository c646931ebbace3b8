"""Moderation on Discord: reports, the log channel, its buttons, and who asked."""

from dataclasses import replace

import discord
import pytest

from adapters.discord_chat.moderation import incident_post, teller
from bot.forgetting import FORGOTTEN
from bot.incidents import Incident, Kind
from bot.moderation_log import CannotBeTold
from bot.screens import PASSED, Action, Verdict
from tests.adapters.discord_chat.conftest import SMALL, drawn, ended, shows, the_job
from tests.judges import HIDDEN, Judge

HELD = Verdict(Action.HOLD, "held", "judge", "0.90")
REPORTED = Incident(
    number=1,
    made_at=1_700_000_000.0,
    kind=Kind.REPORTED,
    user="discord:7",
    server="discord-server:5",
    job_id="k7m2p9xd",
    note="a fox",
    reply_to={"channel": 8, "message": 9},
)


@pytest.fixture
def judge():
    return Judge()


@pytest.fixture
async def presence(make_presence, fake, judge, monkeypatch):
    monkeypatch.setattr("bot.moderation_log.SECONDS_BETWEEN_LOOKS", 0.01)
    mods = fake.guild.add_channel("mods")
    presence = await make_presence(moderation={"discord_channel": str(mods.id)})
    presence.bot.judges = {"judge": lambda: judge}
    await presence.restart()
    presence.mods = mods
    return presence


@pytest.fixture
async def boss(presence, fake):
    return fake.person("boss", permissions=0x20)


async def in_log(fake, presence, words):
    """The message in the log channel that says *words*."""

    def found():
        return next((each for each in presence.mods.messages if words in each.text), None)

    await fake.until(found)
    return found()


async def asked_for(person, channel):
    return await person.command(channel, "flux imagine", prompt="a red circle", **SMALL)


async def test_a_held_picture_is_released_by_a_button(fake, presence, ada, boss, judge, gate):
    gate.open()
    judge.picture = HELD
    asked = await asked_for(ada, fake.channel)
    waiting = await asked.until(shows("A moderator looks at this picture"))
    assert not waiting.buttons
    told = await in_log(fake, presence, "Held for you")
    assert list(told.buttons) == ["Show", "Release", "Reject"]

    shown = await boss.press(told, "Show")
    message = await shown.until(ended)
    assert message.is_ephemeral
    assert message.attachments[0].is_spoiler
    await boss.press(told, "Release")

    await asked.until(drawn)
    await fake.until(lambda: not told.buttons)
    assert told.text.startswith("**Held for you** · ")
    assert f"\n\nReleased · <@{boss.id}> (`discord:{boss.id}`)" in told.text


async def test_a_rejected_picture_is_told_to_its_person(fake, presence, ada, boss, judge, gate):
    gate.open()
    judge.picture = HELD
    asked = await asked_for(ada, fake.channel)

    await boss.press(await in_log(fake, presence, "Held for you"), "Reject")

    await asked.until(shows("decided not to show this picture"))


async def test_nobody_but_moderators_can_press(fake, presence, ada, bob, boss, judge, gate):
    gate.open()
    judge.picture = HELD
    await asked_for(ada, fake.channel)
    told = await in_log(fake, presence, "Held for you")

    for button in ("Show", "Release", "Reject"):
        pressed = await bob.press(told, button)
        text = (
            (await pressed.until(ended)).text
            if button == "Show"
            else (await pressed.followed_up()).text
        )
        assert "Only admins may do that" in text

    job = await the_job(presence.bot.service, ada)
    assert job.status == "held"


async def test_a_report_reaches_the_log_channel_and_the_picture_can_be_deleted_from_there(
    fake, presence, ada, bob, boss, gate
):
    gate.open()
    message = await (await asked_for(ada, fake.channel)).until(drawn)

    reported = await bob.press(message, "Report")
    assert "moderators will look" in (await reported.until(ended)).text
    told = await in_log(fake, presence, "Reported")
    await boss.press(told, "Delete picture")

    await fake.until(lambda: "Deleted" in told.text)
    assert (await the_job(presence.bot.service, ada)).is_pruned


async def test_a_moderator_asks_a_message_who_is_behind_it(fake, presence, ada, bob, boss, gate):
    gate.open()
    message = await (await asked_for(ada, fake.channel)).until(drawn)

    told = await (await boss.menu("Who asked for this?", message)).until(ended)
    assert told.is_ephemeral
    assert "a red circle" in told.text
    refused = await (await bob.menu("Who asked for this?", message)).until(ended)
    assert "Only admins may do that" in refused.text


async def test_a_spoiler_is_an_attachment_that_discord_hides(fake, presence, ada, judge, gate):
    gate.open()
    judge.picture = HIDDEN

    message = await (await asked_for(ada, fake.channel)).until(drawn)

    assert message.attachments[0].is_spoiler
    judge.picture = PASSED


async def test_a_moderator_takes_the_spoiler_from_a_message(fake, presence, ada, boss, judge, gate):
    gate.open()
    judge.picture = HIDDEN
    message = await (await asked_for(ada, fake.channel)).until(drawn)
    job = await the_job(presence.bot.service, ada)

    (hidden,) = message.attachments

    await boss.command(fake.channel, "flux-admin review reveal", id=job.id)

    await fake.until(lambda: not message.attachments[0].is_spoiler)
    assert message.attachments[0].id == hidden.id
    assert message.attachments[0].description == "Made by AI: a red circle"


async def test_a_picture_that_many_report_is_hidden_where_it_is_shown(make_presence, fake, gate):
    gate.open()
    await make_presence(moderation={"reports_to_hide": 2})
    ada, bob, eve = map(fake.person, ("ada", "bob", "eve"))
    message = await (await asked_for(ada, fake.channel)).until(drawn)
    (shown,) = message.attachments
    assert not shown.is_spoiler

    await bob.press(message, "Report")
    await eve.press(message, "Report")

    await fake.until(lambda: message.attachments[0].is_spoiler)
    assert message.attachments[0].data == shown.data
    assert message.attachments[0].description == "Made by AI: a red circle"
    assert message.attachments[0].id == shown.id
    assert "Delete" in message.buttons


async def test_words_for_those_who_do_not_see_a_picture_come_with_it_and_with_an_edit(
    fake, presence, ada, boss, judge, gate
):
    gate.open()
    judge.picture = HIDDEN
    message = await (await asked_for(ada, fake.channel)).until(drawn)
    assert message.attachments[0].description == "Made by AI: a red circle"
    job = await the_job(presence.bot.service, ada)
    # As older versions of the bot have left it.
    message.attachments[0] = replace(message.attachments[0], description=None)

    await boss.command(fake.channel, "flux-admin review reveal", id=job.id)

    await fake.until(lambda: not message.attachments[0].is_spoiler)
    assert message.attachments[0].description == "Made by AI: a red circle"


async def test_a_log_entry_leads_to_the_message(fake, presence, ada, bob, gate):
    gate.open()
    message = await (await asked_for(ada, fake.channel)).until(drawn)

    await bob.press(message, "Report")

    told = await in_log(fake, presence, "Reported")
    assert f"https://discord.com/channels/{fake.guild.id}/{fake.channel.id}/" in told.text


def said_of(**changes):
    return incident_post(replace(REPORTED, **changes)).embeds[0].description


def test_what_a_stranger_wrote_stands_behind_a_spoiler_and_what_a_moderator_did_does_not():
    refused = said_of(kind=Kind.REFUSED, note="`@everyone` look")
    done = said_of(kind=Kind.ACT, user=None, note="banned `@everyone`")

    assert refused.endswith("||`ˋ@everyoneˋ look`||")
    assert refused.startswith("**Refused** · <@7> (`discord:7`)")
    assert done.startswith("**Moderator**\n")
    assert "||" not in done
    assert "@everyone" not in done
    assert "banned" in done
    assert "||" not in said_of(note="")


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"reply_to": None},
        {"server": None},
        {"server": "slack-server:T1"},
        {"reply_to": {"channel": 8, "message": 9, "is_private": True}},
        {"reply_to": {"message": 9}},
        {"reply_to": {"channel": 8}},
    ],
    ids=["no answer", "no server", "Slack", "private", "no channel", "no message"],
)
def test_a_log_entry_leads_to_no_message_that_moderators_cannot_see(elsewhere):
    assert "https://discord.com/channels/5/8/9" in said_of()

    assert "discord.com" not in said_of(**elsewhere)


def test_a_log_entry_names_the_job_where_there_is_one():
    assert incident_post(REPORTED).embeds[0].footer.text == "k7m2p9xd"
    assert incident_post(replace(REPORTED, job_id=None)).embeds[0].footer.text is None


def test_a_button_that_deletes_is_red_and_an_act_has_none():
    styles = {item.item.label: item.item.style for item in incident_post(REPORTED).items}

    assert [name for name, style in styles.items() if style is discord.ButtonStyle.danger] == [
        "Delete picture"
    ]
    assert len(styles) == 3
    assert not incident_post(replace(REPORTED, kind=Kind.ACT)).items
    assert not incident_post(replace(REPORTED, job_id=None)).items


async def test_a_channel_of_another_platform_cannot_be_told(fake, presence):
    with pytest.raises(CannotBeTold, match="'C123' is not the id of a channel"):
        await teller(presence.chat.client)("C123", REPORTED)
    with pytest.raises(CannotBeTold):
        await teller(presence.chat.client)("4711", REPORTED)


async def said(person, channel, command, **options):
    asked = await person.command(channel, f"flux-admin {command}", **options)
    return (await asked.until(ended)).text


async def test_the_channel_that_is_told_is_set_shown_and_unset(fake, presence, boss):
    assert "are told here" in await said(boss, fake.channel, "log here")
    assert f"<#{fake.channel.id}>" in await said(boss, fake.channel, "log show")
    assert "Nothing is told here" in await said(boss, fake.channel, "log off")
    assert "No channel is told" in await said(boss, fake.channel, "log show")


async def test_moderators_have_commands_for_all_that_buttons_do(
    fake, presence, ada, bob, boss, gate
):
    gate.open()
    message = await (await asked_for(ada, fake.channel)).until(drawn)
    job = await the_job(presence.bot.service, ada)
    await bob.press(message, "Report")
    await in_log(fake, presence, "Reported")

    assert job.id in await said(boss, fake.channel, "reports list")
    assert f"<@{ada.id}>" in await said(boss, fake.channel, "ask", id=job.id)
    await said(boss, fake.channel, "reports dismiss", id=job.id)
    assert job.id not in await said(boss, fake.channel, "reports list")
    assert not (await the_job(presence.bot.service, ada)).is_pruned
    await said(boss, fake.channel, "reports remove", id=job.id)
    assert (await the_job(presence.bot.service, ada)).is_pruned
    assert message.is_deleted, "nobody sees the picture any more"


async def test_what_a_person_did_on_a_server_is_erased_once_a_moderator_is_sure(
    fake, presence, ada, boss, gate
):
    gate.open()
    await (await asked_for(ada, fake.channel)).until(drawn)

    assert "To go on" in await said(boss, fake.channel, "erase", who=ada)
    assert (await the_job(presence.bot.service, ada)).request.prompt == "a red circle"
    assert "jobs: 1" in await said(boss, fake.channel, "erase", who=ada, sure=True)
    assert (await the_job(presence.bot.service, ada)).request.prompt == FORGOTTEN
