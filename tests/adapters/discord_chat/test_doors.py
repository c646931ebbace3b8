"""The places on Discord in which the bot is open, whatever one presses there."""

import pytest

from tests.adapters.discord_chat.conftest import SMALL, drawn, ended


async def refused(asked):
    message = await asked.until(ended)
    assert message.is_ephemeral
    return message.text


async def test_in_other_servers_than_those_that_are_named_nothing_works(fake, make_presence, gate):
    presence = await make_presence(discord={"servers": (str(fake.guild.id),)})
    gate.open()
    ada = fake.person("ada")
    elsewhere = fake.add_guild("Elsewhere")
    there = elsewhere.add_channel("general")
    ada.join(elsewhere)

    for command, options in (("flux imagine", {"prompt": "a fox", **SMALL}), ("flux quota", {})):
        asked = await ada.command(there, command, **options)
        assert "I only draw in certain servers" in await refused(asked)
    await (await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)).until(drawn)

    assert len((await presence.bot.service.lookups.history(f"discord:{ada.id}")).jobs) == 1


async def test_direct_messages_can_be_closed_and_are_where_servers_are_named(
    fake, make_presence, gate
):
    gate.open()
    presence = await make_presence(discord={"direct_messages": False})
    ada = fake.person("ada")
    asked = await ada.command(ada.direct, "flux imagine", prompt="a fox", **SMALL)
    assert "I do not draw in direct messages" in await refused(asked)

    await presence.restart(discord={"servers": (str(fake.guild.id),)})
    asked = await ada.command(ada.direct, "flux imagine", prompt="a fox", **SMALL)
    assert "I do not draw in direct messages" in await refused(asked)

    await presence.restart(discord={"roles": ("1234",)})
    asked = await ada.command(ada.direct, "flux imagine", prompt="a fox", **SMALL)
    assert "I do not draw in direct messages" in await refused(asked)

    await presence.restart(discord={"servers": (str(fake.guild.id),), "direct_messages": True})
    await (await ada.command(ada.direct, "flux imagine", prompt="a fox", **SMALL)).until(drawn)


async def test_the_app_is_offered_to_servers_alone_where_people_may_not_bring_it(
    fake, make_presence
):
    await make_presence(discord={"user_install": False})

    commands = await fake.registered()

    assert {tuple(each["integration_types"]) for each in commands} == {(0,)}
    assert all(2 not in (each["contexts"] or ()) for each in commands)


async def test_under_a_picture_that_somebody_drew_with_an_app_of_their_own_nothing_is_drawn_later(
    fake, make_presence, gate
):
    gate.open()
    presence = await make_presence()
    elsewhere = fake.add_guild("Elsewhere", has_bot=False)
    there = elsewhere.add_channel("general")
    ada = fake.person("ada", has_installed=True)
    ada.join(elsewhere)
    asked = await ada.command(there, "flux imagine", prompt="a fox", **SMALL)
    message = await asked.until(drawn)
    await presence.restart(discord={"user_install": False})

    pressed = await ada.press(message, "Again")

    assert "in servers that have added me" in await refused(pressed)
    assert len((await presence.bot.service.lookups.history(f"discord:{ada.id}")).jobs) == 1


async def test_only_members_of_the_named_roles_may_use_it(fake, make_presence, gate):
    gate.open()
    role = fake.guild.add_role("artists", 0)
    await make_presence(discord={"roles": (str(role.id),)})
    ada, bob = fake.person("ada"), fake.person("bob")
    fake.guild.members[ada.id].roles.append(role)

    await (await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)).until(drawn)
    asked = await bob.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    assert "Drawing needs a role" in await refused(asked)


@pytest.mark.parametrize("button", ["Again", "Vary strong", "Edit prompt", "Use as control image"])
async def test_a_button_asks_for_all_that_its_command_asks_for(fake, make_presence, gate, button):
    gate.open()
    role = fake.guild.add_role("artists", 0)
    presence = await make_presence()
    ada, bob = fake.person("ada"), fake.person("bob")
    fake.guild.members[ada.id].roles.append(role)
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    message = await asked.until(drawn)
    await presence.restart(discord={"roles": (str(role.id),)})

    pressed = await bob.press(message, button)

    assert "Drawing needs a role" in await refused(pressed)
    assert (await presence.bot.service.lookups.history(f"discord:{bob.id}")).jobs == []


async def test_a_form_that_was_opened_before_the_door_closed_draws_nothing(
    fake, make_presence, gate
):
    gate.open()
    presence = await make_presence()
    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    form = await ada.press(await asked.until(drawn), "Edit prompt")
    await form.answered()
    await presence.bot.service.admin.ban("web:local", f"discord:{ada.id}")

    sent = await ada.submit(form)

    assert "banned you" in (await sent.followed_up()).text


async def test_ones_own_data_can_be_asked_for_where_nobody_draws(fake, make_presence):
    await make_presence(discord={"direct_messages": False})
    ada = fake.person("ada")

    asked = await ada.command(ada.direct, "flux mydata export")

    assert "I do not draw" not in (await asked.until(ended)).text


async def test_a_role_of_the_servers_own_is_chosen_by_command(fake, make_presence, gate):
    gate.open()
    role = fake.guild.add_role("artists", 0)
    await make_presence()
    boss = fake.person("boss", permissions=0x20)
    ada = fake.person("ada")
    await (await boss.command(fake.channel, "flux-admin roles allow", role=role)).until(ended)

    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    assert "needs a role" in (await asked.followed_up()).text
    fake.guild.members[ada.id].roles.append(role)
    await (await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)).until(drawn)
