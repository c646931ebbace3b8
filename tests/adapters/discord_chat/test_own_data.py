"""``/flux mydata``, through the real discord.py."""

import io
import zipfile

from tests.adapters.discord_chat.conftest import SMALL, drawn, shows, the_job
from tests.fakes.discord import File
from tests.samples import picture


def names(message):
    (file,) = message.attachments
    with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
        return archive.namelist()


async def test_a_person_is_sent_their_data_and_nobody_else_sees_it(fake, ada, service, gate):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a red circle", **SMALL)
    await asked.until(drawn)
    job = await the_job(service, ada)

    asked = await ada.command(fake.channel, "flux mydata export")

    message = await asked.until(shows("everything that I keep about you"))
    assert (await asked.answered()).is_ephemeral
    assert f"pictures/{job.id}-1.png" in names(message)
    assert "history.jsonl" in names(message)


async def test_pictures_that_do_not_fit_one_file_come_in_several(fake, ada, gate):
    fake.guild.attachment_size_limit = 40_000
    gate.is_noisy = True
    gate.open()
    for seed in range(4):
        asked = await ada.command(
            fake.channel, "flux imagine", prompt="noise", seed=seed, size="128x128", steps=1
        )
        await asked.until(drawn)

    asked = await ada.command(fake.channel, "flux mydata export")

    first = await asked.until(shows("everything that I keep about you"))
    await asked.followed_up(3)
    found = [name for each in (first, *asked.followups) for name in names(each)]
    assert len([name for name in found if name.startswith("pictures/")]) == 4


async def test_everything_is_deleted_once_the_person_has_said_yes(fake, ada, service, gate):
    gate.open()
    asked = await ada.command(
        fake.channel,
        "flux imagine",
        prompt="a castle",
        preset="canny",
        control_image=File(picture(), "castle.png"),
        **SMALL,
    )
    shown = await asked.until(drawn)
    asked = await ada.command(fake.channel, "flux mydata delete")
    question = await asked.until(shows("for good"))
    assert (await service.lookups.history(f"discord:{ada.id}")).jobs

    pressed = await ada.press(question, "Delete everything")

    await pressed.until(shows("Your data is deleted: 1 request"))
    assert not (await service.lookups.history(f"discord:{ada.id}")).jobs
    assert shown not in fake.channel.messages


async def test_ones_own_data_can_be_deleted_where_nobody_draws(fake, make_presence, gate):
    gate.open()
    presence = await make_presence()
    ada = fake.person("ada")
    await (await ada.command(ada.direct, "flux imagine", prompt="a fox", **SMALL)).until(drawn)
    await presence.restart(discord={"direct_messages": False})
    asked = await ada.command(ada.direct, "flux mydata delete")

    pressed = await ada.press(await asked.until(shows("for good")), "Delete everything")

    await pressed.until(shows("Your data is deleted: 1 request"))
