"""A thread that takes calls in turn, and that nothing waits for at the end.

The threads of `concurrent.futures` are joined when Python ends, so that one that hangs would keep
the process alive.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Thread:
    """A thread called *name*."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The outcome of *work*, which is called once those before it are done."""
        outcome: Future[T] = Future()
        self._calls.put((outcome, work))
        return asyncio.wrap_future(outcome)

    def end(self) -> None:
        """End the thread after the calls that it has been given."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            outcome, work = call
            if not outcome.set_running_or_notify_cancel():
                continue
            try:
                outcome.set_result(work())
            except BaseException as error:
                outcome.set_exception(error)
            # Else its traceback would keep alive what it had in hand, until the next call.
            del call, outcome, work
