"""A record of what a process does in a folder, from which `tests.reliability.disk` tells what a
power loss may leave of it.

Names and files are looked at before and after every call that changes or syncs them, so that it
does not matter which function has written.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability.disk import (
    FOLDER,
    Cut,
    Disk,
    FolderSynced,
    Named,
    Operation,
    Said,
    Synced,
    Tree,
    Write,
    change,
)
from tests.reliability.sqlite_calls import SqliteCalls

#: SQLite makes its index of the log anew; what was in it does not matter.
INDEX = "-shm"


@dataclass
class Record:
    """What is done in the folder *root*, which stands on the disk with all that is in it.

    Args:
        is_forgotten: Whether, by a fault, the bot does not sync a file or folder, given by its
            path below *root*.
        is_vain: Whether SQLite syncs nothing at a path, whatever it calls.
    """

    root: Path
    is_forgotten: Callable[[str], bool] = lambda path: False
    is_vain: Callable[[str], bool] = lambda path: False
    operations: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._names: dict[str, int] = {}
        self._contents: dict[int, bytearray] = {}
        #: Files and folders by their inodes.
        self._files: dict[int, int] = {}
        self._folders: dict[int, str] = {}
        #: Files that SQLite has open: what it writes is heard, and need not be looked for.
        self._open: Counter[int] = Counter()
        self._number = 0
        self._look()
        for file in self._contents:
            self._add(Synced(file))
        for folder in self._folders.values():
            self._add(FolderSynced(folder))
        #: Number of operations that lie before all that is recorded.
        self.begin = len(self.operations)

    def say(self, what: str, about: Any = None) -> None:
        with self._lock:
            self._add(Said(what, about))

    def differences(self) -> list[str]:
        """Paths at which the record and the folder differ, as they must not."""
        disk = Disk()
        for operation in self.operations:
            disk.carry_out(operation)
        recorded, there = disk.with_everything(), _read(self.root)
        return sorted(
            path
            for path in recorded.keys() | there.keys()
            if path not in recorded or path not in there or recorded[path] != there[path]
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block whose calls are recorded, on whatever thread they come. Connections to databases
        are opened and closed within it."""
        calls = {
            name: getattr(os, name)
            for name in ("fsync", "fdatasync", "unlink", "remove", "mkdir", "rmdir", "link")
        }
        renames = {name: getattr(os, name) for name in ("replace", "rename")}
        sqlite = SqliteCalls(self)
        sqlite.begin()
        try:
            for name, call in calls.items():
                setattr(os, name, self._synced if "sync" in name else self._looking(call))
            for name, call in renames.items():
                setattr(os, name, self._renaming(call))
            yield
        finally:
            for name, call in (calls | renames).items():
                setattr(os, name, call)
            sqlite.end()
            with self._lock:
                self._look()

    # Calls of Python's

    def _looking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def looked_at(*args: Any, **named: Any) -> Any:
            with self._lock:
                self._look()
                try:
                    return call(*args, **named)
                finally:
                    self._look()

        return looked_at

    def _renaming(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def renamed(source: Any, target: Any) -> None:
            with self._lock:
                self._look()
                call(source, target)
                old, new = self._below(source), self._below(target)
                if old in self._names and new is not None:
                    file = self._names.pop(old)
                    assert file != FOLDER, "renaming folders is not modelled"
                    self._names[new] = file
                    self._add(Named(((old, None), (new, file))))
                self._look()

        return renamed

    def _synced(self, handle: Any) -> None:
        """The sync itself can be spared: the machine stays on."""
        with self._lock:
            self._look()
            inode = os.fstat(handle if isinstance(handle, int) else handle.fileno()).st_ino
            if inode in self._folders:
                path = self._folders[inode]
                if not self.is_forgotten(path):
                    self._add(FolderSynced(path))
            elif inode in self._files:
                file = self._files[inode]
                if not any(self.is_forgotten(path) for path in self._paths(file)):
                    self._add(Synced(file))

    def _paths(self, file: int) -> list[str]:
        return [path for path, each in self._names.items() if each == file]

    def _below(self, path: Any) -> str | None:
        full = os.path.abspath(os.fsdecode(path))
        below = os.path.relpath(full, self.root)
        return None if below.startswith("..") else "" if below == "." else below

    # SQLite's

    def opened(self, path: Any) -> int | None:
        """Number of the file at *path*, which SQLite has opened; None where it is not ours."""
        below = self._below(path)
        if below is None or below.endswith(INDEX):
            return None
        self._look()
        file = self._names[below]
        self._open[file] += 1
        return file

    def closed(self, file: int) -> None:
        self._open[file] -= 1

    def written(self, operation: Write | Cut) -> None:
        self._add(operation)
        change(self._contents[operation.file], operation)

    def synced(self, file: int) -> None:
        if not any(self.is_vain(path) for path in self._paths(file)):
            self._add(Synced(file))

    def folder_synced(self, path: Any) -> None:
        """Write down that the folder was synced for the sake of the file at *path* in it."""
        self._look()
        below = self._below(path)
        if below is not None and not self.is_vain(below):
            self._add(FolderSynced(os.path.dirname(below)))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block during which nothing else is recorded."""
        with self._lock:
            yield

    def looked(self) -> None:
        self._look()

    # Looking

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)

    def _look(self) -> None:
        """Write down what has changed since the last look."""
        files, folders = _scan(self.root)
        known = set(files.values())
        self._files = {inode: file for inode, file in self._files.items() if inode in known}
        self._folders = {inode: path for path, inode in folders.items()}
        there = set()
        for path in folders.keys() - {""}:
            there.add(path)
            if self._names.get(path) != FOLDER:
                self._name(path, FOLDER)
        for path, inode in files.items():
            there.add(path)
            if inode not in self._files:
                self._number += 1
                self._files[inode] = self._number
                self._contents[self._number] = bytearray()
            if self._names.get(path) != self._files[inode]:
                self._name(path, self._files[inode])
            if not self._open[self._files[inode]]:
                self._read_again(path, self._files[inode])
        for path in self._names.keys() - there:
            del self._names[path]
            self._add(Named(((path, None),)))

    def _name(self, path: str, file: int) -> None:
        self._names[path] = file
        self._add(Named(((path, file),)))

    def _read_again(self, path: str, file: int) -> None:
        try:
            now = (self.root / path).read_bytes()
        except FileNotFoundError:
            return
        before = self._contents[file]
        if now == before:
            return
        begin = 0
        while begin < min(len(now), len(before)) and now[begin] == before[begin]:
            begin += 1
        if len(now) < len(before):
            self._add(Cut(file, len(now)))
        if now[begin:]:
            self._add(Write(file, begin, now[begin:]))
        self._contents[file] = bytearray(now)


def _scan(root: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Inodes of the files and of the folders below *root*, by their paths."""
    files: dict[str, int] = {}
    folders = {"": root.stat().st_ino}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = os.path.join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders[path] = entry.inode()
                    waiting.append(path)
                elif not path.endswith(INDEX):
                    files[path] = entry.inode()
    return files, folders


def _read(root: Path) -> Tree:
    files, folders = _scan(root)
    tree: Tree = {path: None for path in folders if path}
    return tree | {path: (root / path).read_bytes() for path in files}
