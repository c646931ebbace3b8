"""Every statement of SQL in the code finds its rows by an index, however long the history is."""

import ast
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.database import migrate
from bot.forgetting import _PEOPLE

ROOT = Path(__file__).parent.parent.parent
#: Tables that grow with every job, or with every act of people.
GROWING = {"jobs", "entries", "audit", "incidents", "reports", "strikes"}
GROWING |= {"idempotency_keys", "favourites", "webhooks", "shared_jobs"}
GROWING |= {"votes", "showcased"}
#: Indexes of rows that are few at any time, such as jobs that wait.
OF_FEW = {"jobs_unfinished", "jobs_owed", "jobs_dead_letters", "jobs_held", "reports_open"}
OF_FEW |= {"showcased_open"}

#: Statements that may read all of a table, and why.
ALLOWED = {
    "bot/backups.py:verify": "a copy that nobody uses, on a thread of its own",
    "bot/soundness.py:misfit": "once a week, on a connection and a thread of its own",
    "bot/deletion_record.py:repeat": "after a backup was put back, while the bot does not run",
    "bot/deletion_record.py:end_links": "likewise",
    "bot/audit_log.py:acts": "newest first, and no further than the page that is asked for",
    "bot/forgetting.py:replace_person": "texts that may name a person, who deletes everything",
}
#: Texts that a statement is put together from, where the code alone does not tell.
PARTS = {
    "bot/due_deletions.py:forget_acts": {"table": ["audit", "incidents", "reports"]},
    "bot/due_deletions.py:forget_server": {
        "table": ["drawing_roles", "members", "log_channels", "showcase_channels"]
    },
    "bot/forgetting.py:replace_person": {
        "f'UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?'": [
            f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?"
            for table, column in _PEOPLE
        ]
    },
    "bot/job_store.py:latest_answered": {"fields": [" AND json_extract(reply_to, ?) = ?"]},
    "bot/statistics.py:_slice": {"where": ["", "server = ? AND "]},
    "bot/statistics.py:_last_of_slice": {"where": ["", "server = ? AND "]},
    "bot/database.py:_prepare": {"BUSY_TIMEOUT": ["2000"]},
}


class Unknown(Exception):
    """A part of a statement that this test does not know."""


def texts(node, parts):
    """All texts that an expression may stand for."""
    if (source := ast.unparse(node)) in parts:
        return parts[source]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        found = [""]
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            found = [before + after for before in found for after in texts(inner, parts)]
        return found
    raise Unknown(source)


def constants(nodes):
    """The texts that names are bound to among *nodes*."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = texts(node.value, found)
            except Unknown:
                continue
    return found


def is_statement(node):
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("execute", "executemany", "executescript")
        and bool(node.args)
    )


def statements(source, file):
    """(place, text) of every statement in the code *source*; a text is None where it is unknown."""
    tree = ast.parse(source)
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found = {}
    for function in functions:
        place = f"{file}:{function.name}"
        parts = constants(tree.body) | constants(ast.walk(function)) | PARTS.get(place, {})
        for node in filter(is_statement, ast.walk(function)):
            try:
                found[node.lineno, node.col_offset] = place, texts(node.args[0], parts)
            except Unknown as unknown:
                # A function within a function is seen twice, and known by the inner one.
                found.setdefault((node.lineno, node.col_offset), (place, [None, str(unknown)]))
    for place, each in found.values():
        yield from ((place, text) for text in each)


def of_the_bot():
    for path in sorted((ROOT / "bot").rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        yield from statements(path.read_text(encoding="utf-8"), file)


@pytest.fixture(scope="module")
def db():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db)
        # Of a few rows, in memory; see the search for words that many jobs have.
        db.execute("CREATE VIRTUAL TABLE words USING fts5 (prompt)")
        yield db


def full_scans(db, text):
    """Lines of SQLite's plan for *text* that read all of a growing table."""
    if text.split()[0].upper() not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
        return []
    plan = db.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?"))
    # A search without an index is how SQLite calls the full scan of max() and min().
    found = [
        detail
        for *_, detail in plan
        if detail.startswith("SCAN ") or (detail.startswith("SEARCH ") and "USING" not in detail)
    ]
    return [
        detail
        for detail in found
        if detail.split()[1] in GROWING
        and not OF_FEW & set(detail.split())
        and "max(number)" not in text  # the row's own number, which needs no index
    ]


def test_no_statement_reads_all_of_a_table_that_grows(db):
    found = {}
    for place, text in of_the_bot():
        if text is not None and place not in ALLOWED and (scans := full_scans(db, text)):
            found[place] = scans

    assert found == {}


def test_every_statement_is_known_to_this_test():
    # The scripts of migrations, and a statement that the command line hands on.
    handed_on = {"bot/database.py:migrate"}

    unknown = [place for place, text in of_the_bot() if text is None and place not in handed_on]

    assert unknown == []
    assert len(list(of_the_bot())) > 150


def test_everything_that_is_allowed_or_explained_is_still_there():
    places = {place for place, _ in of_the_bot()}

    assert places >= set(ALLOWED) | set(PARTS)


@pytest.mark.parametrize(
    ("text", "scans"),
    [
        ("SELECT * FROM jobs WHERE prompt = ?", ["SCAN jobs"]),
        ("UPDATE audit SET detail = ? WHERE detail = ?", ["SCAN audit"]),
        ("SELECT count(*) FROM entries", ["SCAN entries USING COVERING INDEX entries_resets"]),
        ("SELECT max(turn) FROM jobs", ["SEARCH jobs"]),
        ("SELECT max(number) FROM jobs", []),
        ("SELECT * FROM jobs WHERE id = ?", []),
        ("SELECT * FROM jobs WHERE delivery = 'owed'", []),
    ],
)
def test_a_statement_that_reads_everything_is_noticed(db, text, scans):
    found = full_scans(db, text)

    assert len(found) == len(scans)
    assert all(a.split()[:2] == b.split()[:2] for a, b in zip(found, scans, strict=True))


def test_a_statement_that_is_put_together_in_a_new_way_is_noticed():
    source = "def f(db, where):\n    db.execute('SELECT 1 FROM jobs WHERE ' + where)\n"

    assert next(statements(source, "bot/new.py")) == ("bot/new.py:f", None)
