"""Writes that reach the disk before a job is reported as accepted, as the kernel sees it.

    python -m tests.reliability.syncs FOLDER [FULL | NORMAL | OFF]

accepts a few requests and says so; `trace` runs that under strace and reads the calls.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.commands import ImagineCommand
from bot.database import Database
from bot.source import Source
from generation.executor import ThreadExecutor
from generation.stub import StubEngine
from tests.reliability import bot_process
from tests.samples import file, opened, picture

REQUESTS = 5
ACCEPTED = "ACCEPTED"
ROOT = Path(__file__).parent.parent.parent
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")


@dataclass
class Calls:
    """Calls between two acknowledgements.

    Attributes:
        log_is_synced: Whether the log was synced after the last that was written to it.
        file_is_synced: Whether a file was synced before it was renamed.
        folder_is_synced: Whether its folder was, after that.
    """

    log_is_synced: bool = False
    file_is_synced: bool = False
    folder_is_synced: bool = False


def can_trace() -> bool:
    """Whether strace is here, and may look at processes."""
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-f", "-o", os.devnull, sys.executable, "-c", ""]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


def trace(folder: Path, synchronous: str = "FULL") -> list[Calls]:
    """The calls before each acknowledgement of a bot in *folder*."""
    file = folder / "calls.txt"
    subprocess.run(
        [
            *("strace", "-f", "-y", "-s", "64", "-o", str(file)),
            *("-e", "trace=fsync,fdatasync,pwrite64,write,rename"),
            *(sys.executable, "-m", "tests.reliability.syncs", str(folder), synchronous),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=100,
    )
    return list(_read(file.read_text(errors="replace").splitlines()))


def _read(lines: list[str]) -> Iterator[Calls]:
    calls = Calls()
    pending: dict[tuple[str, str], str] = {}
    for line in lines:
        if resumed := _RESUMED.match(line):
            thread, name = resumed.groups()
            text = pending.pop((thread, name), "")
        elif call := _CALL.match(line):
            thread, name, text = call.groups()
            if text.endswith("<unfinished ...>"):
                pending[thread, name] = text
                if name in ("fsync", "fdatasync"):
                    continue  # it counts when it has returned
        else:
            continue
        if name in ("fsync", "fdatasync"):
            if "bot.sqlite3-wal>" in text:
                calls.log_is_synced = True
            elif ".part>" in text:
                calls.file_is_synced = True
            elif "control-images>" in text:
                calls.folder_is_synced = True
        elif name == "rename" and ".part" in text:
            calls.folder_is_synced = False
        elif name == "pwrite64" and "bot.sqlite3-wal>" in text:
            calls.log_is_synced = False
        elif name == "write" and ACCEPTED in text and not resumed:
            yield calls
            calls = Calls()


async def _accept(folder: Path, synchronous: str) -> None:
    database = await Database.open(folder / "bot.sqlite3")
    await database._writer.execute(f"PRAGMA synchronous = {synchronous}")
    service = bot_process.new_service(folder, database, [ThreadExecutor(StubEngine)])
    await service.start()
    image = picture(64, 64)
    for number in range(REQUESTS):
        # Another picture each time, for one that is here already is kept as it is.
        other = image if number == 0 else _turned(image, number)
        command = ImagineCommand("a fox", preset="canny", width=64, height=64)
        job = await service.submit(Source("loop:ada"), command, (other,))
        os.write(1, f"{ACCEPTED} {job.id}\n".encode())
    await database.close()


def _turned(png: bytes, number: int) -> bytes:
    return file(opened(png).rotate(10 * number))


if __name__ == "__main__":
    asyncio.run(_accept(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "FULL"))
