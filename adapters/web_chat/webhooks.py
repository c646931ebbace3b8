"""Webhooks: the end of a job, sent to the address that its request has named.

Signed as https://www.standardwebhooks.com has it, so that libraries for that can check it:
``webhook-signature`` is ``v1,`` and the HMAC-SHA256, in base64, of id, timestamp and body.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from adapters.web_chat.addresses import Forbidden, fault_of
from adapters.web_chat.errors import webhook_is_refused
from adapters.web_chat.sharing import Asker, TheWeb, Web, responses
from adapters.web_chat.views import JobView
from bot.jobs import Job
from bot.provenance import VERSION
from bot.service import Service
from bot.source import Source
from bot.webhooks import Notice

#: Seconds between two looks at what is owed, where no job ends in between: at most, and at least.
LONGEST_WAIT, SHORTEST_WAIT = 60.0, 1.0
#: Answers after which no further attempt is made: the receiver wants none (RFC 9110, 15.5.11).
GONE = 410

log = logging.getLogger(__name__)

router = APIRouter(tags=["own data"])

#: Sends a body with headers to an address, and returns the status of the answer.
Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]


class WebhookSecretView(BaseModel):
    secret: str = Field(description="Key of the signatures, as Standard Webhooks writes it")


@router.get(
    "/api/me/webhook-secret",
    summary="The key that webhooks are signed with",
    description="Of `webhook_url` in a request: at its job's end its address gets a POST with"
    " `{type, timestamp, data}`, `data` being the job, signed as https://www.standardwebhooks.com"
    " has it. An answer that is not 2xx is followed by other attempts, for about a day.",
    responses=responses(503),
)
async def get_webhook_secret(web: TheWeb, source: Asker) -> WebhookSecretView:
    key = bytes.fromhex(await web.service.webhooks.secret(source.user))
    return WebhookSecretView(secret=f"whsec_{base64.b64encode(key).decode('ascii')}")


def with_webhook(web: Web, source: Source, url: str | None) -> Source:
    """*source*, with the address that is told of the job's end.

    Raises:
        InvalidRequest: It may not be called.
    """
    if url is None:
        return source
    reach = web.config.web.webhooks
    if reach == "off":
        raise webhook_is_refused("is not possible here: webhooks are off")
    if fault := fault_of(url, reaches_all=reach == "any"):
        raise webhook_is_refused(fault)
    return replace(source, webhook_url=url)


def signed(key: bytes, job: Job, at: float) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the news of *job*, which has ended, sent *at* unix seconds."""
    data = JobView.of(job).model_dump(mode="json")
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.finished_at or at))
    told = {"type": f"job.{job.status.value}", "timestamp": moment, "data": data}
    body = json.dumps(told).encode("ascii")
    stamp = str(int(at))
    digest = hmac.digest(key, f"{job.id}.{stamp}.".encode() + body, hashlib.sha256)
    return body, {
        "content-type": "application/json",
        "user-agent": f"fluxbot/{VERSION}",
        "webhook-id": job.id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }


class Sender:
    """Sends news that are owed.

    Args:
        reach: As ``web.webhooks`` says it.
        now: Unix seconds.
        post: Sends; None for requests over the network.
    """

    def __init__(
        self,
        service: Service,
        reach: Literal["off", "public", "any"],
        now: Callable[[], float],
        post: Post | None = None,
    ) -> None:
        self._webhooks = service.webhooks
        self._reach = reach
        self._now = now
        self._post = post

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._webhooks.changed.clear()
            wait = LONGEST_WAIT
            try:
                while await self.send_due():
                    pass
                next_at = await self._webhooks.next_at()
                wait = LONGEST_WAIT if next_at is None else min(next_at, LONGEST_WAIT)
            except Exception:
                log.exception("webhooks cannot be sent")
            with suppress(TimeoutError):
                async with asyncio.timeout(max(wait, SHORTEST_WAIT)):
                    await self._webhooks.changed.wait()

    async def send_due(self) -> int:
        """Number of news that were due; an attempt was made at each."""
        notices = await self._webhooks.due()
        await asyncio.gather(*map(self._send, notices))
        return len(notices)

    async def _send(self, notice: Notice) -> None:
        job = notice.job
        if self._reach == "off":  # by now: the address was taken when it was not
            await self._webhooks.close_notice(job.id)
            return
        key = bytes.fromhex(await self._webhooks.secret(job.user))
        body, headers = signed(key, job, self._now())
        try:
            status = await (await self._poster())(notice.url, body, headers)
        except Exception as error:
            # Without the address, which is its person's own.
            problem, is_final = type(error).__name__, isinstance(error, Forbidden)
        else:
            if 200 <= status < 300:
                await self._webhooks.close_notice(job.id)
                return
            problem, is_final = f"status {status}", status == GONE
        if is_final:
            await self._webhooks.close_notice(job.id)
        goes_on = not is_final and await self._webhooks.failed(notice)
        log.warning(
            "the webhook of job %s was not taken (%s)%s",
            job.id,
            problem,
            ", and is tried again" if goes_on else "",
        )

    async def _poster(self) -> Post:
        if self._post is None:
            # Not before it is needed: its library takes a while to load.
            from adapters.web_chat.outbound import Outbound

            self._post = Outbound(reaches_all=self._reach == "any").post
        return self._post
