"""Pictures that people attach, and a picture that is too large to attach."""

from types import SimpleNamespace

import aiohttp
import pytest

from bot.jobs import Job
from bot.provenance import Provenance
from bot.source import Source
from generation.errors import InvalidImage
from generation.kinds import Redux
from generation.types import Preset
from tests.adapters.discord_chat.conftest import SMALL, drawn, the_job
from tests.conftest import FOLLOWING, PRESETS
from tests.fakes.discord import File
from tests.samples import picture, square


async def test_attachments_come_the_way_that_everything_comes(
    presence, fake, ada, gate, monkeypatch
):
    """Through the proxy, where there is one."""
    seen, get = [], aiohttp.ClientSession.get

    def recorded(session, url, **more):
        seen.append(more.pop("proxy"))
        return get(session, url, **more)

    monkeypatch.setattr(aiohttp.ClientSession, "get", recorded)
    read = presence.chat.client.actions.attachments.read
    gate.open()

    async def through_a_proxy(attachment):
        monkeypatch.setattr(presence.chat.client.http, "proxy", "http://proxy.example:3128")
        try:
            return await read(attachment)
        finally:
            monkeypatch.setattr(presence.chat.client.http, "proxy", None)

    monkeypatch.setattr(presence.chat.client.actions.attachments, "read", through_a_proxy)
    asked = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a castle",
        preset="canny",
        control_image=File(picture(), "castle.png"),
        **SMALL,
    )

    await asked.until(drawn)
    assert seen == ["http://proxy.example:3128"]


async def test_a_command_takes_a_picture_for_each_of_several_controlnets(make_presence, fake, gate):
    gate.open()
    presence = await make_presence(presets=FOLLOWING)
    ada = fake.person("ada")
    files = {"control_image": picture(96, 64), "control_image_2": picture(64, 96)}

    asked = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a castle",
        preset="both",
        **{name: File(data, f"{name}.png") for name, data in files.items()},
        **SMALL,
    )

    await asked.until(drawn)
    assert list((await the_job(presence.bot.service, ada)).request.pictures) == [*files]


async def test_a_command_takes_as_many_pictures_as_any_preset_does(make_presence, fake, gate):
    gate.open()
    presence = await make_presence(
        presets={**PRESETS, "like": Preset(name="like", kind=Redux(redux="a/b"))}
    )
    ada = fake.person("ada")
    names = ["control_image", "control_image_2", "control_image_3", "control_image_4"]
    files = {name: File(picture(), f"{name}.png") for name in names}

    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a castle", preset="like", **files, **SMALL
    )

    await asked.until(drawn)
    assert list((await the_job(presence.bot.service, ada)).request.pictures) == names


async def test_an_attachment_is_judged_by_type_and_size_before_it_is_fetched(make_presence, fake):
    await make_presence(control_images={"max_megabytes": 0.01})
    ada = fake.person("ada")
    for attached, sentence in (
        (File(b"%PDF", "castle.pdf", "application/pdf"), "is application/pdf"),
        (File(b"x" * 20_000, "castle.png"), "at most 0.01 MB"),
    ):
        asked = await ada.command(
            fake.channel, "flux imagine", prompt="a castle", preset="canny", control_image=attached
        )
        assert sentence in (await asked.followed_up()).text
    assert sum(fake.downloads.values()) == 0


async def test_a_damaged_attachment_is_refused_with_a_sentence(fake, ada):
    asked = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a castle",
        preset="canny",
        control_image=File(picture()[:200], "castle.png"),
    )

    assert "damaged" in (await asked.followed_up()).text


async def test_an_attachment_that_discord_no_longer_has_can_be_attached_again(fake, ada):
    fake.fail("GET", "/ephemeral-attachments/.*|/attachments/.*", status=404)

    asked = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a castle",
        preset="canny",
        control_image=File(picture(), "castle.png"),
    )

    assert "attach it again" in (await asked.followed_up()).text


async def test_a_file_over_the_limit_of_the_place_becomes_a_webp_that_says_so(
    make_presence, fake, gate
):
    gate.open()
    fake.guild.attachment_size_limit = 8_000
    gate.is_noisy = True
    presence = await make_presence()
    ada = fake.person("ada")

    asked = await ada.command(fake.channel, "flux imagine", prompt="noise", size="256x256", steps=1)

    message = await asked.until(drawn)
    (attachment,) = message.attachments
    assert attachment.filename.endswith(".webp")
    assert len(attachment.data) <= 8_000
    assert "the gallery keeps the original" in message.text
    job = await the_job(presence.bot.service, ada)
    original = await presence.bot.service.lookups.picture(Source(job.user), job.id)
    assert original.stat().st_size > 8_000


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x.png",
        "http://cdn.discordapp.com/x.png",
        "https://cdn.discordapp.com.evil.example/x.png",
    ],
)
async def test_only_what_lies_on_discords_own_hosts_is_fetched(presence, fake, url):
    attachment = SimpleNamespace(url=url, size=10, content_type="image/png")

    with pytest.raises(InvalidImage, match="is stored somewhere else"):
        await presence.chat.client.actions.attachments.read(attachment)


async def test_no_redirect_is_followed_away_from_discord(fake, ada):
    fault = fake.fail(
        "GET", ".*", status=302, headers={"Location": "https://evil.example/x.png"}, times=9
    )

    asked = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a castle",
        preset="canny",
        control_image=File(picture(), "castle.png"),
    )

    assert "attach it again" in (await asked.followed_up()).text
    assert fault.hits == 1


async def test_a_picture_is_inspected_for_the_person_alone(fake, ada, fox):
    marks = Provenance()
    data = marks.png(square(), marks.of(Job(user="ada", request=fox), fox))

    asked = await ada.command(fake.channel, "flux inspect", picture=File(data, "fox.png"))
    message = await fake.person("bob").say(fake.channel, "look", File(data, "fox.png"))
    chosen = await ada.menu("Inspect", message)

    for each in (asked, chosen):
        answer = await each.until(lambda message: "made by AI" in message.text)
        assert "a fox in snow" in answer.text
        assert answer.is_ephemeral


async def test_every_picture_says_in_its_alternative_text_that_ai_made_it(fake, ada, gate):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", **SMALL)

    (attachment,) = (await asked.until(drawn)).attachments

    assert attachment.description == "Made by AI: a fox"


async def test_the_form_of_a_picture_by_a_map_keeps_the_map(presence, fake, ada, gate):
    gate.open()
    lines = File(picture(64, 64), "lines.png")
    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", preset="canny", map=True,
        control_image=lines, **SMALL,
    )  # fmt: skip
    pressed = await ada.press(await asked.until(drawn), "Edit prompt")
    await pressed.answered()

    submitted = await ada.submit(pressed, {"prompt": "a hat"})
    await submitted.until(drawn)

    job = await the_job(presence.bot.service, ada)
    assert job.request.prompt == "a hat"
    assert job.request.kind.shows_maps
