"""The rules for what a bot may send, and how Discord says no.

Every function returns the errors that it found as a `Form`, which is empty where all is well.
Sources: Discord's developer documentation, and ``protocols/README.md``.
"""

import re
from collections.abc import Iterable

import discord
import regex

from .state import COMPONENTS_V2, MIB, walk

LARGEST_REQUEST = 25 * MIB
FIRST_ANSWER_SECONDS = 3
TOKEN_SECONDS = 15 * 60
NONCE_SECONDS = 5 * 60
NAME = regex.compile(r"^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$")
LOCALES = frozenset(str(locale) for locale in discord.Locale)
SELECTS = (3, 5, 6, 7, 8)
# Discord has a code for every complaint; nobody but its messages is read by a bot.
CODE = "BASE_TYPE_INVALID"
IN_A_LABEL = (4, *SELECTS, 19, 21, 22, 23)
LIMITS_OF_KIND = {1: 100, 2: 15, 3: 15}
MOST_COMMAND_CHARACTERS = 8000


class Refusal(Exception):
    """An error answer of the REST interface.

    Args:
        status: The HTTP status.
        code: Discord's own code, such as 10062.
        is_violation: Whether a bot that keeps the rules never sees it.
    """

    def __init__(self, status: int, code: int, message: str, *, errors=None, is_violation=False):
        super().__init__(f"{status} {code}: {message}" + (f" {errors}" if errors else ""))
        self.status = status
        self.code = code
        self.body = {"message": message, "code": code} | ({"errors": errors} if errors else {})
        self.is_violation = is_violation


class Form:
    """Errors of a form body, in the tree in which Discord tells them."""

    def __init__(self):
        self.errors: dict = {}

    def add(self, path: Iterable, message: str) -> None:
        node = self.errors
        for key in path:
            node = node.setdefault(str(key), {})
        node.setdefault("_errors", []).append({"code": CODE, "message": message})

    def length(self, path, text, most: int, *, least: int = 0) -> None:
        """Complain about a text that is too long, too short, or no text."""
        if text is None and least == 0:
            return
        if text is None:
            self.add(path, "This field is required")
        elif not isinstance(text, str):
            self.add(path, f'Could not interpret "{text}" as string.')
        elif not least <= len(text) <= most:
            self.add(
                path,
                f"Must be between {least} and {most} in length, not {len(text)}.",
            )

    def count(self, path, items, most: int, *, least: int = 0) -> None:
        if not least <= len(items) <= most:
            self.add(
                path,
                f"Must be between {least} and {most} in length, not {len(items)}.",
            )

    def kind(self, path, part: dict, kinds: tuple[int, ...]) -> bool:
        """Complain about a component whose type does not belong here."""
        if part.get("type") not in kinds:
            self.add([*path, "type"], f'Value of field "type" must be one of {kinds}.')
        return part.get("type") in kinds

    def insist(self) -> None:
        """Raise what was found.

        Raises:
            Refusal: 50035 with the tree of errors.
        """
        if self.errors:
            raise Refusal(400, 50035, "Invalid Form Body", errors=self.errors, is_violation=True)


def message(body: dict, *, attachments: int) -> Form:
    """The body of a message that is to stand with so many attachments."""
    form = Form()
    content, embeds, components = body.get("content"), body.get("embeds"), body.get("components")
    if body.get("embed") is not None:
        embeds = [body["embed"]]
    form.length(["content"], content, 2000)
    _embeds(form, embeds or [])
    form.count(["attachments"], range(attachments), 10)
    if nonce := body.get("nonce"):
        form.length(["nonce"], str(nonce), 25)
    flags = body.get("flags") or 0
    if flags & COMPONENTS_V2:
        if content or embeds:
            form.add(
                ["content" if content else "embeds"],
                "This field cannot be used with MessageFlags.IS_COMPONENTS_V2.",
            )
        _layout(form, components or [])
    elif components:
        _rows(form, components)
    _mentions(form, body.get("allowed_mentions") or {})
    if not (content or embeds or attachments or components or body.get("poll")):
        raise Refusal(400, 50006, "Cannot send an empty message", is_violation=True)
    return form


def _mentions(form: Form, allowed: dict) -> None:
    for kind in ("users", "roles"):
        form.count(["allowed_mentions", kind], allowed.get(kind) or [], 100)
        if allowed.get(kind) and kind in (allowed.get("parse") or []):
            form.add(
                ["allowed_mentions", kind],
                f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.',
            )


def _embeds(form: Form, embeds: list[dict]) -> None:
    form.count(["embeds"], embeds, 10)
    total = 0
    for index, embed in enumerate(embeds):
        path = ["embeds", index]
        fields = embed.get("fields") or []
        footer, author = embed.get("footer") or {}, embed.get("author") or {}
        form.length([*path, "title"], embed.get("title"), 256)
        form.length([*path, "description"], embed.get("description"), 4096)
        form.length([*path, "footer", "text"], footer.get("text"), 2048)
        form.length([*path, "author", "name"], author.get("name"), 256)
        form.count([*path, "fields"], fields, 25)
        for number, item in enumerate(fields):
            form.length([*path, "fields", number, "name"], item.get("name"), 256, least=1)
            form.length([*path, "fields", number, "value"], item.get("value"), 1024, least=1)
        for key in ("image", "thumbnail"):
            url = (embed.get(key) or {}).get("url")
            if url is not None and not re.match(r"(https?|attachment)://", url):
                form.add([*path, key, "url"], f'Scheme of "{url}" is not one of http, https.')
        texts = [
            embed.get("title"),
            embed.get("description"),
            footer.get("text"),
            author.get("name"),
        ]
        texts += [text for item in fields for text in (item.get("name"), item.get("value"))]
        total += sum(len(text) for text in texts if isinstance(text, str))
    if total > 6000:
        form.add(["embeds"], "Embed size exceeds maximum size of 6000")


def _rows(form: Form, rows: list[dict]) -> None:
    form.count(["components"], rows, 5)
    for index, row in enumerate(rows):
        path = ["components", index]
        if form.kind(path, row, (1,)):
            _row(form, path, row)
    _unique(form, rows)


def _row(form: Form, path: list, row: dict) -> None:
    parts = row.get("components") or []
    form.count([*path, "components"], parts, 5, least=1)
    if any(part.get("type") in SELECTS for part in parts) and len(parts) > 1:
        form.add([*path, "components"], "The specified component exceeds the maximum width")
    for index, part in enumerate(parts):
        inner = [*path, "components", index]
        if part.get("type") == 2:
            _button(form, inner, part)
        elif form.kind(inner, part, (2, *SELECTS)):
            _select(form, inner, part)


def _button(form: Form, path: list, button: dict) -> None:
    style = button.get("style")
    form.length([*path, "label"], button.get("label"), 80)
    if style not in (1, 2, 3, 4, 5, 6):
        form.add([*path, "style"], "Value must be one of (1, 2, 3, 4, 5, 6).")
    elif style == 5:
        form.length([*path, "url"], button.get("url"), 512, least=1)
        if "custom_id" in button:
            form.add([*path, "custom_id"], "A custom id and url cannot both be specified")
    elif style != 6:
        form.length([*path, "custom_id"], button.get("custom_id"), 100, least=1)
    if style != 6 and not button.get("label") and not button.get("emoji"):
        form.add(path, "A button must have a label or emoji")


def _select(form: Form, path: list, select: dict) -> None:
    form.length([*path, "custom_id"], select.get("custom_id"), 100, least=1)
    form.length([*path, "placeholder"], select.get("placeholder"), 150)
    if select.get("type") != 3:
        return
    options = select.get("options") or []
    form.count([*path, "options"], options, 25, least=1)
    values = [option.get("value") for option in options]
    if len(set(values)) < len(values):
        form.add([*path, "options"], "The specified option value is already used")
    for index, option in enumerate(options):
        for key, least in (("label", 1), ("value", 1), ("description", 0)):
            form.length([*path, "options", index, key], option.get(key), 100, least=least)
    least, most = bounds(select)
    if not 0 <= least <= most <= max(1, len(options)):
        form.add(
            [*path, "max_values"],
            f"Between {least} and {most} of {len(options)} options cannot be chosen.",
        )


def bounds(part: dict) -> tuple[int, int]:
    """Numbers of values that may be chosen: one, unless the component says otherwise."""
    given = (part.get("min_values"), part.get("max_values"))
    return tuple(1 if number is None else number for number in given)


def _layout(form: Form, components: list[dict]) -> None:
    parts = list(walk(components))
    form.count(["components"], parts, 40, least=1)
    if sum(len(part.get("content", "")) for part in parts if part.get("type") == 10) > 4000:
        form.add(["components"], "Texts exceed 4000 characters in all.")
    for index, part in enumerate(components):
        form.kind(["components", index], part, (1, 9, 10, 12, 13, 14, 17))
    for part in parts:
        if part.get("type") == 1:
            _row(form, ["components"], part)
        if part.get("type") == 2:
            _button(form, ["components"], part)
    _unique(form, components)


def _unique(form: Form, components: list[dict]) -> None:
    ids = [part["custom_id"] for part in walk(components) if "custom_id" in part]
    for id in {id for id in ids if ids.count(id) > 1}:
        form.add(["components"], f"Component custom id {id!r} cannot be duplicated")


def modal(data: dict) -> Form:
    """A modal, with text inputs in rows or with anything in labels."""
    form = Form()
    form.length(["data", "title"], data.get("title"), 45, least=1)
    form.length(["data", "custom_id"], data.get("custom_id"), 100, least=1)
    components = data.get("components") or []
    form.count(["data", "components"], components, 5, least=1)
    for index, part in enumerate(components):
        path = ["data", "components", index]
        if part.get("type") == 1:
            inner = part.get("components") or []
            form.count([*path, "components"], inner, 1, least=1)
            for one in inner:
                form.length([*path, "components", 0, "label"], one.get("label"), 45, least=1)
                _field(form, [*path, "components", 0], one, kinds=(4,))
        elif form.kind(path, part, (10, 18)) and part["type"] == 18:
            form.length([*path, "label"], part.get("label"), 45, least=1)
            form.length([*path, "description"], part.get("description"), 100)
            _field(form, [*path, "component"], part.get("component") or {}, kinds=IN_A_LABEL)
    _unique(form, components)
    return form


def _field(form: Form, path: list, part: dict, *, kinds: tuple[int, ...]) -> None:
    kind = part.get("type")
    if not form.kind(path, part, kinds):
        return
    form.length([*path, "custom_id"], part.get("custom_id"), 100, least=1)
    if kind == 4:
        least, most = part.get("min_length") or 0, part.get("max_length") or 4000
        form.length([*path, "placeholder"], part.get("placeholder"), 100)
        if not (0 <= least <= 4000 and 1 <= most <= 4000 and least <= most):
            form.add([*path, "max_length"], "int value should be between 1 and 4000.")
        elif part.get("value"):
            form.length([*path, "value"], part["value"], most)
    elif kind in SELECTS:
        _select(form, path, part)
    elif kind == 19:
        least, most = bounds(part)
        if not 0 <= least <= most <= 10:
            form.add([*path, "max_values"], "int value should be at most 10.")


def choices(data: dict) -> Form:
    """The answer to an autocomplete."""
    form = Form()
    items = data.get("choices")
    if items is None:
        form.add(["data", "choices"], "This field is required")
        return form
    form.count(["data", "choices"], items, 25)
    for index, choice in enumerate(items):
        form.length(["data", "choices", index, "name"], choice.get("name"), 100, least=1)
        if isinstance(choice.get("value"), str):
            form.length(["data", "choices", index, "value"], choice["value"], 100, least=1)
    return form


def commands(items: list[dict]) -> Form:
    """All commands that an app registers in one place."""
    form = Form()
    for kind, most in LIMITS_OF_KIND.items():
        named = [command.get("name") for command in items if command.get("type", 1) == kind]
        if len(named) > most:
            form.add([], f"Maximum number of application commands of type {kind} reached ({most}).")
        if len(set(named)) < len(named):
            form.add([], "Application command names must be unique")
    for index, command in enumerate(items):
        path = [index]
        if command.get("type", 1) == 1:
            _named(form, path, command)
            _options(form, path, command.get("options") or [], nestable=frozenset({1, 2}))
            if (size := _characters(command)) > MOST_COMMAND_CHARACTERS:
                form.add(path, f"Command exceeds maximum size (8000), {size}.")
        else:
            form.length([*path, "name"], command.get("name"), 32, least=1)
            if command.get("description") or command.get("options"):
                form.add([*path, "description"], "Context menu commands cannot have description")
            _localizations(form, path, command, is_name_free=True)
        for key, known in (("contexts", {0, 1, 2}), ("integration_types", {0, 1})):
            if not set(command.get(key) or []) <= known:
                form.add([*path, key], f"Value must be one of {sorted(known)}.")
    return form


def _named(form: Form, path: list, thing: dict) -> None:
    name = thing.get("name") or ""
    if not NAME.match(name) or name != name.lower():
        form.add([*path, "name"], f"Command name {name!r} is invalid")
    form.length([*path, "description"], thing.get("description"), 100, least=1)
    _localizations(form, path, thing)


def _localizations(form: Form, path: list, thing: dict, *, is_name_free: bool = False) -> None:
    for key, most in (("name_localizations", 32), ("description_localizations", 100)):
        for locale, text in (thing.get(key) or {}).items():
            if locale not in LOCALES:
                form.add([*path, key, locale], f"There is no locale {locale!r}.")
            form.length([*path, key, locale], text, most, least=1)
            is_name = key == "name_localizations" and not is_name_free
            if is_name and not (NAME.match(str(text)) and text == text.lower()):
                form.add([*path, key, locale], f"Command name {text!r} is invalid")


def _options(form: Form, path: list, options: list[dict], *, nestable: frozenset) -> None:
    """Options of a command, in which sub-commands (1) and groups of them (2) may nest."""
    form.count([*path, "options"], options, 25)
    names = [option.get("name") for option in options]
    if len(set(names)) < len(names):
        form.add([*path, "options"], "Option names must be unique")
    nested = [option.get("type") in (1, 2) for option in options]
    if any(nested) and not all(nested):
        form.add([*path, "options"], "Sub-commands exclude other options")
    required = [bool(option.get("required")) for option in options]
    if required != sorted(required, reverse=True):
        form.add([*path, "options"], "Required options must be placed before non-required options")
    for index, option in enumerate(options):
        inner, kind = [*path, "options", index], option.get("type")
        _named(form, inner, option)
        if kind in (1, 2):
            if kind not in nestable:
                form.add([*inner, "type"], "Too deeply nested")
            below = frozenset({1}) if kind == 2 else frozenset()
            _options(form, inner, option.get("options") or [], nestable=below)
        else:
            _option(form, inner, option)


def _option(form: Form, path: list, option: dict) -> None:
    if option.get("type") not in range(3, 12):
        form.add([*path, "type"], "There is no such option type")
    offered = option.get("choices") or []
    form.count([*path, "choices"], offered, 25)
    if offered and option.get("autocomplete"):
        form.add([*path, "autocomplete"], "Choices exclude autocomplete")
    for number, choice in enumerate(offered):
        inner = [*path, "choices", number]
        form.length([*inner, "name"], choice.get("name"), 100, least=1)
        _localizations(form, inner, choice, is_name_free=True)


def _characters(thing: dict) -> int:
    """Characters that count against a command's 8000, in the longest locale."""
    size = 0
    for key in ("name", "description"):
        texts = [thing.get(key) or "", *(thing.get(f"{key}_localizations") or {}).values()]
        size += max(len(text) for text in texts)
    for choice in thing.get("choices") or []:
        size += len(choice.get("name", "")) + len(str(choice.get("value", "")))
    return size + sum(_characters(option) for option in thing.get("options") or [])
