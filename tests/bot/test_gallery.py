"""Files are whole or absent, and a picture carries what made it."""

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.gallery import PART, Gallery, tiled
from bot.jobs import Job
from bot.provenance import Provenance, read_request
from generation.results import encoded
from tests.samples import file, opened


@pytest.fixture
def gallery(tmp_path):
    return Gallery(tmp_path)


def plain(colour="red", size=(64, 48)):
    return Image.new("RGB", size, colour)


def test_attached_pictures_are_cleared_away_whoever_else_deletes_them(gallery):
    others, orphan = gallery.control_images / "a.png", gallery.control_images / "b.png"
    for path in (others, orphan):
        path.touch()

    class Kept(set):
        def __contains__(self, name):
            others.unlink(missing_ok=True)
            return False

    gallery.prune_control_images(Kept(), before=2e10)

    assert not orphan.exists()


def test_a_file_that_cannot_be_finished_leaves_nothing_behind(gallery, fox, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bot.gallery.os.fsync", full)
    job = Job(user="ada", request=fox)

    with pytest.raises(OSError, match="No space left"):
        gallery.save(job, 1, fox, encoded(plain()))

    assert list(gallery.images.iterdir()) == []


def test_what_a_killed_process_left_half_written_is_swept_away(gallery, tmp_path):
    (gallery.images / f".abc{PART}").write_bytes(b"half")
    (gallery.control_images / f".abc{PART}").write_bytes(b"half")

    again = Gallery(tmp_path)

    assert [*again.images.iterdir(), *again.control_images.iterdir()] == []


def test_a_request_is_whole_only_with_every_picture_that_it_draws_from(gallery):
    first, second = (gallery.keep_control_image(file(plain(c))) for c in ("red", "blue"))
    request = SimpleNamespace(pictures={"control_image": first, "mask_image": second})

    assert gallery.still_keeps_pictures_of(request)
    second.unlink()
    assert not gallery.still_keeps_pictures_of(request)


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_file_that_was_stored_or_refused_is_not_held_open(gallery, monkeypatch, is_failing):
    def refuse(source, target):
        raise OSError(28, "No space left on device")

    if is_failing:
        monkeypatch.setattr("os.replace", refuse)
    before = psutil.Process().num_fds()

    for colour in ("red", "green", "blue"):
        with contextlib.suppress(OSError):
            gallery.keep_control_image(file(plain(colour)))

    assert psutil.Process().num_fds() == before


def test_a_picture_that_is_sent_ten_times_is_kept_once(gallery):
    paths = {gallery.keep_control_image(file(plain())) for _ in range(10)}

    assert len(paths) == 1
    assert len(list(gallery.control_images.iterdir())) == 1


def test_everything_of_a_job_is_deleted_and_nothing_of_another(gallery, fox):
    mine, other = Job(user="ada", request=fox, images=2), Job(user="ada", request=fox)
    for number in (1, 2):
        gallery.save(mine, number, fox, encoded(plain(), plain("white")))
    gallery.save(other, 1, fox, encoded(plain()))

    gallery.delete(mine.id)

    names = {path.name for path in gallery.images.iterdir()}
    assert names == {f"{other.id}-1.png", f"{other.id}-thumbnail.webp"}


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (5, 3, 2)]
)
def test_a_grid_is_nearly_square_and_shows_every_picture(count, columns, rows):
    colours = ["red", "lime", "blue", "yellow", "aqua"][:count]

    grid = tiled([plain(colour) for colour in colours])

    assert grid.size == (columns * 68 - 4, rows * 52 - 4)
    shown = [grid.getpixel((i % columns * 68 + 30, i // columns * 52 + 20)) for i in range(count)]
    assert shown == [plain(colour).getpixel((0, 0)) for colour in colours]


def test_a_prompt_in_any_script_survives_in_the_picture(gallery, fox):
    job = Job(user="ada", request=fox)
    object.__setattr__(fox, "prompt", "一只狐狸 – „im Schnee“ 🦊")
    gallery.save(job, 1, fox, encoded(plain()))

    made = read_request(gallery.picture_path(job.id, 1).read_bytes())

    assert made == {"job": job.id, **fox.to_dict()}


def test_a_picture_says_what_its_pixels_depend_on_beside_the_request(gallery, fox):
    job = Job(user="ada", request=fox)
    files = replace(encoded(plain()), drawn_with={"quantization": "fp8", "torch": "2.13.0"})

    gallery.save(job, 1, fox, files)

    made = read_request(gallery.picture_path(job.id, 1).read_bytes())
    assert made["drawn_with"] == {"quantization": "fp8", "torch": "2.13.0"}


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_our_metadata(data):
    assert read_request(data) is None


def test_a_foreign_png_has_no_request_in_it():
    assert read_request(file(plain())) is None


def test_a_picture_that_fits_is_sent_as_it_is_and_a_larger_one_as_a_webp(tmp_path):
    path = tmp_path / "noise.png"
    Image.effect_noise((256, 256), 120).convert("RGB").save(path)
    whole = path.read_bytes()

    assert Provenance().fitted(path, len(whole)) == (whole, ".png")
    for limit in (len(whole) - 1, 20_000, 2_000):
        data, suffix = Provenance().fitted(path, limit)
        assert (suffix, len(data) <= limit) == (".webp", True)
        with opened(data) as image:
            assert image.format == "WEBP"
