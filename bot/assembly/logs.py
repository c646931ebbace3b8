"""The log of a run: for people at a terminal, or as JSON for programs, and without secrets.

As JSON each line is an object: ``time`` (UTC), ``level``, ``logger``, ``message``, ``job`` where
the message names one, and ``traceback`` where there is one.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.logging import RichHandler
from rich.text import Text

from bot.assembly.command_line import console
from bot.config import Config, Secrets
from bot.floods import Floods
from bot.jobs import ID_ALPHABET, ID_LENGTH
from generation.weights import quieten_imports

#: Libraries that log every request, which would bury our own lines.
NOISY = ("httpx", "httpcore", "uvicorn", "aiosqlite", "PIL", "slack_sdk")
#: A job in a message, as our own messages name it.
JOB = re.compile(rf"\bjob ([{ID_ALPHABET}]{{{ID_LENGTH}}})\b")
SCRUBBED = "[secret]"


def set_up(config: Config, secrets: Secrets) -> None:
    """Have the process log as the configuration says, from now on."""
    handler: logging.Handler
    formatter: logging.Formatter
    if config.logs.format == "json":
        handler, formatter = logging.StreamHandler(sys.stdout), JsonLines()
    else:
        handler = RichHandler(console=console, show_path=False, rich_tracebacks=False)
        formatter = logging.Formatter("%(message)s", "%H:%M:%S")
    handler.setFormatter(Scrubbing(formatter, secret_values(secrets)))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(Floods(handler))
    quieten_imports()
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def announce(config: Config, address: str) -> None:
    """Tell the operator where the page is."""
    if config.logs.format == "json":
        logging.getLogger("bot").info("the page is open at %s", address)
    else:
        console.print("\n  Open", Text(address, style="bold"), " (Ctrl-C stops)\n")


def secret_values(secrets: Secrets) -> tuple[str, ...]:
    """All that must never be logged, the longest first."""
    values: set[str] = set()
    for name, field in type(secrets).model_fields.items():
        held = None if field.repr else getattr(secrets, name)
        # Several are a tuple, or the keys of a dict.
        values |= {held} if isinstance(held, str) else set(held or ())
    values.discard("")
    return tuple(sorted((str(value) for value in values), key=lambda each: (-len(each), each)))


class Scrubbing(logging.Formatter):
    """Lines of *formatter* without *secrets*, tracebacks included."""

    def __init__(self, formatter: logging.Formatter, secrets: Iterable[str]) -> None:
        super().__init__(datefmt=formatter.datefmt)
        self._formatter = formatter
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        text = self._formatter.format(record)
        for secret in self._secrets:
            text = text.replace(secret, SCRUBBED)
        return text


class JsonLines(logging.Formatter):
    """One line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if found := JOB.search(message):
            line["job"] = found[1]
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
