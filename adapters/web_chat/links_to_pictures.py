"""Links to pictures: the page behind each, which works without JavaScript, and sharing it.

Nothing here is kept by anybody on the way, so that a link ends when it is taken back. A stranger
gets the same answer for what is private as for what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from adapters.web_chat.negotiation import of_picture
from adapters.web_chat.pictures import file_name
from adapters.web_chat.security import LOCAL_USER, address_of, cookie_of
from adapters.web_chat.sharing import Asker, JobId, TheWeb, Web, responses
from adapters.web_chat.views import JobView, SharedView
from bot.commands import ShareCommand
from bot.conversation import converse
from bot.formats import SUFFIXES
from bot.jobs import Job
from bot.refusals import Conflict, NotFound
from bot.sharing import PAGES
from bot.source import Source

router = APIRouter(tags=["pictures"])

TEMPLATES = Path(__file__).parent / "templates"
PAGE = Template((TEMPLATES / "picture.html").read_text(encoding="utf-8"))
NO_PAGE = Template((TEMPLATES / "no-picture.html").read_text(encoding="utf-8"))
#: What programs that show a preview of a link take, and may fetch in a moment.
PREVIEW = "image/jpeg"
#: Characters of a prompt that a title has at most.
TITLE = 90
#: Pixels of the longest side of a picture that is shown enlarged, by whole pixels.
TINY = 128
UNSEEN = {"X-Robots-Tag": "noindex, nofollow, noimageindex", "Cache-Control": "no-store"}
#: A browser leaves its cookie at home where a link elsewhere has led it here, and takes it along
#: where this page leads it (draft-ietf-httpbis-rfc6265bis, 5.2).
AGAIN = '<meta http-equiv="refresh" content="0; url=?again">\n'


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
        return _nothing(is_again=not web.tokens or "again" in request.query_params)
    job, is_shared = found
    is_own = visitor is not None and web.service.lookups.is_own(visitor, job)
    written = page(job, _address(web, request, job.id), is_own=is_own, is_shared=is_shared)
    return HTMLResponse(written, headers=UNSEEN)


@router.api_route(PAGES + "{id}/preview.jpg", methods=["GET", "HEAD"], include_in_schema=False)
async def get_preview(web: TheWeb, request: Request, id: str) -> Response:
    return await _picture(web, request, id, None, PREVIEW)


@router.api_route(PAGES + "{id}/{number:int}", methods=["GET", "HEAD"], include_in_schema=False)
async def get_picture_behind_link(
    web: TheWeb, request: Request, id: str, number: int, download: bool = False
) -> Response:
    media_type = of_picture(request.headers.get("accept", ""))
    return await _picture(web, request, id, number, media_type, is_download=download)


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
        return _nothing()
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
        return _nothing()
    headers = {**UNSEEN, "Vary": "Accept"}
    if is_download:
        name = file_name(job, number) + SUFFIXES[media_type]
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(data, media_type=media_type, headers=headers)


def page(job: Job, address: str, *, is_own: bool, is_shared: bool) -> str:
    """The page of *job* as HTML, for its person or, where it is shared, for anybody.

    Args:
        address: The link that leads to it.
    """
    view = JobView.of(job)
    path = f"{PAGES}{job.id}"
    prompt = view.prompt
    title = prompt if len(prompt) <= TITLE else f"{prompt[:TITLE]}…"
    several = len(view.pictures) > 1
    pictures = "".join(
        f'<img src="{path}/{each.number}" width="{view.width}" height="{view.height}"'
        f' alt="Made by AI: {escape(view.prompt)}">'
        for each in view.pictures
    )
    downloads = "".join(
        f'<a href="{path}/{each.number}?download=true" download>'
        f"Download{f' {each.number}' if several else ''}</a>"
        for each in view.pictures
    )
    layout = "several" if several else "one"
    platform, _, name = job.user.partition(":")
    maker = f" for {name}" if platform == "web" and job.user != LOCAL_USER else ""
    rows = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in _rows(view))
    return PAGE.substitute(
        title=escape(title),
        preview=_preview(view, title, address) if is_shared else "",
        state=("Shared by its link" if is_shared else "Private") if is_own else "",
        layout=f"{layout} tiny" if max(view.width, view.height) <= TINY else layout,
        pictures=pictures,
        prompt=escape(view.prompt),
        maker=escape(maker),
        downloads=downloads,
        own=f'<a href="/#picture={job.id}">Open in fluxbot</a>' if is_own else "",
        rows=rows,
    )


def _preview(view: JobView, title: str, address: str) -> str:
    """What programs show of a link (https://ogp.me)."""
    told = {
        "og:type": "website",
        "og:site_name": "fluxbot",
        "og:title": title,
        "og:description": "Made by AI",
        "og:url": address,
        "og:image": f"{address}/preview.jpg",
        "og:image:type": PREVIEW,
        "og:image:alt": f"Made by AI: {title}",
    }
    lines = [f'<meta property="{name}" content="{escape(text)}">' for name, text in told.items()]
    return "\n".join([*lines, '<meta name="twitter:card" content="summary_large_image">', ""])


def _rows(view: JobView) -> Iterable[tuple[str, object]]:
    """What is told of a picture beside its prompt."""
    yield "Seed", ", ".join(str(each.seed) for each in view.pictures)
    yield "Size", f"{view.width} × {view.height}"
    yield "Steps", view.num_inference_steps
    yield "Guidance", view.guidance_scale
    if view.strength is not None:
        yield "Strength", view.strength
    if view.negative_prompt:
        yield "Without", view.negative_prompt
    yield "Preset", view.preset
    yield "Model", view.model


def _visitor(web: Web, request: Request) -> Source | None:
    """Who is signed in where the request comes from; None for a stranger."""
    if not web.tokens:
        return Source(LOCAL_USER)
    secret = cookie_of(request.headers)
    found = web.tokens.session(secret, web.service.sessions.user) if secret else None
    return None if found is None else Source(found[1])


def _nothing(*, is_again: bool = True) -> Response:
    """The answer where there is no picture, or none for this visitor."""
    written = NO_PAGE.substitute(again="" if is_again else AGAIN)
    return HTMLResponse(written, status_code=404, headers=UNSEEN)


def _address(web: Web, request: Request, id: str) -> str:
    """The link of a picture."""
    base = web.config.web.public_url or str(request.base_url)
    return f"{base.rstrip('/')}{PAGES}{id}"


def _view(web: Web, request: Request, id: str, is_shared: bool) -> SharedView:
    return SharedView(id=id, is_shared=is_shared, url=_address(web, request, id))
