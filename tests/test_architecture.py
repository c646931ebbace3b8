"""The layers, as a test: adapters -> bot -> the vocabulary of generation, and never back.

No two modules import each other, and no file is longer than one sitting.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {"bot", "generation", "adapters"}
#: What the chat side may know of ``generation``: no torch, no weights.
VOCABULARY = tuple(
    f"generation.{name}" for name in ("errors", "checks", "kinds", "types", "protocols")
)
#: What alone may know everything; nobody else imports it.
ROOTS = ("bot/__main__.py", "bot/assembly/")

#: Modules that still import each other, to be taken apart.
CYCLES_LEFT = (
    {
        f"adapters.discord_chat.{name}"
        for name in (
            *("actions", "administration", "answers", "buttons", "chat"),
            *("commands", "forms", "messages", "window"),
        )
    },
)

#: Lines of a file of code that somebody reads in one sitting.
LONGEST = 600
#: Files that are longer, and why.
LONGER = {
    "adapters/web_chat/api.py": "still to be taken apart",
    "bot/service.py": "still to be taken apart",
}


def imports(package):
    """(file, module) for every import, those inside functions too."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path, node.module
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def rooms(package):
    """(file, module) for imports of our own, the composition root left out."""
    for path, module in imports(package):
        file = path.relative_to(ROOT).as_posix()
        if not file.startswith(ROOTS) and module.split(".")[0] in TOP_LEVEL:
            yield file, module


def test_generation_knows_nothing_of_chat():
    assert [each for each in rooms("generation") if not each[1].startswith("generation")] == []


def test_the_bot_knows_only_the_vocabulary_of_generation_and_no_adapter():
    foreign = [
        each
        for each in rooms("bot")
        if not each[1].startswith(("bot", *VOCABULARY)) and each[1] != "generation"
    ]
    assert foreign == []


def test_adapters_know_the_bot_and_the_vocabulary_but_never_each_other():
    for path, module in rooms("adapters"):
        if module.startswith("adapters"):
            own = path.split("/")[1].removesuffix(".py")
            assert module.split(".")[1] == own, f"{path} imports {module}"
        else:
            assert module.startswith(("bot", *VOCABULARY)), f"{path} imports {module}"


def test_nobody_imports_the_composition_root():
    outside = [each for package in TOP_LEVEL for each in rooms(package)]
    root = ("bot.__main__", "bot.assembly")
    assert [path for path, module in outside if module.startswith(root)] == []


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph():
    """The modules that each module of ours imports, at whatever place in it.

    ``from package import name`` means the module *name* where there is one, else what the
    package's own file defines. That a package is imported before its modules is no edge.
    """
    edges = {
        module_name(path): set() for package in TOP_LEVEL for path in (ROOT / package).rglob("*.py")
    }
    for package in TOP_LEVEL:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    assert not node.level, f"{path}: imports are written out"
                    inside = [f"{node.module}.{alias.name}" for alias in node.names]
                    names = [name if name in edges else node.module for name in inside]
                else:
                    continue
                edges[module_name(path)].update(name for name in names if name in edges)
    return edges


def cycles(edges):
    """Sets of modules that import each other, directly or by way of others."""

    def reached(start):
        found, ahead = set(), [start]
        while ahead:
            new = edges[ahead.pop()] - found
            found |= new
            ahead += new
        return found

    beyond = {module: reached(module) for module in edges}
    return {
        frozenset(other for other in beyond[module] if module in beyond[other])
        for module in edges
        if module in beyond[module]
    }


def test_a_cycle_is_found_wherever_it_begins():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}

    assert cycles(edges) == {frozenset("bc"), frozenset("e")}


def test_no_modules_import_each_other():
    """Not for the sake of types either: what has to know each other is one thing."""
    found = [sorted(each) for each in cycles(graph()) if not any(each <= s for s in CYCLES_LEFT)]
    assert found == []


def lines_of_code():
    """(file, number of lines) of what people write and read: Python, JavaScript, CSS."""
    for package in (*TOP_LEVEL, "tests", "benchmarks"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".js", ".css"):
                text = path.read_text(encoding="utf-8")
                yield path.relative_to(ROOT).as_posix(), len(text.splitlines())


def test_no_file_is_too_long_to_read_in_one_sitting():
    lengths = dict(lines_of_code())

    assert {file: n for file, n in lengths.items() if n > LONGEST and file not in LONGER} == {}
    assert lengths["bot/__main__.py"] < 350, (
        "commands alone; what they run is put together elsewhere"
    )


def naming_in_sql(table):
    """Files of ours whose SQL names *table*, told by the word before it."""
    named = re.compile(rf"\b(?:from|join|into|update|table)\s+{table}\b", re.IGNORECASE)
    for package in TOP_LEVEL:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and named.search(text):
                    yield path.relative_to(ROOT).as_posix()


def test_one_module_alone_reads_and_writes_the_table_of_people():
    assert set(naming_in_sql("people")) == {"bot/people.py"}


@pytest.mark.parametrize(
    "heavy",
    ["torch", "diffusers", "transformers", "cv2", "slack_bolt", "discord", "huggingface_hub"],
)
def test_the_way_to_the_first_answer_does_not_import(heavy):
    """Importing these takes seconds, and the page must answer before."""
    code = (
        "import sys, bot.__main__, bot.conversation, adapters.web_chat.server,"
        " generation.executor, generation.control_images, generation.demo.vocabulary;"
        f" sys.exit({heavy!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
