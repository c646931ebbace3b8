"""``link`` in Slack, with a person of the page on the other side."""

from bot.conversation import converse
from bot.source import Source

WEB = Source("web:ada", name="ada")


async def test_both_sides_are_asked_and_told_while_accounts_are_joined(chat, ada, general):
    service = chat.bot.service
    await ada.mention(general, "link")
    said = await general.whispered(ada.id, "Your code is")
    code = str(said).partition("Your code is ")[2][:9]

    await converse(service, WEB, f"link {code}")
    await converse(service, WEB, "link yes")
    question = await general.whispered(ada.id, "Web “ada” has typed your code")
    await ada.press({"type": "message", "ts": "1", **question}, "Yes, join them", general)

    await general.whispered(ada.id, "Joined: this account and Web “ada”")
    assert service.selves.of(ada.key) == {ada.key, WEB.user}
    await ada.mention(general, "unlink")
    await general.whispered(ada.id, "is by itself again")
    assert service.selves.of(ada.key) == {ada.key}


async def test_a_code_from_elsewhere_is_typed_in_a_command(chat, slack, ada, general):
    service = chat.bot.service
    joining = (await converse(service, WEB, "link")).joining

    question = await ada.slash(general, f"link {joining.shown_code}")

    assert "joins your account here with Web “ada”" in question["text"]
    assert joining.second.name.startswith("ada · ")
    await ada.press({"type": "message", "ts": "1", **question}, "Yes, join them", general)
    await general.whispered(ada.id, "Now I ask Web “ada”")
    await converse(service, WEB, "link no")
    await general.whispered(ada.id, "Nothing was joined.")


async def test_a_chat_that_ends_waits_for_nobodys_answer(chat, ada, general):
    await ada.mention(general, "link")
    await general.whispered(ada.id, "Your code is")

    await chat.close()


async def test_a_link_opens_the_page_for_the_person_alone(make_chat, ada, general):
    await make_chat(web={"public_url": "https://flux.example.org"})

    said = await ada.slash(general, "link")

    assert said["response_type"] == "ephemeral"
    assert "<https://flux.example.org/#sign-in=" in str(said["blocks"])
