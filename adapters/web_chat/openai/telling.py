"""Pictures as OpenAI tells of them: one JSON at the end, or events while they are drawn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from adapters.web_chat.errors import error_of
from adapters.web_chat.openai.refusals import translated
from adapters.web_chat.openai.wishes import WishBody
from adapters.web_chat.sharing import Web
from bot import sentences
from bot.jobs import Job, JobStatus, Progress
from bot.source import Source
from generation.errors import FluxbotError


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells of the job of one request.

    Attributes:
        body: What was asked for.
        address: Where the server is for the client, with a slash behind it.
        noun: What the events are about: ``image_generation`` or ``image_edit``.
    """

    web: Web
    body: WishBody
    address: str
    noun: str = "image_generation"

    async def as_json(self, source: Source, job: Job) -> AsyncIterator[bytes]:
        """The pictures of *job* once they are drawn; see `adapters.web_chat.answers.Telling`."""
        await job.drawn()
        sentences.check_drawn(job)
        # In pieces, since JSON of large pictures is slow to write and base64 needs no quoting.
        data = [await self._picture(source, job, number) for number in range(1, job.images + 1)]
        head = json.dumps({"created": _created(job), **self._facts(job)})
        yield head[:-1].encode() + b', "data": ['
        for number, (name, text) in enumerate(data):
            yield b'%s{"%s": "%s"}' % (b", " if number else b"", name.encode(), text.encode())
        yield b"]}"

    async def as_events(self, source: Source, job: Job) -> AsyncIterator[bytes]:
        """*job* as server-sent events: unfinished pictures, and each picture at the end."""
        yield b": queued\n\n"
        told: Counter[int] = Counter()
        async for progress in job.watch():
            if progress.status.is_final or progress.status is JobStatus.HELD:
                break
            if self._is_due(job, progress, told[progress.picture]):
                yield await self._partial(job, progress, told[progress.picture])
                told[progress.picture] += 1
        sentences.check_drawn(job)
        for number in range(1, job.images + 1):
            name, text = await self._picture(source, job, number)
            facts = {"created_at": _created(job), **self._facts(job)}
            yield _event(f"{self.noun}.completed", {name: text, **facts})

    def _is_due(self, job: Job, progress: Progress, told: int) -> bool:
        """Whether an unfinished picture is to be shown at *progress*, of which *told* were."""
        if progress.preview is None or told >= self.body.partial_images:
            return False
        due = (told + 1) * job.request.steps_taken / (self.body.partial_images + 1)
        return progress.step >= due

    async def _partial(self, job: Job, progress: Progress, told: int) -> bytes:
        assert progress.preview is not None
        return _event(
            f"{self.noun}.partial_image",
            {
                "b64_json": await self.web.base64(progress.preview),
                "partial_image_index": told,
                "created_at": _created(job),
                **self._facts(job),
                "output_format": "jpeg",  # whatever the finished picture will be
            },
        )

    async def _picture(self, source: Source, job: Job, number: int) -> tuple[str, str]:
        """Picture *number* of *job*: the name of the member that has it, and its value."""
        path = await self.web.service.lookups.picture(source, job.id, number)
        if self.body.response_format == "url":
            secret = self.web.links.new(source.user, job.id, number, self.body.media_type)
            return "url", f"{self.address}v1/pictures/{secret}"
        formats = self.web.service.formats
        data = await formats.encoded(source.user, path, self.body.media_type)
        return "b64_json", await self.web.base64(data)

    def _facts(self, job: Job) -> dict[str, Any]:
        return {
            "background": "opaque",
            "output_format": self.body.output_format,
            "quality": "auto",
            "size": f"{job.request.width}x{job.request.height}",
        }


def error_event(error: FluxbotError) -> bytes:
    """The last event of a stream that ends with *error*."""
    return _event("error", dict(translated(*error_of(error)).body))


def _created(job: Job) -> int:
    return int(job.submitted_at)


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
