"""Stored pictures in other formats, made when somebody asks for them; nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from bot import sentences
from bot.provenance import Provenance
from bot.turns import Turns

T = TypeVar("T")

#: Formats that a picture can be had in, and the suffix of each.
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
#: Pictures that are encoded at once.
AT_ONCE = 2


class Formats:
    """Encodes stored pictures, on threads of its own on which people take turns."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance
        self._turns = Turns("encoding", AT_ONCE)

    async def encoded(self, user: str, path: Path, media_type: str) -> bytes:
        """The PNG file *path*, a picture of the bot's, as *media_type*, one of `SUFFIXES`; its
        marks stay. A PNG is the file as it is stored.

        Raises:
            NotFound: The picture was deleted at that very moment.
            Refused: Too many pictures are being encoded.
        """
        return await self._do(user, partial(self._provenance.encoded, path, media_type))

    async def fitted(self, user: str, path: Path, max_bytes: int) -> tuple[bytes, str]:
        """The PNG file *path* in at most *max_bytes*, and its media type; see
        `Provenance.fitted`.

        Raises:
            NotFound, Refused: As for `encoded`.
        """
        data, suffix = await self._do(user, partial(self._provenance.fitted, path, max_bytes))
        return data, next(kind for kind, each in SUFFIXES.items() if each == suffix)

    def close(self) -> None:
        """Encode nothing more. May be called more than once."""
        self._turns.close()

    async def _do(self, user: str, work: Callable[[], T]) -> T:
        try:
            return await self._turns.do(user, work)
        except FileNotFoundError:
            raise sentences.no_longer_kept() from None
