"""The table of threats names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "public.md"
#: `tests/bot/test_x.py::test_name`, as the last column has it, several with spaces between.
HOLDER = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows():
    """(heading, cells) of each row below a table's head."""
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith(("| threat", "| ---")):
            yield heading, [cell.strip() for cell in line.strip("|").split(" | ")]


def test_each_threat_names_the_tests_that_hold_it():
    for heading, (threat, _answer, holders) in rows():
        found = HOLDER.findall(holders)

        assert found, f"{heading}: {threat}"
        for file, name in found:
            assert not name or name in functions(file), f"{file} has no {name}"


def functions(file):
    """Names of all functions in a file of tests."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
