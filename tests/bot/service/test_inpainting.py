"""A part of a picture drawn anew: the ways to say which, and what is refused."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from bot.commands import ImagineCommand, parse
from bot.source import PictureOf, Source
from generation.errors import InvalidRequest
from generation.kinds import Inpaint
from generation.types import Preset
from tests.conftest import ADA, PRESETS, finished
from tests.samples import file, noise, opened, picture

FOX = "a fox --steps 3 --preset inpaint"


@pytest.fixture
async def service(make_bot, gate):
    gate.open()
    inpaint = Preset(name="inpaint", kind=Inpaint(mask_feather=4, strength=0.8))
    bot = await make_bot(
        presets={**PRESETS, "inpaint": inpaint},
        model={"width": 128, "height": 128, "default_preset": "plain"},
    )
    return bot.service


def mask(width, height, *boxes):
    image = Image.new("L", (width, height))
    for box in boxes:
        image.paste(255, box)
    return file(image)


def holed(box):
    """A PNG that is transparent in *box*."""
    image = noise(96, 80).convert("RGBA")
    image.paste((0, 0, 0, 0), box)
    return file(image)


def drawn_below(job):
    """The box of the mask of *job*."""
    return opened(job.request.pictures["mask_image"]).convert("L").getbbox()


@pytest.mark.parametrize(
    ("typed", "attached", "box"),
    [
        (f"{FOX} --mask left", [file(noise(96, 80))], (0, 0, 48, 80)),
        (FOX, [file(noise(96, 80)), mask(96, 80, (10, 20, 30, 40))], (10, 20, 30, 40)),
        (FOX, [file(noise(96, 80)), mask(48, 40, (5, 10, 15, 20))], (10, 20, 30, 40)),
        (FOX, [holed((40, 8, 60, 70))], (40, 8, 60, 70)),
        (FOX, [file(noise(96, 80)), holed((8, 8, 24, 24))], (8, 8, 24, 24)),
        (f"The right half: {FOX}", [file(noise(96, 80))], (48, 0, 96, 80)),
        ("a fox --steps 3 --mask left", [file(noise(96, 80))], (0, 0, 48, 80)),
        (f"{FOX} --mask top", [holed((40, 8, 60, 70))], (0, 0, 96, 40)),
        (f"{FOX} --mask 6,9", [file(noise(96, 80))], (64, 27, 96, 80)),
    ],
)
async def test_a_mask_is_said_attached_or_cut_out(service, typed, attached, box):
    job = await service.submit(Source(ADA), parse(typed), attached)
    assert await finished(job) == "succeeded"

    assert drawn_below(job) == box
    assert (job.request.width, job.request.height, job.request.prompt) == (96, 80, "a fox")
    drawn = np.asarray(opened(await service.lookups.picture(Source(ADA), job.id, 1)))
    outside = np.ones((80, 96), bool)
    outside[box[1] : box[3], box[0] : box[2]] = False
    kept = np.asarray(opened(job.request.control_image))
    assert (drawn[outside] == kept[outside]).all()
    assert (drawn[~outside] != kept[~outside]).any()


async def test_a_copy_that_was_painted_on_says_where_and_again_keeps_that(service):
    copy = noise(96, 80)
    copy.paste((40, 250, 40), (60, 50, 80, 70))

    job = await service.submit(
        Source(ADA), parse("a fox --steps 3"), [file(noise(96, 80)), file(copy, "JPEG")]
    )
    await finished(job)
    again = await service.again(Source(ADA), job.id, ImagineCommand("a hat", outpaint="right:50%"))
    await finished(again)

    assert drawn_below(job) == pytest.approx((59, 49, 81, 71), abs=3)
    (share,) = [each for each in job.remarks if "differ" in each]
    assert share == "Drawn anew where your two pictures differ: 9 % of them."
    assert job.request.preset == "inpaint"
    assert opened(again.request.pictures["mask_image"]).getpixel((70, 60)) == (255, 255, 255)
    assert not [each for each in again.remarks if "differ" in each]


@pytest.mark.parametrize(
    ("typed", "attached", "sentence"),
    [
        (FOX, [picture()], "draws a part of your picture: say which, with --mask left"),
        (FOX, [], "needs the picture of which a part is drawn: attach"),
        (FOX, [picture(), mask(96, 96)], "the mask is black all over, so there is nothing to draw"),
        (
            FOX,
            [picture(), mask(96, 48, (0, 0, 9, 9))],
            "or a copy that you painted on, of the same",
        ),
        (FOX, [picture(), picture(48, 48)], "your two pictures differ nowhere, so there is"),
        (FOX, [picture(), file(noise(96, 96))], "differ in 97 % of their area, which leaves"),
        (FOX, [picture()] * 3, "takes a picture and a mask, not 3 pictures"),
        (
            "a fox --preset redraw",
            [picture()] * 2,
            "one picture and no mask: send one, or",
        ),
        ("a fox --preset redraw --mask left", [picture()], "mask is for a preset that inpaints"),
        ("a fox --preset plain --outpaint 25%", [], "outpaint is for a preset that inpaints"),
        ("a fox --outpaint 25%", [], "the preset inpaint needs the picture of which a part"),
        (f"{FOX} --mask left --crop top", [picture()], "crops no picture"),
        (f"{FOX} --outpaint 25% --ar 16:9", [picture()], "leave one of them out"),
    ],
)
async def test_what_cannot_be_is_refused_in_a_sentence_before_the_charge(
    service, typed, attached, sentence
):
    with pytest.raises(InvalidRequest, match=sentence):
        await service.submit(Source(ADA), parse(typed), attached)

    assert (await service.quota(ADA)).used == 0


@pytest.mark.parametrize(
    ("options", "size", "corner"),
    [
        ("--outpaint 25%", (144, 128), (24, 20)),
        ("--outpaint left", (128, 80), (32, 0)),
        ("--outpaint top:50%,right:50%", (144, 128), (0, 48)),
        ("--ar 2:1", (160, 80), (32, 0)),
        ("--size 96x128", (96, 128), (0, 24)),
    ],
)
async def test_a_picture_is_continued_and_keeps_its_pixels(service, options, size, corner):
    job = await service.submit(Source(ADA), parse(f"{FOX} {options}"), [file(noise(96, 80))])
    await finished(job)

    assert (job.request.width, job.request.height) == size
    assert job.request.kind.strength == 0.85, "the edge, drawn out, keeps the colours"
    drawn = opened(await service.lookups.picture(Source(ADA), job.id, 1))
    left, top = corner
    assert drawn.crop((left, top, left + 96, top + 80)).tobytes() == noise(96, 80).tobytes()
    assert drawn_below(job) is not None


async def test_a_picture_that_is_continued_stays_within_the_limits(make_bot, gate):
    bot = await make_bot(
        presets={"inpaint": Preset(name="inpaint", kind=Inpaint())},
        model={"width": 128, "height": 128, "default_preset": "inpaint"},
        limits={"pixels": 24000},
    )

    job = await bot.service.submit(Source(ADA), parse("a fox --outpaint 100%"), [picture(200, 100)])

    width, height = job.request.width, job.request.height
    assert width * height <= 24000 < width * height * 1.3
    assert width / height == pytest.approx(2, rel=0.1)


async def test_the_mask_is_kept_for_again_and_goes_with_the_picture(service):
    first = await service.submit(
        Source(ADA), parse(FOX), [file(noise(96, 80)), mask(96, 80, (10, 20, 30, 40))]
    )
    await finished(first)

    again = await service.again(Source(ADA), first.id, ImagineCommand("a hat"))
    elsewhere = await service.again(Source(ADA), first.id, ImagineCommand(mask="bottom"))
    wider = await service.again(Source(ADA), first.id, ImagineCommand(outpaint="right:50%"))
    redrawn = await service.again(Source(ADA), first.id, ImagineCommand(preset="redraw"))
    back = await service.again(Source(ADA), redrawn.id, parse(f"{FOX} --mask left"))
    for job in (again, elsewhere, wider, redrawn, back):
        assert await finished(job) == "succeeded"

    assert again.request.pictures == first.request.pictures
    assert drawn_below(elsewhere) == (0, 40, 96, 80)
    assert (wider.request.width, drawn_below(wider)) == (144, (10, 0, 144, 80))
    assert list(redrawn.request.pictures) == ["control_image"]
    assert drawn_below(back) == (0, 0, 48, 80)
    with pytest.raises(InvalidRequest, match="say which, with --mask left"):
        await service.again(Source(ADA), redrawn.id, ImagineCommand(preset="inpaint"))


async def test_a_mask_that_was_kept_is_one_though_it_looks_like_its_picture(service):
    halves = Image.new("RGB", (96, 80))
    halves.paste("white", (48, 0, 96, 80))
    first = await service.submit(Source(ADA), parse(f"{FOX} --mask right"), [file(halves)])
    await finished(first)

    wider = await service.again(Source(ADA), first.id, ImagineCommand(outpaint="top:50%"))

    assert opened(wider.request.pictures["mask_image"]).getpixel((90, 100)) == (255, 255, 255)
    assert opened(wider.request.pictures["mask_image"]).getpixel((5, 100)) == (0, 0, 0)


async def test_a_mask_is_handed_over_and_deleted_with_all_that_is_a_persons(service):
    mine = mask(96, 80, (10, 20, 30, 40))
    job = await service.submit(Source(ADA), parse(FOX), [file(noise(96, 80)), mine])
    await finished(job)
    kept = [path.read_bytes() for path in job.request.pictures.values()]

    export = await service.own_data.export(ADA)
    found = []
    for path in export.files:
        with zipfile.ZipFile(path) as archive:
            found += [archive.read(name) for name in archive.namelist() if "attached/" in name]
    await export.close()
    await service.own_data.delete(ADA)

    assert sorted(found) == sorted(kept)
    assert not any(path.exists() for path in job.request.pictures.values())


async def test_a_part_of_an_earlier_picture_is_drawn_anew(service):
    first = await service.submit(Source(ADA), parse("a fox --size 96x80 --steps 3"))
    await finished(first)

    job = await service.submit(Source(ADA), parse(f"{FOX} --mask right"), [PictureOf(first.id, 1)])
    await finished(job)

    before, after = [
        opened(await service.lookups.picture(Source(ADA), each.id, 1)) for each in (first, job)
    ]
    half = (0, 0, 48, 80)
    assert before.crop(half).tobytes() == after.crop(half).tobytes()
    assert before.tobytes() != after.tobytes()
    assert job.parent == first.id
