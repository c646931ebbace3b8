"""Strangers' files are decoded in processes with limits of time and memory."""

import ctypes
import errno
import os
import signal
import sys
import threading
import time

import psutil
import pytest
from PIL import Image

from generation.cleaning import PictureLimits, clean
from generation.decoders import Decoders, DecodingLimits, IsolatedControlImages
from generation.errors import DecodingUnavailable, InvalidImage
from tests.bombs import chunk, many_scans, png
from tests.samples import file, noise, opened, picture

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits that Linux has")


@pytest.fixture(scope="module")
def shared():
    decoders = Decoders(1)
    yield decoders
    decoders.close()


@pytest.fixture
def make_decoders():
    made = []

    def make(*arguments, **options):
        made.append(Decoders(*arguments, **options))
        return made[-1]

    yield make
    for decoders in made:
        decoders.close()


def answering(code):
    """A command for a process that says that it is ready, and then runs *code*."""
    preamble = (
        "import json, os, struct, sys, time\n"
        "def say(header, *blobs):\n"
        "    text = json.dumps({**header, 'blobs': [len(blob) for blob in blobs]}).encode()\n"
        "    sizes = struct.pack('>II', len(text), sum(map(len, blobs)))\n"
        "    os.write(1, sizes + text + b''.join(blobs))\n"
        "say({'is': 'ready'})\n"
        "os.read(0, 100)\n"
    )
    return (sys.executable, "-c", preamble + code)


def rotated():
    exif = Image.Exif()
    exif[274] = 6
    return exif


@pytest.mark.parametrize(
    "data",
    [
        picture(),
        picture(format="JPEG"),
        picture(format="WEBP"),
        file(noise(), "JPEG", progressive=True, exif=rotated()),
        file(noise(), "MPO", save_all=True, append_images=[noise(24, 16)]),
        file(Image.new("I;16", (32, 32)), "PNG"),
        file(noise(), "WEBP", save_all=True, append_images=[noise(48, 32, "blue")], lossless=True),
    ],
    ids=["PNG", "JPEG", "WebP", "rotated", "several pictures", "16 bits", "animation"],
)
def test_a_picture_comes_back_as_it_would_from_this_very_process(shared, data):
    assert shared.clean(data) == clean(data)
    assert len(shared.pids) == 1, "no file needs anything that the process may not open"


def test_a_heic_of_a_telephone_is_decoded_within_the_limits(shared):
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    photo = Image.linear_gradient("L").resize((4032, 3024)).convert("RGB")
    heic = file(photo, "HEIF", quality=50)

    cleaned = shared.clean(heic)

    assert (cleaned.width, cleaned.height) == photo.size


def test_a_refusal_comes_back_in_the_same_words(shared):
    for data in (b"", b"GIF89a", picture()[:200], picture(8, 8), png(4112, 600)):
        with pytest.raises(InvalidImage) as here:
            clean(data)
        with pytest.raises(InvalidImage) as there:
            shared.clean(data)

        assert str(there.value) == str(here.value)
        assert there.value.field == "control_image"
    assert len(shared.pids) == 1


def test_texts_are_read_there_without_a_pixel_being_decoded(shared):
    itxt = chunk(b"iTXt", "fluxbot\0\0\0\0\0{“a”: 1}".encode())
    data = picture().replace(chunk(b"IEND", b""), itxt + chunk(b"IEND", b""))

    assert shared.texts(data) == {"fluxbot": "{“a”: 1}"}
    assert shared.texts(picture(format="JPEG")) == {}


def test_a_picture_that_takes_too_long_is_refused_and_the_next_one_is_not(make_decoders):
    decoders = make_decoders(1, DecodingLimits(seconds=0.02))
    (first,) = decoders.clean(picture(16, 16)) and decoders.pids

    with pytest.raises(InvalidImage, match="takes too long to decode: save it again"):
        decoders.clean(png(4096, 4096, depth=16, colours=6))

    assert not psutil.pid_exists(first)
    assert decoders.clean(picture(16, 16)).width == 16


@linux
def test_the_kernel_ends_a_process_for_whose_time_the_bot_does_not_ask(make_decoders):
    """The second clock is the processor's: it counts also where the bot hangs."""
    busy = answering(
        "import resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "os.kill(os.getpid(), signal.SIGXCPU)\n"
        "time.sleep(60)"
    )
    decoders = make_decoders(1, DecodingLimits(seconds=60), command=busy)

    with pytest.raises(InvalidImage, match="takes too long"):
        decoders.clean(picture())


@linux
def test_a_picture_that_takes_too_much_memory_is_refused_and_the_next_one_is_not(make_decoders):
    decoders = make_decoders(1, DecodingLimits(memory=150_000_000))
    bomb = png(4096, 4096, depth=16, colours=6)

    with pytest.raises(InvalidImage, match="takes too much memory to decode"):
        decoders.clean(bomb)

    assert decoders.clean(picture()).width == 96


@linux
def test_a_process_can_open_no_file_and_knows_no_secret(make_decoders, monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "a-secret")
    decoders = make_decoders(1)
    decoders.clean(picture())

    (pid,) = decoders.pids
    process = psutil.Process(pid)
    assert "DISCORD_TOKEN" not in process.environ()
    open_files = process.num_fds()
    assert process.rlimit(psutil.RLIMIT_NOFILE) == (open_files, open_files)
    for limit in (psutil.RLIMIT_CORE, psutil.RLIMIT_FSIZE):
        assert process.rlimit(limit) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_AS) == (1_000_000_000, 1_000_000_000)
    assert 0 < process.rlimit(psutil.RLIMIT_CPU)[0] < 15


@linux
def test_code_that_takes_a_process_over_can_open_no_file_either(make_decoders):
    """It could close a descriptor and so have room for another one; Landlock refuses the path."""
    taken_over = (
        "from generation import decoder_process as process\n"
        "from generation.errors import InvalidImage\n"
        "def opened(*given):\n"
        "    os.close(0)\n"
        "    try:\n"
        "        return open('/etc/hostname').read()\n"
        "    except OSError as error:\n"
        "        raise InvalidImage(f'errno {error.errno}')\n"
        "process.clean = opened\n"
        "process.warm_up = lambda: None\n"
        "process.main()\n"
    )
    if not has_landlock():
        pytest.skip("this kernel has no Landlock")
    decoders = make_decoders(1, command=(sys.executable, "-c", "import os\n" + taken_over))

    with pytest.raises(InvalidImage, match=f"errno {errno.EACCES}"):
        decoders.clean(picture())


def has_landlock():
    """Whether the kernel tells a version of it (landlock_create_ruleset(2))."""
    return ctypes.CDLL(None).syscall(444, None, 0, 1) > 0


@pytest.mark.parametrize(
    "code",
    [
        "os._exit(1)",
        "os.abort()",
        "os.write(1, b'x' * 100)",
        "os.write(1, struct.pack('>II', 2**31, 0))",
        "os.write(1, struct.pack('>II', 4, 0) + b'null')",
        "os.write(1, struct.pack('>II', 100_000, 0) + b'[' * 100_000)",
        "say({})",
        "say({'is': 'picture'})",
        "say({'is': 'texts', 'texts': {}})",
        "say({'is': 'picture', 'width': 64, 'height': 64, 'remarks': []})",
        "say({'is': 'picture', 'width': 64, 'height': 64, 'remarks': []}, b'GIF89a')",
        "say({'is': 'picture', 'width': '64', 'height': None, 'remarks': {}}, b'')",
        "say({'is': {'path': '/etc/passwd'}})",
    ],
)
def test_whatever_a_broken_process_says_the_sender_reads_a_sentence(make_decoders, code):
    decoders = make_decoders(1, DecodingLimits(seconds=2), command=answering(code))

    with pytest.raises(InvalidImage, match="cannot be decoded"):
        decoders.clean(picture())


def test_a_reply_is_taken_for_a_picture_only_with_a_plain_header(make_decoders):
    """An interlaced PNG, or one that says another size, might cost the bot's own process."""
    other = file(noise(), "PNG").hex()
    code = (
        "say({'is': 'picture', 'width': 4000, 'height': 4000, 'remarks': []},"
        f" bytes.fromhex('{other}'))"
    )
    decoders = make_decoders(1, command=answering(code))

    with pytest.raises(InvalidImage, match="cannot be decoded"):
        decoders.clean(picture())


@pytest.mark.parametrize(
    "command", [("/nowhere/python",), (sys.executable, "-c", "import nothing_of_the_kind")]
)
def test_where_no_process_can_be_started_no_file_is_opened(make_decoders, command):
    decoders = make_decoders(1, command=command)

    with pytest.raises(DecodingUnavailable, match="an admin must look at the log"):
        decoders.clean(picture())


def test_processes_stay_and_are_replaced_after_a_while(make_decoders, monkeypatch):
    monkeypatch.setattr("generation.decoders.PICTURES_EACH", 3)
    decoders = make_decoders(2)

    pids = []
    for _ in range(4):
        decoders.clean(picture(16, 16))
        pids.append(decoders.pids)

    assert pids[0] == pids[1]
    assert pids[2] == set()
    assert len(pids[3]) == 1
    assert pids[3] != pids[0]


def test_there_are_never_more_processes_than_there_may_be(make_decoders):
    decoders = make_decoders(2)
    most = []

    def work():
        decoders.clean(picture(64, 64))
        most.append(len(decoders.pids))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) <= 2
    assert len(most) == 8


def test_closing_ends_all_processes_also_those_at_work(make_decoders):
    decoders = make_decoders(1, DecodingLimits(seconds=60), command=answering("time.sleep(60)"))
    refused = []

    def work():
        try:
            decoders.clean(picture())
        except InvalidImage:
            refused.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    while not decoders.pids:
        time.sleep(0)
    (pid,) = decoders.pids
    decoders.close()
    thread.join(20)

    assert refused == [True]
    assert not psutil.pid_exists(pid)
    with pytest.raises(DecodingUnavailable):
        decoders.clean(picture())


def test_a_process_that_was_killed_while_it_was_idle_is_replaced(make_decoders):
    decoders = make_decoders(1)
    decoders.clean(picture())
    (pid,) = decoders.pids
    os.kill(pid, signal.SIGKILL)
    psutil.Process(pid).wait(20) if psutil.pid_exists(pid) else None

    assert decoders.clean(picture()).width == 96


def test_limits_of_the_file_are_those_of_the_configuration(make_decoders):
    decoders = make_decoders(1, pictures=PictureLimits(max_bytes=1000, max_width=64))

    with pytest.raises(InvalidImage, match="at most 64 × 4096 pixels"):
        decoders.clean(png(96, 96))


def test_control_maps_are_made_of_the_clean_picture(make_decoders):
    images = IsolatedControlImages(make_decoders(1))

    image = images.control_map(images.clean(picture()).png, "canny", 64, 64, "crop")

    assert (image.size, image.mode) == ((64, 64), "RGB")
    assert opened(images.clean(picture(format="WEBP")).png).format == "PNG"


def test_a_jpeg_with_too_many_scans_is_refused_before_it_is_decoded():
    """2,400 scans of 4096 × 4096 take 15 s on a slow core (libjpeg-turbo, issue 284)."""
    with pytest.raises(InvalidImage, match="more than 100 scans"):
        clean(many_scans(4096, 4096, 2400))


def test_a_jpeg_with_as_many_scans_as_an_encoder_may_write_is_decoded():
    assert clean(many_scans(64, 64, 60)).width == 64


@pytest.mark.parametrize("extra", [chunk(b"tEXt", b"k\0v") * 20_000, chunk(b"IDAT", b"") * 20_000])
def test_a_png_of_very_many_chunks_is_refused_before_it_is_decoded(extra):
    with pytest.raises(InvalidImage, match="more than 16384 chunks"):
        clean(png(64, 64, extra=extra))
