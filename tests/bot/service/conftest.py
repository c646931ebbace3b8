"""Fixtures of the tests that ask the whole service."""

import pytest

from tests.judges import Judge


@pytest.fixture
def judge():
    judge = Judge()
    yield judge
    judge.gate.set()


@pytest.fixture
async def make_judged(make_bot, judge):
    async def make(**settings):
        bot = await make_bot(**settings)
        bot.judges = {"judge": lambda: judge}
        await bot.restart()
        return bot

    return make
