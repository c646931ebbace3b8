"""Fixtures to import into the conftest.py of an adapter's tests."""

import pytest

from .server import FakeDiscord


@pytest.fixture
async def fake_discord():
    """A Discord for one test, in which no rule may be broken and no schema violated."""
    async with FakeDiscord() as fake:
        yield fake
    assert fake.violations == [], "\n".join(fake.violations)
