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
    f"generation.{name}" for name in ("errors", "checks", "kinds", "types", "results", "protocols")
)
#: What alone may know everything; nobody else imports it.
ROOTS = ("bot/__main__.py", "bot/assembly/")

#: Lines of a file of code that somebody reads in one sitting.
LONGEST = 600
#: Files that are longer, and why.
LONGER: dict[str, str] = {}

#: What is asked for, which goes through `converse` alone.
ACTS = {"submit", "again", "from_picture", "cancel", "delete", "change_settings"}
#: What a platform may ask the administration itself: who somebody is, and what to complete an
#: id with, and the log as a file.
OF_ADMINS = {"recognise", "is_recognised", "is_admin", "manages", "queue", "audit", "dead_letters"}

#: Words from which on a text is a sentence, and no label; with a full stop one word less.
SENTENCE = 6
#: What is called with sentences that are for operators, for programmers, or declared to Discord
#: in all languages at once.
NOT_TO_PEOPLE = {"CannotBeTold", "ConfigError", "AssertionError", "OutcomeUnknown", "locale_str"}
#: And what describes the HTTP API.
NOT_TO_PEOPLE |= {"Field", "Query", "PathParameter", "Header", "FastAPI"}
#: Adapters' files whose sentences are part of a protocol or for operators alone.
OF_PROTOCOL = {
    "adapters/web_chat/addresses.py": "what is wrong with an address that only HTTP takes",
    "adapters/web_chat/agents.py": "the tools of MCP, as they are described to agents",
    "adapters/web_chat/connections.py": "how a connection ends that has said nothing yet",
    "adapters/web_chat/description.py": "what belongs together in the description of the API",
    "adapters/web_chat/errors.py": "what can only go wrong over HTTP, and the envelope",
    "adapters/web_chat/mcp_server.py": "what the bot is, as it is described to agents",
    "adapters/web_chat/openai/refusals.py": "what can only go wrong in OpenAI's words",
    "adapters/web_chat/reference.py": "the reference of the API, in the language of the API",
    "adapters/web_chat/security.py": "the gate before all routes, which knows nobody's language",
    "adapters/web_chat/webhooks.py": "how webhooks work, in the description of the API",
    "adapters/web_chat/sharing.py": "what each HTTP status means, in the description of the API",
}
FOR_OPERATORS = {
    "adapters/discord_chat/chat.py": "what stands in the log, and in bot check",
    "adapters/prometheus/server.py": "what a program is refused, and what stands in the log",
    "adapters/slack_chat/chat.py": "what stands in the log, and in bot check",
    "adapters/web_chat/mcp_route.py": "why there is no MCP, in the log",
    "adapters/web_chat/server.py": "why it cannot listen",
    "adapters/slack_chat/workspaces.py": "what each of Slack's permissions is for",
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
    assert [sorted(each) for each in cycles(graph())] == []


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


def adapters_code():
    """(file, tree) of each module of an adapter."""
    for path in (ROOT / "adapters").rglob("*.py"):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def acts_in(tree):
    """(line, call) for what is asked of the service past `converse`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        name = getattr(owner, "attr", getattr(owner, "id", ""))
        if (name.strip("_") == "service" and node.attr in ACTS) or (
            name == "admin" and node.attr not in OF_ADMINS
        ):
            yield node.lineno, ast.unparse(node)


def test_what_is_asked_for_past_the_conversation_is_noticed():
    for code in ("self._service.submit(source)", "web.service.again", "service.admin.pause(user)"):
        assert list(acts_in(ast.parse(code))), code
    for code in ("self.service.job(source, id)", "service.admin.recognise(user)", "bot.again()"):
        assert not list(acts_in(ast.parse(code))), code


def test_adapters_ask_for_something_by_conversing_alone():
    assert [(file, *act) for file, tree in adapters_code() for act in acts_in(tree)] == []


def error_names():
    """Names of the classes of errors that are said to people."""
    from generation.errors import FluxbotError

    def below(kind):
        return {kind.__name__}.union(*map(below, kind.__subclasses__()))

    return below(FluxbotError)


def text_of(node):
    """The text that *node* is written as, an x for what is put into it; None where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(each) or "x" for each in node.values)
    return None


def is_sentence(text):
    words = [word for word in text.split() if re.fullmatch(r"[\w’'`]+[.,:;!?…]*", word)]
    return len(words) >= SENTENCE - text.rstrip().endswith((".", "!", "?"))


def sentences_in(tree):
    """(line, text) for what is said to people in the words of *tree*."""
    errors = error_names() | {"Reply"}
    ignored = set()
    for node in ast.walk(tree):
        inner = set(ast.walk(node))
        if isinstance(node, ast.Expr) and text_of(node.value) is not None:
            ignored |= inner  # a docstring
        elif isinstance(node, ast.JoinedStr):
            ignored |= inner - {node}
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            if name in NOT_TO_PEOPLE or owner in ("logger", "router"):
                ignored |= inner
            if name in errors:
                said = [each for each in node.args if text_of(each) is not None]
                yield from ((each.lineno, text_of(each)) for each in said)
                ignored |= set(said)
    for node in ast.walk(tree):
        text = text_of(node)
        if node not in ignored and text is not None and is_sentence(text):
            yield node.lineno, text


@pytest.mark.parametrize(
    "code",
    [
        'raise NotFound("there is none")',
        'return Reply("Done.")',
        'text = "There is no picture in that message."',
        'whisper(place, f"the file has {size} MB; at most {most} MB are read")',
        'say("The form could not be opened in time")',
    ],
)
def test_a_sentence_in_an_adapter_is_noticed(code):
    assert list(sentences_in(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        'def f():\n    """What this is and what it does."""',
        'logger.warning("an answer of a job is lost: %s", error)',
        'raise ConfigError("no token can be used: see above, and the docs")',
        'button("Use as control image")',
        "raise NotFound(Sentence.NOT_OURS)",
    ],
)
def test_labels_and_words_for_operators_are_no_sentences_for_people(code):
    assert not list(sentences_in(ast.parse(code)))


def test_every_sentence_for_people_comes_from_the_bot():
    """There it is said once for all platforms, and in the person's language."""
    exempt = OF_PROTOCOL | FOR_OPERATORS
    found = [
        (file, *said)
        for file, tree in adapters_code()
        for said in sentences_in(tree)
        if file not in exempt
    ]
    assert found == []


def reached_into(source, parts):
    """Private names in *source* that are reached through one of *parts*, as ``service._worker``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            whole, name = node.value, node.attr
        elif isinstance(node, ast.Call) and len(node.args) > 1:  # setattr(service, "_worker", …)
            whole, name = node.args[0], getattr(node.args[1], "value", None)
        else:
            continue
        of = getattr(whole, "attr", getattr(whole, "id", None))
        if of in parts and isinstance(name, str) and re.match("_[a-z]", name):
            yield f"{of}.{name}"


def test_a_reach_into_a_part_is_found_however_it_is_written():
    source = """
bot.service._worker.times
monkeypatch.setattr(service, "_complete", broken)
Service._admit = split
service.__init__, self._worker, service.job("_x", "_y")
"""

    found = set(reached_into(source, {"service", "Service"}))

    assert found == {"service._worker", "service._complete", "Service._admit"}


def test_what_a_test_needs_of_the_service_it_sees_from_outside():
    """Else the service could not be rebuilt without rewriting its tests."""
    parts = {"service", "Service", "worker", "_worker"}
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in (*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"))
        for name in reached_into(path.read_text(encoding="utf-8"), parts)
    }

    assert found == set()


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
    [
        "torch",
        "diffusers",
        "transformers",
        "cv2",
        "slack_bolt",
        "discord",
        "huggingface_hub",
        "mcp",
    ],
)
def test_the_way_to_the_first_answer_does_not_import(heavy):
    """Importing these takes seconds, and the page must answer before."""
    code = (
        "import sys, bot.__main__, bot.conversation, adapters.web_chat.server,"
        " generation.executor, generation.control_images, generation.demo.vocabulary;"
        f" sys.exit({heavy!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_strangers_files_are_decoded_by_processes_with_limits_alone():
    """`PillowControlImages` does the same in this very process, for tests and measurements."""
    for path in [*(ROOT / "bot").rglob("*.py"), *(ROOT / "adapters").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")

        assert "PillowControlImages" not in text, path
        assert path.name == "attachments.py" or "control_images.clean" not in text, path
