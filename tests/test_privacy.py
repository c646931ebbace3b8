"""The page about privacy names all that the database keeps."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.config import Config
from bot.database import migrate

PAGE = Path(__file__).parent.parent / "docs" / "privacy.md"
NAME = re.compile(r"`([\w.]+)`")


@pytest.fixture(scope="module")
def schema():
    """Columns of each table; those that SQLite keeps behind the search index stand for it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db)
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [row[0] for row in tables]
        return {
            name: {row[1] for row in db.execute(f"SELECT * FROM pragma_table_info('{name}')")}
            for name in names
            if not name.startswith(("jobs_words_", "sqlite_"))
        }


def told():
    """Columns of each table, by the page."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("## In the database")
    section, _, _ = rest.partition("\n## ")
    found = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            table, columns, *_ = line.strip("| ").split(" | ")
            found.setdefault(table.strip("`"), set()).update(NAME.findall(columns))
    return found


def test_every_table_and_column_of_the_database_is_named(schema):
    page = told()

    assert set(page) == set(schema)
    for table, columns in schema.items():
        assert page[table] == columns, table


def test_every_key_that_the_page_names_is_one_of_the_configuration():
    keys = set(re.findall(r"`((?:retention|gallery|storage)\.\w+)`", PAGE.read_text("utf-8")))

    assert keys >= {f"retention.{name}" for name in type(Config().retention).model_fields}
    for key in keys:
        section, _, name = key.partition(".")
        assert name in type(getattr(Config(), section)).model_fields, key
