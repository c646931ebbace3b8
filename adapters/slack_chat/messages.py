"""Messages that were heard, since people edit them, and Slack then delivers them again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from adapters.slack_chat import wording

#: Messages that are remembered.
REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class _Heard:
    text: str
    is_refused: bool


class Messages:
    """The latest messages, by id. They are forgotten with the process; jobs know theirs."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, id: str) -> AsyncIterator[None]:
        """The time in which one version of message *id* is carried out, and no other."""
        lock = self._turns.setdefault(id, asyncio.Lock())
        async with lock:
            yield

    def remember(self, id: str, text: str, *, is_refused: bool) -> None:
        """Keep the words of message *id*, and whether they were refused."""
        self._heard[id] = _Heard(text, is_refused)
        self._heard.move_to_end(id)
        while len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)

    def may_be_heard_again(self, id: str, text: str) -> bool:
        """Whether *text*, the new words of message *id*, are to be carried out: not where they are
        the old ones, and no command of an admin a second time."""
        heard = self._heard.get(id)
        if heard is None:
            return not wording.is_admin_command(text)
        was_obeyed = wording.is_admin_command(heard.text) and not heard.is_refused
        return text != heard.text and not was_obeyed
