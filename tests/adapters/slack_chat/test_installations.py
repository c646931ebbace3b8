"""Payloads that name another workspace than the one that the app is installed in, or none."""

import pytest

from adapters.slack_chat.installations import installation
from adapters.slack_chat.pace import Pace
from adapters.slack_chat.workspaces import Workspace
from bot.sections import Slack
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs
from tests.fakes.slack.world import images

# Channels that are shared with another organisation (Slack Connect)


@pytest.fixture
def eve(slack):
    """Somebody of another organisation, whose payloads name that."""
    return slack.person("eve", elsewhere="T0999")


async def test_people_of_another_organisation_are_answered_in_each_way(
    make_chat, slack, eve, general, gate
):
    """D12: payloads name their workspace, in which the app is not installed."""
    chat = await make_chat(slack_settings={"external_people": True})
    gate.open()

    await eve.mention(general, f"a fox {SMALL}")
    fox = await general.said("a fox", button="Again")
    await eve.press(fox, "Again", general)
    await eve.press(fox, "Edit prompt", general)
    assert await eve.submit(await eve.form(), prompt="a cat") is None
    await general.said("a cat", button="Again")
    await eve.shortcut("flux_how", fox, general)
    await general.whispered(eve.id, "3 steps")
    await delivered(chat)

    assert len(await jobs(chat)) == 3


async def test_people_of_another_organisation_are_refused_in_each_way(
    chat, slack, ada, eve, general, gate
):
    """D12"""
    gate.open()
    refused = "I only draw for people of this workspace"
    await ada.mention(general, f"a fox {SMALL}")
    fox = await general.said("a fox", button="Again")

    await eve.mention(general, f"a cat {SMALL}")
    await general.whispered(eve.id, refused)
    general.whispers.clear()
    await eve.press(fox, "Again", general)
    await general.whispered(eve.id, refused)
    general.whispers.clear()
    await eve.press(fox, "Edit prompt", general)
    await general.whispered(eve.id, refused)
    await ada.slash(general)
    errors = await eve.submit(await ada.form(), prompt="a cat")
    assert list(errors.values()) == [f"{refused}."]

    assert len(await jobs(chat)) == 1


async def test_a_colleague_in_a_shared_channel_is_known_though_the_payload_names_nobody(
    chat, slack, ada, general, gate, monkeypatch
):
    """D12: Slack does not always say whose person it is."""
    gate.open()
    event = ada.mention_event(general, f"<@UBOT1> a fox {SMALL}")
    del event["team"]
    monkeypatch.setattr(slack.sockets, "deliver", shared(slack.sockets.deliver))

    await ada.acked(await ada.event(event))

    await general.said("a fox", button="Again")


def shared(deliver):
    """*deliver*, of a channel in which somebody else has said something to the bot too."""

    async def and_elsewhere(kind, payload, *more):
        return await deliver(
            kind, {**payload, "team_id": "T0999", "is_ext_shared_channel": True}, *more
        )

    return and_elsewhere


async def test_an_admin_of_another_organisation_rules_nothing_here(chat, slack, general):
    """D12"""
    boss = slack.person("boss", elsewhere="T0999", is_admin=True)

    await boss.mention(general, "admin pause")

    await general.whispered(boss.id, "I only draw for people of this workspace")
    assert chat.bot.service.state.message == ""


# Organisations with the app in all their workspaces (Enterprise Grid)


@pytest.fixture
def org(slack):
    slack.teams.clear()
    return slack.add_team("E0001", is_org=True)


async def test_an_organisation_with_the_app_in_all_its_workspaces_is_served_in_each_way(
    org, make_chat, slack, gate
):
    """D14: payloads have a workspace that is unknown, or none."""
    ada, general = slack.person("ada"), slack.channel("general")
    chat = await make_chat()
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")
    fox = await general.said("a fox", button="Again")
    await ada.press(fox, "Again", general)
    await ada.slash(general, "quota")
    await general.whispered(ada.id, "credits left")
    await ada.slash(general)
    filled = {"prompt": "a cat", "size": "64x64", "steps": "3"}
    assert await ada.submit(await ada.form(), **filled) is None
    assert images(await general.said("a cat", button="Again"))
    await ada.tell(f"a dog {SMALL}")
    await ada.direct.said("a dog", button="Again")
    await ada.shortcut("flux_how", fox, general)
    await general.whispered(ada.id, "3 steps")
    await ada.open_home()
    await ada.sees(lambda person: person.home)
    await delivered(chat)

    assert {job.user for job in await jobs(chat)} == {f"slack:E0001-{ada.id}"}
    assert len(await jobs(chat)) == 4


async def test_admins_of_an_organisation_rule_it_and_those_of_one_workspace_do_not(
    org, make_chat, slack
):
    """D14"""
    boss = slack.person("boss", is_org_admin=True)
    other = slack.person("other", is_admin=True)
    general = slack.channel("general")
    await make_chat()

    await other.mention(general, "admin pause")
    await general.whispered(other.id, "Only admins may do that")
    await boss.mention(general, "admin pause")
    await general.whispered(boss.id, "Drawing is paused")


async def test_a_guest_of_an_organisation_is_no_member_of_it(org, make_chat, slack):
    """D14"""
    eve = slack.person("eve", elsewhere="T0999", is_admin=True)
    general = slack.channel("general")
    await make_chat()

    await eve.mention(general, f"a fox {SMALL}")

    await general.whispered(eve.id, "I only draw for people of this workspace")


# Whatever comes


async def test_a_workspace_without_a_token_is_acknowledged_and_told_so(chat, slack, general):
    """D12: the app may be installed where the bot was not told of."""
    stranger = slack.person("zoe", slack.add_team("T0456"))

    await stranger.acked(await stranger.event({"type": "app_mention", "user": stranger.id}))
    await stranger.slash(general, "a fox")

    await general.whispered(stranger.id, "I only draw in")
    assert await jobs(chat) == []


async def test_a_payload_of_an_unknown_form_is_acknowledged(chat, slack, ada, general):
    """D12"""
    hook = slack.new_hook(general, ada.id)
    body = {"type": "block_actions", "team": {"id": "T0123"}, "response_url": hook}
    body |= {"trigger_id": "1", "actions": [{"type": "button", "action_id": "flux:again"}]}

    await ada.acked(await slack.sockets.deliver("interactive", body))

    await general.whispered(ada.id, "Something went wrong on our side")


BODIES = [
    ({"team_id": "T2"}, "T2"),
    ({"team": {"id": "T2"}}, "T2"),
    ({"team": "T2"}, "T2"),
    ({"team_id": "T9", "authorizations": [{"team_id": "T1"}]}, "T1"),
    ({"team": {"id": "T9"}, "view": {"app_installed_team_id": "T1"}}, "T1"),
    ({"team": {"id": "T2"}, "message": {"bot_id": "B1"}}, "T1"),
    ({"team": None, "enterprise": {"id": "E3"}, "user": {"team_id": "T9"}}, "E3"),
    ({"team": {"id": "T9", "enterprise_id": "E3"}}, "E3"),
    ({"team_id": "T9", "enterprise_id": "E3"}, "E3"),
    ({"team": None, "user": {"team_id": "T2"}}, "T2"),
    ({"team_id": "T9"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("body", "team"), BODIES)
def test_the_workspace_of_a_payload_is_told_by_the_surest_of_its_ids(body, team):
    """D12, D14"""
    workspaces = {}
    for number, id in enumerate(("T1", "T2", "E3"), 1):
        workspace = workspaces[id] = Workspace("xoxb", Slack(), None, Pace())
        workspace.team, workspace.bot_id = id, f"B{number}"

    found = installation(workspaces, body)

    assert found is workspaces.get(team or "")
    alone = installation({"T1": workspaces["T1"]}, {})
    assert alone is workspaces["T1"]
