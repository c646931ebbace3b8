"""Documents that cannot rot: what the how-to pages name is there, and what they show works.

The README's figures about reading the code are held here too.
"""

import __future__

import asyncio
import importlib.util
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer.main

from bot.__main__ import app
from bot.commands import parse
from bot.config import Config, load_config
from bot.conversation import converse
from bot.following import Following
from bot.refusals import Screened
from bot.source import Source
from bot.windows import Way, Window
from generation.diffusion.family import Family, Model
from generation.kinds import KINDS
from generation.stub import StubEngine
from generation.types import GenerationRequest
from tests.conftest import until
from tests.samples import picture

ROOT = Path(__file__).parent.parent
HOWTO = ROOT / "docs" / "howto"
PAGES = sorted(HOWTO.glob("*.md"))

#: One screen.
MOST_LINES, MOST_COLUMNS = 50, 110
#: Folders whose files the pages name.
FOLDERS = "adapters|benchmarks|bot|deploy|docs|generation|tests"
#: What the pages tell people to make, and what belongs to others.
MADE = {"bot/translations/it.toml", "adapters/mail/chat.py"}
FOREIGN = {"FORWARDED_ALLOW_IPS"}


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return request.param


@pytest.fixture
def text(page):
    return page.read_text(encoding="utf-8")


def said_on(page):
    return (HOWTO / f"{page}.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def quoted(text):
    """What stands in `backticks` outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def sources():
    """All that we have written, but for documents and this file."""
    for pattern in ("*.py", "*.toml", "*.js", "*.sql"):
        for folder in FOLDERS.split("|"):
            for path in sorted((ROOT / folder).rglob(pattern)):
                if path != Path(__file__):
                    yield path.read_text(encoding="utf-8")
    for name in ("config.toml", "Makefile", "pyproject.toml"):
        yield (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def words():
    return set(re.findall(r"\w+", " ".join(sources())))


def test_there_is_a_page_for_each_need():
    assert len(PAGES) >= 7


def test_a_page_is_one_screen_that_begins_with_the_need(text):
    lines = text.splitlines()

    assert re.match(r"# [A-Z]\w+ ", lines[0])
    assert lines[2].startswith("You ")
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > MOST_COLUMNS] == []


def test_a_page_is_linked_where_people_look(page):
    documents = [ROOT / "README.md", ROOT / "docs" / "architecture.md"]

    assert any(f"howto/{page.name})" in each.read_text(encoding="utf-8") for each in documents)


@pytest.mark.parametrize(
    "document",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda path: path.stem,
)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_files_that_a_page_names_exist(text):
    found = set(re.findall(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]*\w/?", text))

    assert {name for name in found - MADE if not (ROOT / name).exists()} == set()


def test_names_of_code_that_a_page_mentions_exist(text, words):
    names = {name for each in quoted(text) for name in re.findall(r"^\.?[\w.]*\w(?=\(\)$|$)", each)}
    names = {name for name in names if re.search(r"[A-Z_]", name) and not name.isdecimal()}
    own = set(re.findall(r"\w+", " ".join(blocks(text, "python"))))

    unknown = {name for name in names if not set(name.split(".")) <= words | own | FOREIGN}
    assert unknown == set()


def test_settings_that_a_page_names_exist(text):
    for section, key in re.findall(r"`(?:\[)?([a-z_]+)\.([a-z_]+)(?: = [^`]*)?`", text):
        if section in Config.model_fields:
            fields = Config.model_fields[section].annotation.model_fields
            assert key in fields, f"{section}.{key}"


def test_commands_that_a_page_names_exist(text):
    targets = re.findall(r"^([^\s:#.]\S*|\$\(VENV\)/\S+):", (ROOT / "Makefile").read_text(), re.M)
    targets = {target.replace("$(VENV)", ".venv") for target in targets}
    for target in re.findall(r"(?:^|`)make (\S+?)(?=[\s`])", text, re.MULTILINE):
        assert target in targets, f"make {target}"
    for line in re.findall(r"python -m bot\b((?: [a-z][a-z-]*)*)", text):
        command = typer.main.get_command(app)
        for word in line.split():
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, f"python -m bot{line}"
            command = command.commands[word]
    for module in re.findall(r"python -m (benchmarks\.\w+)", text):
        assert importlib.util.find_spec(module), module


def test_what_a_page_tells_people_to_say_is_understood(text):
    for said in quoted(text):
        if re.match(r"admin \w|again\b|show ", said):
            parse(said)  # raises where it is not


def run_blocks(text, known=None):
    """Names that the Python blocks of *text* define.

    A block whose first line names a file stands in it, and knows what is known there; all
    know *known*, and the blocks before.
    """
    known, made = known or {}, {}
    for block in blocks(text, "python"):
        file = re.match(r"# ([a-z]\w*(?:/\w+)+)\.py\b", block)
        around = {}
        if file and (ROOT / f"{file[1]}.py").exists():
            around = vars(importlib.import_module(file[1].replace("/", ".")))
        names = {**known, **around, **made}
        flags = __future__.annotations.compiler_flag  # as in all of our modules
        exec(compile(block, "how-to page", "exec", flags), names)
        made |= {name: each for name, each in names.items() if around.get(name) is not each}
    return made


def test_python_on_a_page_runs_where_the_page_says_that_it_stands(text):
    run_blocks(text)


def test_the_kind_on_its_page_is_written_and_read_and_draws(monkeypatch, fox, tmp_path):
    made = run_blocks(said_on("add-a-kind"))
    kind, draw = made["TouchUp"], made["touched_up"]
    monkeypatch.setitem(KINDS, kind.name, kind)
    model = SimpleNamespace(image_to_image=SimpleNamespace(transformer="the transformer"))
    file = tmp_path / "square.png"
    file.write_bytes(picture(64, 64))
    request = replace(fox, kind=kind().with_strength(0.4, "x"), pictures={"control_image": file})
    engine = StubEngine()
    engine.load()

    call = draw(model, request.kind, None)

    assert GenerationRequest.from_dict(request.to_dict(), tmp_path) == request
    assert call.arguments == {"strength": 0.4}
    assert engine.generate(request, lambda step: None).image.size == (fox.width, fox.height)


class Mailbox:
    """Two letters, and the answers to them."""

    def __init__(self, service):
        self.service = service
        self.letters = [SimpleNamespace(sender="ada", id="mail:1", text="a fox", pictures=[])]
        self.letters.append(SimpleNamespace(sender="bob", id="mail:2", text="quota", pictures=[]))
        self.written = []
        self.sent = []

    async def __aiter__(self):
        for letter in self.letters:
            yield letter
        await asyncio.Event().wait()

    async def write(self, to, text):
        self.written.append((to, text))

    def window(self, job, say):
        async def done(*said):
            pass

        async def send(attempt):
            path = await self.service.lookups.picture(Source(job.user), job.id)
            self.sent.append((job.reply_to["to"], path.read_bytes()[:4]))

        return SimpleNamespace(
            open=done,
            ready=done,
            show=done,
            note=done,
            ways=lambda: [Way(send)],
            judge=lambda error: None,
        )


async def test_the_platform_on_its_page_answers_and_delivers(bot, gate):
    names = {"Following": Following, "Source": Source, "converse": converse, "asyncio": asyncio}
    serve = run_blocks(said_on("add-a-platform"), names)["serve"]
    mailbox = Mailbox(bot.service)
    gate.open()

    serving = asyncio.create_task(serve(bot.service, mailbox))
    await until(lambda: mailbox.sent and mailbox.written)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    assert mailbox.sent == [("ada", b"\x89PNG")]
    assert [to for to, _ in mailbox.written] == ["bob"]


async def test_the_executor_on_its_page_draws(fox):
    make = run_blocks(said_on("add-an-executor"))["_without_a_model"]
    executor = make(None)

    await executor.start()
    drawn = await executor.generate(fox, lambda step: None)
    await executor.close()

    assert drawn.image.size == (fox.width, fox.height)


async def test_the_screen_on_its_page_refuses_words(make_bot):
    bot = await make_bot()
    bot.judges = {"clouds": run_blocks(said_on("add-a-screen"))["CloudsScreen"]}
    service = await bot.restart()

    await service.submit(Source("web:ada"), parse("a fox"))
    with pytest.raises(Screened, match="clouds are not drawn here"):
        await service.submit(Source("web:ada"), parse("a fox under Clouds"))


def members(*protocols):
    return {name for each in protocols for name in vars(each) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("page", "names"),
    [("add-a-platform", members(Window)), ("add-a-model-family", members(Family, Model))],
)
def test_the_table_of_a_page_has_all_that_is_asked_for(page, names):
    table = said_on(page).partition("| member |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == names


def test_settings_on_a_page_can_be_read(text, tmp_path):
    path = tmp_path / "config.toml"
    for block in blocks(text, "toml"):
        assert tomllib.loads(block)
        path.write_text((ROOT / "config.toml").read_text(encoding="utf-8"), encoding="utf-8")
        if re.search(r"^\[presets\.", block, re.MULTILINE):
            path.write_text(f"{path.read_text(encoding='utf-8')}\n{block}", encoding="utf-8")
        else:
            path.write_text(block, encoding="utf-8")
        load_config(path)


@pytest.mark.parametrize("package", ["bot", "bot/assembly", "generation", "generation/diffusion"])
def test_the_map_shows_every_room(package):
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^ +([\w/]+?)(?:\.py|/) ", architecture, re.MULTILINE))
    rooms = {path.stem for path in (ROOT / package).glob("*.py")}

    assert rooms - named - {"__init__"} == set()


def lines_of(names):
    """Lines of code in *names*, files and folders, without empty ones."""
    total = 0
    for name in names:
        path = ROOT / name
        for file in path.glob("*.py") if path.is_dir() else [path]:
            total += sum(bool(line.strip()) for line in file.read_text("utf-8").splitlines())
    return total


def test_the_readme_tells_truly_how_long_the_code_is_to_read():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Reading the code")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d\. .*?\(([\d,]+) lines", section, re.MULTILINE | re.DOTALL)
    parts = re.split(r"^\d\. ", section, flags=re.MULTILINE)[1:]

    steps = [int(said.replace(",", "")) for said in steps]
    assert len(steps) == len(parts) == 4
    for said, part in zip(steps, parts, strict=True):
        names = re.findall(rf"`((?:{FOLDERS})/[^`]+)`", part.partition(" lines)")[0])
        names = [each for name in names for each in in_braces(name)]
        assert said == pytest.approx(lines_of(names), rel=0.1), names
    (total,) = re.findall(r"([\d,]+) lines in all", section)
    (minutes,) = re.findall(r"(\d+) minutes", section)
    assert int(total.replace(",", "")) == pytest.approx(sum(steps), rel=0.02)
    assert int(minutes) == pytest.approx(sum(steps) / 200, rel=0.1)


def in_braces(name):
    """``a/b.py`` and ``a/c.py`` for ``a/{b,c}.py``."""
    start, brace, rest = name.partition("{")
    inside, _, end = rest.partition("}")
    return [start + each.strip() + end for each in inside.split(",")] if brace else [name]
