"""Storage that fails, as SQLite says it."""

import sqlite3

#: What the statements say that write a new job, that it is begun, and how it ended.
INSERT, BEGIN, FINISH = "INSERT INTO jobs ", "SET status = 'running'", "SET status = ?, finished_at"


class Storage:
    """Lets *database* refuse statements that have *words* in them, until it is well again.

    Attributes:
        is_broken: Whether it still refuses them.
        failures: How often it has.
    """

    def __init__(self, database, words, error):
        self.is_broken = True
        self.failures = 0
        self._words = words
        self._error = error
        write = database.write
        database.write = lambda work: write(lambda db: work(_Connection(db, self)))

    def judge(self, statement):
        """Raise the error where *statement* is refused."""
        if self.is_broken and self._words in statement:
            self.failures += 1
            raise self._error


class _Connection:
    """A connection whose statements are judged first."""

    def __init__(self, db, storage):
        self._db = db
        self._storage = storage

    def execute(self, statement, *values):
        self._storage.judge(statement)
        return self._db.execute(statement, *values)

    def __getattr__(self, name):
        return getattr(self._db, name)


def sqlite_error(code):
    """What SQLite raises with *code*."""
    error = sqlite3.OperationalError("the storage refuses")
    error.sqlite_errorcode = code
    return error


def sqlite3_full():
    return sqlite_error(sqlite3.SQLITE_FULL)
