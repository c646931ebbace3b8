"""Bytes from strangers, and what comes of them."""

import io
import itertools
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from generation.cleaning import ORIENTATION_TAG
from generation.containers import plain
from generation.control_images import PillowControlImages, control_map
from generation.errors import InvalidImage
from generation.preprocessors import preprocess
from tests.conftest import examples
from tests.samples import file, noise, opened, square

RED, GREEN, BLUE, WHITE, GREY = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (128, 128, 128),
)


def looked_at(clean):
    image = opened(clean.png)
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert image.size == (clean.width, clean.height)
    return image


ANIMATED = ("The picture is animated; only its first frame is used.",)


@cache
def files():
    return {
        "png": file(noise()),
        "jpeg": file(noise(), "JPEG", quality=90),
        "progressive": file(noise(), "JPEG", quality=90, progressive=True),
        "webp": file(noise(), "WEBP", quality=90),
        "lossless": file(noise(), "WEBP", lossless=True),
    }


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def images():
    return PillowControlImages()


@pytest.mark.parametrize("name", ["png", "jpeg", "progressive", "webp", "lossless"])
def test_png_jpeg_and_webp_become_rgb_png(images, name):
    clean = images.clean(files()[name])

    difference = np.abs(np.asarray(looked_at(clean), int) - np.asarray(noise(), int))
    assert difference.mean() < (0.01 if name in ("png", "lossless") else 25)
    assert clean.remarks == ()


@pytest.mark.parametrize("format", ["GIF", "AVIF"])
def test_the_first_frame_of_a_gif_or_an_avif_is_used_and_that_is_said(images, format):
    colours = ["red", "blue", "green"]
    frames = [Image.new("RGB", (64, 48), colour) for colour in colours]
    still = file(frames[0], format)
    moving = file(frames[0], format, save_all=True, append_images=frames[1:])

    for data, remarks in ((still, ()), (moving, ANIMATED)):
        clean = images.clean(data)
        red, green, blue = looked_at(clean).getpixel((30, 20))
        assert red > 240
        assert max(green, blue) < 16
        assert clean.remarks == remarks


@pytest.fixture
def heic():
    """A HEIC as telephones take it: lying on its side, and a word on how to turn it."""
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    return file(square(640, 480).transpose(Image.Transpose.ROTATE_90), "HEIF", exif=exif.tobytes())


def test_a_heic_is_read_and_stands_upright(images, heic):
    clean = images.clean(heic)

    assert (clean.width, clean.height, clean.remarks) == (640, 480, ())
    difference = np.abs(np.asarray(looked_at(clean), int) - np.asarray(square(640, 480), int))
    assert difference.mean() < 4


def test_a_heic_that_is_cut_off_damaged_or_huge_is_refused(images, heic):
    for cut in (40, len(heic) // 2, len(heic) - 1):
        with pytest.raises(InvalidImage, match="damaged"):
            images.clean(heic[:cut])
    with pytest.raises(InvalidImage, match="at most 4096 × 4096 pixels"):
        images.clean(file(Image.new("L", (5000, 640)), "HEIF"))


def test_a_heic_is_refused_by_name_where_nothing_reads_it(images, heic, monkeypatch):
    monkeypatch.setattr("generation.cleaning.FORMATS", ("PNG", "JPEG"))

    with pytest.raises(InvalidImage, match="a HEIC, which cannot be read here: send a PNG, JPEG"):
        images.clean(heic)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(8064, 6048), (12_000, 1600)])
def test_photographs_are_scaled_down_while_they_are_decoded(images, size, progressive):
    """48 megapixels, as phones take them."""
    photo = Image.linear_gradient("L").resize(size).convert("RGB")
    data = file(photo, "JPEG", quality=80, progressive=progressive)

    clean = images.clean(data)

    assert max(clean.width, clean.height) <= 4096
    assert clean.width / clean.height == pytest.approx(size[0] / size[1], rel=0.01)
    shades = np.asarray(looked_at(clean).convert("L"), int)
    assert shades[0].mean() < 10
    assert shades[-1].mean() > 245


def test_a_photograph_of_more_than_any_camera_takes_is_refused_before_it_is_decoded(images):
    jpeg = bytearray(files()["jpeg"])
    start = jpeg.index(b"\xff\xc0")
    for size in ((16_385, 4000), (9000, 9000), (12_000, 12_000)):
        jpeg[start + 5 : start + 9] = struct.pack(">HH", *size)
        with pytest.raises(InvalidImage, match="at most 80 million pixels, and 16384 on each"):
            images.clean(bytes(jpeg))


def test_a_small_gif_or_avif_that_says_it_is_huge_is_refused(images):
    gif = bytearray(file(noise().convert("P"), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(InvalidImage, match="at most 4096 × 4096 pixels"):
        images.clean(bytes(gif))
    with pytest.raises(InvalidImage, match="at most 4096 × 4096 pixels"):
        images.clean(file(Image.new("L", (5000, 600)), "AVIF"))


OTHERS = {
    "a video": b"\0\0\0\x18ftypisom" + b"\0" * 100,
    "a BMP": file(noise(), "BMP"),
    "a TIFF": file(noise(), "TIFF"),
    "a PDF": b"%PDF-1.7\n" + b"0" * 2000,
    "a PostScript file": file(noise(), "EPS"),
    "an SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a web page": b"\n<!doctype html><html><body>Sign in to Slack</body></html>",
    "a ZIP archive": b"PK\3\4" + b"0" * 100,
    "no picture that I can read": b"hello",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_refused_by_what_they_are(images, name):
    sentence = f"^the file is {name}.*: send a PNG, JPEG or WebP"
    with pytest.raises(InvalidImage, match=sentence) as refusal:
        images.clean(OTHERS[name])
    assert refusal.value.field == "control_image"


def test_an_empty_file_is_refused(images):
    with pytest.raises(InvalidImage, match="empty"):
        images.clean(b"")


@pytest.mark.parametrize("name", ["png", "jpeg", "progressive", "webp", "lossless"])
def test_a_file_that_was_cut_off_is_refused_wherever_it_was(images, name):
    data = files()[name]
    cuts = {len(data) * percent // 100 for percent in range(1, 100)} | {len(data) - 1}

    for cut in sorted(cuts):
        with pytest.raises(InvalidImage):
            images.clean(data[:cut])


def test_no_one_has_told_pillow_to_make_up_what_is_missing():
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("size", [(60000, 60000), (10000, 10000), (4097, 600), (600, 4097)])
def test_a_picture_that_says_it_is_huge_is_refused_before_it_is_decoded(images, size):
    """The pixels are not even there; only the header says so."""
    with pytest.raises(InvalidImage, match="at most 4096 × 4096 pixels"):
        images.clean(png_header(*size))


def test_a_huge_webp_and_a_huge_jpeg_are_refused_before_they_are_decoded(images):
    webp = bytearray(file(noise(), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"))
    assert webp[12:16] == b"VP8X"
    webp[24:30] = (16000 - 1).to_bytes(3, "little") * 2
    jpeg = bytearray(files()["jpeg"])
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = struct.pack(">HH", 60000, 60000)

    for data in (webp, jpeg):
        with pytest.raises(InvalidImage):
            images.clean(bytes(data))


def test_a_file_of_too_many_bytes_is_refused_unread():
    with pytest.raises(InvalidImage, match=r"has 0\.2 MB; at most 0\.1 MB"):
        PillowControlImages(max_bytes=100_000).clean(files()["png"] + b"\0" * 150_000)


@pytest.mark.parametrize("size", [(1, 1), (15, 64), (64, 15)])
def test_a_picture_of_next_to_no_size_is_refused(images, size):
    with pytest.raises(InvalidImage, match="at least 16"):
        images.clean(file(Image.new("RGB", size)))


def test_a_strip_is_refused_and_the_longest_allowed_one_is_not(images):
    with pytest.raises(InvalidImage, match="at most 8 times"):
        images.clean(file(Image.new("RGB", (129, 16))))

    assert images.clean(file(Image.new("RGB", (128, 16)))).width == 128


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_the_largest_allowed_size_is_brought_to_the_largest_that_is_drawn(images, format):
    """Nobody would see the larger picture, and decoding and storing it takes four times as long."""
    image = Image.new("RGB", (4096, 4096), "white")
    image.paste("red", (0, 0, 2048, 4096))

    cleaned = images.clean(file(image, format))

    assert (cleaned.width, cleaned.height) == (2048, 2048)
    with looked_at(cleaned) as half:
        left, right = half.getpixel((512, 1024)), half.getpixel((1536, 1024))
    assert left[0] > 240 > 16 > left[1]
    assert min(right) > 240


def test_a_picture_that_could_be_drawn_keeps_its_size(images):
    cleaned = images.clean(file(Image.new("L", (4095, 600))))

    assert (cleaned.width, cleaned.height) == (4095, 600)


@pytest.mark.parametrize("format", ["WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_used_and_said_to_be(images, format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]

    data = file(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    clean = images.clean(data)

    assert looked_at(clean).getpixel((5, 5)) == RED
    assert clean.remarks == ("The picture is animated; only its first frame is used.",)


def test_a_photo_that_brings_its_thumbnail_is_no_animation(images):
    """Cameras and phones write JPEGs with further pictures in them."""
    data = file(noise(), "MPO", save_all=True, append_images=[noise(24, 16)])
    assert opened(data).n_frames == 2

    clean = images.clean(data)

    assert (clean.width, clean.height, clean.remarks) == (48, 32, ())


def sixteen_bits(**info):
    """Grey from black to white in 16 bits."""
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    return Image.fromarray(np.repeat(ramp[None], 16, axis=0))


def filled(mode, colour):
    return Image.new(mode, (32, 32), colour)


def palette(transparency=None):
    image = filled("P", 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(0, (0, 0, 16, 32))
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def adobe_cmyk():
    return file(filled("CMYK", (0, 255, 255, 0)), "JPEG", quality=100)


@pytest.mark.parametrize(
    ("data", "left", "right"),
    [
        (file(filled("RGB", RED)), RED, RED),
        (file(filled("L", 128)), GREY, GREY),
        (file(filled("1", 1)), WHITE, WHITE),
        (file(palette()), (0, 0, 0), RED),
        (file(palette(), transparency=0), WHITE, RED),
        (file(palette(), transparency=b"\x80\xff"), (127, 127, 127), RED),
        (file(filled("LA", (0, 128))), (127, 127, 127), (127, 127, 127)),
        (file(filled("RGBA", (255, 0, 0, 0))), WHITE, WHITE),
        (file(filled("RGBA", (0, 0, 255, 128))), (127, 127, 255), (127, 127, 255)),
        (file(filled("RGB", RED), transparency=RED), WHITE, WHITE),
        (file(filled("L", 128), transparency=128), WHITE, WHITE),
        (file(filled("RGBA", (0, 0, 255, 0)), "WEBP", lossless=True), WHITE, WHITE),
        (file(filled("L", 128), "JPEG"), GREY, GREY),
        (adobe_cmyk(), (254, 0, 0), (254, 0, 0)),
    ],
    ids=[
        "RGB", "L", "1", "P", "P with a transparent colour", "P with shades of transparency",
        "LA", "transparent RGBA", "half transparent RGBA", "RGB with a transparent colour",
        "L with a transparent colour", "transparent WebP", "grey JPEG", "CMYK JPEG",
    ],
)  # fmt: skip
def test_every_mode_becomes_the_rgb_that_one_sees_on_white_paper(images, data, left, right):
    image = looked_at(images.clean(data))

    assert np.abs(np.subtract(image.getpixel((4, 4)), left)).max() <= 2
    assert np.abs(np.subtract(image.getpixel((28, 4)), right)).max() <= 2


def test_16_bits_are_scaled_to_8_and_not_clipped(images):
    """Pillow's own conversion makes everything above 255 of 65535 white."""
    image = looked_at(images.clean(file(sixteen_bits().resize((128, 16)))))
    clean = looked_at(images.clean(file(sixteen_bits().crop((0, 0, 128, 16)))))

    assert np.asarray(clean)[0, :, 0].tolist() == [v >> 8 for v in ramp()[:128]]
    assert image.getpixel((127, 0))[0] > 250


def ramp():
    return np.linspace(0, 65535, 256).astype(np.uint16).tolist()


def test_a_transparent_shade_of_16_bits_becomes_white(images):
    grey = Image.fromarray(np.full((32, 32), 300, np.uint16))

    image = looked_at(images.clean(file(grey, transparency=300)))

    assert image.getpixel((5, 5)) == WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_rotated_photo_stands_upright(images, orientation, format):
    """Undoing each of the orientations of EXIF tag 274 (CIPA DC-008, 4.6.4) by hand."""
    upright = Image.new("RGB", (48, 32), WHITE)
    upright.paste(RED, (0, 0, 24, 16))  # red at the top left, blue at the top right
    upright.paste(BLUE, (24, 0, 48, 16))
    stored = np.asarray(upright)
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[::-1],
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    }[orientation](stored)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "PNG": {}}

    data = file(Image.fromarray(stored.copy()), format, exif=exif, **options[format])
    image = looked_at(images.clean(data))

    assert image.size == (48, 32)
    for place, colour in {(6, 4): RED, (42, 4): BLUE, (6, 28): WHITE, (42, 28): WHITE}.items():
        assert np.abs(np.subtract(image.getpixel(place), colour)).max() <= 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM", b"no exif at all"]
)
def test_damaged_exif_does_not_spoil_the_picture(images, format, exif):
    assert images.clean(file(noise(), format, exif=exif)).width == 48


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def jpeg_segment(content):
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def test_of_several_exifs_the_first_alone_reaches_a_decoder():
    first, second = (b"Exif\0\0MM" + letter * 8 for letter in (b"a", b"b"))
    png, jpeg = file(noise(), "PNG"), file(noise(), "JPEG")
    after_header = 8 + 25

    for data in (
        png[:after_header]
        + png_chunk(b"eXIf", first)
        + png_chunk(b"eXIf", second)
        + png[after_header:],
        jpeg[:2] + jpeg_segment(first) + jpeg_segment(second) + jpeg[2:],
    ):
        assert first in plain(data)
        assert second not in plain(data)


def test_nothing_but_pixels_comes_through(images):
    """Neither comments nor places nor an archive that hides behind the last byte."""
    exif = Image.Exif()
    exif[270] = "GPS of my house"
    data = file(noise(), "JPEG", exif=exif, comment=b"my house", icc_profile=b"my house" * 40)
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as archive:
        archive.writestr("my house", "<script>")
    polyglot = files()["png"] + hidden.getvalue()

    for source in (data, polyglot):
        clean = images.clean(source)

        assert b"my house" not in clean.png
        assert looked_at(clean).info == {}
        assert clean.png.endswith(b"IEND\xaeB`\x82")


def test_a_text_chunk_that_unpacks_to_a_bomb_is_left_out_unread(images):
    """Pillow would unpack a megabyte of each, and then refuse a picture that is sound."""
    packed = zlib.compress(b"\0" * 50_000_000)
    data = files()["png"]
    after_header = 8 + 25

    for bomb in (
        chunk(b"zTXt", b"a\0\0" + packed),
        chunk(b"iTXt", b"a\0\1\0\0\0" + packed),
        chunk(b"iCCP", b"a\0\0" + packed),
    ):
        assert images.clean(data[:after_header] + bomb + data[after_header:]).width == 48


@settings(max_examples=examples(300))
@given(
    data=st.binary(max_size=300), start=st.sampled_from([*(b[:40] for b in files().values()), b""])
)
@example(data=b"", start=b"\x89PNG\r\n\x1a\n")
@example(data=b"", start=b"\xff\xd8\xff")
@example(data=b"\0\0\0\0WEBP", start=b"RIFF")
def test_whatever_the_bytes_the_answer_is_a_picture_or_a_sentence(data, start):
    refuse_or_clean(start + data)


@settings(max_examples=examples(300))
@given(
    name=st.sampled_from(sorted(files())),
    place=st.floats(0, 1, exclude_max=True),
    damage=st.binary(min_size=1, max_size=8),
)
def test_whatever_byte_is_damaged_the_answer_is_a_picture_or_a_sentence(name, place, damage):
    data = bytearray(files()[name])
    start = int(place * len(data))
    data[start : start + len(damage)] = damage

    refuse_or_clean(bytes(data))


def refuse_or_clean(data):
    try:
        clean = PillowControlImages().clean(data)
    except InvalidImage:
        return
    looked_at(clean)


def test_many_threads_may_clean_at_once(images):
    with ThreadPoolExecutor(8) as threads:
        cleaned = list(threads.map(images.clean, [*files().values()] * 8))

    assert cleaned[:5] * 8 == cleaned


@settings(max_examples=examples(30))
@given(
    source=st.tuples(st.integers(16, 128), st.integers(16, 128)),
    size=st.tuples(st.integers(4, 16), st.integers(4, 16)),
    fit=st.sampled_from(["crop", "pad"]),
    preprocessor=st.sampled_from(["none", "canny", "blur"]),
)
def test_a_control_map_always_has_the_size_that_was_asked_for(source, size, fit, preprocessor):
    width, height = size[0] * 16, size[1] * 16

    image = PillowControlImages().control_map(
        file(Image.new("RGB", source, RED)), preprocessor, width, height, fit
    )

    assert (image.mode, image.size) == ("RGB", (width, height))


def test_canny_draws_white_edges_on_black_at_the_final_size():
    square = Image.new("RGB", (200, 200))
    square.paste(WHITE, (50, 50, 150, 150))

    image = control_map(file(square), "canny", 96, 96, "crop")

    assert {colour for _, colour in image.getcolors()} == {(0, 0, 0), WHITE}
    edges = np.asarray(image)[..., 0] > 0
    assert edges.any(1).sum() == pytest.approx(48, abs=2)
    assert edges.sum() == pytest.approx(4 * 48, abs=8), "lines of one pixel, whatever was scaled"


def test_the_frame_of_a_padded_picture_is_no_edge():
    image = control_map(file(Image.new("RGB", (96, 32), WHITE)), "canny", 96, 96, "pad")

    assert image.getextrema() == ((0, 0),) * 3


def test_the_demo_controlnet_is_shown_the_edges_that_it_was_trained_on():
    drawings = pytest.importorskip("generation.demo.drawings")
    image = noise(64, 64)

    shown = control_map(file(image), "canny", 64, 64, "crop")

    assert np.array_equal(np.asarray(shown), np.asarray(drawings.edges(image)))


def test_an_unknown_preprocessor_is_refused_with_those_there_are():
    from generation.errors import InvalidRequest
    from generation.preprocessors import preprocess

    with pytest.raises(InvalidRequest, match="none, canny, soft-edge, gray, blur, not 'depth'"):
        preprocess("depth", noise())


def test_blur_keeps_where_which_colour_is_and_loses_the_edges():
    image = Image.new("RGB", (64, 64), "white")
    image.paste("red", (0, 0, 32, 64))

    blurred = preprocess("blur", image)

    row = [blurred.getpixel((x, 32))[1] for x in range(64)]
    assert (row[4], row[60]) == (0, 255)
    steps = [after - before for before, after in itertools.pairwise(row)]
    assert min(steps) >= 0
    assert 0 < max(steps) < 60, "no edge is left"
