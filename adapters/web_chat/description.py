"""The description of the API: the OpenAPI document at ``/openapi.json``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from adapters.web_chat.security import COOKIE, is_guarded


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
