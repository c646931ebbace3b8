"""The command line, and the one place where all parts are put together."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import socket
import sqlite3
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn, TypeVar

import typer
from dotenv import load_dotenv
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from bot import replies
from bot.administration import write_down
from bot.backups import back_up_daily, backups
from bot.backups import restore as put_back
from bot.config import (
    Config,
    ConfigError,
    Secrets,
    check_license,
    load_config,
    load_secrets,
)
from bot.database import Database, DatabaseDamaged, SchemaTooNew, check_sound, migrations
from bot.gallery import Gallery
from bot.job_store import JobStore
from bot.ledger import Ledger, QuotaStatus
from bot.restarts import Restarts
from bot.service import About, Service
from bot.storage import Reserve, has_wal_bug, network_file_system
from generation import weights
from generation.child import ChildEngine, has_gpu
from generation.control_images import PillowControlImages
from generation.errors import FluxbotError
from generation.executor import ENGINE_THREAD, ThreadExecutor
from generation.preprocessors import Preprocessors
from generation.protocols import Engine
from generation.tokens import TokenCounter, cut_remark
from generation.types import GenerationRequest, Preset
from generation.wanted import Wanted, WeightsRole

T = TypeVar("T")

#: How long a picture that is being drawn may hold up the end, until its next step.
SECONDS_TO_STOP = 10.0

EX_INTERRUPTED = 130  # as shells report Ctrl-C
#: Seconds until a platform that could not be reached is tried again, and the longest that they
#: grow to: Discord takes a thousand beginnings a day.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0

#: What the id of a person begins with.
PLATFORMS = ("web", "discord", "slack")
#: Who acts, in the audit log, where somebody acts from here.
COMMAND_LINE = "command line"

EX_TEMPFAIL = 75  # sysexits.h: another process has what we need; try again later

app = typer.Typer(
    help="A chat bot that draws with FLUX.1-dev and ControlNet presets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
quota_app = typer.Typer(help="What people may spend, and granting them more.", no_args_is_help=True)
app.add_typer(quota_app, name="quota")
cache_app = typer.Typer(help="The weights in the cache.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")

# Without markup, since prompts and file names may well contain [brackets].
console = Console(highlight=False, markup=False)
logger = logging.getLogger("bot")

ConfigOption = Annotated[
    Path, typer.Option("--config", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG = Path("config.toml")
UserArgument = Annotated[str, typer.Argument(help="Who, as platform:id, such as discord:1234.")]


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Start the bot: the web chat, and every adapter whose tokens are set."""
    settings, secrets = _read(config)
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        datefmt="%H:%M:%S",
        handlers=[RichHandler(console=console, show_path=False, rich_tracebacks=False)],
    )
    # What these libraries say at each request would bury what we say.
    for noisy in ("httpx", "httpcore", "uvicorn", "aiosqlite", "PIL", "slack_sdk"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        check_license(settings)
    except ConfigError as error:
        _fail(str(error))
    with _lock(settings.storage.data_dir):
        if has_wal_bug(sqlite3.sqlite_version_info):
            logger.info(
                "SQLite %s has a rare bug, which the bot guards against: python -m bot check says"
                " more",
                sqlite3.sqlite_version,
            )
        restarts = Restarts(settings.storage.data_dir / "starts.json")
        try:
            asyncio.run(_run(settings, secrets, config, restarts))
        except (ConfigError, SchemaTooNew) as error:
            restarts.end()  # nobody was called, and whoever mends it need not wait
            _fail(str(error))
        except FluxbotError as error:
            _fail(str(error))
        except (sqlite3.DatabaseError, DatabaseDamaged) as error:
            restarts.end()
            newest = next(iter(backups(_backups_dir(settings))), None)
            way_out = "" if newest is None else f"; the backup {newest.name} can take its place:"
            command = "" if newest is None else " python -m bot restore"
            path = _database_path(settings)
            _fail(f"the database {path} cannot be used: {error}{way_out}{command}")
        if any(thread.name.startswith(ENGINE_THREAD) for thread in threading.enumerate()):
            # It is still importing, loading or hung, and Python would wait for it.
            os._exit(0)


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Say what is right and what is missing. The exit status is 0 if nothing is missing."""
    settings, secrets = _read(config)
    weights.prepare_environment(settings.storage.download_dir, os.environ)
    findings = [
        ("config", True, f"{config} is sound, with {len(settings.presets)} presets"),
        _check_database(settings),
        _check_sqlite(sqlite3.sqlite_version_info),
        _check_folder("data", settings.storage.data_dir),
        _check_folder("download", settings.storage.download_dir),
        _check_device(settings),
        _check_model(settings, secrets),
        *_check_presets(settings),
        _check_web(settings, secrets),
        _check_discord(settings, secrets),
        *_check_slack(settings, secrets),
    ]
    width = max(len(name) for name, _, _ in findings)
    for name, is_right, sentence in findings:
        mark = Text("✓", style="green") if is_right else Text("✗", style="red")
        # A table would cut what is longer than its column, and addresses are to be followed.
        lines = textwrap.wrap(
            sentence,
            max(console.width - width - 4, 40),
            break_long_words=False,
            break_on_hyphens=False,
        )
        text = f"\n{' ' * (width + 4)}".join(lines)
        console.print(mark, f"{name:{width}} ", text, soft_wrap=True)
    if not all(is_right for _, is_right, _ in findings):
        raise typer.Exit(1)


@app.command()
def invite(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print the link that brings the bot to a Discord server, and the one for oneself."""
    settings, secrets = _read(config)
    if secrets.discord_token is None:
        _fail("DISCORD_TOKEN is not set; docs/discord.md says where to get it")
    from adapters.discord_chat import identify, invitation

    try:
        who = asyncio.run(identify(secrets.discord_token, proxy=settings.discord.proxy))
    except ConfigError as error:
        _fail(str(error))
    for purpose, link in (
        ("to a server", invitation(who.application_id)),
        ("for yourself, wherever you are", invitation(who.application_id, for_oneself=True)),
    ):
        console.print(f"Add {who.name} {purpose}:\n  {link}", soft_wrap=True)


@app.command()
def presets(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the presets."""
    settings, _ = _read(config)
    table = Table("preset", "picture", "made with", "description", box=None, padding=(0, 2, 0, 0))
    for preset in settings.presets.values():
        made_with = preset.kind.conditioning_model or preset.lora or preset.kind.label
        table.add_row(
            preset.name, "needed" if preset.needs_image else "–", made_with, preset.description
        )
    console.print(table)


@app.command()
def download(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[PRESET]...", help="Of these alone.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Fetch what the model and the presets need. Ctrl-C stops; the next call goes on."""
    settings, secrets = _read(config)
    for name in names or ():
        if name not in settings.presets:
            _fail(f"there is no preset {name}: there are {', '.join(settings.presets)}")
    with _weights(settings) as show:
        check_license(settings)
        chosen = names or list(settings.presets)
        faults = {name: said for name, said in _faulty_presets(settings).items() if name in chosen}
        wanted = _wanted(settings, [name for name in chosen if name not in faults])
        if wanted:
            show.download(wanted, secrets.hf_token, console)
        elif not faults:
            console.print("Nothing has to be fetched: all of it is here.")
        if faults:
            _fail("\n".join(faults.values()))


@cache_app.command("list")
def cache_list(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """What is in the cache, and how large it is."""
    with _weights(_read(config)[0]) as show:
        show.list_cache(console)


@cache_app.command("verify")
def cache_verify(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Compare every file with the checksum that the Hub told; the exit status is 0 if all agree."""
    _verify(config, repairs=False)


@cache_app.command("repair")
def cache_repair(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Verify, and fetch again what is damaged."""
    _verify(config, repairs=True)


@cache_app.command("clear")
def cache_clear(
    repository: Annotated[str | None, typer.Argument(help="This one alone.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Delete weights from the cache; what is needed is fetched again."""
    settings, _ = _read(config)
    with _weights(settings):
        from generation import hub

        names = [each.name for each in hub.list_cache()]
        if repository is not None and repository not in names:
            there = f"there are {', '.join(names)}" if names else "it is empty"
            _fail(f"{repository} is not in the cache: {there}")
        if not names:
            console.print("The cache is empty.")
            return
        if not yes:
            typer.confirm(f"Delete {repository or 'everything'} from the cache?", abort=True)
        console.print(f"{hub.clear(repository) / 1e9:.2f} GB were freed.")


def _verify(path: Path, *, repairs: bool) -> None:
    settings, secrets = _read(path)
    with _weights(settings) as show:
        if not show.verify(console, secrets.hf_token, repairs=repairs):
            _fail("the cache is damaged" if repairs else "the cache is damaged; try: cache repair")


@app.command()
def history(
    words: Annotated[list[str] | None, typer.Argument(help="Words of the prompt.")] = None,
    user: Annotated[str, typer.Option(help="Whose, as platform:id.")] = "web:local",
    limit: Annotated[int, typer.Option(min=1, help="How many lines.")] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List somebody's pictures, newest first."""
    settings, _ = _read(config)
    _check_person(user)
    store = JobStore(settings.storage.data_dir / "control-images")
    work = partial(store.history, user=user, words=" ".join(words or []), before=None, limit=limit)
    page = _with_database(settings, lambda database: database.read(work))
    table = Table("id", "status", "preset", "seed", "prompt", box=None, padding=(0, 2, 0, 0))
    for job in page.jobs:
        request = job.request
        table.add_row(job.id, job.status, request.preset, str(request.seed), replies.short(job))
    console.print(table if page.jobs else "Nothing was found.")


@app.command()
def restore(
    backup: Annotated[
        Path | None, typer.Argument(help="Which one; the newest that is sound unless named.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put a backup in the place of the database. What was written after it is lost."""
    settings, _ = _read(config)
    database = _database_path(settings)
    candidates = backups(_backups_dir(settings)) if backup is None else [backup]
    if not candidates:
        _fail(f"there is no backup in {_backups_dir(settings)}")
    with _lock(settings.storage.data_dir):
        for candidate in candidates:
            try:
                aside = put_back(database, candidate, time.time())
            except (DatabaseDamaged, OSError) as error:
                console.print(f"{candidate} is passed over: {error}")
                continue
            if aside is not None:
                console.print(f"What was there lies in {aside}.")
            console.print(f"{database} is what it was in {candidate.name}.")
            return
    _fail("no backup could be restored; the database is as it was")


@quota_app.command("show")
def quota_show(user: UserArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """What somebody may still spend."""
    _quota(config, user, None)


@quota_app.command("grant", context_settings={"ignore_unknown_options": True})  # “-5” is none
def quota_grant(
    user: UserArgument,
    credits: Annotated[int, typer.Argument(min=1, max=10**9, help="Extra credits.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give somebody extra credits, which stay until they are spent."""
    grant = partial(Ledger.grant, user=user, credits=credits, admin=COMMAND_LINE)
    _quota(config, user, grant, "grant", str(credits))


@quota_app.command("reset")
def quota_reset(user: UserArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Forgive what somebody spent in the current window."""
    _quota(config, user, partial(Ledger.reset, user=user, admin=COMMAND_LINE), "reset quota")


# The bot, put together


async def _run(config: Config, secrets: Secrets, config_path: Path, restarts: Restarts) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():  # the second one means now; the next start takes up what is left
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    if wait := restarts.begin(time.time()):
        logger.warning("the bot keeps being started anew: waiting %g s this time", wait)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)
            restarts.end()
            return
    data = config.storage.data_dir
    database = await Database.open(
        _database_path(config), is_checked=True, reserve=Reserve(data / "reserve")
    )
    try:
        service = await _service(config, secrets, database, config_path)
        async with _adapters(service, config, secrets):
            # Only now, since importing torch keeps everything else waiting.
            working = asyncio.create_task(service.run())
            stopping = asyncio.create_task(stop.wait())
            backing_up = asyncio.create_task(_back_up(config))
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            logger.info("stopping; what waits is kept (once more stops at once)")
            backing_up.cancel()
            if not working.done():
                await service.finish(config.queue.seconds_to_finish)
            working.cancel()
            await asyncio.wait({working}, timeout=2 * SECONDS_TO_STOP)
            if working.done() and not working.cancelled():
                working.result()  # raises what has ended it, if that was no signal
    finally:
        await database.close()
    restarts.end()
    if not working.done():
        if service.is_drawing:
            logger.warning("the engine does not let go of its picture: the next start draws it")
        os._exit(0)


async def _back_up(config: Config) -> None:
    if config.storage.keep_backups:
        keep = config.storage.keep_backups
        await back_up_daily(_database_path(config), _backups_dir(config), keep)


async def _service(
    config: Config, secrets: Secrets, database: Database, config_path: Path
) -> Service:
    weights.prepare_environment(config.storage.download_dir, os.environ)
    for sentence in _faulty_presets(config).values():
        logger.warning("%s", sentence)
    preprocessors = _preprocessors(config, secrets)
    executor = ThreadExecutor(
        partial(_load_engine, config, secrets, preprocessors), seconds_to_close=SECONDS_TO_STOP
    )
    service = Service(
        config,
        [executor],
        database,
        Gallery(config.storage.data_dir),
        PillowControlImages(
            max_bytes=int(config.control_images.max_megabytes * 1e6), preprocess=preprocessors
        ),
        about=_about(config),
        read_presets=lambda: dict(load_config(config_path).presets),
    )
    await service.start()
    return service


def _preprocessors(config: Config, secrets: Secrets) -> Preprocessors:
    return Preprocessors(**_preprocessor_models(config, secrets))


def _preprocessor_models(config: Config, secrets: Secrets) -> dict[str, Any]:
    models = config.preprocessors
    return {
        "depth": models.depth,
        "person": models.person,
        "pose": models.pose,
        "download_dir": config.storage.download_dir,
        "token": secrets.hf_token,
    }


def _load_engine(config: Config, secrets: Secrets, preprocessors: Preprocessors) -> Engine:
    """Called on the engine's thread: torch is imported there, or in its child, alone."""
    model, engine = config.model, config.engine
    arguments: dict[str, Any] = {
        "repository": model.repository,
        "revision": model.revision,
        "download_dir": config.storage.download_dir,
        "device": model.device,
        "dtype": model.dtype,
        "offload_level": model.placement,
        "quantized": model.quantization,
        "max_sequence_length": model.max_sequence_length,
        "token": secrets.hf_token,
        "controlnets": _controlnets(config),
        "pixels": max(model.width * model.height, config.limits.pixels),
    }
    logger.info("importing torch and diffusers, loading the model %s", model.repository)
    if _needs_child(config):
        return ChildEngine(
            "generation.diffusion.engine:engine_of",
            {**arguments, "preprocessors": _preprocessor_models(config, secrets)},
            seconds_to_load=engine.seconds_to_load,
            seconds_per_step=engine.seconds_per_step,
        )
    from generation.diffusion.engine import FluxEngine

    return FluxEngine(**arguments, preprocessors=preprocessors)


def _needs_child(config: Config) -> bool:
    """Whether the engine belongs into a process of its own, which can be ended."""
    if config.engine.process != "auto":
        return config.engine.process == "child"
    device = config.model.device
    return device.startswith("cuda") or (device == "auto" and has_gpu())


@asynccontextmanager
async def _adapters(service: Service, config: Config, secrets: Secrets) -> AsyncIterator[None]:
    """The adapters that are switched on, the web chat listening."""
    async with AsyncExitStack() as stack:
        if config.web.enabled:
            from adapters.web_chat.server import WebChat

            web = WebChat(service, config, secrets)
            await web.start()
            stack.push_async_callback(web.close)
            console.print("\n  Open", Text(web.address, style="bold"), " (Ctrl-C stops)\n")
        for name, run in _chats(service, config, secrets):
            chat = asyncio.create_task(_keep_going(name, run), name=name)
            stack.push_async_callback(_ended, chat)
        yield


def _chats(
    service: Service, config: Config, secrets: Secrets
) -> Iterator[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
    """The chat platforms whose tokens are set, by name, and what to await to be there."""
    if secrets.discord_token is not None:
        token = secrets.discord_token

        async def on_discord() -> None:
            from adapters.discord_chat import DiscordChat

            await DiscordChat(service, config, token).run()

        yield "Discord", on_discord
    if secrets.slack_bot_tokens or secrets.slack_app_token:

        async def on_slack() -> None:
            try:
                # On a thread, since the page answers meanwhile.
                slack = await asyncio.to_thread(import_module, "adapters.slack_chat.chat")
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f"Slack is off: {error.name} is not installed; pip install '.[slack]'"
                ) from None
            await slack.SlackChat(service, config.slack, secrets).run()

        yield "Slack", on_slack


async def _keep_going(
    name: str,
    run: Callable[[], Coroutine[Any, Any, None]],
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
) -> None:
    """Be on one platform. What ends that ends nothing else, and passes unless it is a setting."""
    pause = FIRST_PAUSE
    while True:
        began = time.monotonic()
        try:
            await run()
            return
        except ConfigError as error:
            logger.error("%s", error)
            return
        except Exception as error:
            if time.monotonic() - began > LONGEST_PAUSE:  # it was well for a while
                pause = FIRST_PAUSE
            logger.exception("%s ended (%s); trying again in %g s", name, error, pause)
        await sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _token_remarks(config: Config) -> Callable[[GenerationRequest], tuple[str, ...]]:
    """Tells people of prompts that are longer than the model reads, once the model is here."""
    counters: list[TokenCounter] = []

    def remarks(request: GenerationRequest) -> tuple[str, ...]:
        if not counters:
            is_demo = config.model.repository == weights.DEMO
            if not is_demo and "huggingface_hub" not in sys.modules:
                return ()  # importing it would keep everybody waiting; the engine is about to
            folder = weights.local_folder(
                config.model.repository,
                "pipeline",
                config.storage.download_dir,
                revision=config.model.revision,
            )
            if folder is None:
                return ()
            counters.append(TokenCounter(folder))
        texts = (request.templated_prompt, request.negative_prompt)
        found = (cut_remark(counters[0], text, config.model.max_sequence_length) for text in texts)
        return tuple(remark for remark in found if remark is not None)

    return remarks


def _about(config: Config) -> About:
    if config.model.repository != weights.DEMO:
        return About(
            f"I draw with {config.model.repository}. Say what you would like to see.",
            (
                "a fox in snow, early morning light",
                "a lighthouse in a storm, oil painting",
                "the inside of a clockmaker's shop, warm lamps",
                "a paper boat on a puddle, macro photograph",
                "a mountain village at night, long exposure",
            ),
            _token_remarks(config),
        )
    from generation.demo.vocabulary import EXAMPLE_PROMPTS, SIZES, unknown_words

    too_long = _token_remarks(config)

    def remarks(request: GenerationRequest) -> tuple[str, ...]:
        found = []
        if words := unknown_words(request.prompt):
            listed = ", ".join(f"“{word}”" for word in words[:5])
            found.append(f"The demo model does not know {listed}, and draws the rest.")
        if (request.width, request.height) not in SIZES:
            known = ", ".join(f"{width} × {height}" for width, height in SIZES)
            found.append(f"The demo model knows the sizes {known}, and draws roughly at others.")
        return (*found, *too_long(request))

    return About(
        "This is a small demo model that needs no GPU: it knows ten colours, eight shapes, one to"
        " four of a kind, two different ones together, and little scenes with houses, boats and"
        " trees. For FLUX.1-dev, set model.repository in config.toml on a machine with a GPU.",
        tuple(EXAMPLE_PROMPTS),
        remarks,
    )


# What the commands share


@contextmanager
def _weights(config: Config) -> Iterator[Any]:
    """The command line's view of the weights; what they lack ends the command with a sentence."""
    weights.prepare_environment(config.storage.download_dir, os.environ)
    from generation import console as show  # imports huggingface_hub, which reads the environment

    try:
        yield show
    except KeyboardInterrupt:
        _fail("stopped; the files that are whole are kept", EX_INTERRUPTED)
    except (ConfigError, FluxbotError) as error:
        _fail(str(error))


def _controlnets(config: Config) -> tuple[str, ...]:
    """The ControlNets that the presets name and that can be somewhere, each once."""
    faulty = _faulty_presets(config)
    sound = [each for each in config.presets.values() if each.name not in faulty]
    nets = [name for each in sound for name, role in each.kind.weights if role == "controlnet"]
    return tuple(dict.fromkeys(nets))


def _parts_of(preset: Preset, preprocessors: Preprocessors) -> list[tuple[str, WeightsRole]]:
    """What the preset *preset* draws with beside the model."""
    parts: list[tuple[str, WeightsRole]] = [*preset.kind.weights]
    if preset.lora is not None:
        parts.append((preset.lora, "lora"))
    if preset.kind.control_map is not None:
        needed = preprocessors.models_for(preset.kind.control_map)
        parts += [(model, "preprocessor") for model in needed]
    return parts


def _faulty_presets(config: Config) -> dict[str, str]:
    """By the names of the presets that name what can be nowhere, a sentence that says so."""
    preprocessors = _preprocessors(config, Secrets())
    found: dict[str, str] = {}
    for preset in config.presets.values():
        for name, kind in _parts_of(preset, preprocessors):
            try:
                weights.wanted_from_hub(name, kind)
            except FluxbotError as error:
                found.setdefault(preset.name, f"preset {preset.name}: {error}")
    return found


def _wanted(config: Config, names: list[str]) -> list[Wanted]:
    """What has to come from the Hub for the model and the presets *names*, each once.

    Raises:
        ModelUnavailable: The model, or a part of one of these presets, can be nowhere.
    """
    preprocessors = _preprocessors(config, Secrets())
    parts = [part for name in names for part in _parts_of(config.presets[name], preprocessors)]
    wanted = [
        weights.wanted_from_hub(config.model.repository, "pipeline", config.model.revision),
        *(weights.wanted_from_hub(name, kind) for name, kind in parts),
    ]
    return list(dict.fromkeys(each for each in wanted if each is not None))


def _read(path: Path) -> tuple[Config, Secrets]:
    load_dotenv(path.parent / ".env")
    try:
        return load_config(path), load_secrets()
    except ConfigError as error:
        _fail(str(error))


def _fail(sentence: str, status: int = 1) -> NoReturn:
    errors = Console(stderr=True, highlight=False, markup=False)
    errors.print(Text("error:", style="red"), sentence, soft_wrap=True)
    raise typer.Exit(status)


def _database_path(config: Config) -> Path:
    return config.storage.data_dir / "bot.sqlite3"


def _backups_dir(config: Config) -> Path:
    return config.storage.data_dir / "backups"


def _lock(data_dir: Path) -> IO[str]:
    """One process for each database: the file stays locked until it is closed."""
    if kind := network_file_system(data_dir):
        _fail(
            f"storage.data_dir is {data_dir}, which lies on a network file system ({kind}), where"
            " SQLite's locks cannot be trusted: name a folder on a local disk"
        )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "bot.lock").open("a+")
    except OSError as error:
        _fail(f"storage.data_dir is {data_dir}, which cannot be used: {error.strerror}")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        _fail(
            f"another bot (process {owner}) is using {data_dir}: stop it, or give this one"
            " another folder with storage.data_dir",
            EX_TEMPFAIL,
        )
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _with_database(config: Config, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    async def go() -> T:
        database = await Database.open(_database_path(config))
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(go())
    except (
        SchemaTooNew,
        DatabaseDamaged,
        FluxbotError,
        sqlite3.DatabaseError,
        OSError,
    ) as error:
        _fail(f"{_database_path(config)} cannot be used: {error}")


def _quota(
    path: Path,
    user: str,
    act: Callable[..., None] | None,
    word: str = "",
    detail: str | None = None,
) -> None:
    """Show what *user* may spend; before, carry out *act*, which the audit log calls *word*."""
    config, _ = _read(path)
    _check_person(user)
    ledger, now = Ledger(config.quota), time.time()

    async def go(database: Database) -> QuotaStatus:
        if act is not None:

            def change(db: sqlite3.Connection) -> None:
                act(ledger, db, now=now)
                write_down(db, now, COMMAND_LINE, word, user, detail)

            await database.write(change)
        return await database.read(lambda db: ledger.status(db, user, now))

    console.print(f"{user}: {replies.quota(_with_database(config, go))}")


def _check_person(user: str) -> None:
    platform, _, name = user.partition(":")
    if not name or any(map(str.isspace, name)):
        _fail(f"a user reads platform:id, such as discord:1234, not {user!r}")
    if platform not in PLATFORMS:
        _fail(f"there is no platform {platform!r}: there are {', '.join(PLATFORMS)}")


# What `check` looks at

Finding = tuple[str, bool, str]


def _check_database(config: Config) -> Finding:
    path = _database_path(config)
    if not path.exists():
        return "database", True, f"{path} will be made at the first start"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            check_sound(db)
            (version,) = db.execute("PRAGMA user_version").fetchone()
    except (sqlite3.DatabaseError, DatabaseDamaged) as error:
        return "database", False, f"{path} cannot be used: {error}"
    known = len(migrations())
    if version > known:
        return "database", False, f"{path} has schema {version}, this version knows {known}"
    return "database", True, f"{path} is sound"


def _check_sqlite(version: tuple[int, ...]) -> Finding:
    name = "SQLite " + ".".join(map(str, version))
    if not has_wal_bug(version):
        return "sqlite", True, name
    return (
        "sqlite",
        True,
        f"{name} will do, with a rare bug: two connections that write at the same moment can"
        " damage the database. The bot writes through one; only a command that writes beside it"
        " (quota grant) could meet that. Damage is noticed at the start, and python -m bot restore"
        " puts back the copy of the last day. A Python with SQLite 3.51.3 or newer (or 3.50.7,"
        " 3.44.6) is free of it",
    )


def _check_folder(name: str, folder: Path) -> Finding:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return name, False, f"{folder} cannot be written"
    free = shutil.disk_usage(existing).free / 1e9
    if free < 1:
        return name, False, f"{free:.1f} GB free in {folder}: at least 1 GB is needed"
    return name, True, f"{free:.1f} GB free in {folder}"


def _check_device(config: Config) -> Finding:
    with console.status("importing torch"):
        import torch

        from generation.diffusion.device import choose_device
    try:
        device = choose_device(config.model.device, config.model.dtype)
    except FluxbotError as error:
        return "device", False, str(error)
    dtype = str(device.dtype).removeprefix("torch.")
    return "device", True, f"{device}, {dtype}, torch {torch.__version__}"


def _check_model(config: Config, secrets: Secrets) -> Finding:
    repository, revision = config.model.repository, config.model.revision
    try:
        check_license(config)
        wanted = weights.wanted_from_hub(repository, "pipeline", revision)
    except (ConfigError, FluxbotError) as error:
        return "model", False, str(error)
    if repository == weights.DEMO:
        if weights.has_trained_demo():
            return "model", True, "demo, which ships with the project"
        return "model", True, "demo, but its weights are not here: a random model draws noise"
    if wanted is None:
        return "model", True, f"the folder {repository}"
    from generation import hub

    if hub.cached(wanted) is not None:
        return "model", True, f"{repository}, which is in the cache"
    has_token = bool(secrets.hf_token or hub.stored_token())
    known = config.models.get(repository)  # its own table, not one that it is like
    if known is not None and known.gated and not has_token:
        return "model", False, hub.gated_sentence(repository)
    token = "a token is set" if has_token else "no HF_TOKEN is set"
    return "model", True, f"{repository}, to be fetched from the Hugging Face Hub; {token}"


def _check_presets(config: Config) -> list[Finding]:
    return [("presets", False, sentence) for sentence in _faulty_presets(config).values()]


def _check_web(config: Config, secrets: Secrets) -> Finding:
    web = config.web
    if not web.enabled:
        return "web", True, "switched off"
    people = f"{len(secrets.web_tokens)} tokens" if secrets.web_tokens else "no tokens"
    from adapters.web_chat.security import is_loopback

    if not is_loopback(web.host) and not secrets.web_tokens:
        return "web", False, f"{web.host} can be reached from outside: set FLUXBOT_WEB_TOKENS"
    if (reason := _cannot_listen(web.host, web.port)) is not None:
        if (owner := _running(config.storage.data_dir)) is None:
            sentence = f"web.host = {web.host!r}, web.port = {web.port}: {reason}; set another one"
            return "web", False, sentence
        people += f"; the bot is running (process {owner})"
    return "web", True, f"http://{web.host}:{web.port}, {people}"


def _cannot_listen(host: str, port: int) -> str | None:
    """Why nobody can listen there now; None if somebody can."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server((str(address[0]), port), family=family).close()
    except socket.gaierror:
        return "there is no such address"
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return None


def _running(data_dir: Path) -> str | None:
    """The process of the bot that is using *data_dir*; None if there is none."""
    with suppress(OSError), (data_dir / "bot.lock").open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "unknown"
    return None


def _check_discord(config: Config, secrets: Secrets) -> Finding:
    if secrets.discord_token is None:
        return "discord", True, "not there: no DISCORD_TOKEN is set"
    from adapters.discord_chat import identify

    try:
        who = asyncio.run(identify(secrets.discord_token, proxy=config.discord.proxy))
    except ConfigError as error:
        return "discord", False, str(error)
    return "discord", True, f"the token is that of {who.name}"


def _check_slack(config: Config, secrets: Secrets) -> list[Finding]:
    if not secrets.slack_bot_tokens and not secrets.slack_app_token:
        return [("slack", True, "no tokens are set: docs/slack.md")]
    try:
        from adapters.slack_chat.chat import findings
    except ModuleNotFoundError as error:
        return [("slack", False, f"{error.name} is not installed: pip install '.[slack]'")]
    with console.status("asking Slack"):
        found = asyncio.run(findings(config.slack, secrets))
    return [("slack", is_right, sentence) for is_right, sentence in found]


if __name__ == "__main__":
    app()
