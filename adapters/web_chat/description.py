"""The description of the API: the OpenAPI document at ``/openapi.json``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

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


def describe(app: FastAPI, *, has_tokens: bool) -> None:
    """Add to the description of *app* the need for a token, where there are tokens."""
    if not has_tokens:
        return
    document = app.openapi  # made at the first call and kept

    def described() -> dict[str, Any]:
        told = document()
        told["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        for path, routes in told["paths"].items():
            if is_guarded(path):
                for route in routes.values():
                    route["security"] = [{"token": []}, {"session": []}]
        return told

    app.openapi = described  # type: ignore[method-assign]
