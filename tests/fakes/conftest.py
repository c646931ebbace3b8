from tests.fakes.discord.fixtures import fake_discord as fake  # noqa: F401
