"""``/flux link``, through the real discord.py, with a person of the page on the other side."""

from bot.conversation import converse
from bot.source import Source
from tests.adapters.discord_chat.conftest import shows

WEB = Source("web:ada", name="ada")


def user(person):
    return f"discord:{person.id}"


async def test_both_sides_are_asked_and_told_while_accounts_are_joined(fake, ada, service):
    asked = await ada.command(fake.channel, "flux link")
    message = await asked.until(shows("Your code is"))
    assert (await asked.answered()).is_ephemeral
    code = message.text.partition("Your code is ")[2][:9]

    await converse(service, WEB, f"link {code}")
    await converse(service, WEB, "link yes")
    question = await asked.followed_up(1)
    assert question.is_ephemeral
    assert "Web “ada” has typed your code" in question.text
    pressed = await ada.press(question, "Yes, join them")

    await pressed.until(shows("Joined: this account and Web “ada”"))
    assert service.selves.of(user(ada)) == {user(ada), WEB.user}

    parted = await ada.command(fake.channel, "flux unlink", account=WEB.user)
    await parted.until(shows("is by itself again"))
    assert service.selves.of(user(ada)) == {user(ada)}


async def test_a_code_from_elsewhere_joins_nobody_who_says_no(fake, ada, service):
    joining = (await converse(service, WEB, "link")).joining
    asked = await ada.command(fake.channel, "flux link", code=f" {joining.shown_code}")
    question = await asked.until(shows("joins your account here with Web “ada”"))
    assert set(question.buttons) == {"Yes, join them", "No"}

    pressed = await ada.press(question, "No")

    await pressed.until(shows("Nothing was joined."))
    assert service.selves.of(user(ada)) == {user(ada)}


async def test_who_has_said_yes_is_told_of_the_other_sides_answer(fake, ada, service):
    joining = (await converse(service, WEB, "link")).joining
    asked = await ada.command(fake.channel, "flux link", code=joining.code)
    pressed = await ada.press(await asked.until(shows("joins your")), "Yes, join them")
    await pressed.until(shows("Now I ask Web “ada”"))
    assert joining.second.name == "ada"

    await converse(service, WEB, "link yes")

    told = await pressed.followed_up(1)
    assert "Joined" in told.text


async def test_a_link_opens_the_page_for_the_person_alone(fake, make_presence):
    await make_presence(web={"public_url": "https://flux.example.org"})

    asked = await fake.person("ada").command(fake.channel, "flux link")

    message = await asked.until(shows("[Open the page](https://flux.example.org/#sign-in="))
    assert (await asked.answered()).is_ephemeral
    assert "Show it to nobody" in message.text
