"""The pipe through which a child sends the files of its pictures."""

import io
import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from generation import frames, inbox
from generation.errors import EngineLost, GenerationError
from generation.inbox import Inbox, Outbox
from generation.results import THUMBNAIL_SIZE, Files, GenerationResult, RemoteResult, encoded
from tests.samples import pixels

SIZE = (320, 160)


def picture(colour):
    return Image.new("RGB", SIZE, colour)


def drawn(*pictures):
    return RemoteResult(1.0, None, lambda: encoded(*pictures))


def failing(error):
    def receive():
        raise error

    return RemoteResult(1.0, None, receive)


@pytest.fixture
def pipe():
    """Both ends: the file that the child writes to, and the parent's inbox."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        yield end, Inbox(os.fdopen(reading, "rb"))


@pytest.fixture
def ends(pipe):
    return Outbox(pipe[0]), pipe[1]


def test_files_come_by_their_number_in_any_order(ends):
    outbox, there = ends
    first = outbox.send(drawn(picture("red"), picture("white")))
    second = outbox.send(drawn(picture("blue")))

    blue, red = there.take(second, SIZE), there.take(first, SIZE)

    assert pixels(blue.png) == pixels(encoded(picture("blue")).png)
    assert pixels(red.png) == pixels(encoded(picture("red")).png)
    assert pixels(red.control_map) == pixels(encoded(picture("white")).png)
    assert blue.control_map is None
    assert red.thumbnail.size == (THUMBNAIL_SIZE, THUMBNAIL_SIZE // 2)


def test_what_a_picture_was_drawn_with_comes_along(ends):
    outbox, there = ends
    result = GenerationResult(picture("red"), 1.0, drawn_with={"quantization": "fp8"})

    files = there.take(outbox.send(result), SIZE)

    assert files.drawn_with == {"quantization": "fp8"}


def test_the_engine_does_not_wait_until_its_picture_is_encoded(ends):
    outbox, there = ends
    may_encode = threading.Event()

    def receive():
        assert may_encode.wait(20)
        return encoded(picture("red"))

    number = outbox.send(RemoteResult(1.0, None, receive))
    next_one = outbox.send(drawn(picture("blue")))

    may_encode.set()
    assert there.take(number, SIZE).opened().size == there.take(next_one, SIZE).opened().size


@pytest.mark.parametrize("kind", [EngineLost, GenerationError])
def test_what_keeps_it_from_being_encoded_is_said(ends, kind):
    outbox, there = ends

    with pytest.raises(kind, match="no memory"):
        there.take(outbox.send(failing(kind("no memory"))), SIZE)


def test_a_child_that_dies_before_it_has_sent_them_is_lost(pipe):
    end, there = pipe
    waiting = []

    def take():
        with pytest.raises(EngineLost, match="has died") as error:
            there.take(1, SIZE)
        waiting.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    frames.write(end, {"number": 2})
    end.close()

    thread.join(20)
    assert len(waiting) == 1


def test_a_child_that_sends_nothing_is_not_waited_for_for_ever(pipe, monkeypatch):
    monkeypatch.setattr(inbox, "SECONDS_TO_ENCODE", 0.0)

    with pytest.raises(EngineLost, match="in time"):
        pipe[1].take(1, SIZE)


@pytest.mark.parametrize(
    "frame",
    [
        ({"number": 1, "thumbnail": [2, 2]}, b"no picture", bytes(12)),
        ({"number": 1, "thumbnail": [2, 2]}, encoded(picture("red")).png, bytes(11)),
        ({"number": 1, "thumbnail": [2, 2]}, encoded(picture("red").resize((8, 8))).png, bytes(12)),
        ({"number": 1, "thumbnail": 2}, encoded(picture("red")).png, bytes(12)),
        ({"number": 1}, encoded(picture("red")).png, bytes(12)),
        ({"number": 1, "thumbnail": [2, 2]}, encoded(picture("red")).png),
    ],
)
def test_what_is_not_the_picture_is_refused(pipe, frame):
    end, there = pipe
    frames.write(end, *frame)

    with pytest.raises(GenerationError, match="no picture of 320 × 160 pixels"):
        there.take(1, SIZE)


@pytest.mark.parametrize("is_early", [True, False])
def test_what_nobody_wants_is_thrown_away(pipe, is_early):
    end, there = pipe
    if is_early:
        there.forget(1)
    header = {"number": 1, "thumbnail": [2, 2]}
    frames.write(end, header, encoded(picture("red")).png, bytes(12))
    frames.write(end, {**header, "number": 2}, encoded(picture("blue")).png, bytes(12))
    there.take(2, SIZE)
    if not is_early:
        there.forget(1)
    end.close()

    with pytest.raises(EngineLost):
        there.take(1, SIZE)


def test_rubbish_in_the_pipe_is_the_end_of_it(pipe):
    end, there = pipe
    end.write(b"\xff" * 64)
    end.flush()

    with pytest.raises(EngineLost):
        there.take(1, SIZE)


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(0, 200))
def test_a_frame_is_read_as_it_was_written_or_not_at_all(blobs, cut):
    pipe = io.BytesIO()
    frames.write(pipe, {"number": 1}, *blobs)
    whole = pipe.getvalue()

    header, received = frames.read(io.BytesIO(whole))
    assert (header["number"], received) == (1, blobs)
    if cut < len(whole):
        assert frames.read(io.BytesIO(whole[:cut])) is None


@given(st.binary(max_size=60), st.dictionaries(st.text(max_size=6), st.integers(), max_size=3))
def test_whatever_comes_is_a_frame_or_is_refused(rubbish, header):
    text = json.dumps({**header, "blobs": []}).encode()
    for data in (rubbish, frames.SIZES.pack(len(text), len(rubbish)) + text + rubbish):
        try:
            frame = frames.read(io.BytesIO(data))
        except (ValueError, KeyError, TypeError):
            continue
        assert frame is None or isinstance(frame[0], dict)


def test_files_of_small_pictures_are_not_enlarged():
    files = encoded(Image.new("RGB", (64, 32)))

    assert isinstance(files, Files)
    assert files.thumbnail.size == (64, 32)
