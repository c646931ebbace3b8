"""The page and its files, read once and kept in memory.

A request names a key of a dictionary, never a path, so that no other file can be read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


def install(app: FastAPI) -> None:
    """Serve the page at ``/``, that for admins at ``/admin``, their files under ``/static/``."""
    files = {
        path.relative_to(STATIC).as_posix(): (path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(STATIC.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }

    def answer(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        content, media_type = files[name]
        # Asked for each time and answered "not modified": never stale after an update.
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        return answer(request, "index.html")

    @app.api_route("/admin", methods=["GET", "HEAD"], include_in_schema=False)
    async def admin(request: Request) -> Response:
        return answer(request, "admin.html")

    @app.api_route("/static/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def static(request: Request, name: str) -> Response:
        return answer(request, name)
