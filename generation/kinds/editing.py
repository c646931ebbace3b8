"""A picture changed as the words say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from generation.checks import MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE, check_number
from generation.errors import InvalidRequest
from generation.kinds.base import CONTROL_IMAGES, Kind
from generation.wanted import WeightsRole

#: Width and height in pixels that FLUX.1-Kontext was trained with (diffusers'
#: ``PREFERRED_KONTEXT_RESOLUTIONS``), about a megapixel each.
PREFERRED_SIZES = (
    (672, 1568),
    (688, 1504),
    (720, 1456),
    (752, 1392),
    (800, 1328),
    (832, 1248),
    (880, 1184),
    (944, 1104),
    (1024, 1024),
    (1104, 944),
    (1184, 880),
    (1248, 832),
    (1328, 800),
    (1392, 752),
    (1456, 720),
    (1504, 688),
    (1568, 672),
)

#: The logarithm of the factor between two shapes below which they count as one: that between any
#: picture and the preferred size next to it.
SAME_SHAPE = 0.08


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit(Kind):
    """The attached picture, changed as the prompt says: "make it night".

    Attributes:
        kontext: Repository id, folder or file of a model made for editing, such as
            FLUX.1-Kontext-dev, whose transformer sees the picture (`FluxKontextPipeline`); None
            where ``model.repository`` is one itself.
        references: Pictures that may come with the one that is changed, 0 to 3, for words such as
            "the hat of the second picture"; only where the model takes several, as FLUX.2-klein.
    """

    name: ClassVar[str] = "edit"
    label: ClassVar[str] = "editing by words"
    key: ClassVar[str | None] = "kontext"
    pictures: ClassVar[tuple[str, ...]] = CONTROL_IMAGES[:1]
    edits: ClassVar[bool] = True
    preferred_sizes: ClassVar[tuple[tuple[int, int], ...]] = PREFERRED_SIZES
    strengthless: ClassVar[str] = "which changes the picture as far as the words say"

    kontext: str | None = None
    references: int = 0

    def __post_init__(self) -> None:
        check_number("references", self.references, 0, len(CONTROL_IMAGES) - 1, whole=True)
        if self.kontext is not None and self.references:
            raise InvalidRequest(
                "a preset has either a kontext or references, not both: the model that kontext"
                " names is shown one picture",
                field="references",
            )

    @property
    def more_pictures(self) -> tuple[str, ...]:
        return CONTROL_IMAGES[1 : 1 + self.references]

    @property
    def weights(self) -> tuple[tuple[str, WeightsRole], ...]:
        return () if self.kontext is None else ((self.kontext, "transformer"),)

    @property
    def begins_with_picture(self) -> bool:
        return True

    def shown_size(
        self, picture: tuple[int, int], drawn: tuple[int, int]
    ) -> tuple[int, int] | None:
        """That of the result, where both have about one shape; else as many pixels as that in the
        picture's own, so that nothing of it is cut away."""
        shape = picture[0] / picture[1]
        if abs(math.log(shape * drawn[1] / drawn[0])) <= SAME_SHAPE:
            return drawn
        across = math.sqrt(drawn[0] * drawn[1] * shape)
        scale = min(1.0, MAX_SIZE / across, MAX_SIZE * shape / across)
        width, height = (
            max(MIN_SIZE, round(side * scale / SIZE_MULTIPLE) * SIZE_MULTIPLE)
            for side in (across, across / shape)
        )
        return width, height

    def pixels_drawn(self, width: int, height: int, pictures: int = 1) -> int:
        """As many as the picture has, and again for each that the model sees beside it."""
        return (1 + pictures) * width * height

    def check(
        self, *, lora: str | None, num_inference_steps: int = 1, true_cfg_scale: float = 1.0
    ) -> None:
        if self.kontext is not None and lora is not None:
            raise InvalidRequest(
                "a preset has either a kontext or a lora, not both: for a LoRA of the model that"
                " edits, name that one as model.repository, and leave kontext out",
                field="kontext",
            )
