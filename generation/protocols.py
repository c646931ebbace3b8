"""Protocols of the engine, the executor and the cleaning of pictures."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from generation.kinds import Preprocessor
from generation.results import Result
from generation.types import (
    MIDDLE,
    Canvas,
    Centering,
    CleanImage,
    Fit,
    GenerationRequest,
    Signature,
    Step,
)

if TYPE_CHECKING:
    from PIL.Image import Image

OnStep = Callable[[Step], None]


class Engine(Protocol):
    """Owns pipelines on one device. Blocking; touched by exactly one thread."""

    def load(self) -> None:
        """Bring the weights into memory.

        Raises:
            ModelUnavailable: They are missing, refused or damaged.
            EngineLost: It died meanwhile.
        """

    def generate(self, request: GenerationRequest, on_step: OnStep) -> Result:
        """Make one picture, calling *on_step* after each denoising step, and with a
        note while something is downloaded or loaded first.

        An exception of *on_step* ends the generation and is raised here.

        Raises:
            EngineLost: It died meanwhile, and draws nothing more; close it.
            GenerationError: There is no picture.
        """

    def close(self) -> None:
        """Give the memory back. May be called more than once."""

    @property
    def is_alive(self) -> bool:
        """Whether it could draw, as far as can be told without drawing. Any thread may ask."""
        ...

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes in memory of each model, by the name that requests have for it, and of each
        repository beside it. Any thread may ask."""
        ...

    @property
    def device(self) -> str:
        """Where it draws, such as "cuda:0" or the name of a machine; empty while that is not
        known. Any thread may ask."""
        ...


class Executor(Protocol):
    """The async face of one engine.

    Cancelling the coroutine that `generate` returns cancels the generation; it
    raises ``CancelledError`` only once the device is free again.
    """

    @property
    def name(self) -> str:
        """Name of the engine, its own among all, for operators: "engine-1"."""
        ...

    @property
    def device(self) -> str:
        """Where it draws, such as "cuda:0" or the name of a machine; empty while that is not
        known."""
        ...

    async def start(self) -> None:
        """Load the engine, unless it is loaded. Errors of loading are raised here.

        After `EngineLost` a fresh one is loaded.
        """

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Result:
        """Make one picture; *on_step* is called on the event loop's thread."""
        ...

    async def died(self) -> None:
        """Return once the engine is found dead while nothing is drawn; `start` loads a fresh
        one."""

    async def close(self) -> None:
        """End the thread. May be called more than once."""

    @property
    def loaded(self) -> dict[str, int]:
        """Bytes of each repository's weights that the engine has in memory."""
        ...


@dataclass(frozen=True, slots=True)
class Members:
    """The executors of a `Fleet`.

    Attributes:
        problem: Why it cannot be told whether these are all; empty where they are.
    """

    executors: tuple[Executor, ...]
    problem: str = ""


class Fleet(Protocol):
    """Executors that come and go while the bot runs."""

    def members(self) -> AsyncGenerator[Members, None]:
        """All executors that there are, as soon as that is known, and whenever others are there.

        One that is no longer told is to draw nothing new; `has_left` says when it is closed.
        """
        ...

    def has_left(self, executor: Executor) -> None:
        """Its name may be given to another."""
        ...


class ControlImages(Protocol):
    """Cleans attached pictures and makes control maps of them. Blocking; thread-safe."""

    def clean(self, data: bytes) -> CleanImage:
        """Decode bytes from a stranger.

        Raises:
            InvalidImage: They are no PNG, JPEG or WebP, damaged, or too large.
        """
        ...

    def texts(self, data: bytes) -> dict[str, str]:
        """The texts that a stranger's file carries, by their keywords; XMP as
        ``XML:com.adobe.xmp``. No pixel is decoded.

        Raises:
            InvalidImage: It is no PNG, JPEG or WebP, cut off, or too large.
        """
        ...

    def signature(self, data: bytes) -> Signature | None:
        """The C2PA manifest of a stranger's file; None without one.

        Raises:
            InvalidImage: It is no PNG, JPEG or WebP, or too large.
        """
        ...

    def control_map(
        self,
        png: bytes,
        preprocessor: Preprocessor,
        width: int,
        height: int,
        fit: Fit,
        centering: Centering = MIDDLE,
    ) -> Image:
        """The RGB image of *width* x *height* that a ControlNet would be shown for
        a picture that `clean` returned, cropped at *centering*."""
        ...

    def masked(
        self,
        picture: CleanImage,
        mask: CleanImage | None,
        region: str | None,
        canvas: Canvas | None,
    ) -> tuple[CleanImage, CleanImage]:
        """A clean picture, on *canvas* if there is one, and the mask of what is drawn of it; see
        `generation.masks.masked`.

        Raises:
            InvalidRequest: Nothing says what to draw, or it is nothing.
        """
        ...
