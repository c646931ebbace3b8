"""One run of the bot: from the lock to the last write, with signals and backups."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from bot.assembly.about import about_model
from bot.assembly.decoding import decoders
from bot.assembly.descriptors import raise_limit
from bot.assembly.engine import SECONDS_TO_STOP, executors
from bot.assembly.fleet import fleet
from bot.assembly.folder import (
    CLOCK,
    backups_dir,
    check_database_is_there,
    database_path,
    lock,
)
from bot.assembly.parts import faulty_loras, faulty_presets, preprocessor_models
from bot.assembly.platforms import PLATFORMS, Host, Platform, keep_going, running
from bot.assembly.screening import check_screens
from bot.audit_log import write_down
from bot.backups import back_up_daily, backups, clear_up
from bot.clock import Clock
from bot.config import Config, ConfigError, Secrets, check_license, load_config
from bot.credentials import provenance
from bot.database import Database, DatabaseDamaged, SchemaTooNew
from bot.gallery import Gallery
from bot.gauges import Gauges
from bot.permissions import secrets_are_open, tighten
from bot.restarts import Restarts
from bot.screening import makers
from bot.screens import Screens
from bot.service import Service
from bot.soundness import Watch, is_checked_first
from bot.storage import Reserve, has_wal_bug
from generation import weights
from generation.decoders import Decoders, IsolatedControlImages
from generation.executor import ENGINE_THREAD
from generation.preprocessors import Preprocessors

logger = logging.getLogger("bot")


def run(
    config: Config,
    secrets: Secrets,
    config_path: Path,
    announce: Callable[[str], None],
    platforms: Iterable[Platform] = PLATFORMS,
) -> None:
    """Run the bot until SIGINT or SIGTERM; a second one ends it at once.

    Args:
        config_path: The file from which presets are read anew.
        announce: Called with the address of a platform once it answers.

    Raises:
        ConfigError: The configuration cannot be used.
        FolderInUse: Another bot is using the data folder.
        SchemaTooNew: A newer version has written the database.
        DatabaseDamaged: The database cannot be used; the message names the way out.
        FluxbotError: The database cannot be written.
    """
    check_license(config)
    check_screens(config)
    if (sentence := secrets_are_open(config_path.parent / ".env")) is not None:
        logger.warning("%s", sentence)
    raise_limit()
    with lock(config.storage.data_dir):
        tighten(config.storage.data_dir)
        check_database_is_there(config)
        clear_up(database_path(config))
        if has_wal_bug(sqlite3.sqlite_version_info):
            logger.info(
                "SQLite %s has a rare bug, which the bot guards against: python -m bot check says"
                " more",
                sqlite3.sqlite_version,
            )
        restarts = Restarts(config.storage.data_dir / "starts.json")
        try:
            asyncio.run(_run(config, secrets, config_path, announce, platforms, restarts))
        except (ConfigError, SchemaTooNew):
            restarts.end()  # no platform was called, so the next start need not wait
            raise
        except (sqlite3.DatabaseError, DatabaseDamaged) as error:
            restarts.end()
            newest = next(iter(backups(backups_dir(config))), None)
            way_out = "" if newest is None else f"; the backup {newest.name} can take its place:"
            command = "" if newest is None else " python -m bot restore"
            raise DatabaseDamaged(
                f"the database {database_path(config)} cannot be used: {error}{way_out}{command}"
            ) from None
        if any(thread.name.startswith(ENGINE_THREAD) for thread in threading.enumerate()):
            # The engine is still importing, loading or hung, and Python would wait for it.
            os._exit(0)


async def _run(
    config: Config,
    secrets: Secrets,
    config_path: Path,
    announce: Callable[[str], None],
    platforms: Iterable[Platform],
    restarts: Restarts,
) -> None:
    stop = _stop_on_signals()
    wait = restarts.begin(time.time())
    if wait:
        logger.warning(
            "the bot has crashed again and again: chat platforms are called, and pictures drawn, in"
            " %g s; jobs are accepted now",
            wait,
        )
    path = database_path(config)
    is_checked = is_checked_first(path)
    database = await Database.open(
        path,
        is_checked=is_checked,
        reserve=Reserve(config.storage.data_dir / "reserve"),
    )
    decoding = decoders(config.control_images)
    try:
        clock = Clock(config.storage.data_dir / CLOCK)
        service = await _service(config, secrets, database, config_path, decoding, clock)
        async with running(Host(service, config, secrets, announce), platforms, wait):
            # Only now, since importing torch keeps everything else waiting.
            working = asyncio.create_task(service.run())
            stopping = asyncio.create_task(stop.wait())
            watch = Watch(path, has_been_checked=is_checked, on_problem=service.fail)
            gauges = Gauges(
                service,
                database,
                path,
                backups_dir(config) if config.storage.keep_backups else None,
                {"data": config.storage.data_dir, "download": config.storage.download_dir},
                clock,
            )
            beside = [
                asyncio.create_task(each)
                for each in (
                    _back_up(config, clock),
                    watch.run(),
                    _show_metrics(config, secrets, gauges),
                )
            ]
            if wait:
                beside.append(asyncio.create_task(service.rest(wait)))
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            logger.info("stopping; waiting jobs are kept (a second signal stops at once)")
            for task in beside:
                task.cancel()
            if not working.done():
                await service.finish(config.queue.seconds_to_finish)
            working.cancel()
            await asyncio.wait({working}, timeout=2 * SECONDS_TO_STOP)
            if working.done() and not working.cancelled():
                working.result()  # raises the error that has ended it, if one has
    finally:
        decoding.close()
        await database.close()
    restarts.end()
    if not working.done():
        if service.is_drawing:
            logger.warning(
                "the engine does not stop drawing: the next start draws the picture again"
            )
        os._exit(0)


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():  # the second signal means now; the next start takes up the rest
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _back_up(config: Config, now: Callable[[], float]) -> None:
    if config.storage.keep_backups:
        keep = config.storage.keep_backups
        await back_up_daily(database_path(config), backups_dir(config), keep, now)


async def _show_metrics(config: Config, secrets: Secrets, gauges: Gauges) -> None:
    if config.metrics.enabled:
        from adapters.prometheus.server import serve

        await keep_going("The page for Prometheus", partial(serve, gauges, config.metrics, secrets))


async def _service(
    config: Config,
    secrets: Secrets,
    database: Database,
    config_path: Path,
    decoding: Decoders,
    now: Callable[[], float],
) -> Service:
    """The service over *database*, with the jobs that the last run left taken up."""
    weights.prepare_environment(config.storage.download_dir, os.environ)
    for sentence in (*faulty_presets(config).values(), *faulty_loras(config).values()):
        logger.warning("%s", sentence)
    preprocessors = Preprocessors(**preprocessor_models(config, secrets.hf_token))
    service = Service(
        config,
        executors(config, secrets, preprocessors),
        database,
        Gallery(config.storage.data_dir, provenance(config.provenance)),
        IsolatedControlImages(decoding, preprocessors),
        about=about_model(config),
        screens=Screens(makers(config.screens)),
        read_config=lambda: load_config(config_path),
        fleet=fleet(config, secrets, preprocessors),
        now=now,
    )
    service.expansion.key = secrets.expansion_key
    await service.start()
    if not config.screens.enabled:
        why = config.screens.off_because
        logger.warning("the screens are off: nothing filters words or pictures")
        at = now()
        await database.write(
            lambda db: write_down(db, at, "operator", "screens off", None, why or None)
        )
    return service
