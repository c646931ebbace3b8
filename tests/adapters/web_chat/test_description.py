"""The OpenAPI document: valid, complete, and readable at `/docs` without another host."""

import re

import jsonschema
import pytest
from schemathesis.specs.openapi import definitions

from bot.config import Secrets

#: Words of pydantic's that no reader of JSON Schema knows.
NOT_JSON_SCHEMA = {"ge", "gt", "le", "lt", "multiple_of", "max_length", "min_length"}


@pytest.fixture
async def document(web):
    return (await web.get("/openapi.json")).json()


def schemas(value, name=""):
    """(name, schema) for every schema in *value* that has a type, or is not one of JSON Schema."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str) or NOT_JSON_SCHEMA & value.keys():
            yield name, value
        for key, inner in value.items():
            yield from schemas(inner, key if key not in ("anyOf", "items", "schema") else name)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas(inner, name)


def asked(document):
    """(name, schema) of all that a request may carry."""
    wanted = {
        found
        for routes in document["paths"].values()
        for route in routes.values()
        for found in re.findall(r"schemas/(\w+)", str(route.get("requestBody", "")))
    }
    known = document["components"]["schemas"]
    while (
        more := {
            found for name in wanted for found in re.findall(r"schemas/(\w+)", str(known[name]))
        }
        - wanted
    ):
        wanted |= more
    for name in wanted:
        yield from schemas(known[name], name)
    for routes in document["paths"].values():
        for route in routes.values():
            for parameter in route.get("parameters", ()):
                yield from schemas(parameter["schema"], parameter["name"])


def test_the_document_is_valid_and_states_every_limit_in_words_of_json_schema(document):
    jsonschema.validate(document, definitions.OPENAPI_31)

    for name, schema in schemas(document):
        assert not NOT_JSON_SCHEMA & schema.keys(), name
    seen = set()
    for name, schema in asked(document):
        seen.add(name)
        if schema["type"] in ("integer", "number"):
            assert {"maximum"} <= schema.keys(), name
            assert {"minimum", "exclusiveMinimum"} & schema.keys(), name
        elif schema["type"] == "string":
            # How large a picture may be is the operator's to say: /api/about tells.
            is_limited = {"maxLength", "enum", "const", "contentEncoding"} & schema.keys()
            assert is_limited or schema.get("format") == "binary", name
        elif schema["type"] == "array":
            assert "maxItems" in schema, name
    assert seen >= {"num_inference_steps", "width", "seed", "prompt", "before", "id", "job"}


def test_every_route_has_a_name_of_its_own_a_tag_that_is_told_and_an_example(document):
    told = {tag["name"] for tag in document["tags"]}
    routes = [route for routes in document["paths"].values() for route in routes.values()]

    names = [route["operationId"] for route in routes]

    assert len(set(names)) == len(names) > 25
    assert {"generate", "create_job", "get_job", "cancel_job", "get_history"} <= set(names)
    for route in routes:
        assert route["tags"][0] in told, route["operationId"]
        for parameter in route.get("parameters", ()):
            if parameter["in"] == "path" and parameter["name"] == "id":
                assert parameter["schema"]["examples"], route["operationId"]


async def test_the_reference_shows_every_route_and_needs_no_other_host(bot, make_client):
    tokens = Secrets(web_tokens={"ada-token-0123456789": "ada"})
    async with make_client(bot, tokens) as client:
        response = await client.get("/docs")  # before anybody has signed in
        document = (await client.get("/openapi.json")).json()

        page = response.text
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        for routes in document["paths"].values():
            for route in routes.values():
                assert f'id="{route["operationId"]}"' in page
        assert "<td>integer; at least 64; at most 2048; a multiple of 16</td>" in page
        # The policy allows nothing else, so what it forbids must not be there.
        assert not re.search(r"<script|style=|\son\w+=|(src|href)=.https?:", page)
        for address in re.findall(r'<link[^>]+href="([^"]+)"', page):
            assert (await client.get(address)).status_code == 200
