"""Screens whose thread hangs: nothing passes, and the next picture has another thread."""

import asyncio
import threading

import pytest

from bot import screens
from bot.jobs import Job
from bot.judging import Judging
from bot.refusals import NotAccepting
from bot.screens import PASSED, Place, Screens
from bot.sections import ScreenSettings
from tests.conftest import until
from tests.samples import picture

HERE = Place()


class Hanging:
    """A screen that hangs as often as *times* says, together with all its copies."""

    def __init__(self, times):
        self.times = times
        self.made = 0
        self.end = threading.Event()
        self.threads = set()

    def make(self):
        self.made += 1
        return self

    def judge_picture(self, image, place):
        return self.judge_words([], place)

    def judge_words(self, texts, place):
        self.threads.add(threading.current_thread())
        if self.times > 0:
            self.times -= 1
            assert self.end.wait(20)
        return PASSED


@pytest.fixture
def make_screens(monkeypatch):
    monkeypatch.setattr(screens, "SECONDS_TO_JUDGE", 0.05)
    made = []

    def make(hanging):
        made.append((hanging, Screens({"judge": hanging.make})))
        return made[-1][1]

    yield make
    for hanging, all_of_them in made:
        hanging.end.set()
        all_of_them.close()


async def test_after_a_thread_that_hangs_the_next_words_have_another(make_screens):
    hanging = Hanging(times=1)
    judged = make_screens(hanging)

    with pytest.raises(NotAccepting):
        await judged.judge_words(["a fox"], HERE)
    assert "did not answer within 0.05 s; the next picture starts it anew" in judged.problem

    assert await judged.judge_words(["a fox"], HERE) == PASSED
    assert (judged.problem, hanging.made, len(hanging.threads)) == ("", 2, 2)


async def test_all_who_ask_while_a_screen_is_being_loaded_wait_for_the_same_one():
    def make():
        made.append(1)
        assert is_loaded.wait(20)
        return Hanging(times=0)

    made, is_loaded = [], threading.Event()
    judged = Screens({"judge": make})
    asked = [asyncio.create_task(judged.judge_words(["a fox"], HERE)) for _ in range(3)]
    await until(lambda: made)
    for _ in range(5):
        await asyncio.sleep(0)
    is_loaded.set()

    assert await asyncio.gather(*asked) == [PASSED] * 3
    assert made == [1]
    judged.close()


async def test_a_preview_does_not_wait_for_a_screen_that_is_judging():
    hanging = Hanging(times=1)
    judged = Screens({"judge": hanging.make})
    judging = asyncio.create_task(judged.judge_words(["a fox"], HERE))
    await until(lambda: hanging.threads)

    assert await judged.may_show(picture(), HERE) is None

    hanging.end.set()
    assert await judging == PASSED
    assert await judged.may_show(picture(), HERE) is True
    judged.close()


async def test_a_screen_that_cannot_be_loaded_is_logged_once_and_tried_again(caplog):
    def make():
        made.append(1)
        if len(made) < 4:
            raise OSError("the weights are gone")
        return Hanging(times=0)

    made = []
    judged = Screens({"judge": make})
    for _ in range(3):
        with pytest.raises(NotAccepting):
            await judged.judge_words(["a fox"], HERE)

    assert caplog.text.count("cannot be loaded: the weights are gone") == 1
    assert "the weights are gone" in judged.problem
    assert await judged.judge_words(["a fox"], HERE) == PASSED
    assert judged.problem == ""
    judged.close()


async def test_a_screen_that_hangs_again_and_again_is_given_up(make_screens):
    hanging = Hanging(times=99)
    judged = make_screens(hanging)

    for _ in range(5):
        with pytest.raises(NotAccepting):
            await judged.judge_words(["a fox"], HERE)

    assert hanging.made == screens.MOST_HUNG
    assert "restart the bot" in judged.problem
    assert await judged.may_show(b"", HERE) is None


async def test_a_thread_that_hangs_does_not_keep_the_process_alive(make_screens):
    hanging = Hanging(times=1)
    with pytest.raises(NotAccepting):
        await make_screens(hanging).judge_words(["a fox"], HERE)

    (thread,) = hanging.threads
    assert thread.is_alive()
    assert thread.daemon


async def test_a_preview_of_a_job_that_has_just_ended_is_judged_for_nobody(make_screens, fox):
    job = Job(user="web:ada", request=fox)
    judging = Judging(make_screens(Hanging(times=0)), ScreenSettings())
    judging.preview(job, 1, picture())
    judging.forget(job)

    mine = asyncio.all_tasks() - {asyncio.current_task()}

    assert await asyncio.gather(*mine, return_exceptions=True) == [None]
    assert job.progress.preview is None
