"""Storage that fails, as SQLite says it."""

import sqlite3


class Storage:
    """Lets one method of the records fail as SQLite fails, until it is well again."""

    def __init__(self, records, method, error):
        self.error = error
        self.is_broken = True
        self.failures = 0
        works = getattr(records, method)

        def sometimes(*args, **kwargs):
            if self.is_broken:
                self.failures += 1
                raise self.error
            return works(*args, **kwargs)

        setattr(records, method, sometimes)


def sqlite_error(code):
    error = sqlite3.OperationalError("the storage refuses")
    error.sqlite_errorcode = code
    return error


def sqlite3_full():
    return sqlite_error(sqlite3.SQLITE_FULL)
