"""Pictures to draw from, wherever a message has them: also forwarded, and in embeds."""

from tests.adapters.discord_chat.conftest import SMALL, drawn
from tests.fakes.discord import Attachment, File
from tests.fakes.discord.messages import address
from tests.samples import picture

OPTIONS = {"options": "--steps 3 --size 64x64"}


async def used(person, message):
    """The picture that is drawn from *message*."""
    opened = await person.menu("Use as control image", message)
    await opened.answered()
    sent = await person.submit(opened, {"prompt": "a castle", **OPTIONS})
    return await sent.until(drawn)


async def test_a_picture_in_a_forwarded_message_is_drawn_from(fake, ada, bob, gate):
    gate.open()
    message = await bob.say(fake.channel, "look", File(picture(), "castle.png"))
    forwarded = await bob.forward(fake.channel, message)

    await used(ada, forwarded)


async def test_a_forwarded_picture_of_ours_is_drawn_from(fake, ada, bob, gate):
    """Our pictures stand in embeds, beside which Discord lists no files."""
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)
    forwarded = await bob.forward(fake.channel, await asked.until(drawn))

    await used(bob, forwarded)


async def test_a_picture_behind_an_address_comes_by_discords_proxy(fake, ada, bob, gate):
    gate.open()
    message = await bob.link(
        fake.channel, "https://example.com/castle.png", File(picture(), "castle.png")
    )

    await used(ada, message)
    inspected = await ada.menu("Inspect", message)
    await inspected.until(lambda message: "Nothing" in message.text or "nothing" in message.text)

    assert set(fake.downloads) == {"images-ext-1.discordapp.net"}


async def test_of_an_address_that_discord_does_not_look_up_nothing_is_fetched(fake, ada, bob):
    message = await bob.say(fake.channel, "https://example.com/castle.png")
    thumbnail = {"url": "https://example.com/castle.png"}
    message.embeds = [{"type": "image", "url": thumbnail["url"], "thumbnail": thumbnail}]
    message.embeds[0]["thumbnail"]["proxy_url"] = thumbnail["url"]

    chosen = await ada.menu("Use as control image", message)

    told = await chosen.until(lambda message: "no picture in that message" in message.text)
    assert told.is_ephemeral
    assert not fake.downloads


async def test_all_pictures_of_a_message_can_be_chosen_from_and_none_is_there_twice(
    fake, ada, bob, gate
):
    gate.open()
    files = [File(picture(), f"castle-{number}.png") for number in range(2)]
    message = await bob.say(fake.channel, "look", *files)
    url = address(fake, fake.channel, message.attachments[0])
    other = address(fake, fake.channel, Attachment.of(7, files[0]))
    message.embeds = [{"type": "image", "thumbnail": {"url": each}} for each in (url, other)]

    opened = await ada.menu("Use as control image", message)
    await opened.answered()

    assert len(opened.modal.fields["which"]["options"]) == 3
