"""The command line's own parts: options, the console, and errors as sentences."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from dotenv import load_dotenv
from rich.console import Console
from rich.text import Text

from bot import __version__
from bot.assembly.folder import FolderInUse
from bot.config import Config, ConfigError, Secrets, load_config, load_secrets
from bot.database import DatabaseDamaged, SchemaTooNew, migrations
from generation.errors import FluxbotError

EX_INTERRUPTED = 130  # as shells report Ctrl-C
EX_TEMPFAIL = 75  # sysexits.h: another process holds the resource; try again later

#: The admin of acts from the command line, in the audit log.
COMMAND_LINE = "command line"

# Without markup, since prompts and file names may well contain [brackets].
console = Console(highlight=False, markup=False)

ConfigOption = Annotated[
    Path, typer.Option("--config", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG = Path("config.toml")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        console.print(
            f"fluxbot {__version__}, database schema {len(migrations())},"
            f" Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        )
        raise typer.Exit()


VersionOption = Annotated[
    bool,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Say which version."),
]
UserArgument = Annotated[
    str, typer.Argument(help="A person, as platform:id, such as discord:1234.")
]


def read(path: Path) -> tuple[Config, Secrets]:
    """Configuration and secrets; what is wrong with them ends the command with a sentence."""
    load_dotenv(path.parent / ".env")
    with failing():
        return load_config(path), load_secrets()


def moment(seconds: float) -> str:
    """*seconds* (unix) as a day and a time of it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


@contextmanager
def failing() -> Iterator[None]:
    """A block in which an error for the operator ends the command with its sentence."""
    try:
        yield
    except FolderInUse as error:
        fail(str(error), EX_TEMPFAIL)
    except (ConfigError, SchemaTooNew, DatabaseDamaged, FluxbotError) as error:
        fail(str(error))


def fail(sentence: str, status: int = 1) -> NoReturn:
    """End the command with *sentence*."""
    errors = Console(stderr=True, highlight=False, markup=False)
    errors.print(Text("error:", style="red"), sentence, soft_wrap=True)
    raise typer.Exit(status)


def confirmed(question: str) -> bool:
    """Whether the operator says yes to *question*; where nobody can answer, the command ends."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        fail("nobody has answered, so nothing was changed; --yes does it without asking")
