"""Discord's own documents, as a judge of every request, answer and gateway payload.

Where they are missing (see `tests.fakes.documents`) nothing is checked.
"""

import functools

import jsonschema_rs

from tests.fakes.documents import DISCORD_GATEWAY, DISCORD_REST

SNOWFLAKE = "SnowflakeType"
OPCODES_FROM_BOT = {
    1: "GatewayHeartbeat",
    2: "GatewayIdentify",
    3: "GatewayUpdatePresence",
    4: "GatewayVoiceStateUpdate",
    6: "GatewayResume",
    8: "GatewayRequestGuildMembers",
}
OPCODES_TO_BOT = {
    1: "GatewayHeartbeatRequest",
    7: "GatewayReconnect",
    9: "GatewayInvalidSession",
    10: "GatewayHello",
    11: "GatewayHeartbeatAck",
}
# Their data is "undefined" in the document; Discord sends null or a trace, which discord.py needs.
WITHOUT_DATA = frozenset({7, 11, "RESUMED"})
INTERACTIONS = {
    (2, 1): "APIChatInputApplicationCommandInteraction",
    (2, 2): "APIUserApplicationCommandInteraction",
    (2, 3): "APIMessageApplicationCommandInteraction",
    3: "APIMessageComponentInteraction",
    4: "APIApplicationCommandAutocompleteInteraction",
    5: "APIModalSubmitInteraction",
}


@functools.cache
def protocol_truth() -> "Truth | None":
    """The documents, read once a process, or None where they are not at hand."""
    rest, gateway = DISCORD_REST.read(), DISCORD_GATEWAY.read()
    return None if rest is None or gateway is None else Truth(rest, gateway)


def _mend_snapshots(definitions: dict) -> None:
    """The document takes each field of a forwarded message for a whole message."""
    broken, message = definitions["APIMessageSnapshotFields"], definitions["APIMessage"]
    definitions["APIMessageSnapshotFields"] = broken | {
        "properties": {name: message["properties"][name] for name in broken["properties"]},
        "required": [name for name in broken["required"] if name in message["required"]],
    }


class Truth:
    """Validators, each compiled when it is first asked for.

    Args:
        rest: The OpenAPI document of the REST interface.
        gateway: The JSON Schema of gateway payloads.
    """

    def __init__(self, rest: dict, gateway: dict):
        self._paths = rest["paths"]
        schemas = rest["components"]["schemas"]
        # discord.py writes snowflakes as numbers, which Discord takes; it answers in strings.
        lenient = {**schemas, SNOWFLAKE: {"type": ["string", "integer"], "minimum": 0}}
        self._answers = _registry({"components": rest["components"], "paths": rest["paths"]})
        self._requests = _registry(
            {"components": {**rest["components"], "schemas": lenient}, "paths": rest["paths"]}
        )
        definitions = {
            # The document lists single bits, where a field holds any OR of them.
            name: {"type": "integer", "minimum": 0} if name.endswith("Flags") else definition
            for name, definition in gateway["definitions"].items()
        }
        _mend_snapshots(definitions)
        self._gateway = _registry({"definitions": definitions})
        self._events = {
            definition["properties"]["t"]["const"]: name
            for name, definition in definitions.items()
            if "const" in definition.get("properties", {}).get("t", {})
        }

    def knows(self, method: str, path: str) -> bool:
        """Whether Discord documents this call; `path` is a template."""
        return method.lower() in self._paths.get(path, {})

    def faults_of_request(self, method: str, path: str, body) -> list[str]:
        """Faults of the body of a call, as sentences; None is no body."""
        operation = self._paths[path][method.lower()]
        content = operation.get("requestBody", {}).get("content", {})
        kind = next(
            (kind for kind in ("application/json", "multipart/form-data") if kind in content), None
        )
        if kind is None:
            return [] if body is None else [f"{method} {path} takes no body."]
        if body is None:
            return (
                [f"{method} {path} needs a body."]
                if operation["requestBody"].get("required")
                else []
            )
        pointer = _pointer("paths", path, method.lower(), "requestBody", "content", kind, "schema")
        return self._faults(self._requests, pointer, body)

    def faults_of_answer(self, method: str, path: str, status: int, body) -> list[str]:
        """Faults of an answer that the fake is about to give."""
        responses = self._paths[path][method.lower()]["responses"]
        if status >= 400:
            return self._faults(self._answers, "#/components/schemas/ErrorResponse", body)
        if str(status) not in responses:
            return [f"{method} {path} never answers {status}."]
        if "application/json" not in responses[str(status)].get("content", {}):
            return [] if body is None else [f"{method} {path} answers {status} without a body."]
        pointer = _pointer(
            "paths",
            path,
            method.lower(),
            "responses",
            str(status),
            "content",
            "application/json",
            "schema",
        )
        return self._faults(self._answers, pointer, body)

    def faults_of_payload(self, payload: dict, *, is_from_bot: bool) -> list[str]:
        """Faults of a gateway payload."""
        op = payload.get("op")
        if op == 0:
            name = self._events.get(payload["t"])
            if payload["t"] == "INTERACTION_CREATE":
                return self._faults_of_interaction(payload)
        else:
            name = (OPCODES_FROM_BOT if is_from_bot else OPCODES_TO_BOT).get(op)
        if name is None:
            return [f"There is no gateway payload with op {op} and event {payload.get('t')}."]
        if (payload.get("t") or op) in WITHOUT_DATA:
            payload = {key: value for key, value in payload.items() if key != "d"}
        return self._faults(self._gateway, _pointer("definitions", name), payload)

    def _faults_of_interaction(self, payload: dict) -> list[str]:
        """The document knows every kind, which says more than that none of them fits."""
        kind, data = payload["d"].get("type"), payload["d"].get("data", {})
        name = INTERACTIONS.get((kind, data.get("type")) if kind == 2 else kind)
        if name is None:
            return [f"There is no interaction of type {kind}."]
        return self._faults(self._gateway, _pointer("definitions", name), payload["d"])

    def _faults(self, registry, pointer: str, instance) -> list[str]:
        validator = _validator(registry, pointer)
        if validator.is_valid(instance):
            return []
        return [
            f"{'/'.join(map(str, error.instance_path)) or 'the whole'}: {error.message[:400]}"
            for error in validator.iter_errors(instance)
        ]


def _registry(document: dict) -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([("urn:truth", document)], draft=jsonschema_rs.Draft202012)


@functools.cache
def _validator(registry: jsonschema_rs.Registry, pointer: str):
    return jsonschema_rs.Draft202012Validator({"$ref": f"urn:truth{pointer}"}, registry=registry)


def _pointer(*parts: str) -> str:
    escaped = [part.replace("~", "~0").replace("/", "~1").replace("%", "%25") for part in parts]
    escaped = [
        part.replace("{", "%7B")
        .replace("}", "%7D")
        .replace("<", "%3C")
        .replace(">", "%3E")
        .replace('"', "%22")
        .replace("|", "%7C")
        for part in escaped
    ]
    return "#/" + "/".join(escaped)
