"""The route for all pictures of a job in one zip."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from adapters.web_chat.pictures import file_name
from adapters.web_chat.sharing import Asker, JobId, TheWeb, file, responses

router = APIRouter(tags=["pictures"])


@router.get(
    "/api/jobs/{id}/images.zip",
    summary="All pictures of a job in a zip",
    description="Those that are there by now, as they are stored, with their marks: each a PNG"
    " under the name that it has where it is downloaded alone.",
    response_class=Response,
    responses={**responses(404, 409, 503), **file("application/zip")},
)
async def get_pictures_in_a_zip(web: TheWeb, source: Asker, id: JobId) -> Response:
    lookups = web.service.lookups
    job = await lookups.job(source, id)
    files = [
        (f"{file_name(job, number)}.png", await lookups.picture(source, id, number))
        for number in job.available or (1,)  # which says why there is none
    ]
    headers = {"Content-Disposition": f'attachment; filename="{file_name(job)}.zip"'}
    return StreamingResponse(
        zipped(files, job.finished_at or job.submitted_at), 200, headers, "application/zip"
    )


def zipped(files: Iterable[tuple[str, Path]], made_at: float) -> Iterator[bytes]:
    """The bytes of a zip of *files*, each a name and a path, a picture at a time. They are stored
    as they are, since a picture does not become smaller; one that is deleted meanwhile is left out.

    Args:
        made_at: Unix seconds that the files have as their time.
    """
    written = _Written()
    made = time.gmtime(made_at)[:6]
    with zipfile.ZipFile(cast(IO[bytes], written), "w", zipfile.ZIP_STORED) as archive:
        for name, path in files:
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            archive.writestr(zipfile.ZipInfo(name, made), data)
            yield written.take()
    yield written.take()


class _Written:
    """A file of which what was taken is gone. What is left can be gone back to, so that a zip has
    its sums in front of each picture and any program reads it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._taken = self._at = 0

    def tell(self) -> int:
        return self._taken + self._at

    def seek(self, place: int, /) -> int:
        self._at = place - self._taken
        return place

    def write(self, data: bytes, /) -> int:
        self._data[self._at : self._at + len(data)] = data
        self._at += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        """What was written since this was asked before."""
        data, self._data = bytes(self._data), bytearray()
        self._taken += len(data)
        self._at = 0
        return data
