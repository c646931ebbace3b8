"""The bot at this moment, for Prometheus, beside what `bot.metrics` has counted.

Everything is read when Prometheus asks: from the service, from indexes of a few rows of the
database, and from the file system.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bot import __version__
from bot.backups import backups, made_at
from bot.database import Database
from bot.metrics import platform_of
from bot.refusals import StorageTrouble
from bot.service import Service
from bot.views import EngineState, EngineView

DRAWING_STATES: tuple[str, ...] = get_args(get_type_hints(EngineState)["status"])
ENGINE_STATES: tuple[str, ...] = get_args(get_type_hints(EngineView)["status"])


@dataclass(frozen=True, slots=True)
class Rows:
    """What the database says of a moment.

    Attributes:
        unfinished: Number of jobs, and the time of the oldest request (unix seconds), by status.
        held: Jobs that wait for a moderator.
        owed: Number of answers owed, and the time of the oldest end, by platform.
    """

    unfinished: dict[str, tuple[int, float]]
    held: int
    owed: dict[str, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes on the disk: of files of the database, and free and altogether, by folder.

    Attributes:
        backed_up_at: Time of the newest backup, in unix seconds, 0 without one; None where none
            are made.
    """

    files: dict[str, int]
    disks: dict[str, tuple[int, int]]
    backed_up_at: float | None


class Gauges:
    """Reads the bot at a moment.

    Args:
        database_path: The database's file.
        backups_dir: Folder of its backups; None where none are made.
        folders: Folders whose disks are looked at, by name.
        now: The clock, in unix seconds.
    """

    def __init__(
        self,
        service: Service,
        database: Database,
        database_path: Path,
        backups_dir: Path | None,
        folders: dict[str, Path],
        now: Callable[[], float],
    ) -> None:
        self._service = service
        self._database = database
        self._path = database_path
        self._backups_dir = backups_dir
        self._folders = folders
        self._now = now

    async def look(self) -> Collector:
        """All metrics, for `prometheus_client.generate_latest`."""
        try:
            rows = await self._database.read(_rows)
        except (StorageTrouble, sqlite3.Error):
            rows = None
        room = await asyncio.to_thread(self._room)
        counted = self._service.metrics.registry.collect()
        families = [*counted, *self._moment(rows), *_of_disk(room)]
        for process in (ProcessCollector(registry=None), PlatformCollector(registry=None)):
            families += process.collect()
        return _Families(families)

    def _moment(self, rows: Rows | None) -> Iterator[Metric]:
        info = GaugeMetricFamily("fluxbot_info", "The version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield _one("fluxbot_database_up", "Whether the database can be read.", rows is not None)
        if rows is not None:
            yield from self._of_rows(rows)
        state = self._service.state.status
        drawing = GaugeMetricFamily(
            "fluxbot_drawing_state", "1 for the state of drawing.", labels=["state"]
        )
        for each in DRAWING_STATES:
            drawing.add_metric([each], each == state)
        yield drawing
        yield from _of_engines(self._service.engines())

    def _of_rows(self, rows: Rows) -> Iterator[Metric]:
        now = self._now()
        waiting, oldest = rows.unfinished.get("queued", (0, now))
        running, _ = rows.unfinished.get("running", (0, now))
        yield _one("fluxbot_jobs_waiting", "Jobs that wait to be drawn.", waiting)
        yield _one("fluxbot_jobs_running", "Jobs that are being drawn.", running)
        yield _one("fluxbot_jobs_held", "Jobs that wait for a moderator.", rows.held)
        age = max(0.0, now - oldest)
        yield _one("fluxbot_oldest_waiting_seconds", "Age of the oldest job that waits.", age)
        owed = GaugeMetricFamily(
            "fluxbot_deliveries_owed",
            "Ends of jobs that people on a platform have still to be shown.",
            labels=["platform"],
        )
        ages = GaugeMetricFamily(
            "fluxbot_oldest_owed_seconds",
            "Time for which the oldest of them has been owed.",
            labels=["platform"],
        )
        for platform, (count, since) in sorted(rows.owed.items()):
            owed.add_metric([platform], count)
            ages.add_metric([platform], max(0.0, now - since))
        yield from (owed, ages)

    def _room(self) -> Room:
        log = self._path.with_name(self._path.name + "-wal")
        files = {"database": self._path, "log": log}
        disks = {}
        for name, folder in self._folders.items():
            if folder.exists():
                usage = shutil.disk_usage(folder)
                disks[name] = (usage.free, usage.total)
        backed_up_at = None
        if self._backups_dir is not None:
            newest = next(iter(backups(self._backups_dir)), None)
            backed_up_at = 0.0 if newest is None else made_at(newest)
        sizes = {name: path.stat().st_size if path.exists() else 0 for name, path in files.items()}
        return Room(sizes, disks, backed_up_at)


@dataclass(frozen=True, slots=True)
class _Families(Collector):
    families: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def _rows(db: sqlite3.Connection) -> Rows:
    unfinished = db.execute(
        "SELECT status, count(*), min(submitted_at) FROM jobs"
        " WHERE status IN ('queued', 'running') GROUP BY status"
    ).fetchall()
    (held,) = db.execute("SELECT count(*) FROM jobs WHERE review = 'held'").fetchone()
    found = db.execute(
        "SELECT user, finished_at FROM jobs WHERE delivery = 'owed' AND finished_at IS NOT NULL"
    ).fetchall()
    owed: dict[str, tuple[int, float]] = {}
    for user, finished_at in found:
        platform = platform_of(user.partition(":")[0])
        count, since = owed.get(platform, (0, finished_at))
        owed[platform] = (count + 1, min(since, finished_at))
    return Rows({status: (count, oldest) for status, count, oldest in unfinished}, held, owed)


def _of_engines(views: Iterable[EngineView]) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "fluxbot_engine_state", "1 for the state of an engine.", labels=["engine", "state"]
    )
    memory = GaugeMetricFamily(
        "fluxbot_engine_memory_bytes", "Weights in an engine's memory.", labels=["engine"]
    )
    ended = CounterMetricFamily(
        "fluxbot_engine_jobs",
        "Jobs that an engine has drawn, could not draw, or was lost over.",
        labels=["engine", "outcome"],
    )
    for view in views:
        for state in ENGINE_STATES:
            states.add_metric([view.name, state], view.status == state)
        memory.add_metric([view.name], sum(view.loaded.values()))
        for outcome in ("succeeded", "failed", "lost"):
            ended.add_metric([view.name, outcome], getattr(view, outcome))
    yield from (states, memory, ended)


def _of_disk(room: Room) -> Iterator[Metric]:
    files = GaugeMetricFamily(
        "fluxbot_database_bytes", "Size of the database's files.", labels=["file"]
    )
    for name, size in room.files.items():
        files.add_metric([name], size)
    free = GaugeMetricFamily(
        "fluxbot_disk_free_bytes", "Room on the disk of a folder.", labels=["folder"]
    )
    total = GaugeMetricFamily(
        "fluxbot_disk_bytes", "Size of the disk of a folder.", labels=["folder"]
    )
    for name, (bytes_free, bytes_total) in room.disks.items():
        free.add_metric([name], bytes_free)
        total.add_metric([name], bytes_total)
    yield from (files, free, total)
    if room.backed_up_at is not None:
        yield _one(
            "fluxbot_backup_timestamp_seconds",
            "Time of the newest backup, in unix seconds; 0 without one.",
            room.backed_up_at,
        )


def _one(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value=value)
