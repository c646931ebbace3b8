"""The routes for files: pictures, grids, thumbnails and control images."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from adapters.web_chat.negotiation import PICTURES, PNG, of_picture
from adapters.web_chat.sharing import AS_ACCEPTED, Asker, JobId, TheWeb, Web, file, responses
from bot import sentences
from bot.formats import SUFFIXES
from bot.jobs import Job
from bot.source import Source

router = APIRouter(tags=["pictures"])


@router.get(
    "/api/jobs/{id}/image",
    summary="A picture",
    response_class=Response,
    description=AS_ACCEPTED,
    responses={**responses(404, 409, 429, 503), **file(*PICTURES)},
)
async def get_picture(
    web: TheWeb,
    source: Asker,
    request: Request,
    id: JobId,
    number: Annotated[int, Query(ge=1, le=16)] = 1,
    download: Annotated[bool, Query(description="To be saved, under a telling name")] = False,
) -> Response:
    path = await web.service.lookups.picture(source, id, number)
    job = await web.service.lookups.job(source, id) if download else None
    name = file_name(job, number) if job else None
    return await _picture(web, source, request, path, name)


@router.get(
    "/api/jobs/{id}/grid",
    summary="All pictures of a job in one",
    response_class=Response,
    description=AS_ACCEPTED,
    responses={**responses(404, 409, 429, 503), **file(*PICTURES)},
)
async def get_grid(web: TheWeb, source: Asker, request: Request, id: JobId) -> Response:
    path = await web.service.lookups.picture_file(source, id, "grid")
    return await _picture(web, source, request, path)


@router.get(
    "/api/jobs/{id}/thumbnail",
    summary="A small picture",
    response_class=Response,
    responses={**responses(404, 409, 503), **file("image/webp")},
)
async def get_thumbnail(web: TheWeb, source: Asker, id: JobId) -> Response:
    return await _file_response(
        await web.service.lookups.picture_file(source, id, "thumbnail"), "image/webp"
    )


@router.get(
    "/api/jobs/{id}/control/{kind}",
    summary="The attached picture, those after it, its mask, or the control map made of it",
    response_class=Response,
    responses={**responses(404, 409, 503), **file("image/png")},
)
async def get_control_picture(
    web: TheWeb,
    source: Asker,
    id: JobId,
    kind: Literal["image", "image_2", "image_3", "image_4", "mask", "map"],
) -> Response:
    if kind == "map":
        path = await web.service.lookups.picture_file(source, id, "map")
    else:
        name = "mask_image" if kind == "mask" else f"control_{kind}"
        path = await web.service.lookups.control_image(source, id, name)
    return await _file_response(path, "image/png")


def file_name(job: Job, number: int | None = None) -> str:
    """File name of a picture without its suffix: words of the prompt, the id, the number; without
    *number* that of all pictures together."""
    words = "-".join(re.findall(r"[a-z0-9]+", job.request.prompt.lower()))[:48].strip("-")
    which = str(number) if number and job.images > 1 else ""
    return "-".join(filter(None, [words, job.id, which]))


async def read(path: Path) -> bytes:
    """The bytes of a picture, read on a thread.

    Raises:
        NotFound: The picture was deleted at that very moment.
    """
    try:
        return await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        raise sentences.no_longer_kept() from None


async def _picture(
    web: Web, source: Source, request: Request, path: Path, name: str | None = None
) -> Response:
    """The picture in the file *path*, in the format that the client accepts."""
    media_type = of_picture(request.headers.get("accept", ""))
    if media_type == PNG:
        response = await _file_response(path, PNG, name and f"{name}.png")
    else:
        data = await web.service.formats.encoded(source.user, path, media_type)
        response = picture_response(data, media_type, name and name + SUFFIXES[media_type])
    response.headers["Vary"] = "Accept"
    return response


async def _file_response(path: Path, media_type: str, name: str | None = None) -> Response:
    return picture_response(await read(path), media_type, name)


def picture_response(data: bytes, media_type: str, name: str | None = None) -> Response:
    """*data* as a file that never changes; to be saved as *name*, where there is one."""
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    if name:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(data, media_type=media_type, headers=headers)
