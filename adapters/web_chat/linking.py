"""The route that tells one side what the other has done while accounts are joined.

All the rest of it is said in messages: `link`, `link CODE`, `link yes`, `unlink`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from starlette.responses import Response

from adapters.web_chat.sharing import Asker, TheWeb, responses
from adapters.web_chat.views import LinkView
from bot.conversation import Reply, later

router = APIRouter(tags=["messages"])

#: Seconds for which the answer is waited for at most.
PATIENCE = 20.0


@router.get(
    "/api/links/{code}",
    response_model=LinkView,
    summary="What the other side of a link code does",
    description="Waits for it, and answers 204 where nothing has happened yet: ask again.",
    responses={**responses(404), 204: {"description": "Nothing has happened yet"}},
)
async def link(
    web: TheWeb,
    source: Asker,
    code: Annotated[str, PathParameter(description="The code", max_length=20)],
    seconds: Annotated[
        float, Query(description="Seconds to wait at most", ge=0, le=PATIENCE)
    ] = PATIENCE,
) -> LinkView | Response:
    reply = Reply(joining=web.service.linking.of(source.user, code))
    happened = asyncio.ensure_future(anext(later(web.service, source, reply), None))
    stopping = asyncio.ensure_future(web.stopping.wait())
    try:
        await asyncio.wait(
            {happened, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        stopping.cancel()
        happened.cancel()
    told = None if not happened.done() or happened.cancelled() else happened.result()
    if told is None:
        return Response(status_code=204)
    return LinkView(text=told.text, code=code, asks=told.asks_to_join)
