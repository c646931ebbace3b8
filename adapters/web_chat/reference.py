"""The reference of the API at ``/docs``: its description, as a page without any script.

It is written from the OpenAPI document at the first look and kept. Nothing comes from another host,
and nothing runs in it, so that the page's Content-Security-Policy holds for it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from adapters.web_chat.forms import FORM

#: JSON Schema's limits, as the page words them.
LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}
PICTURE = "PICTURE_IN_BASE64"

Schema = Mapping[str, Any]


def install(app: FastAPI) -> None:
    """Serve the reference of *app*."""

    @cache
    def page() -> bytes:
        return _page(app.openapi()).encode()

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs(request: Request) -> Response:
        return Response(page(), media_type="text/html; charset=utf-8")


def _page(document: Mapping[str, Any]) -> str:
    info = document["info"]
    title = f"{escape(info['title'])}: the API"
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            '<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">',
            '<link rel="stylesheet" href="/static/reference.css"></head><body><main>',
            f"<h1>{title}</h1><p>{escape(info.get('summary', ''))}.",
            'For programs: <a href="/openapi.json">openapi.json</a>.</p>',
            *_tags(document),
            "</main></body></html>",
        ]
    )


def _tags(document: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[tuple[str, str, Schema]]] = {
        tag["name"]: [] for tag in document.get("tags", ())
    }
    for path, routes in document["paths"].items():
        for method, route in routes.items():
            tag = next(iter(route.get("tags", ())), "more")
            by_tag.setdefault(tag, []).append((method.upper(), path, route))
    told = {tag["name"]: tag["description"] for tag in document.get("tags", ())}
    filled = {tag: routes for tag, routes in by_tag.items() if routes}
    yield "<nav><ul>"
    for tag, routes in filled.items():
        links = ", ".join(
            f'<a href="#{escape(route["operationId"])}">{escape(route["summary"])}</a>'
            for _, _, route in routes
        )
        yield f"<li><b>{escape(tag)}</b> {links}</li>"
    yield "</ul></nav>"
    for tag, routes in filled.items():
        yield f"<h2>{escape(tag)}</h2><p>{escape(told.get(tag, ''))}</p>"
        for method, path, route in routes:
            yield from _operation(document, method, path, route)


def _operation(document: Mapping[str, Any], method: str, path: str, route: Schema) -> Iterator[str]:
    yield f'<section id="{escape(route["operationId"])}"><h3>{escape(route["summary"])}</h3>'
    yield f"<p><code>{method} {escape(path)}</code></p>"
    if description := route.get("description"):
        yield f"<p>{_marked(description)}</p>"
    rows = [
        (f"{each['name']} ({each['in']})", each["schema"], each.get("description", ""))
        for each in route.get("parameters", ())
    ]
    body = _body(document, route)
    if body is not None:
        needed = set(body.get("required", ()))
        rows += [
            (name + (" (needed)" if name in needed else ""), each, each.get("description", ""))
            for name, each in body.get("properties", {}).items()
        ]
    if FORM in route.get("requestBody", {}).get("content", {}):
        yield f"<p>Also as a form, <code>{FORM}</code>, with the picture as the file "
        yield "<code>image</code>.</p>"
    if rows:
        yield "<table><thead><tr><th>name</th><th>values</th><th>meaning</th></tr></thead><tbody>"
        for name, schema, meaning in rows:
            values = escape("; ".join(_values(document, schema)))
            meaning = meaning or _described(schema)
            yield f"<tr><td><code>{escape(name)}</code></td><td>{values}</td>"
            yield f"<td>{_marked(meaning)}</td></tr>"
        yield "</tbody></table>"
    yield f"<pre>{escape(_curl(document, method, path, route, body))}</pre><ul>"
    for status, response in route["responses"].items():
        kinds = ", ".join(response.get("content", {}))
        yield f"<li><b>{status}</b> {_marked(response['description'])} <i>{escape(kinds)}</i></li>"
    yield "</ul></section>"


def _body(document: Mapping[str, Any], route: Schema) -> Schema | None:
    content = route.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        return None
    return _first_object(document, content["application/json"]["schema"])


def _resolved(document: Mapping[str, Any], schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _first_object(document: Mapping[str, Any], schema: Schema) -> Schema:
    for each in schema.get("anyOf", [schema]):
        if each.get("type") != "null":
            return _resolved(document, each)
    return schema


def _described(schema: Schema) -> str:
    inner = (each.get("description", "") for each in schema.get("anyOf", ()))
    return schema.get("description") or next(filter(None, inner), "")


def _values(document: Mapping[str, Any], schema: Schema) -> Iterator[str]:
    """Types and limits of *schema*, in words."""
    for each in schema.get("anyOf", [schema]):
        found = _resolved(document, each)
        if found.get("type") == "null":
            continue
        if found.get("properties"):
            yield f"an object of {', '.join(found['properties'])}"
            continue
        if "enum" in found:
            yield " or ".join(map(str, found["enum"]))
        elif "type" in found:
            yield f"a list of {found['items'].get('type')}s" if "items" in found else found["type"]
        yield from (
            text.format(_number(found[key])) for key, text in LIMITS.items() if key in found
        )
    if schema.get("default") is not None:
        yield f"default {json.dumps(schema['default'])}"


def _number(limit: float) -> float:
    """*limit*, without the fraction that FastAPI writes behind whole numbers."""
    return int(limit) if float(limit).is_integer() else limit


def _curl(
    document: Mapping[str, Any], method: str, path: str, route: Schema, body: Schema | None
) -> str:
    """A call by curl that shows what it takes."""
    parts = ["curl"]
    if method != "GET":
        parts.append(f"-X {method}")
    if route.get("security"):
        parts.append('-H "Authorization: Bearer $TOKEN"')
    query = [each for each in route.get("parameters", ()) if each["in"] == "query"]
    needed = "&".join(f"{each['name']}=k7m2p9xd" for each in query if each.get("required"))
    for each in route.get("parameters", ()):
        if each["in"] == "path":
            example = str(_example(document, each["schema"]))
            path = path.replace("{" + each["name"] + "}", example)
    parts.append(f'"$FLUXBOT{path}{"?" + needed if needed else ""}"')
    if body is not None:
        values = {
            name: _example(document, each)
            for name, each in body.get("properties", {}).items()
            if name in body.get("required", ())
        }
        parts += ['-H "Content-Type: application/json"', f"-d '{json.dumps(values)}'"]
    return " \\\n  ".join(parts)


def _example(document: Mapping[str, Any], schema: Schema) -> Any:
    found = _first_object(document, schema)
    if found.get("contentEncoding"):
        return PICTURE
    for examples in (found.get("examples"), schema.get("examples"), found.get("enum")):
        if examples:
            return examples[0]
    if found.get("properties"):
        inner = found["properties"]
        return {name: _example(document, inner[name]) for name in found.get("required", ())}
    return "…"


def _marked(text: str) -> str:
    """*text* as HTML, with what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)
    )
