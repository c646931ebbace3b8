"""Control maps that people attach as they are."""

from io import BytesIO

import pytest
from PIL import Image, ImageDraw

from bot.commands import ImagineCommand, parse
from bot.replies import how
from bot.source import Source
from generation.control_images import maps_shown, shown_to_model
from generation.errors import InvalidRequest
from generation.kinds import ControlNet
from generation.types import Preset
from tests.conftest import ADA, FOLLOWING, finished
from tests.samples import file, picture

SAID = "What you attached was followed as the control map that it is."
FOX = "a fox --preset canny --size 64x64 --steps 3"


@pytest.fixture
async def service(make_bot, gate):
    gate.open()
    raw = ControlNet(controlnet="a/b", preprocessor="none")
    soft = ControlNet(controlnet="a/b", preprocessor="soft-edge")
    more = {"raw": Preset(name="raw", kind=raw), "soft": Preset(name="soft", kind=soft)}
    return (await make_bot(presets={**FOLLOWING, **more})).service


@pytest.fixture
def lines():
    """A map by hand: white lines on black."""
    drawn = Image.new("RGB", (64, 64))
    ImageDraw.Draw(drawn).ellipse((10, 12, 50, 52), outline="white", width=2)
    return drawn


def shown(job):
    """The control map that the model is shown for *job*, as pixels."""
    return maps_shown(job.request, shown_to_model(job.request)).tobytes()


async def test_a_map_is_followed_as_it_is_and_the_answer_says_so(service, lines):
    traced = await service.submit(Source(ADA), parse(FOX), [file(lines)])
    mapped = await service.submit(Source(ADA), parse(f"{FOX} --map"), [file(lines)])
    raw = await service.submit(
        Source(ADA), parse(f"{FOX} --preset raw".replace("--preset canny", "")), [file(lines)]
    )

    assert shown(mapped) == lines.tobytes() == shown(raw)
    assert shown(traced) != lines.tobytes(), "its lines have two edges each"
    assert SAID in mapped.remarks
    assert SAID not in (*traced.remarks, *raw.remarks)
    assert "--map" in how(mapped)
    assert "--map" not in how(raw)


async def test_all_maps_of_several_controlnets_are_taken_as_they_are(service, lines):
    text = "a fox --preset both --size 64x64 --steps 3 --map"
    job = await service.submit(Source(ADA), parse(text), [file(lines), picture(64, 64)])

    both = Image.open(BytesIO(picture(64, 64)))
    maps = list(shown_to_model(job.request).values())
    assert maps[0].tobytes() == lines.tobytes()
    assert maps[1].tobytes() == both.convert("RGB").tobytes()


async def test_whatever_is_drawn_of_it_later_takes_the_map_too(service, lines):
    draft = await service.submit(Source(ADA), parse(f"{FOX} --map --draft"), [file(lines)])
    await finished(draft)

    final = await service.again(Source(ADA), draft.id, ImagineCommand(draft=False))
    again = await service.again(Source(ADA), draft.id, ImagineCommand("a hat"))
    soft = await service.again(Source(ADA), draft.id, ImagineCommand(preset="soft"))
    raw = await service.again(Source(ADA), draft.id, ImagineCommand(preset="plain"))
    first = await service.submit(Source(ADA), parse(FOX), [file(lines)])
    await finished(first)
    later = await service.again(Source(ADA), first.id, parse("again --map").changes)

    assert [job.request.kind.shows_maps for job in (final, again, soft, raw, later)] == [
        *[True] * 3,
        False,
        True,
    ]
    assert shown(soft) == shown(later) == lines.tobytes()


@pytest.mark.parametrize("preset", ["redraw", "plain"])
async def test_a_preset_that_follows_no_map_refuses_it_before_the_charge(service, preset):
    attached = [picture()] if preset == "redraw" else []
    with pytest.raises(InvalidRequest, match=f"the preset {preset} follows none: leave it out"):
        await service.submit(Source(ADA), parse(f"a fox --map --preset {preset}"), attached)

    assert (await service.quota(ADA)).used == 0
