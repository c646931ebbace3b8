"""The strings in the page's scripts, and which of them people read."""

import re
from dataclasses import dataclass

#: What ends a value, so that a slash behind it divides.
_VALUE = re.compile(r"[\w)\]}'\"`]$")
_BEFORE_REGEX = re.compile(r"\b(return|typeof|case)$")
#: Where a string is for the machine: classes, selectors, names of modules and of styles.
_FOR_MACHINES = re.compile(
    r"(class: [^,{}\"]*|className = |\bfrom |\bimport\(?|matchMedia\(|querySelector(All)?\("
    r"|plural\([^\"]*|closest\(|matches\(|toggle\(|setProperty\([^)]*|style\.\w+ = |\bcase "
    r"|new EventSource\(|\bkey: "
    r"|\b(askOnce|say|send|onSay)\(|act\([^,]*, |=> |title = [^`]*|SIGNED_OUT = )$"
)
_WORDS = re.compile(r"^[^a-zA-Z{]*[A-Z][a-z]|[a-zA-Z]{2,}[,;:.…]? |[ “][a-zA-Z]{2,}")
#: Where a string is shown, even a word that could be one for the machine.
_SHOWN = re.compile(r"\b(text: |brief: |chips\.(push|unshift)\()$")
#: Words that look as if people read them, and do not.
_NAMES = re.compile(
    r"Arrow\w+|Enter|Escape|Tab|Home|End|Files|AbortError|Content-Type|Retry-After|Idempotency-Key"
    r"|BroadcastChannel|Notification|Discord|Slack|fluxbot.*|image/.*|[\w-]+/[\w.-]+|application/json|prefers-.*|Event"
)


@dataclass
class Literal:
    """A string in a script: its text, with ``{0}`` for what is put in, and its place."""

    text: str
    start: int
    end: int
    before: str
    is_template: bool

    @property
    def is_translated(self):
        return re.search(r"\bt\($|\bt$", self.before) is not None

    @property
    def is_read(self):
        """Whether it looks as if people read it."""
        if _FOR_MACHINES.search(self.before) or _NAMES.fullmatch(self.text):
            return False
        if _SHOWN.search(self.before) and re.search(r"[a-zA-Z]{2}", self.text):
            return True
        return _WORDS.search(self.text) is not None


def literals(code):
    """All strings and templates of *code*, those in templates too."""
    found = []
    _scan(code, 0, found, None)
    return found


def _scan(code, at, found, until):
    while at < len(code):
        here = code[at]
        if here == until:
            return at
        if code.startswith("//", at):
            at = code.find("\n", at) % (len(code) + 1)
        elif code.startswith("/*", at):
            at = code.index("*/", at) + 2
        elif here in "\"'":
            end = at + 1
            while code[end] != here:
                end += 2 if code[end] == "\\" else 1
            text = code[at + 1 : end].replace('\\"', '"')
            found.append(Literal(text, at, end + 1, code[max(0, at - 60) : at], False))
            at = end + 1
        elif here == "`":
            at = _template(code, at, found)
        elif here == "/" and _begins_regex(code[:at].rstrip()):
            at = _regex(code, at)
        elif here == "{" and until is not None:
            at = _scan(code, at + 1, found, "}") + 1
        else:
            at += 1
    return at


def _template(code, start, found):
    text, at, number, inner = "", start + 1, 0, []
    while code[at] != "`":
        if code.startswith("${", at):
            at = _scan(code, at + 2, inner, "}") + 1
            text += f"{{{number}}}"
            number += 1
        else:
            text += code[at]
            at += 1
    found.append(Literal(text, start, at + 1, code[max(0, start - 60) : start], True))
    found.extend(inner)
    return at + 1


def _begins_regex(before):
    return not before or _BEFORE_REGEX.search(before) or not _VALUE.search(before)


def _regex(code, at):
    at, in_class = at + 1, False
    while code[at] != "/" or in_class:
        if code[at] == "\\":
            at += 1
        in_class = code[at] == "[" or (in_class and code[at] != "]")
        at += 1
    return at + 1
