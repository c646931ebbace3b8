"""The command line. The parts that it runs are put together in ``bot/assembly``."""

from __future__ import annotations

from bot.system import check_system

check_system()  # before the imports below, some of which Windows does not have

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bot import audit_log, replies
from bot.assembly import doctor, logs, process, restoring, setup, web_people
from bot.assembly.cluster import node_verdicts
from bot.assembly.command_line import (
    COMMAND_LINE,
    DEFAULT_CONFIG,
    EX_INTERRUPTED,
    ConfigOption,
    UserArgument,
    VersionOption,
    confirmed,
    console,
    fail,
    failing,
    moment,
    read,
)
from bot.assembly.folder import with_database
from bot.assembly.model_findings import Finding
from bot.assembly.parts import faulty_loras, faulty_presets, wanted
from bot.assembly.platforms import check_person
from bot.config import Config, check_license
from bot.database import Database
from bot.finding import Wanted
from bot.job_store import JobStore
from bot.ledger import Ledger, QuotaStatus
from generation import weights

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
quota_app = typer.Typer(help="Show, grant and reset credits.", no_args_is_help=True)
app.add_typer(quota_app, name="quota")
cache_app = typer.Typer(help="The weights in the cache.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")
app.add_typer(web_people.app, name="people")
app.command()(setup.init)


@app.callback()
def main(version: VersionOption = False) -> None:
    """A chat bot that draws with FLUX.1-dev and ControlNet presets."""


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Start the bot: the web chat, and every adapter whose tokens are set."""
    settings, secrets = read(config)
    logs.set_up(settings, secrets)
    with failing():
        process.run(settings, secrets, config, partial(logs.announce, settings))


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Report findings about everything that a run needs. The exit status is 0 if nothing is
    missing."""
    settings, secrets = read(config)
    findings = list(doctor.findings(settings, secrets, config, console.status))
    doctor.show(findings, console)
    if not all(finding.is_right for finding in findings):
        raise typer.Exit(1)


@app.command()
def invite(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print the links that add the bot to a Discord server, and to one's own account."""
    settings, secrets = read(config)
    if secrets.discord_token is None:
        fail("DISCORD_TOKEN is not set; docs/discord.md says where to get it")
    from adapters.discord_chat import identify, invitation

    with failing():
        who = asyncio.run(identify(secrets.discord_token, proxy=settings.discord.proxy))
    for purpose, link in (
        ("to a server", invitation(who.application_id)),
        ("for yourself, wherever you are", invitation(who.application_id, for_oneself=True)),
    ):
        console.print(f"Add {who.name} {purpose}:\n  {link}", soft_wrap=True)


@app.command()
def presets(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the presets."""
    settings, _ = read(config)
    table = Table("preset", "picture", "made with", "description", box=None, padding=(0, 2, 0, 0))
    for preset in settings.presets.values():
        made_with = preset.kind.conditioning_model or preset.lora or preset.kind.label
        if preset.model is not None:
            made_with = f"{made_with}, {preset.model}"
        table.add_row(
            preset.name, "needed" if preset.needs_image else "–", made_with, preset.description
        )
    console.print(table)


@app.command()
def download(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PRESET|LORA]...", help="Only for these presets and LoRAs."),
    ] = None,
    all_nodes: Annotated[
        bool, typer.Option("--all-nodes", help="On every node of the cluster, instead of here.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Fetch weights of the model, the presets and the LoRAs. Ctrl-C stops; the next call goes
    on."""
    settings, secrets = read(config)
    known = dict.fromkeys((*settings.presets, *settings.loras))
    for name in names or ():
        if name not in known:
            fail(f"there is no preset or LoRA {name}: there are {', '.join(known)}")
    with _weights(settings) as show:
        check_license(settings)
        if all_nodes:
            verdicts = list(node_verdicts(settings, fetches=True, token=secrets.hf_token))
            doctor.show((Finding("cluster", *verdict) for verdict in verdicts), console)
            raise typer.Exit(0 if all(is_right for is_right, _ in verdicts) else 1)
        chosen = names or list(known)
        of_presets, of_loras = faulty_presets(settings), faulty_loras(settings)
        faults = [
            said
            for found in (of_presets, of_loras)
            for name, said in found.items()
            if name in chosen
        ]
        missing = wanted(
            settings,
            [name for name in settings.presets if name in chosen and name not in of_presets],
            [name for name in settings.loras if name in chosen and name not in of_loras],
        )
        if missing:
            show.download(missing, secrets.hf_token, console)
        elif not faults:
            console.print("Nothing to fetch: all weights are here.")
        if faults:
            fail("\n".join(faults))


@cache_app.command("list")
def cache_list(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the weights in the cache, with their sizes."""
    with _weights(read(config)[0]) as show:
        show.list_cache(console)


@cache_app.command("verify")
def cache_verify(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Compare every file with the checksum from the Hub; the exit status is 0 if all agree."""
    _verify(config, repairs=False)


@cache_app.command("repair")
def cache_repair(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Verify the weights, and fetch damaged ones again."""
    _verify(config, repairs=True)


@cache_app.command("clear")
def cache_clear(
    repository: Annotated[str | None, typer.Argument(help="Only this repository.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Delete weights from the cache; the bot fetches them again when it needs them."""
    settings, _ = read(config)
    with _weights(settings):
        from generation import hub

        names = [each.name for each in hub.list_cache()]
        if repository is not None and repository not in names:
            there = f"there are {', '.join(names)}" if names else "it is empty"
            fail(f"{repository} is not in the cache: {there}")
        if not names:
            console.print("The cache is empty.")
            return
        if not yes:
            typer.confirm(f"Delete {repository or 'everything'} from the cache?", abort=True)
        console.print(f"{hub.clear(repository) / 1e9:.2f} GB were freed.")


def _verify(path: Path, *, repairs: bool) -> None:
    settings, secrets = read(path)
    with _weights(settings) as show:
        if not show.verify(console, secrets.hf_token, repairs=repairs):
            fail("the cache is damaged" if repairs else "the cache is damaged; try: cache repair")


@app.command()
def history(
    words: Annotated[list[str] | None, typer.Argument(help="Words from the prompt.")] = None,
    user: Annotated[str, typer.Option(help="A person, as platform:id.")] = "web:local",
    limit: Annotated[int, typer.Option(min=1, help="Number of lines.")] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List somebody's pictures, newest first."""
    settings, _ = read(config)
    store = JobStore(settings.storage.data_dir / "control-images")
    wanted = Wanted(" ".join(words or []))
    work = partial(store.history, user=user, wanted=wanted, before=None, limit=limit)
    with failing():
        check_person(user)
        page = with_database(settings, lambda database: database.read(work))
    names = ("id", "asked (UTC)", "status", "preset", "seed", "prompt")
    table = Table(*names, box=None, padding=(0, 2, 0, 0))
    for job in page.jobs:
        drawn = (job.request.preset, str(job.request.seed), replies.short(job))
        table.add_row(job.id, moment(job.submitted_at), job.status, *drawn)
    console.print(table if page.jobs else "Nothing was found.")


@app.command()
def audit(
    words: Annotated[str, typer.Argument(help="Text that an act has in it.")] = "",
    days: Annotated[float, typer.Option(help="Only acts of so many days.")] = 36_600,
    limit: Annotated[int, typer.Option(help="Most acts, the latest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="An act a line, as JSON.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print what admins have done."""
    settings, _ = read(config)
    since = time.time() - days * 86400
    find = partial(audit_log.acts, limit=limit, words=words, since=since)
    with failing():
        found = with_database(settings, lambda database: database.read(find))
    if as_json:
        sys.stdout.write(audit_log.as_lines(found))
    else:
        console.print(replies.audit(found), soft_wrap=True)


@app.command()
def restore(
    backup: Annotated[
        Path | None, typer.Argument(help="The backup; the newest sound one if left out.")
    ] = None,
    lists: Annotated[bool, typer.Option("--list", help="List the backups, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Replace the database by a backup. Everything written since is lost."""
    settings, _ = read(config)
    if lists:
        console.print(restoring.backups_table(settings) or "There is no backup.")
        return
    with failing():
        restoring.restore_from(settings, backup, console, lambda ask: yes or confirmed(ask))


@quota_app.command("show")
def quota_show(user: UserArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the credits that somebody has left."""
    _quota(config, user, None)


@quota_app.command("grant", context_settings={"ignore_unknown_options": True})  # “-5” is none
def quota_grant(
    user: UserArgument,
    credits: Annotated[int, typer.Argument(min=1, max=10**9, help="Extra credits.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give somebody extra credits, which never expire."""
    grant = partial(Ledger.grant, user=user, credits=credits, admin=COMMAND_LINE)
    _quota(config, user, grant, "grant", str(credits))


@quota_app.command("reset")
def quota_reset(user: UserArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Reset the credits that somebody has spent in the current window."""
    _quota(config, user, partial(Ledger.reset, user=user, admin=COMMAND_LINE), "reset quota")


# Shared by the commands


@contextmanager
def _weights(config: Config) -> Iterator[Any]:
    """The console's view of the weights; a fault of theirs ends the command with a sentence."""
    weights.prepare_environment(config.storage.download_dir, os.environ)
    from generation import console as show  # imports huggingface_hub, which reads the environment

    try:
        with failing():
            yield show
    except KeyboardInterrupt:
        fail("stopped; the files that are whole are kept", EX_INTERRUPTED)


def _quota(
    path: Path,
    user: str,
    act: Callable[..., None] | None,
    word: str = "",
    detail: str | None = None,
) -> None:
    """Print the credits of *user*, after *act*, which the audit log calls *word*."""
    config, _ = read(path)
    ledger, now = Ledger(config.quota), time.time()

    async def go(database: Database) -> QuotaStatus:
        if act is not None:

            def change(db: sqlite3.Connection) -> None:
                act(ledger, db, now=now)
                audit_log.write_down(db, now, COMMAND_LINE, word, user, detail)

            await database.write(change)
        return await database.read(lambda db: ledger.status(db, user, now))

    with failing():
        check_person(user)
        console.print(f"{user}: {replies.quota(with_database(config, go))}")


if __name__ == "__main__":
    app()
