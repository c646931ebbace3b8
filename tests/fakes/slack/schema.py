"""Slack's own types as a judge: every payload, both ways, is held against them.

The file is Slack's npm packages as JSON Schema. Its limits stand in sentences ("Maximum
length for this field is 75 characters"), which are read into the schema here, so that
one look finds a wrong field and a text that is too long.
"""

from __future__ import annotations

import re
from functools import cache

import jsonschema_rs

from tests.fakes.documents import SLACK_MENTION, SLACK_TIERS, SLACK_TYPES

_LENGTH = re.compile(
    r"(?:maximum length|max length|maximum length of|limit this field to)\D{0,60}?([\d,]+) char"
    r"|maximum of ([\d,]+) characters",
    re.IGNORECASE,
)
_ITEMS = re.compile(
    r"maximum number of (?:items|options|option groups) is ([\d,]+)"
    r"|(?:there is a )?maximum of ([\d,]+) (?:elements|options)"
    r"|max of ([\d,]+) blocks"
    r"|array of up to ([\d,]+)",
    re.IGNORECASE,
)
#: What Slack's pages say and its types do not.
BLOCKS_IN_A_MESSAGE = 50


def _number(pattern, text):
    found = pattern.search(text)
    return (
        next((int(each.replace(",", "")) for each in found.groups() if each), None)
        if found
        else None
    )


def _limits(node):
    """The schema *node* with what its description says of length, as a rule."""
    if isinstance(node, list):
        return [_limits(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: _limits(value) for key, value in node.items()}
    # The union of all blocks also admits one that has a type and nothing else.
    if (
        isinstance(node.get("anyOf"), list)
        and {"$ref": "#/definitions/KnownBlock"} in node["anyOf"]
    ):
        node["anyOf"] = [
            each for each in node["anyOf"] if each.get("$ref") != "#/definitions/Block"
        ]
    said = node.get("description")
    if not isinstance(said, str):
        return node
    said = " ".join(said.split())
    length, items = _number(_LENGTH, said), _number(_ITEMS, said)
    rules = []
    if length is not None:
        # Either the text itself, or an object that carries it in a field `text`.
        rules.append({"maxLength": length})
        rules.append(
            {"if": {"type": "object"}, "then": {"properties": {"text": {"maxLength": length}}}}
        )
    if re.search("minimum length[^.]* is 1", said, re.IGNORECASE):
        rules.append({"minLength": 1})
    if items is not None:
        rules.append({"maxItems": items})
    if not rules:
        return node
    # Beside a $ref nothing counts in draft 7, so both stand in an allOf.
    return {"description": said, "allOf": [node, *rules]}


@cache
def _schema():
    return _limits(SLACK_TYPES.read())


def is_known():
    """Whether Slack's types are at hand."""
    return _schema() is not None


@cache
def _validator(name):
    schema = _schema()
    reference = "#/definitions/" + name.replace("<", "%3C").replace(">", "%3E")
    return jsonschema_rs.Draft7Validator(
        {**schema, "$ref": reference, "$schema": schema["$schema"]}
    )


def problems(name, value):
    """Objections of Slack's type *name* to *value*, a line each; none without the types."""
    if not is_known():
        return []
    return [
        f"{name}{''.join(f'/{part}' for part in error.instance_path)}: {error.message[:400]}"
        for error in _validator(name).iter_errors(value)
    ]


def block_problems(blocks, is_view=False):
    """Faults of *blocks*, each held against its own type."""
    found = []
    if not is_known():
        return found
    if len(blocks) > BLOCKS_IN_A_MESSAGE and not is_view:
        found.append(f"{len(blocks)} blocks, at most {BLOCKS_IN_A_MESSAGE} fit a message")
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(set(ids)) != len(ids):
        found.append(f"block_id twice: {ids}")
    for block in blocks:
        kind = "".join(part.title() for part in str(block.get("type")).split("_")) + "Block"
        if kind not in _schema()["definitions"]:
            found.append(f"there are no blocks of type {block.get('type')}")
            continue
        found += problems(kind, block)
        if kind == "SectionBlock" and not {"text", "fields"} & set(block):
            found.append("a section says nothing")
        # Slack refuses two elements with one action_id in a block.
        actions = [
            each.get("action_id") for each in block.get("elements", ()) if "action_id" in each
        ]
        if len(set(actions)) != len(actions):
            found.append(f"action_id twice: {actions}")
    return found


@cache
def _tiers():
    return SLACK_TIERS.read() or {}


def tier(method):
    """Requests a minute that *method* allows at least, as Slack's pages say."""
    return {"Tier1": 1, "Tier2": 20, "Tier3": 50, "Tier4": 100}.get(_tiers().get(method), 100)


@cache
def mention():
    """The shape of a real mention; empty, which any payload fits, where the sample is missing."""
    return SLACK_MENTION.read() or {}


def strangers(payload, shape, path=""):
    """Fields of *payload* that the sample *shape* does not know."""
    if isinstance(payload, dict) and isinstance(shape, dict):
        if not shape:
            return []
        found = []
        for key, value in payload.items():
            if key not in shape:
                found.append(f"{path}/{key}")
            else:
                found += strangers(value, shape[key], f"{path}/{key}")
        return found
    if isinstance(payload, list) and isinstance(shape, list) and shape:
        return [each for value in payload for each in strangers(value, shape[0], path)]
    return []
