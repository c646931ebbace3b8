"""How many faults in one place the tests find: the core is broken at random, one line at a time.

    python -m benchmarks.mutants                         60 mutants of bot/ and generation/
    python -m benchmarks.mutants --seed 7 --count 200    others, and more of them
    python -m benchmarks.mutants --only bot/ledger.py    all modules whose path begins so
    python -m benchmarks.mutants --all                   every mutant; a night or two

The operators are those of cosmic-ray, whose own runner knows one command for all tests: here each
mutant meets the tests of its module first, then those that import most nearly from it, until one
fails or its time is over. (mutmut calls the tests inside its own process, which ours would fork,
serve and kill.) One operator is ours: a call whose result nobody uses is left out.

Not broken, since no promise hangs on them: annotations, docstrings, what is logged, how a
dataclass is stored, and figures above 3 (a patience of 2001 ms is as good as one of 2000 ms).

A survivor gets its test, or its line in ``benchmarks/mutants.toml`` with the reason why it is
equivalent. All work is done in copies, in a temporary folder.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated

import parso
import typer
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parent.parent
EQUIVALENT = Path(__file__).with_suffix(".toml")
BROKEN = ("bot/", "generation/")
LEFT_OUT = ("generation/demo/", "bot/migrations/")
OPERATORS = (
    *("AddNot", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceFalseWithTrue", "ReplaceTrueWithFalse"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq")
    ),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul")
    ),
    *("ReplaceBinaryOperator_BitAnd_BitOr", "ReplaceBinaryOperator_BitOr_BitAnd"),
)
MOST_BROKEN_FIGURE = 3
#: Test files that are tried together, before all the others.
NEAREST = 5
#: Seconds after which a single test counts as hanging, and so as failed.
HANGS = 30
_DOTTED = re.compile(r"([a-z]\w*(?:\.\w+)+)(?::\w+)?")
_FAILED = re.compile(r"^(tests/\S+::.+?) (?:FAILED|ERROR)", re.M)
_NOT_BEGUN = re.compile(r"^(?:FAILED|ERROR) (tests/\S+)", re.M)
_HUNG = re.compile(r"^(tests/\S+::.+?) \+{9}", re.M)


class LeaveOutCall(Operator):
    """Leaves out a call whose result nobody uses."""

    def mutation_positions(self, node):
        statement = node.parent if node.type in ("atom_expr", "power", "await_expr") else None
        if statement is not None and statement.type == "simple_stmt":
            last = node.children[-1]
            if last.type == "trailer" and last.children[0].value == "(":
                yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        left_out = parso.parse("pass").children[0]
        left_out.prefix = node.get_first_leaf().prefix
        return left_out

    @classmethod
    def examples(cls):
        return ()


@dataclass(frozen=True)
class Mutant:
    """One module with one fault.

    Attributes:
        path: The module, from the root of the checkout.
        sound, broken: Its whole text without and with the fault.
        before, after: The lines that differ, without the space around them.
    """

    path: str
    sound: str
    broken: str
    number: int
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.path, self.before, self.after


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    found_by: str | None


class _Bare(ast.NodeTransformer):
    """A module without what no promise hangs on."""

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_arguments(self, node):
        # Which of them may be given by name, or must be.
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults = [*node.defaults, *filter(None, node.kw_defaults)]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        node.decorator_list = [
            each for each in node.decorator_list if "dataclass" not in ast.unparse(each)
        ]
        return self.generic_visit(node)

    def visit_If(self, node):
        return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    def visit_Expr(self, node):
        shown = ast.unparse(node)
        is_log = shown.startswith(("logger.", "log."))
        is_unpromised = isinstance(node.value, ast.Constant) or is_log
        return ast.Pass() if is_unpromised or shown == "pass" else self.generic_visit(node)

    def visit_Pass(self, node):
        return ast.Pass()


def bare(source: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(source)))


def modules(only: list[str]) -> list[str]:
    """Paths of the modules to break; *only* are beginnings of paths."""
    return sorted(
        path
        for path in kept_files()
        if path.endswith(".py")
        and path.startswith(tuple(only) or BROKEN)
        and (only or not path.startswith(LEFT_OUT))
    )


@cache
def kept_files() -> tuple[str, ...]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    shown = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(path for path in shown.stdout.splitlines() if (ROOT / path).is_file())


def places_of(path: str) -> Iterator[tuple[str, Operator, int]]:
    """Path, operator and occurrence of each change that an operator can make to a module."""
    nodes = list(ast_nodes(get_ast((ROOT / path).read_text(encoding="utf-8"))))
    for operator in (*(get_operator(f"core/{name}")() for name in OPERATORS), LeaveOutCall()):
        occurrences = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        yield from ((path, operator, occurrence) for occurrence in range(occurrences))


def lot(seed: int, place: tuple[str, Operator, int]) -> bytes:
    """What orders *place* among the others of a sample. A change of one module leaves the places
    of all others where they are, so that a sample can be tried again."""
    path, operator, occurrence = place
    return hashlib.sha256(f"{seed} {path} {type(operator).__name__} {occurrence}".encode()).digest()


def mutant_at(path: str, operator: Operator, occurrence: int) -> Mutant | None:
    """The mutant of that place; None where no promise hangs on what differs."""
    source = (ROOT / path).read_text(encoding="utf-8")
    broken = MutationVisitor.mutate_code(source, operator, occurrence)
    try:
        if bare(broken) == bare(source):
            return None
    except SyntaxError:
        return None
    mutant = _mutant(path, source, broken)
    is_figure = type(operator).__name__ == "NumberReplacer"
    return None if is_figure and _is_large(mutant) else mutant


def _mutant(path: str, source: str, broken: str) -> Mutant:
    old, new = source.splitlines(), broken.splitlines()
    first = _same(old, new)
    last = _same(old[first:][::-1], new[first:][::-1])
    before, after = (
        " ".join(line.strip() for line in lines[first : len(lines) - last]) for lines in (old, new)
    )
    return Mutant(path, source, broken, first + 1, before, after)


def _same(old: list[str], new: list[str]) -> int:
    """How many lines both have in common at the beginning."""
    pairs = list(zip(old, new, strict=False))
    return next((number for number, (one, other) in enumerate(pairs) if one != other), len(pairs))


def _is_large(mutant: Mutant) -> bool:
    """Whether the figure that differs was above MOST_BROKEN_FIGURE."""
    figures = [
        [
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        ]
        for text in (mutant.sound, mutant.broken)
    ]
    changed = [old for old, new in zip(*figures, strict=False) if old != new]
    return not changed or abs(changed[0]) > MOST_BROKEN_FIGURE


@cache
def imported(path: str) -> frozenset[str]:
    """Paths of our own modules that the module at *path* imports, or starts by their name."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and (named := _DOTTED.fullmatch(str(node.value))):
            names.add(named[1])
    stems = [name.replace(".", "/") for name in names]
    kept = set(kept_files())
    return frozenset(
        each for stem in stems for each in (f"{stem}.py", f"{stem}/__init__.py") if each in kept
    )


@cache
def distances(test: str) -> dict[str, int]:
    """How many imports away from a test file each module is that it reaches."""
    around = [test, *(f"{folder}/conftest.py" for folder in map(str, Path(test).parents))]
    far = {path: 0 for path in around if path in kept_files()}
    waiting = deque(far)
    while waiting:
        path = waiting.popleft()
        for other in imported(path):
            if other not in far:
                far[other] = far[path] + 1
                waiting.append(other)
    return far


@cache
def tests_of(path: str) -> tuple[str, ...]:
    """Test files that reach the module at *path*: its own (a file or a folder), those of its
    package and of modules that import it, then those that are the fewest imports away from it,
    and name it most often."""
    stem, folder, top = Path(path).stem, f"tests/{Path(path).parent}", Path(path).parts[0]
    is_in_package = Path(path).parent != Path(top)
    importers = {Path(each).stem for each in modules([]) if path in imported(each)}
    ranked = []
    for test in kept_files():
        if not re.fullmatch(r"tests/.*test_\w+\.py", test):
            continue
        tested = Path(test).stem.removeprefix("test_")
        far = distances(test).get(path)
        if far is not None or tested == stem:
            named = (ROOT / test).read_text(encoding="utf-8").count(stem)
            is_own = tested == stem or test.startswith(f"tests/{path.removesuffix('.py')}/")
            is_of_importer = tested in importers and test.startswith(f"tests/{top}/")
            is_near = is_of_importer or (is_in_package and test.startswith(f"{folder}/"))
            kinship = 0 if is_own else 1 if is_near else 2
            ranked.append((kinship, not test.startswith(folder), far or 0, -named, test))
    return tuple(test for *_, test in sorted(ranked))


class Copy:
    """A copy of the checkout, in which one mutant at a time is tried."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._red: set[str] = set()
        for path in kept_files():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / path)

    def verdict(self, mutant: Mutant) -> Verdict:
        """Which test finds *mutant*; None where all passed, or time was over."""
        ends = time.monotonic() + self._seconds
        tests = tests_of(mutant.path)
        for group in (tests[:NEAREST], tests[NEAREST:]):
            while group:
                self._write(mutant.path, mutant.broken)
                try:
                    found_by = self._failing(group, ends)
                finally:
                    self._write(mutant.path, mutant.sound)
                if found_by is None:
                    break
                # A test that fails in a sound copy too has found nothing.
                if self._failing((found_by,), time.monotonic() + self._seconds) is None:
                    return Verdict(mutant, found_by)
                self._red.add(found_by)
        return Verdict(mutant, None)

    def _write(self, path: str, source: str) -> None:
        (self._folder / path).write_text(source, encoding="utf-8")

    def _failing(self, tests: tuple[str, ...], ends: float) -> str | None:
        """The first of *tests* that fails, or the first file where none could begin."""
        left = ends - time.monotonic()
        if left <= 0:
            return None
        refused = [f"--deselect={each}" for each in self._red]
        called = [sys.executable, "-m", "pytest", "-x", "-v", "-rfE", "-p", "no:cacheprovider"]
        # A signal ends a hanging test, but not the fixture that waits for what hangs.
        called += [f"--timeout={HANGS}", "--timeout-method=thread"]
        called += ["--hypothesis-seed=0", *refused, *tests]
        returned, shown = _run(called, self._folder, left)
        for pattern in (_FAILED, _NOT_BEGUN):
            if found := pattern.search(shown):
                return found[1]
        if returned in (None, 0, 5):
            return None
        begun = _HUNG.search(shown)
        return begun[1] if begun else tests[0]


def _run(called: list[str], folder: Path, seconds: float) -> tuple[int | None, str]:
    """What pytest returned, None where time was over, and what it printed until a test failed.
    All that it started ends with it; a pipe would stay open until then."""
    ends = time.monotonic() + seconds
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as output_folder:
        output = Path(output_folder) / "output"
        with output.open("wb") as written:
            running = subprocess.Popen(
                called,
                cwd=folder,
                env=environment,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            while running.poll() is None and time.monotonic() < ends:
                # What broke the test may keep its fixtures from ending.
                if _FAILED.search(output.read_text(encoding="utf-8", errors="replace")):
                    break
                time.sleep(0.2)
            returned = running.poll()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        return returned, output.read_text(encoding="utf-8", errors="replace")


def equivalents() -> dict[tuple[str, str, str], str]:
    """Reasons of the mutants that no test can find."""
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    return {(each["module"], each["before"], each["after"]): each["reason"] for each in listed}


def main(
    count: Annotated[int, typer.Option(help="Mutants to try.")] = 60,
    seed: Annotated[int, typer.Option(help="Which mutants these are.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Beginning of modules' paths.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Try every mutant.")] = False,
    jobs: Annotated[int, typer.Option(help="Mutants to try at a time.")] = 2,
    seconds: Annotated[float, typer.Option(help="Most for one mutant.")] = 120.0,
) -> None:
    """Break the core at random, one line at a time, and print what the tests find."""
    places = [place for path in modules(only or []) for place in places_of(path)]
    if not is_all:
        places.sort(key=partial(lot, seed))
    possible = (mutant for place in places if (mutant := mutant_at(*place)) is not None)
    found = list(possible if is_all else islice(possible, count))
    reasons = equivalents()
    tried = [mutant for mutant in found if mutant.key not in reasons]
    verdicts = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(jobs):
            copies.put(Copy(Path(folder) / f"copy-{number}", seconds))

        def tried_out(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                return copy.verdict(mutant)
            finally:
                copies.put(copy)

        for verdict in pool.map(tried_out, tried):
            verdicts.append(verdict)
            mutant = verdict.mutant
            place = f"{mutant.path}:{mutant.number}"
            if verdict.found_by is None:
                print(f"{place} SURVIVED\n  - {mutant.before}\n  + {mutant.after}", flush=True)
            else:
                print(f"{place} found by {verdict.found_by}", flush=True)
    survived = sum(verdict.found_by is None for verdict in verdicts)
    score = 1 - survived / len(tried) if tried else 1.0
    print(
        f"\n{len(tried) - survived} of {len(tried)} found, {score:.0%};"
        f" {len(found) - len(tried)} more are equivalent (seed {seed})"
    )


if __name__ == "__main__":
    typer.run(main)
