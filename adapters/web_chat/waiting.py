"""Waiting for a picture in the very request that asks for it."""

from __future__ import annotations

import asyncio

from fastapi import Request

from adapters.web_chat.sharing import Web
from bot import sentences
from bot.commands import CancelCommand
from bot.conversation import converse
from bot.jobs import Job, JobStatus
from bot.source import Source


async def drawn_for(
    web: Web, source: Source, request: Request, job: Job, *, ends_with_client: bool
) -> None:
    """Return once *job* has its pictures.

    Args:
        ends_with_client: Whether a client that hangs up before cancels the job.

    Raises:
        FluxbotError: It has none and will not have them soon: it failed, was cancelled, is held for
            a moderator, or the bot stops.
    """
    waiting = {
        asyncio.ensure_future(job.drawn()),
        asyncio.ensure_future(request.receive()),
        asyncio.ensure_future(web.stopping.wait()),
    }
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    if not job.status.is_final and job.status is not JobStatus.HELD:
        if web.stopping.is_set() or not ends_with_client:
            raise sentences.restarting(job)
        # If it has ended at that very moment, nobody is left to be told.
        await converse(web.service, source, CancelCommand(job.id))
    sentences.check_drawn(job)
