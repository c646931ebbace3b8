"""``people``: who may sign in on the page without a token, from the command line."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from bot import audit_log, invitations
from bot.assembly.command_line import (
    COMMAND_LINE,
    DEFAULT_CONFIG,
    ConfigOption,
    console,
    fail,
    failing,
    moment,
    read,
)
from bot.assembly.folder import with_database
from bot.config import Config, Secrets

T = TypeVar("T")

app = typer.Typer(help="People who sign in on the page by a link.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="A name, such as ada.")]


@app.command("add")
def add(name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Add somebody, or give them a new link; prints a link that signs them in, once."""
    settings, secrets = read(config)
    page = _page(settings, secrets)
    with failing():
        user = invitations.user_named(name)

        def act(db: sqlite3.Connection, now: float) -> str:
            invitations.add(db, user, now)
            return invitations.make_link(db, user, now, invitations.INVITED)

        secret = _audited(settings, "invite", user, act)
    console.print(
        f"{user} signs in with this link, once, within 7 days:\n"
        f"  {invitations.address(page, secret)}",
        soft_wrap=True,
    )


@app.command("list")
def show(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the people who were added, and those who have a token."""
    settings, secrets = read(config)
    with failing():
        added = with_database(settings, lambda database: database.read(invitations.people))
    table = Table("person", "added", "signed in", box=None, padding=(0, 2, 0, 0))
    for each in added:
        browsers = f"in {each.sessions} browser{'' if each.sessions == 1 else 's'}"
        table.add_row(each.user, moment(each.made_at), browsers if each.sessions else "–")
    names = {f"{invitations.PLATFORM}:{name}" for name in secrets.web_tokens.values()}
    for user in sorted(names):
        table.add_row(user, "by a token", "")
    console.print(table if table.row_count else "Nobody was added: python -m bot people add NAME")


@app.command("remove")
def remove(name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let somebody sign in no more, and sign them out everywhere; their pictures stay."""
    settings, secrets = read(config)
    with failing():
        user = invitations.user_named(name)

        def act(db: sqlite3.Connection, now: float) -> bool:
            return invitations.remove(db, user)

        if name in secrets.web_tokens.values():
            console.print(f"{user} has a token too: take it out of FLUXBOT_WEB_TOKENS.")
        was_there = _audited(settings, "remove person", user, act)
    if not was_there:
        fail(f"{user} was not added: python -m bot people list says who was")
    console.print(f"{user} is signed out, within half a minute where the bot is running.")


def _audited(
    config: Config, word: str, user: str, act: Callable[[sqlite3.Connection, float], T]
) -> T:
    """The result of *act*, which the audit log calls *word*."""
    now = time.time()

    def both(db: sqlite3.Connection) -> T:
        result = act(db, now)
        audit_log.write_down(db, now, COMMAND_LINE, word, user, None)
        return result

    return with_database(config, lambda database: database.write(both))


def _page(config: Config, secrets: Secrets) -> str:
    """Address of the page for people who sign in; where nobody has to, the command ends."""
    web = config.web
    if web.public_url:
        return web.public_url
    if not secrets.web_tokens:
        fail(
            "nobody signs in on the page now, since everybody who reaches it is web:local: set"
            f' web.public_url in config.toml first, such as "http://127.0.0.1:{web.port}"'
        )
    return f"http://{web.host}:{web.port}"
