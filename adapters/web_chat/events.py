"""Jobs as server-sent events (WHATWG HTML, section 9.2).

| event | when | data |
| --- | --- | --- |
| ``queued`` | the job waits; again whenever its place changes | ``id, status, position, wait`` |
| ``held`` | a moderator looks at the picture first | ``id, status`` |
| ``step`` | the job is being drawn | ``id, status, picture, images, step, steps, …`` |
| ``done``, ``failed``, ``cancelled`` | last, at the job's end | the job, as ``GET`` gives it |

Each event is complete, so that a client which connects anew has missed nothing. A step's
``preview`` is a small JPEG as a data URL, or null; its ``pictures`` are those of several that are
there already, and ``is_spoiler`` says whether to hide them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from adapters.web_chat.errors import response_to
from adapters.web_chat.views import JobView, PictureView
from bot import sentences
from bot.jobs import Job, JobStatus, Progress
from bot.languages import ENGLISH, Language
from bot.refusals import TooOften

#: Seconds of silence after which a comment shows proxies that the stream lives.
KEEP_ALIVE = 15.0
#: Milliseconds after which a browser connects anew.
RECONNECT = 1500

FINAL_EVENTS = {
    JobStatus.SUCCEEDED: "done",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


def event(job: Job, progress: Progress, say: Language = ENGLISH) -> tuple[str, dict[str, Any]]:
    """Name and data of the event for *progress*, with sentences in a person's language."""
    data: dict[str, Any] = {"id": job.id, "status": progress.status.value}
    if progress.status is JobStatus.QUEUED:
        return "queued", {**data, "position": progress.position, "wait": progress.wait}
    if progress.status is JobStatus.HELD:
        return "held", data
    if progress.status is JobStatus.RUNNING:
        return "step", {
            **data,
            "picture": progress.picture,
            "images": job.images,
            "step": progress.step,
            "steps": job.request.steps_taken,
            "note": say(progress.note) if progress.note else "",
            "pictures": [each.model_dump() for each in PictureView.all_of(job)],
            "is_spoiler": job.is_spoiler,
            "preview": progress.preview and data_url("image/jpeg", progress.preview),
        }
    return FINAL_EVENTS[progress.status], JobView.of(job, say).model_dump(mode="json")


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


class Streams:
    """How many streams each person has open, of *most* that they may have."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: Counter[str] = Counter()

    @contextlib.contextmanager
    def of(self, person: str) -> Iterator[None]:
        """A block in which *person* has one more stream open.

        Raises:
            TooOften: They have as many as they may have.
        """
        if self._open[person] >= self.most:
            raise sentences.too_many_streams(self.most)
        self._open[person] += 1
        try:
            yield
        finally:
            self._open[person] -= 1
            if not self._open[person]:
                del self._open[person]


class EventStream(Response):
    """A stream of *jobs*, until all have ended, the client has gone or *stopping* is set.

    Several jobs share one stream, because browsers open few connections to one host. A
    client that reads slowly is sent the latest of each job, never a backlog.

    Args:
        places: Entered while the stream is open; it may refuse one.
        is_allowed: Whether the person may still see it.
        say: The person's language.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        jobs: Sequence[Job],
        stopping: asyncio.Event,
        keep_alive: float = KEEP_ALIVE,
        *,
        places: contextlib.AbstractContextManager[None] | None = None,
        is_allowed: Callable[[], bool] = lambda: True,
        say: Language = ENGLISH,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._jobs = jobs
        self._stopping = stopping
        self._keep_alive = keep_alive
        self._places = places or contextlib.nullcontext()
        self._is_allowed = is_allowed
        self._say = say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._places:
                await self._stream(receive, send)
        except TooOften as error:
            await response_to(error)(scope, receive, send)

    async def _stream(self, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers},
        )
        sending = asyncio.create_task(self._send_events(send))
        others = [
            asyncio.create_task(_gone(receive)),
            asyncio.create_task(self._stopping.wait()),
        ]
        try:
            await asyncio.wait([sending, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, *others):
                task.cancel()
            outcomes = await asyncio.gather(sending, *others, return_exceptions=True)
        if isinstance(outcomes[0], Exception) and not isinstance(outcomes[0], OSError):
            raise outcomes[0]
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, send: Send) -> None:
        latest: dict[str, tuple[Job, Progress]] = {}
        changed = asyncio.Event()

        async def follow(job: Job) -> None:
            async for progress in job.watch():
                latest[job.id] = job, progress
                changed.set()

        async def write(text: str) -> None:
            body = text.encode("utf-8")
            await send({"type": "http.response.body", "body": body, "more_body": True})

        following = asyncio.gather(*(follow(job) for job in self._jobs))
        try:
            await write(f"retry: {RECONNECT}\n\n")
            open_jobs = {job.id for job in self._jobs}
            while open_jobs and self._is_allowed():
                try:
                    # Not wait_for, which loses a cancellation that comes with a change (3.11).
                    async with asyncio.timeout(self._keep_alive):
                        await changed.wait()
                except TimeoutError:
                    await write(": still here\n\n")
                    continue
                changed.clear()
                while latest:
                    job, progress = latest.pop(next(iter(latest)))
                    name, data = event(job, progress, self._say)
                    await write(f"event: {name}\ndata: {json.dumps(data)}\n\n")
                    if progress.status.is_final:
                        open_jobs.discard(job.id)
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
