"""Tokens that are wrong or revoked, and workspaces that are gone."""

import asyncio

import pytest

from bot.config import ConfigError
from tests.adapters.slack_chat.conftest import SMALL, delivered
from tests.conftest import stepping
from tests.fakes.slack.world import images


@pytest.mark.parametrize("error", ["token_revoked", "account_inactive", "invalid_auth"])
async def test_a_workspace_that_is_gone_gets_its_credits_back_and_disturbs_no_other(
    make_chat, slack, gate, error
):
    other = slack.add_team("T0456")
    ada, eve = slack.person("ada"), slack.person("eve", other)
    here, there = slack.channel(), slack.channel("there", other)
    chat = await make_chat()
    await eve.mention(there, f"a fox {SMALL}")
    await there.said("a fox", button="Cancel")
    await eve.mention(there, f"a cat {SMALL}")
    await there.said("a cat", button="Cancel")

    other.error = error
    await stepping(gate, delivered(chat))
    gate.open()
    await ada.mention(here, f"a fox {SMALL}")
    await here.said("seed", button="Again")

    assert chat.workspaces["T0456"].lost
    assert (await chat.bot.service.quota(eve.key)).used == 0


async def test_an_uninstalled_app_is_noticed_by_its_event(chat, slack, ada, general, gate):
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("a fox", button="Cancel")

    slack.team.error = "account_inactive"
    await ada.acked(await ada.event({"type": "app_uninstalled", "event_ts": slack.ts()}))
    await stepping(gate, delivered(chat))

    assert chat.workspaces["T0123"].lost == "the app was removed from the workspace"
    assert (await chat.bot.service.quota(ada.key)).used == 0


async def test_who_leaves_a_workspace_is_to_be_forgotten_where_that_is_wanted(
    make_chat, slack, ada
):
    retention = {"when_person_leaves": "delete", "when_bot_is_removed": "delete"}
    chat = await make_chat(retention=retention)
    due = "SELECT user, server FROM due_deletions ORDER BY user"
    gone = {"type": "user_change", "user": {"id": ada.id, "deleted": True}}

    await ada.acked(await ada.event({**gone, "event_ts": slack.ts()}))
    assert await chat.bot.rows(due) == [{"user": ada.key, "server": "slack-server:T0123"}]
    back = {"type": "user_change", "user": {"id": ada.id, "deleted": False}}
    await ada.acked(await ada.event({**back, "event_ts": slack.ts()}))
    assert await chat.bot.rows(due) == []

    slack.team.error = "account_inactive"
    await ada.acked(await ada.event({"type": "app_uninstalled", "event_ts": slack.ts()}))
    assert await chat.bot.rows(due) == [{"user": "", "server": "slack-server:T0123"}]


REVOKED = {"type": "tokens_revoked", "tokens": {"bot": ["UBOT1"]}}


async def test_a_workspace_that_installs_the_app_again_is_served_again(
    make_chat, slack, ada, general, gate
):
    """D4, D18: the token may be the same."""
    chat = await make_chat(retention={"when_bot_is_removed": "delete"})
    slack.team.error = "token_revoked"
    await ada.acked(await ada.event({**REVOKED, "event_ts": slack.ts()}))
    due = "SELECT server FROM due_deletions"
    assert await chat.bot.rows(due) == [{"server": "slack-server:T0123"}]

    slack.team.error = None
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")
    assert chat.workspaces["T0123"].lost is None
    assert await chat.bot.rows(due) == []


async def test_the_end_of_an_installation_counts_though_a_call_has_met_it_before(
    make_chat, slack, ada, general
):
    """D4"""
    chat = await make_chat(retention={"when_bot_is_removed": "delete"})
    slack.team.error = "token_revoked"
    await ada.mention(general, "quota")
    while chat.workspaces["T0123"].lost is None:
        await asyncio.sleep(0)

    await ada.acked(await ada.event({"type": "app_uninstalled", "event_ts": slack.ts()}))

    due = await chat.bot.rows("SELECT server FROM due_deletions")
    assert due == [{"server": "slack-server:T0123"}]


async def test_a_workspace_that_needs_another_token_is_told_so(chat, slack, ada, general, caplog):
    """D18: and so is the operator."""
    slack.team.error = "token_revoked"
    await ada.acked(await ada.event({**REVOKED, "event_ts": slack.ts()}))

    await ada.mention(general, f"a fox {SMALL}")
    await ada.slash(general, f"a fox {SMALL}")

    await general.whispered(ada.id, "Slack could not be reached")
    assert "put the one from OAuth & Permissions into SLACK_BOT_TOKEN" in caplog.text


async def test_a_fault_of_slacks_own_is_not_taken_for_a_token_that_does_not_work(
    chat, slack, ada, general, gate, caplog
):
    """D18, I8: nobody should fetch another token for it."""
    slack.team.error = "token_revoked"
    await ada.acked(await ada.event({**REVOKED, "event_ts": slack.ts()}))
    slack.team.error = None
    slack.api.fault("auth.test", *[503] * 4)

    await ada.mention(general, f"a fox {SMALL}")
    assert "cannot be asked: auth.test: HTTP 503" in caplog.text
    assert "SLACK_BOT_TOKEN" not in caplog.text
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")

    await general.said("seed", button="Again")


@pytest.mark.parametrize("farewell", [REVOKED, {"type": "app_uninstalled"}])
async def test_the_end_of_an_earlier_installation_is_not_that_of_this_one(
    chat, slack, ada, general, gate, farewell
):
    """D18: Slack may tell it late, or again."""
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("a fox", button="Cancel")

    await ada.acked(await ada.event({**farewell, "event_ts": slack.ts()}))
    gate.open()

    await general.said("seed", button="Again")


async def test_without_the_permission_to_show_pictures_nothing_is_drawn(
    chat, slack, ada, general, gate
):
    """D15: neither before it is given nor once it was taken."""
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")
    fox = await general.said("seed", button="Again")
    slack.scopes.discard("files:write")
    await ada.mention(general, "quota")
    await general.whispered(ada.id, "credits left")

    for text in (f"a cat {SMALL}", "again", "vary"):
        general.whispers.clear()
        await ada.mention(general, text)
        await general.whispered(ada.id, "I need the files:write permission to show pictures")
    general.whispers.clear()
    await ada.press(fox, "Again", general)
    await general.whispered(ada.id, "I need the files:write permission")

    assert len((await chat.bot.service.lookups.history(ada.key)).jobs) == 1
    slack.scopes.add("files:write")
    await ada.mention(general, f"a dog {SMALL}")
    await general.said("a dog", button="Again")


async def test_a_permission_that_was_taken_in_silence_costs_one_picture_and_no_credits(
    chat, slack, ada, general, gate
):
    """D15: Slack says so when it is missed."""
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("Drawing step 0", button="Cancel")
    slack.scopes.discard("files:write")
    gate.open()
    await general.said("Not delivered: I need the files:write permission")

    await ada.mention(general, f"a fox {SMALL}")

    await general.whispered(ada.id, "I need the files:write permission")
    assert (await chat.bot.service.quota(ada.key)).used == 0


async def test_without_the_permission_to_read_files_pictures_are_shown_all_the_same(
    make_chat, slack, ada, general, gate
):
    """D15: nobody says then when Slack has looked at them."""
    slack.scopes.discard("files:read")
    await make_chat()
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    assert images(await general.said("seed", button="Again"))


async def test_a_token_of_a_person_that_is_revoked_is_none_of_our_business(chat, slack, ada):
    event = {"type": "tokens_revoked", "tokens": {"oauth": ["U1"]}, "event_ts": slack.ts()}

    await ada.acked(await ada.event(event))

    assert chat.workspaces["T0123"].lost is None


async def test_a_wrong_token_is_refused_in_a_sentence_but_others_work(make_chat, slack, caplog):
    chat = await make_chat(tokens=("xoxb-wrong", slack.team.token))
    assert list(chat.workspaces) == ["T0123"]
    assert "Slack does not know the token" in caplog.text
    await chat.close()

    with pytest.raises(ConfigError, match="no Slack token can be used"):
        await make_chat(chat.bot, tokens=("xoxb-wrong",))


async def test_an_app_token_that_opens_no_socket_is_refused_in_a_sentence(make_chat, slack):
    slack.app_error = "token_revoked"

    with pytest.raises(ConfigError, match="the token was revoked"):
        await make_chat()


@pytest.mark.parametrize("fault", ["lost", "fatal_error", ("ratelimited", 0)])
async def test_slack_that_cannot_be_reached_is_tried_again(make_chat, slack, ada, general, fault):
    """I8"""
    slack.api.fault("auth.test", *[fault] * 5)

    await make_chat()
    await ada.mention(general, "quota")

    await general.whispered(ada.id, "credits left")


# Who rules the bot


async def test_admins_of_other_workspaces_rule_their_own_people_alone(make_chat, slack, gate):
    other = slack.add_team("T0456")
    chat = await make_chat(slack_settings={"home_workspaces": ("T0123",)})
    boss = slack.person("boss", is_admin=True)
    guest = slack.person("guest", other, is_admin=True)
    eve = slack.person("eve", other)
    here, there = slack.channel(), slack.channel("there", other)

    await guest.mention(there, "admin pause")
    await there.whispered(guest.id, "Only admins may do that")
    await guest.mention(there, f"admin quota grant <@{eve.id}> 1000")
    await there.whispered(guest.id, "Only admins may do that")
    await guest.mention(there, f"admin ban <@{eve.id}> spam")
    await there.whispered(guest.id, "is banned in this server")
    await eve.mention(there, f"a fox {SMALL}")
    await there.whispered(eve.id, "banned from drawing in this server: spam")
    await boss.mention(here, "admin pause")
    await here.whispered(boss.id, "Drawing is paused")

    audit = await chat.bot.service.admin.audit(guest.key, server="slack-server:T0456")
    assert [entry.act for entry in audit] == ["ban"]


@pytest.mark.parametrize(
    "elsewhere", [{"team_id": "T0999"}, {"team_id": "T0123", "is_stranger": True}]
)
async def test_an_admin_of_another_organisation_rules_nothing_here_whatever_the_event_says(
    chat, slack, monkeypatch, elsewhere
):
    boss, here = slack.person("boss", is_admin=True), slack.channel()
    users_info = slack.api.users_info
    monkeypatch.setattr(
        slack.api,
        "users_info",
        lambda *asked: {"user": {**users_info(*asked)["user"], **elsewhere}},
    )

    await boss.mention(here, "admin pause")

    await here.whispered(boss.id, "Only admins may do that")


async def test_with_several_workspaces_and_no_home_none_of_them_rules_the_bot(make_chat, slack):
    slack.add_team("T0456")
    await make_chat()
    boss = slack.person("boss", is_admin=True)
    here = slack.channel()

    await boss.mention(here, "admin pause")

    await here.whispered(boss.id, "Only admins may do that")


async def test_a_channel_is_chosen_by_its_mention(chat, slack, gate):
    boss, ada = slack.person("boss", is_admin=True), slack.person("ada")
    art, general = slack.channel("art"), slack.channel()

    await boss.mention(general, f"admin channels allow <#{art.id}|art>")
    await general.whispered(boss.id, f"slack-channel:{art.id}")

    await ada.mention(general, f"a fox {SMALL}")
    await general.whispered(ada.id, "no channel for drawing")
    await ada.mention(art, f"a fox {SMALL}")
    await art.said("a fox", button="Cancel")


async def test_people_of_other_organisations_draw_only_where_that_is_wanted(
    make_chat, slack, gate, monkeypatch
):
    chat = await make_chat()
    ada, general = slack.person("ada"), slack.channel()
    event = ada.event

    async def from_elsewhere(said, *more, **others):
        return await event({**said, "user_team": "T0999"}, *more, **others)

    monkeypatch.setattr(ada, "event", from_elsewhere)
    await ada.mention(general, f"a fox {SMALL}")
    await general.whispered(ada.id, "I only draw for people of this workspace")
    assert (await chat.bot.service.lookups.history(ada.key)).jobs == []
    await ada.mention(general, "mydata delete")
    await general.whispered(ada.id, "for good")

    await chat.close()
    await make_chat(chat.bot, slack_settings={"external_people": True})
    await ada.mention(general, f"a cat {SMALL}")
    await general.said("a cat", button="Cancel")


async def test_whoever_was_an_admin_sees_no_pictures_of_others(make_chat, slack, gate):
    gate.open()
    chat = await make_chat()
    boss, ada = slack.person("boss", is_admin=True), slack.person("ada")
    general, other = slack.channel(), slack.channel("other")
    await ada.mention(general, f"a fox {SMALL}")
    await general.said("seed", button="Again")
    (job,) = (await chat.bot.service.lookups.history(ada.key)).jobs
    await boss.mention(other, "admin stats")
    await other.whispered(boss.id, "1 job of 1 person")

    boss.is_admin = False
    await boss.mention(other, f"show {job.id}")

    await other.whispered(boss.id, "of yours")
