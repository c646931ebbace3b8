"""What is on the disk, and not merely on its way there when the power goes.

A file's bytes are safe once the file was synced, its name once the folder was that holds it.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return once the bytes of the file at *path*, or the names in the folder, are on the disk.

    Raises:
        OSError: It cannot be opened or synced.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
