"""A disk that forgets with the power what was not synced, as a model in memory.

The model is as strict as POSIX. A file's bytes are safe once it was synced, its name once the
folder was that holds it, and a folder's own name once its parent was. Of the rest, anything may
be there or not: whole, cut, or in sectors; names in order, or any of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

SECTOR = 512
#: Stands for a folder where the number of a file could.
FOLDER = 0


@dataclass(frozen=True, slots=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A file made shorter, or longer by zeros."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Named:
    """Paths that lead to a file, to a folder or nowhere from now on, all at once."""

    changes: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Synced:
    file: int


@dataclass(frozen=True, slots=True)
class FolderSynced:
    path: str


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody was told something, and may rely on it."""

    what: str
    about: Any = None


Operation = Write | Cut | Named | Synced | FolderSynced | Said
#: Contents of files by their paths; None is a folder.
Tree = dict[str, bytes | None]


class Disk:
    """What has surely arrived, and what is on its way."""

    def __init__(self) -> None:
        self._files: dict[int, bytes] = {}
        self._writes: dict[int, list[Write | Cut]] = {}
        self._names: dict[str, int | None] = {}
        self._changes: list[Named] = []

    def carry_out(self, operation: Operation) -> None:
        match operation:
            case Write(file) | Cut(file):
                self._writes.setdefault(file, []).append(operation)
            case Named():
                self._changes.append(operation)
            case Synced(file):
                content = bytearray(self._files.get(file, b""))
                for each in self._writes.pop(file, ()):
                    change(content, each)
                self._files[file] = bytes(content)
            case FolderSynced(path):
                self._sync_names(path)

    def sync_all(self) -> None:
        for file in list(self._writes):
            self.carry_out(Synced(file))
        for folder in {os.path.dirname(path) for each in self._changes for path, _ in each.changes}:
            self._sync_names(folder)

    def after_power_loss(self, dice: Random) -> Tree:
        """One of the states in which the next start may find it."""
        names = dict(self._names)
        how = dice.choice(("none", "all", "in order", "any"))
        some = dice.randrange(len(self._changes) + 1)
        for number, each in enumerate(self._changes):
            if (
                how == "all"
                or (how == "in order" and number < some)
                or (how == "any" and dice.random() < 0.5)
            ):
                names.update(each.changes)
        return self._tree(names, lambda file: self._content(file, dice))

    def with_everything(self) -> Tree:
        """The state in which a process sees it."""
        names = dict(self._names)
        for each in self._changes:
            names.update(each.changes)
        return self._tree(names, self._whole)

    def _sync_names(self, folder: str) -> None:
        left = []
        for each in self._changes:
            here = {path: file for path, file in each.changes if os.path.dirname(path) == folder}
            self._names.update(here)
            if elsewhere := tuple(change for change in each.changes if change[0] not in here):
                left.append(Named(elsewhere))
        self._changes = left

    def _tree(self, names: dict[str, int | None], content: Callable[[int], bytes]) -> Tree:
        tree: Tree = {}
        for path, file in sorted(names.items()):
            folder = os.path.dirname(path)
            if file is not None and (not folder or (folder in tree and tree[folder] is None)):
                tree[path] = None if file == FOLDER else content(file)
        return tree

    def _whole(self, file: int) -> bytes:
        content = bytearray(self._files.get(file, b""))
        for each in self._writes.get(file, ()):
            change(content, each)
        return bytes(content)

    def _content(self, file: int, dice: Random) -> bytes:
        writes = self._writes.get(file, [])
        how = dice.choice(("none", "all", "cut", "sectors")) if writes else "none"
        if how == "all":
            return self._whole(file)
        content = bytearray(self._files.get(file, b""))
        if how == "cut":
            some = dice.randrange(len(writes))
            for each in writes[:some]:
                change(content, each)
            if isinstance(last := writes[some], Write):
                part = last.data[: dice.randrange(len(last.data) + 1)]
                change(content, Write(file, last.offset, part))
        elif how == "sectors":
            # What was on a sector before nobody knows: it may have been another file's.
            filling = dice.choice((b"\0", dice.randbytes(1)))
            for each in writes:
                for piece in _sectors(each):
                    if dice.random() < 0.5:
                        change(content, piece, filling)
                    elif isinstance(piece, Write):
                        end = piece.offset + len(piece.data)
                        content.extend(filling * (end - len(content)))
        return bytes(content)


def change(content: bytearray, operation: Write | Cut, filling: bytes = b"\0") -> None:
    if isinstance(operation, Cut):
        del content[operation.size :]
        content.extend(filling * (operation.size - len(content)))
        return
    content.extend(filling * (operation.offset - len(content)))
    content[operation.offset : operation.offset + len(operation.data)] = operation.data


def _sectors(operation: Write | Cut) -> Iterator[Write | Cut]:
    if isinstance(operation, Cut):
        yield operation
        return
    begin, end = operation.offset, operation.offset + len(operation.data)
    while begin < end:
        upto = min(end, (begin // SECTOR + 1) * SECTOR)
        data = operation.data[begin - operation.offset : upto - operation.offset]
        yield Write(operation.file, begin, data)
        begin = upto


def lay_out(tree: Tree, folder: Path) -> None:
    """Make the files of *tree* in *folder*, which is there and empty; they are of yesterday."""
    yesterday = time.time() - 86_400
    for path, content in tree.items():
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
            os.utime(folder / path, (yesterday, yesterday))


def losses(
    operations: Sequence[Operation], moments: Sequence[int], dice: Random
) -> Iterator[tuple[int, Tree, list[Said]]]:
    """For each of *moments* (numbers of operations that were over): the moment, a disk as it may
    be after a power loss then, and what had been said."""
    disk, said, done = Disk(), [], 0
    for moment in sorted(moments):
        for operation in operations[done:moment]:
            disk.carry_out(operation)
            if isinstance(operation, Said):
                said.append(operation)
        done = moment
        yield moment, disk.after_power_loss(dice), list(said)
