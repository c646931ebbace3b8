import pytest

from tests.bot.following.paper import Desk


@pytest.fixture
async def desk(bot):
    desk = Desk(bot)
    yield desk
    await desk.following.close(is_silent=True)
