"""The description of the API: the OpenAPI document at ``/openapi.json``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute

from adapters.web_chat.forms import FORM, FormRoute
from adapters.web_chat.security import COOKIE, is_guarded

#: What belongs together, in the order of the reference.
TAGS: list[dict[str, Any]] = [
    {"name": "drawing", "description": "Ask for pictures"},
    {"name": "jobs", "description": "Follow jobs, end them, and find them again"},
    {"name": "pictures", "description": "Files of pictures"},
    {"name": "previews", "description": "What would come of it; nothing is spent"},
    {"name": "messages", "description": "The grammar of every platform"},
    {"name": "facts", "description": "What the bot is, how it is, and what you have left"},
    {"name": "own data", "description": "All that is kept about you"},
    {"name": "signing in", "description": "A cookie for a bearer token"},
    {"name": "moderation", "description": "For moderators and admins"},
]


def describe(app: FastAPI, routes: Iterable[BaseRoute], *, has_tokens: bool) -> None:
    """Add to the description of *app* the forms that its *routes* take, and the need for a token
    where there are tokens."""
    document = app.openapi  # made at the first call and kept

    def described() -> dict[str, Any]:
        told = document()
        for route in routes:
            if isinstance(route, FormRoute) and (schema := route.form_schema()):
                content = told["paths"][route.path]["post"]["requestBody"]["content"]
                content[FORM] = {"schema": schema}
        if not has_tokens:
            return told
        told["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        for path, methods in told["paths"].items():
            if is_guarded(path):
                for operation in methods.values():
                    operation["security"] = [{"token": []}, {"session": []}]
        return told

    app.openapi = described  # type: ignore[method-assign]
