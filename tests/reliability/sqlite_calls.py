"""What SQLite does to files, heard at its interface for file systems
(https://www.sqlite.org/vfs.html).

It is reached by ctypes in the very library that Python uses: neither a compiler nor rights are
needed.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from typing import Any

from tests.reliability.disk import Cut, Write

_INT, _POINTER, _WIDE = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
_CLOSE = ctypes.CFUNCTYPE(_INT, _POINTER)
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, _WIDE)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, _WIDE)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)
# Names stay pointers: SQLite relies on the very one that it has handed over.
_OPEN = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT)
_OPEN_FOLDER = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER)
_SET_CALL = ctypes.CFUNCTYPE(_INT, _POINTER, ctypes.c_char_p, _POINTER)
_GET_CALL = ctypes.CFUNCTYPE(_POINTER, _POINTER, ctypes.c_char_p)


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``, version 3."""

    _fields_ = (
        ("version", _INT),
        ("close", _CLOSE),
        ("read", _POINTER),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        *((f"other{number}", _POINTER) for number in range(13)),
    )


class _File(ctypes.Structure):
    _fields_ = (("methods", ctypes.POINTER(_Methods)),)


class _FileSystem(ctypes.Structure):
    """``sqlite3_vfs``, version 3."""

    _fields_ = (
        ("version", _INT),
        ("size_of_file", _INT),
        ("longest_path", _INT),
        ("next", _POINTER),
        ("name", ctypes.c_char_p),
        ("data", _POINTER),
        ("open", _OPEN),
        ("delete", _DELETE),
        *((f"other{number}", _POINTER) for number in range(11)),
        ("set_call", _SET_CALL),
        ("get_call", _GET_CALL),
        ("next_call", _POINTER),
    )


def can_record() -> bool:
    """Whether SQLite lets itself be listened to here."""
    return hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_register")


class SqliteCalls:
    """Has what SQLite does to files written into *record*."""

    def __init__(self, record: Any) -> None:
        self._record = record
        self._library = ctypes.CDLL(_sqlite3.__file__)
        self._library.sqlite3_vfs_find.restype = ctypes.POINTER(_FileSystem)
        self._numbers: dict[int, int] = {}
        self._synced: set[int] = set()
        self._methods: dict[int, _Methods] = {}

    def begin(self) -> None:
        self._system = self._library.sqlite3_vfs_find(None)
        original = self._original = _FileSystem.from_buffer_copy(self._system.contents)
        ours = self._ours = _FileSystem.from_buffer_copy(original)
        ours.name = b"recorded"
        ours.next = None
        ours.open = _OPEN(self._open)
        ours.delete = _DELETE(self._delete)
        self._library.sqlite3_vfs_register(ctypes.byref(ours), 1)
        address = original.get_call(self._system, b"openDirectory")
        self._real_open_folder = _OPEN_FOLDER(address)
        self._open_folder_too = _OPEN_FOLDER(self._open_folder)
        call = ctypes.cast(self._open_folder_too, _POINTER)
        original.set_call(self._system, b"openDirectory", call)

    def end(self) -> None:
        assert not self._numbers, "a database is still open"
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._ours))
        self._original.set_call(self._system, b"openDirectory", None)

    def _open(self, system: int, name: int | None, at: int, flags: int, out: int) -> int:
        with self._record.alone():
            status = self._original.open(system, name, at, flags, out)
            if status == 0 and name is not None:
                number = self._record.opened(ctypes.string_at(name))
                if number is not None:
                    self._numbers[at] = number
                    file = ctypes.cast(at, ctypes.POINTER(_File)).contents
                    file.methods = ctypes.pointer(self._recorded(file.methods))
            return int(status)

    def _recorded(self, methods: Any) -> _Methods:
        """*methods*, of which those are recorded that change a file."""
        address = ctypes.addressof(methods.contents)
        if address in self._methods:
            return self._methods[address]
        real = _Methods.from_buffer_copy(methods.contents)
        ours = _Methods.from_buffer_copy(real)
        record, numbers = self._record, self._numbers

        def close(file: int) -> int:
            with record.alone():
                record.closed(numbers.pop(file))
                self._synced.discard(file)
                return int(real.close(file))

        def write(file: int, data: int, size: int, offset: int) -> int:
            with record.alone():
                status = real.write(file, data, size, offset)
                if status == 0:
                    record.written(Write(numbers[file], offset, ctypes.string_at(data, size)))
                return int(status)

        def truncate(file: int, size: int) -> int:
            with record.alone():
                status = real.truncate(file, size)
                if status == 0:
                    record.written(Cut(numbers[file], size))
                return int(status)

        def sync(file: int, flags: int) -> int:
            with record.alone():
                record.synced(numbers[file])
                if file in self._synced:
                    return 0
                self._synced.add(file)  # the first time it may sync the folder too
                return int(real.sync(file, flags))

        ours.close, ours.write = _CLOSE(close), _WRITE(write)
        ours.truncate, ours.sync = _TRUNCATE(truncate), _SYNC(sync)
        self._methods[address] = ours
        return ours

    def _delete(self, system: int, name: int, is_synced: int) -> int:
        with self._record.alone():
            status = self._original.delete(system, name, is_synced)
            self._record.looked()
            return int(status)

    def _open_folder(self, name: int, handle: int) -> int:
        with self._record.alone():
            self._record.folder_synced(ctypes.string_at(name))
            return int(self._real_open_folder(name, handle))
