"""Every sentence that our code says to people, read from the code itself.

Sentences with figures are f-strings where they are made, and are translated by their pattern:
`f"{name} is not held"` is “{0} is not held”. What admins and operators alone read stays English.
"""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

from bot import admission, exports, outcomes, own_data, standstill
from bot.administration import DRAINING, PAUSED
from bot.assembly.about import about_model
from bot.commands import DRAWING, VERBS
from bot.commands.values import Number, Several
from bot.config import Config
from bot.engines import LOADING, LOADING_FOR, NO_ENGINE
from bot.jobs import JobStatus
from bot.lineage import LINES, OLDER
from bot.reasons import RESTARTS, LeftBehind, Reason
from bot.replies import NOTIFICATIONS
from bot.screening import pictures, words
from bot.screens import BROKEN
from bot.sentences import Hint, Sentence
from bot.worker import NOTES
from generation import cleaning, decoders
from generation.kinds import KINDS, Kind

ROOT = Path(__file__).parent.parent.parent

#: Errors that operators read, in the log or where they start the bot.
FOR_OPERATORS = {
    "ConfigError",
    "DecodingUnavailable",
    "EngineLost",
    "GenerationCancelled",
    "ModelUnavailable",
    "OutOfMemory",
    "WeightsDamaged",
}
#: Modules that speak with the words of the chat's page, which has tests of its own.
WITH_WORDS_OF_THE_PAGE = {"adapters/web_chat/picture_pages.py"}
#: Modules whose refusals admins alone read, or programs that speak HTTP.
FOR_ADMINS = {
    "bot/administration.py",
    "bot/config.py",
    "bot/invitations.py",
    "bot/orders.py",
    "bot/refused_words.py",
    "bot/review.py",
    "bot/servers.py",
    "adapters/web_chat/errors.py",
    "adapters/web_chat/agents.py",
    "adapters/web_chat/openai/refusals.py",
}
#: How refusals of a preset or of an admin's command begin, beside others in the same module.
ADMINS_READ = (
    "a preset has either",
    "a preset that inpaints has either",
    "admin what?",
    "control_guidance_start",
    "credits {0}",
    "preprocessor must be",
    "prompt_template must",
    "there is no kind",
    "this Idempotency-Key",
    "upscale enlarges",
    "the engine sent",
    "nobody has reported",
    "{0} does not fit: write {1}",
    "{0} is not a channel",
    "{0} is not a job id; admin queue",
    "{0} is not an admin command",
    "{0} is {1}: cancel or reject it instead",
    "{0} manages this server too",
)
#: Functions that make an error, and the place of the sentence among their arguments.
MAKERS = {"error_at": 1, "WrongValue": 0, "refusal": 0, "error": 1}
#: Parts of sentences, and sentences, that are made before they are handed on.
MADE = {
    "a number between {0} and {1}",
    "a whole number between {0} and {1}",
    "a whole number",
    "a number",
    "choose one of {0}",
    "codes",
    "prices, control maps and inspections",
    "chunks",
    "segments",
    "downloading {0}, {1} %",
    "loading {0}",
    "short of memory; trying again in smaller parts",
    "{0} × {1} pixels do not fit into the memory of {2}: ask for a smaller picture ({3})",
    "{0} must be {1} between {2} and {3}, not {4}; leave it out for a new one",
    "did you mean {0}?",
    "{0} credits for {1}",
    "{0} credits for {1}, {2} granted",
    " ({0} of them for a moderator)",
    "{0}; your credits were given back",
    "{0}. That was strike {1} of {2}: you cannot draw for {3}.",
    "{0}. That was strike {1} of {2}; at {3} you cannot draw for {4}.",
    ", not {0} × {1}",
    ", not {0} × {1}, unless it is a JPEG",
    "this preset takes no control image: leave it out, or choose another preset",
    "this preset needs a control image: attach one",
    "this preset needs {0} pictures: attach as many",
    "this preset takes {0} or {1} pictures: attach as many",
    "this preset takes {0} to {1} pictures: attach as many",
    "I draw with {0}. Say what you would like to see.",
    # Remarks under a picture
    "Builds on {0} and keeps {1}.",
    "preset {0}",
    "its control image",
    "its prompt",
    "That was drawn with {0}; {1} draws it differently.",
    "In the prompt, {0} was read as --lora {1}.",
    "These LoRAs are no longer offered, and were left out: {0}.",
    "These LoRAs were made for another model, and were left out: {0}.",
    "Trigger words were added to the prompt: {0}.",
    "The demo model does not know {0}, and draws the rest.",
    "The demo model knows the sizes {0}, and draws roughly at others.",
    "The picture is animated; only its first frame is used.",
    "Your picture has {0} × {1} pixels, the result {2} × {3}.",
    "What you attached was followed as the control map that it is.",
    "Drawn anew where your two pictures differ: {0} % of them.",
    "The prompt has {0} tokens, of which the model reads the first {1}: what comes after them is"
    " left out.",
}
#: Words for files that `generation.cleaning` knows by more than their beginning.
OTHER_KINDS = {
    "a HEIC, which cannot be read here",
    "an AVIF, which cannot be read here",
    "a video",
    "an SVG",
    "a web page",
    "a text",
    "no picture that I can read",
}


def spoken():
    """All of them, but for the names and descriptions of Discord's commands."""
    found = {str(status) for status in JobStatus} | MADE | errors()
    found |= {PAUSED, DRAINING, LOADING, LOADING_FOR, NO_ENGINE, BROKEN, *standstill.SENTENCES}
    found |= {*LINES.values(), OLDER, *NOTES, RESTARTS, *map(str, Reason), *map(str, LeftBehind)}
    found |= {*map(str, Sentence), *map(str, Hint), *NOTIFICATIONS.values()}
    found |= {outcomes.OUR_FAULT, outcomes.UNREADABLE, own_data.DELETED_HERE, own_data.LATER}
    found |= {outcomes.LOST_TOO_OFTEN, outcomes.ENGINE_LOST_TOO_OFTEN}
    found |= {outcomes.MACHINES_LOST_TOO_OFTEN, admission.DELETING, exports.FULL}
    found |= {words.REFUSED, words.MINORS, pictures.REFUSED}
    found |= {decoders.TOO_LONG, decoders.TOO_MUCH_MEMORY, decoders.BROKE_THE_DECODER}
    found |= {cleaning.WAY_OUT, *(name for _, name in cleaning.OTHER_FILES), *OTHER_KINDS}
    found |= {kind.strengthless for kind in (Kind, *KINDS.values())}
    found |= set(shipped_presets())
    found |= {option.help for option in DRAWING} | {
        option.value for option in DRAWING if not isinstance(option.kind, Number | Several)
    }
    found |= {verb.help for verb in VERBS} | {verb.usage for verb in VERBS if "[" in verb.usage}
    found.add(about_model(Config()).text)
    return {each for each in found if each and not each.startswith("admin ")} | said()


def shipped_presets():
    """Descriptions of the presets that ship with the bot, and of those that it suggests."""
    text = (ROOT / "config.toml").read_text(encoding="utf-8")
    return re.findall(r'^#? ?description = "(.+)"', text, re.M)


@cache
def trees():
    """Every module of ours: its path and its syntax tree."""
    paths = [
        path for top in ("bot", "adapters", "generation") for path in ROOT.glob(f"{top}/**/*.py")
    ]
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(paths)
    }


def said():
    """Sentences that are said in the person's language where they stand."""
    found = set()
    for path, tree in trees().items():
        if path.startswith("generation/") or path in WITH_WORDS_OF_THE_PAGE:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                says = {"say": node.args[:1]}.get(name, [])
                if name == "counted" and isinstance(node.func, ast.Attribute):
                    says = node.args[1:3]
                found |= {each for arg in says for each in sentences(arg, path)}
    return found


def errors():
    """Sentences of errors that people read."""
    kinds = error_classes() - FOR_OPERATORS
    found = set()
    for path, tree in trees().items():
        if path in FOR_ADMINS:
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = 0 if name in kinds else MAKERS.get(name)
            if place is None or len(node.args) <= place or is_logging(node):
                continue
            lead = "{0} " if name == "WrongValue" else ""
            found |= {numbered(lead, each) for each in sentences(node.args[place], path)}
    return {each for each in found if not each.startswith(ADMINS_READ) and each != "{0} {1}"}


def is_logging(node):
    return "log" in ast.unparse(node.func).lower()


@cache
def error_classes():
    """Names of the classes below FluxbotError."""
    found = {"FluxbotError"}
    for _ in range(5):
        for tree in trees().values():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and found & {
                    ast.unparse(each) for each in node.bases
                }:
                    found.add(node.name)
    return found


def sentences(node, path):
    """The sentences that an expression can be, as far as they stand there."""
    match node:
        case ast.Constant(value=str()):
            return [node.value]
        case ast.JoinedStr():
            return [pattern(node)]
        case ast.IfExp():
            return [*sentences(node.body, path), *sentences(node.orelse, path)]
        case ast.BoolOp():
            return [each for value in node.values for each in sentences(value, path)]
        case ast.Name() if node.id.isupper():
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            return [str(getattr(module, node.id))]
    return []


def pattern(node):
    """The sentence of an f-string, with its places numbered; constants stand for themselves."""
    words, count = "", 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            words += part.value.replace("{", "{{").replace("}", "}}")
        else:
            words += f"{{{count}}}"
            count += 1
    return words


def numbered(lead, sentence):
    """*sentence* behind *lead*, its places numbered anew."""
    if not lead:
        return sentence
    for number in reversed(range(10)):
        sentence = sentence.replace(f"{{{number}}}", f"{{{number + 1}}}")
    return lead + sentence
