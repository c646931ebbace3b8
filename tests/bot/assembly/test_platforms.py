"""Platforms: one line in a table for each, and what ends one ends nothing else."""

import asyncio
from copy import copy

import pytest

from bot.assembly.platforms import PLATFORMS, Host, Platform, check_person, keep_going, running
from bot.commands import ImagineCommand
from bot.config import Config, ConfigError, Secrets
from bot.conversation import converse
from bot.following import Following
from bot.jobs import Delivery
from bot.source import Source
from bot.windows import Way
from tests.conftest import until


class Chalkboard:
    """A whole platform: what stands on the board is drawn, and hung beside it."""

    def __init__(self, *written):
        self.written = written
        self.jobs = []
        self.hung = []

    async def run(self, host):
        self.service = host.service
        following = Following(host.service, "chalk", self.window_of)
        host.announce("the schoolyard")
        try:
            for text in self.written:
                where = {"channel": "yard"}
                reply = await converse(host.service, Source("chalk:ada", reply_to=where), text)
                following.follow(reply.job, is_new=True)
            await following.run()
        finally:
            await following.close()

    def window_of(self, job, say):
        window = copy(self)
        window.job = job
        self.jobs.append(job)
        return window

    # The window of one job

    async def open(self, attempt):
        pass

    async def ready(self):
        pass

    async def show(self, progress, why_not):
        pass

    def ways(self):
        return [Way(self.hang)]

    async def hang(self, attempt):
        path = await self.service.lookups.picture(Source(self.job.user), self.job.id)
        self.hung.append(path.read_bytes())

    async def call(self, sentence, *, is_direct):
        pass

    async def note(self, sentence):
        pass

    def judge(self, error):
        return None


def always(config, secrets):
    return True


async def test_a_platform_is_one_class_and_one_line_and_draws_and_delivers(bot, gate):
    addresses = []
    host = Host(bot.service, Config(web={"port": 0}), Secrets(), addresses.append)
    board = Chalkboard("a red circle", "a blue square")
    circle = ImagineCommand("left by the process before")
    await bot.service.submit(Source("chalk:bob", reply_to={"channel": "yard"}), circle)

    async with running(host, [*PLATFORMS, Platform("chalk", always, board.run)]):
        gate.open()
        await until(lambda: len(board.jobs) == 3)
        await until(lambda: {job.delivery for job in board.jobs} == {Delivery.DELIVERED})

    assert [png[:4] for png in board.hung] == [b"\x89PNG"] * 3
    assert await bot.service.answers.undelivered("chalk") == []
    web, yard = addresses
    assert web.startswith("http://127.0.0.1:")
    assert yard == "the schoolyard"


async def test_a_platform_that_is_off_is_not_run():
    ran = []

    async def run(host):
        ran.append(host.config)

    def only_with_a_token(config, secrets):
        return secrets.discord_token is not None

    for secrets in (Secrets(), Secrets(discord_token="t")):
        host = Host(None, Config(), secrets)
        async with running(host, [Platform("chalk", only_with_a_token, run)]):
            await asyncio.sleep(0)
        assert len(ran) == (secrets.discord_token is not None)


async def test_after_crashes_those_that_call_others_wait_and_those_that_listen_do_not():
    """I4"""
    ran = []

    async def call(host):
        ran.append("caller")

    async def listen(host):
        ran.append("listener")
        host.announce("here")

    host = Host(None, Config(), Secrets(), lambda address: None)
    platforms = [
        Platform("caller", always, call),
        Platform("listener", always, listen, must_listen=True),
    ]
    async with running(host, platforms, wait=3600.0):
        await asyncio.sleep(0)
        assert ran == ["listener"]
    async with running(host, platforms, wait=0.001):
        await until(lambda: "caller" in ran)


async def test_the_model_waits_until_a_platform_listens_that_must():
    events = []
    opening = asyncio.Event()

    async def run(host):
        await opening.wait()
        events.append("listening")
        host.announce("http://here")
        await asyncio.Event().wait()

    host = Host(None, Config(), Secrets(), events.append)

    async def start():
        async with running(host, [Platform("door", always, run, must_listen=True)]):
            events.append("loading")

    starting = asyncio.create_task(start())
    for _ in range(5):
        await asyncio.sleep(0)
    assert events == []
    opening.set()
    await starting

    assert events == ["listening", "http://here", "loading"]


async def test_a_platform_that_must_listen_and_cannot_ends_the_start():
    async def run(host):
        raise ConfigError("the port is taken")

    with pytest.raises(ConfigError, match="the port is taken"):
        async with running(
            Host(None, Config(), Secrets()), [Platform("door", always, run, must_listen=True)]
        ):
            raise AssertionError("nothing may begin")


async def test_a_platform_that_ends_later_ends_nothing_else(caplog):
    falls, fallen = asyncio.Event(), asyncio.Event()

    async def run(host):
        host.announce("http://here")
        await falls.wait()
        fallen.set()
        raise ConfigError("the address is gone")

    async with running(
        Host(None, Config(), Secrets()), [Platform("door", always, run, must_listen=True)]
    ):
        falls.set()
        await fallen.wait()

    assert "the address is gone" in caplog.text


async def test_a_platform_that_cannot_be_reached_is_tried_again_and_one_that_refuses_is_not():
    pauses, ends = [], [ConnectionError("away"), ConnectionError("away"), ConfigError("no")]

    async def run():
        raise ends.pop(0)

    async def sleep(seconds):
        pauses.append(seconds)

    await keep_going("Discord", run, sleep)

    assert (pauses, ends) == ([5.0, 10.0], [])


@pytest.mark.parametrize(
    ("user", "sentence"),
    [
        ("ada", "written platform:id"),
        ("chalk:a da", "written platform:id"),
        ("web:ada", "there is no platform 'web': there are chalk"),
    ],
)
def test_people_are_named_by_a_platform_of_the_table(user, sentence):
    platforms = [Platform("chalk", always, Chalkboard().run)]

    check_person("chalk:ada", platforms)
    with pytest.raises(ConfigError, match=sentence):
        check_person(user, platforms)
