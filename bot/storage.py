"""Conditions for a safe database: the file system, SQLite's version, free disk space."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bot.permissions import opener

#: File systems on which locks and syncs may not mean what SQLite needs them to mean
#: (https://www.sqlite.org/howtocorrupt.html, section 2.1).
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "9p",
    "afs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.rclone",
)

RESERVE_BYTES = 64 * 2**20


def network_file_system(folder: Path, mounts: str | None = None) -> str | None:
    """The kind of network file system that *folder* lies on; None on a local disk, or where
    the system does not tell. *mounts* is the text of ``/proc/self/mountinfo``."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        except OSError:
            return None
    target = folder.absolute().resolve()
    deepest, kind = -1, None
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) < 5:
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        # Of several mounts on one point, the last one covers the others.
        if target.is_relative_to(point) and len(point.parts) >= deepest:
            deepest, kind = len(point.parts), after.split()[0]
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def has_wal_bug(version: tuple[int, ...]) -> bool:
    """Whether SQLite *version* may lose a commit when one connection resets the WAL while
    another writes (3.7.0 to 3.51.2, mended in 3.44.6 and 3.50.7 too; see
    https://www.sqlite.org/wal.html)."""
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    return (3, 7, 0) <= version < (3, 51, 3)


class Reserve:
    """Disk space that is given up when the disk is full, so that refunds can be written.

    Args:
        path: The file that takes up the space.
        size: Size of that file in bytes.
    """

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size
        self.is_released = not self._make()

    def release(self) -> None:
        """Give the space up, until `restore` succeeds."""
        self.is_released = True
        self._path.unlink(missing_ok=True)

    def restore(self) -> bool:
        """Whether the reserve is in place, taken again if twice its size is free."""
        if self.is_released and shutil.disk_usage(self._path.parent).free >= 2 * self._size:
            self.is_released = not self._make()
        return not self.is_released

    def _make(self) -> bool:
        try:
            with open(self._path, "ab", opener=opener) as file:
                if os.fstat(file.fileno()).st_size < self._size:
                    _allocate(file.fileno(), self._size)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        return True


def _allocate(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.write(file, bytes(size))
