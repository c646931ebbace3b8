"""The bot, whatever the platform."""

#: As in ``pyproject.toml``.
__version__ = "0.1.0"
