"""The layers, as a test: adapters -> bot -> the vocabulary of generation, and never back."""

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
        if path != ROOT / "bot" / "__main__.py" and module.split(".")[0] in TOP_LEVEL:
            yield path.relative_to(ROOT).as_posix(), module


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
    every = [each for package in TOP_LEVEL for each in imports(package)]
    assert [path for path, module in every if module.startswith("bot.__main__")] == []


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


@pytest.mark.parametrize("heavy", ["torch", "diffusers", "transformers", "cv2", "slack_bolt"])
def test_the_way_to_the_first_answer_does_not_import(heavy):
    """Importing these takes seconds, and the page must answer before."""
    code = (
        "import sys, bot.__main__, bot.conversation, adapters.web_chat.server,"
        " generation.executor, generation.control_images, generation.demo.vocabulary;"
        f" sys.exit({heavy!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
