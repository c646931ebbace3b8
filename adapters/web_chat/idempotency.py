"""The header ``Idempotency-Key``: the same request, sent again, is the same job."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Header, Request
from pydantic import BaseModel

from adapters.web_chat.sharing import Web
from bot.source import Source

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A word of your own choice, such as a UUID. Within 24 hours the same request"
        " with the same key has the same job, however often it is sent; another request with it is"
        " refused",
        examples=["5d0c5b2e-7c43-4d0e-9a55-0d1f3c1c2f5e"],
    ),
]


async def once(
    web: Web, source: Source, key: str | None, request: Request, body: BaseModel
) -> Source:
    """*source*, asking with *key* for what *request* and its *body* ask for.

    Raises:
        KeyReused: The key came with another request.
    """
    if key is None:
        return source
    # What is asked for, and not the bytes: boundaries of multipart forms are new each time.
    asked = f"{request.method} {request.url.path}\n{body.model_dump_json()}".encode()
    event_id = await web.service.idempotency.event_id(source.user, key, asked)
    return replace(source, event_id=event_id)
