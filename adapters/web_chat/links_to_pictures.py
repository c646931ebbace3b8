"""Links to pictures: the page behind each, which works without JavaScript, and sharing it.

Nothing here is kept by anybody on the way, so that a link ends when it is taken back. A stranger
gets the same answer for what is private as for what is not there.
"""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from adapters.web_chat import picture_pages
from adapters.web_chat.languages import language_for
from adapters.web_chat.negotiation import of_picture
from adapters.web_chat.pictures import file_name
from adapters.web_chat.security import LOCAL_USER, address_of, cookie_of
from adapters.web_chat.sharing import Asker, JobId, TheWeb, Web, responses
from adapters.web_chat.views import SharedView
from bot.commands import ShareCommand
from bot.conversation import converse
from bot.formats import SUFFIXES
from bot.refusals import Conflict, NotFound
from bot.sharing import PAGES
from bot.source import Source

router = APIRouter(tags=["pictures"])

NUMBER = re.compile(r"[0-9]{1,2}")
UNSEEN = {"X-Robots-Tag": "noindex, nofollow, noimageindex", "Cache-Control": "no-store"}


@router.get(
    "/api/jobs/{id}/link",
    summary="The link of a picture, and whether it is shared",
    responses=responses(404, 503),
)
async def get_link(web: TheWeb, source: Asker, request: Request, id: JobId) -> SharedView:
    return _view(web, request, id, await web.service.sharing.is_shared(source, id))


@router.put(
    "/api/jobs/{id}/link",
    summary="Share a picture",
    description="From now on whoever has the link sees its page: the pictures, the prompt and the"
    " settings. It ends when it is taken back, and when the picture is deleted or hidden.",
    responses=responses(404, 409, 503),
)
async def share(web: TheWeb, source: Asker, request: Request, id: JobId) -> SharedView:
    (await converse(web.service, source, ShareCommand(id))).the_job()
    return _view(web, request, id, True)


@router.delete(
    "/api/jobs/{id}/link",
    summary="Take a shared picture back",
    description="Its link leads nobody but its person anywhere, at once.",
    responses=responses(404, 503),
)
async def take_back(web: TheWeb, source: Asker, request: Request, id: JobId) -> SharedView:
    (await converse(web.service, source, ShareCommand(id, is_on=False))).the_job()
    return _view(web, request, id, False)


@router.api_route(PAGES + "{id}", methods=["GET", "HEAD"], include_in_schema=False)
async def get_page(web: TheWeb, request: Request, id: str) -> Response:
    visitor = _visitor(web, request)
    found = await web.service.sharing.behind(id, visitor)
    if found is None:
        may_be_own = bool(web.tokens) and "again" not in request.query_params
        return _nothing(request, may_be_own=may_be_own)
    job, is_shared = found
    try:  # a backup that was put back may know of one whose files are gone
        await web.service.lookups.picture(Source(job.user), job.id, job.available[0])
    except (NotFound, Conflict):
        return _nothing(request)
    is_own = visitor is not None and web.service.lookups.is_own(visitor, job)
    address, language = _address(web, request, job.id), _language(request)
    written = picture_pages.page(job, address, language, is_own=is_own, is_shared=is_shared)
    return HTMLResponse(written, headers=UNSEEN)


@router.api_route(PAGES + "{id}/preview.jpg", methods=["GET", "HEAD"], include_in_schema=False)
async def get_preview(web: TheWeb, request: Request, id: str) -> Response:
    return await _picture(web, request, id, None, picture_pages.PREVIEW)


@router.api_route(PAGES + "{id}/{number}", methods=["GET", "HEAD"], include_in_schema=False)
async def get_picture_behind_link(
    web: TheWeb, request: Request, id: str, number: str, download: bool = False
) -> Response:
    if not NUMBER.fullmatch(number):
        return _nothing(request)
    media_type = of_picture(request.headers.get("accept", ""))
    return await _picture(web, request, id, int(number), media_type, is_download=download)


async def _picture(
    web: Web,
    request: Request,
    id: str,
    number: int | None,
    media_type: str,
    *,
    is_download: bool = False,
) -> Response:
    """Picture *number* (from 1) of a job as *media_type*; with None all of them in one."""
    found = await web.service.sharing.behind(id, _visitor(web, request))
    if found is None:
        return _nothing(request)
    job, _ = found
    owner = Source(job.user)
    try:
        if number is None:
            path = await web.service.lookups.picture_file(owner, job.id, "grid")
        else:
            path = await web.service.lookups.picture(owner, job.id, number)
        # Strangers wait for each other, and not the owner for them.
        turn = f"link:{address_of(request.scope)}"
        data = await web.service.formats.encoded(turn, path, media_type)
    except (NotFound, Conflict):
        return _nothing(request)
    headers = {**UNSEEN, "Vary": "Accept"}
    if is_download:
        name = file_name(job, number) + SUFFIXES[media_type]
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(data, media_type=media_type, headers=headers)


def _visitor(web: Web, request: Request) -> Source | None:
    """Who is signed in where the request comes from; None for a stranger."""
    if not web.tokens:
        return Source(LOCAL_USER)
    secret = cookie_of(request.headers)
    found = web.tokens.session(secret, web.service.sessions.user) if secret else None
    return None if found is None else Source(found[1])


def _nothing(request: Request, *, may_be_own: bool = False) -> Response:
    """The answer where there is no picture, or none for this visitor."""
    written = picture_pages.nothing(_language(request), is_led_again=may_be_own)
    return HTMLResponse(written, status_code=404, headers=UNSEEN)


def _language(request: Request) -> str:
    """The code of the language that the page is read in."""
    return language_for(request.headers).code


def _address(web: Web, request: Request, id: str) -> str:
    """The link of a picture."""
    base = web.config.web.public_url or str(request.base_url)
    return f"{base.rstrip('/')}{PAGES}{id}"


def _view(web: Web, request: Request, id: str, is_shared: bool) -> SharedView:
    return SharedView(id=id, is_shared=is_shared, url=_address(web, request, id))
