"""The errors of this project, whose sentences people read.

``str(error)`` is a sentence for the person who asked;
``error.code`` is a stable word for machines; ``error.field`` names the argument
that is at fault, in diffusers' terms, where there is one::

    FluxbotError
    ├── InvalidRequest           can never succeed as written; nothing was spent
    │   └── InvalidImage         the attached file is no usable picture
    ├── DecodingUnavailable      no attached file can be looked at; an operator must act
    ├── GenerationError          a picture could not be made; the job is refunded
    │   ├── ModelUnavailable     the weights cannot be loaded; an operator must act
    │   ├── OutOfMemory          the request does not fit on this device
    │   ├── DegenerateResult     the numbers overflowed, or the picture is blank
    │   ├── EngineLost           what drew has died; a fresh one may succeed
    │   └── GenerationCancelled  unwinds the denoising loop; people never see it
    └── Refused                  (bot/refusals.py) a sound request, but not now or not you
"""

from __future__ import annotations

from typing import ClassVar


class FluxbotError(Exception):
    """An error whose text is a sentence for the person who asked, or for the operator."""

    code: ClassVar[str] = "error"

    def __init__(self, sentence: str, *, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


class InvalidRequest(FluxbotError, ValueError):
    """The request can never succeed as written; retrying will not help."""

    code = "invalid_request"


class InvalidImage(InvalidRequest):
    """The attached file is not a picture that we can use."""

    code = "invalid_image"


class DecodingUnavailable(FluxbotError):
    """No process can be started that would look at attached files; an operator must act."""

    code = "decoding_unavailable"


class GenerationError(FluxbotError):
    """A picture could not be made."""

    code = "generation_failed"


class ModelUnavailable(GenerationError):
    """The weights cannot be loaded; an operator must act."""

    code = "model_unavailable"


class OutOfMemory(GenerationError):
    """The request does not fit on this device."""

    code = "out_of_memory"


class DegenerateResult(GenerationError):
    """The numbers overflowed, or the picture is of one colour; a fluke, or so each time."""

    code = "degenerate_result"


class EngineLost(GenerationError):
    """The engine has died or had to be ended, and must be started anew before it draws.

    Attributes:
        is_unrelated: Whether what it drew cannot be the cause: its machine has gone, somebody has
            ended it, or it died before it had begun.
    """

    code = "engine_lost"

    def __init__(
        self, sentence: str, *, field: str | None = None, is_unrelated: bool = False
    ) -> None:
        super().__init__(sentence, field=field)
        self.is_unrelated = is_unrelated


class GenerationCancelled(GenerationError):
    """Raised inside the denoising loop to unwind it; people never see it."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("the generation was cancelled")
