"""``python -m bot check``: findings about a run of the bot, each in a sentence."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.text import Text

from bot.assembly.cluster import node_verdicts
from bot.assembly.decoding import decoders
from bot.assembly.engine import devices, engine_name
from bot.assembly.folder import CLOCK, check_database_is_there, database_path
from bot.assembly.model_findings import (
    Finding,
    main_memory_findings,
    model_finding,
    transformer_findings,
)
from bot.assembly.parts import faulty_loras, faulty_presets
from bot.assembly.platforms import PLATFORMS, Platform
from bot.assembly.screening import screens_verdict
from bot.assembly.unfit_weights import unfit_loras, unfit_model, unfit_presets
from bot.clock import EVEN, LONG_REST, in_days, last_seen
from bot.config import Config, ConfigError, Secrets
from bot.credentials import provenance_verdict
from bot.database import DatabaseDamaged, check_sound, migrations
from bot.engines import lost_engines
from bot.permissions import readable_by_others, secrets_are_open
from bot.provenance import MAP, Provenance
from bot.storage import has_wal_bug
from bot.system import remark
from generation import weights
from generation.cleaning import MIN_SIDE
from generation.decoders import Decoders
from generation.errors import FluxbotError

#: Shows that something takes a while, inside of its block.
Busy = Callable[[str], AbstractContextManager[Any]]


def findings(
    config: Config,
    secrets: Secrets,
    config_path: Path,
    busy: Busy,
    platforms: Iterable[Platform] = PLATFORMS,
) -> Iterator[Finding]:
    """Findings about everything that a run of the bot needs, in the order to read them."""
    weights.prepare_environment(config.storage.download_dir, os.environ)
    sound = f"{config_path} is sound, with {len(config.presets)} presets"
    yield Finding("config", True, sound)
    if (sentence := remark()) is not None:
        yield Finding("system", True, sentence)
    yield _database(config)
    yield sqlite_finding(sqlite3.sqlite_version_info)
    yield clock_finding(last_seen(config.storage.data_dir / CLOCK), time.time())
    yield _folder("data", config.storage.data_dir)
    yield permissions_finding(config, config_path.parent / ".env")
    yield _folder("download", config.storage.download_dir)
    yield pictures_finding(config, decoders(config.control_images))
    yield Finding("screens", *screens_verdict(config))
    yield Finding("provenance", *provenance_verdict(config.provenance))
    yield from device_findings(config, busy)
    for model in config.drawn_with:
        yield model_finding(config, model, secrets)
    yield from transformer_findings(config)
    with busy("looking at the weights"):
        yield from weights_findings(config)
    with busy("planning the memory"):
        yield from main_memory_findings(config, secrets)
    if config.engine.ray is not None:
        with busy("asking the nodes of the cluster"):
            yield from (Finding("cluster", *verdict) for verdict in node_verdicts(config))
    yield from (Finding("engines", False, sentence) for sentence in lost(config))
    for sentence in faulty_presets(config).values():
        yield Finding("presets", False, sentence)
    for sentence in faulty_loras(config).values():
        yield Finding("LoRAs", False, sentence)
    if config.metrics.enabled:
        yield metrics_finding(config, secrets)
    for platform in platforms:
        yield from platform_findings(platform, config, secrets, busy)


def show(findings: Iterable[Finding], console: Console) -> None:
    """Print a line for each finding; long sentences go on below their first word."""
    findings = list(findings)
    width = max(len(finding.name) for finding in findings)
    for name, is_right, sentence in findings:
        mark = Text("✓", style="green") if is_right else Text("✗", style="red")
        # A table would cut sentences to its columns, and with them addresses to follow.
        lines = textwrap.wrap(
            sentence,
            max(console.width - width - 4, 40),
            break_long_words=False,
            break_on_hyphens=False,
        )
        text = f"\n{' ' * (width + 4)}".join(lines)
        console.print(mark, f"{name:{width}} ", text, soft_wrap=True)


def metrics_finding(config: Config, secrets: Secrets) -> Finding:
    """The finding about the figures for Prometheus."""
    from adapters.prometheus.server import PATH, check_guarded

    settings = config.metrics
    try:
        check_guarded(settings, secrets.metrics_token)
    except ConfigError as error:
        return Finding("metrics", False, str(error))
    who = "a token" if secrets.metrics_token else "no token"
    return Finding("metrics", True, f"http://{settings.host}:{settings.port}{PATH}, {who}")


def platform_findings(
    platform: Platform, config: Config, secrets: Secrets, busy: Busy
) -> Iterator[Finding]:
    """The findings of *platform* about itself."""
    with busy(f"looking at {platform.name}"):
        verdicts = asyncio.run(platform.check(config, secrets))
    for is_right, sentence in verdicts:
        yield Finding(platform.name, is_right, sentence)


def _database(config: Config) -> Finding:
    path = database_path(config)
    if not path.exists():
        try:
            check_database_is_there(config)
        except DatabaseDamaged as error:
            return Finding("database", False, str(error))
        return Finding("database", True, f"{path} will be made at the first start")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            check_sound(db)
            (version,) = db.execute("PRAGMA user_version").fetchone()
    except (sqlite3.DatabaseError, DatabaseDamaged) as error:
        return Finding("database", False, f"{path} cannot be used: {error}")
    known = len(migrations())
    if version > known:
        sentence = f"{path} has schema {version}, this version knows {known}"
        return Finding("database", False, sentence)
    return Finding("database", True, f"{path} is sound")


def clock_finding(left: float | None, now: float) -> Finding:
    """The finding about the system's clock, which says *now* (unix seconds), where the last run
    has left *left*."""
    if left is None:
        return Finding("clock", True, "there is no earlier run to compare it with")
    if left - EVEN <= now <= left + LONG_REST:
        return Finding("clock", True, "it fits to the last run")
    return Finding(
        "clock",
        now > left,
        f"it is {in_days(now - left)} than when the bot was last seen running; if that is wrong,"
        " set it right: nothing is deleted for its age until it has held for a day",
    )


def lost(config: Config) -> list[str]:
    """A sentence about each engine that the bot, which may be running, has lost."""
    path = database_path(config)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return [f"{each}; the bot keeps trying while it runs" for each in lost_engines(db)]
    except sqlite3.Error:
        return []  # the finding about the database says more


def sqlite_finding(version: tuple[int, ...]) -> Finding:
    """The finding about SQLite *version*, such as (3, 40, 1)."""
    name = "SQLite " + ".".join(map(str, version))
    if not has_wal_bug(version):
        return Finding("sqlite", True, name)
    return Finding(
        "sqlite",
        True,
        f"{name} will do, with a rare bug: two connections that write at the same moment can"
        " damage the database. The bot writes through one; only a command that writes beside it"
        " (quota grant) could meet that. Damage is noticed at the start, and python -m bot restore"
        " puts back the copy of the last day. A Python with SQLite 3.51.3 or newer (or 3.50.7,"
        " 3.44.6) is free of it",
    )


def _folder(name: str, folder: Path) -> Finding:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Finding(name, False, f"{folder} cannot be written")
    free = shutil.disk_usage(existing).free / 1e9
    if free < 1:
        return Finding(name, False, f"{free:.1f} GB free in {folder}: at least 1 GB is needed")
    return Finding(name, True, f"{free:.1f} GB free in {folder}")


def permissions_finding(config: Config, env: Path) -> Finding:
    """The finding about what others on this machine can read; *env* is the file of secrets."""
    if (sentence := secrets_are_open(env)) is not None:
        return Finding("files", False, sentence)
    if (path := readable_by_others(config.storage.data_dir)) is not None:
        if path.lstat().st_uid != os.geteuid():
            sentence = f"{path} can be read by others and belongs to another user: give it to ours"
            return Finding("files", False, sentence)
        return Finding("files", True, f"{path} can be read by others; the next start closes it")
    return Finding("files", True, "only this user can read the data and the secrets")


def pictures_finding(config: Config, decoding: Decoders) -> Finding:
    """The finding about the processes that decode attached pictures, of which one is started."""
    try:
        decoding.clean(Provenance().png(Image.new("RGB", (MIN_SIDE, MIN_SIDE)), MAP))
    except FluxbotError as error:
        return Finding("pictures", False, str(error))
    finally:
        decoding.close()
    limits = config.control_images
    return Finding(
        "pictures",
        True,
        f"attached ones are decoded apart, within {limits.seconds_to_decode:g} s and"
        f" {limits.megabytes_to_decode:g} MB",
    )


def device_findings(config: Config, busy: Busy) -> Iterator[Finding]:
    """A finding about each device of this machine that draws, by the name of its engine: whether it
    is there, and can do what is asked of it."""
    if config.engine.ray is not None:
        return
    with busy("importing torch"):
        import torch

        from generation.diffusion import attention, quantization
        from generation.diffusion.device import choose_device
    model = config.model
    for number, name in enumerate(devices(config), start=1):
        engine = engine_name(number)
        try:
            device = choose_device(name, model.dtype)
            quantization.precision(model.quantization, model.text_encoder_quantization, device)
            kernel = attention.choose(model.attention, device)
        except FluxbotError as error:
            yield Finding("device", False, f"{engine}: {error}")
        else:
            dtype = str(device.dtype).removeprefix("torch.")
            sentence = f"{engine}: {device}, {dtype}, torch {torch.__version__}"
            if kernel != "native":
                sentence += f", attention by {kernel}"
            yield Finding("device", True, sentence)


def weights_findings(config: Config) -> Iterator[Finding]:
    """A finding about each set of weights that is here and cannot be drawn with."""
    for model in config.drawn_with:
        if (sentence := unfit_model(config, model)) is not None:
            yield Finding("model", False, sentence)
    for sentence in unfit_presets(config).values():
        yield Finding("presets", False, sentence)
    for sentence in unfit_loras(config).values():
        yield Finding("LoRAs", False, sentence)
