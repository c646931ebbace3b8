"""Pictures that strangers attach: opened within limits, and a few at a time for each person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bot.provenance import MAP, Provenance
from bot.rates import Rate
from bot.sections import ControlImageSettings
from bot.sentences import too_large
from bot.turns import Turns
from generation.kinds import Preprocessor
from generation.protocols import ControlImages
from generation.results import side_by_side
from generation.types import MIDDLE, Canvas, Centering, CleanImage, Signature

#: Control maps that are made at once. A model makes some of them, on the CPU.
MAPS_AT_ONCE = 2


class Attachments:
    """The only way to the content of a stranger's file. Nothing is kept.

    Whoever asks has checked the ban before: no byte of a banned person is looked at.

    Args:
        now: Unix seconds.
        provenance: Encodes control maps.
    """

    def __init__(
        self,
        settings: ControlImageSettings,
        control_images: ControlImages,
        now: Callable[[], float],
        provenance: Provenance,
    ) -> None:
        self._settings = settings
        self._provenance = provenance
        self._control_images = control_images
        self._decoding = Turns("decoding", settings.decoders)
        self._mapping = Turns("control-map", MAPS_AT_ONCE)
        self._previews = Rate(settings.previews_per_minute, now)

    def check_rate(self, user: str) -> None:
        """Count a price, a control map or an inspection that *user* asks for.

        Raises:
            TooOften: There were too many within a minute.
        """
        self._previews.count(user, "prices, control maps and inspections")

    async def clean(self, user: str, data: bytes) -> CleanImage:
        """The picture in the file *data* that *user* has sent.

        Raises:
            InvalidImage: It is none that can be used.
            Refused: Too many pictures are being looked at.
            DecodingUnavailable: Nothing can be decoded here.
        """
        self._check_bytes(data)
        return await self._decoding.do(user, partial(self._control_images.clean, data))

    async def texts(self, user: str, data: bytes) -> dict[str, str]:
        """The texts that the file *data* of *user* carries: those of a PNG by their keywords, and
        XMP as ``XML:com.adobe.xmp``. No pixel is decoded.

        Raises:
            InvalidImage, Refused, DecodingUnavailable: As for `clean`.
        """
        self._check_bytes(data)
        return await self._decoding.do(user, partial(self._control_images.texts, data))

    async def signature(self, user: str, data: bytes) -> Signature | None:
        """The C2PA manifest of the file *data* of *user*; None without one, or where c2pa-python
        is not installed.

        Raises:
            InvalidImage, Refused, DecodingUnavailable: As for `clean`.
        """
        self._check_bytes(data)
        return await self._decoding.do(user, partial(self._control_images.signature, data))

    async def control_map(
        self,
        user: str,
        pictures: Sequence[CleanImage],
        preprocessors: Sequence[Preprocessor],
        size: tuple[int, int],
        centering: Centering = MIDDLE,
    ) -> bytes:
        """The control maps of *size* that *preprocessors* make of clean pictures, each of the one
        in its place or of the first, cropped at *centering*; side by side, as a PNG.

        Raises:
            Refused: Too many control maps are being made.
        """

        def draw() -> bytes:
            fit = self._settings.fit
            shown = [*pictures, *[pictures[0]] * len(preprocessors)]
            drawn = [
                self._control_images.control_map(each.png, preprocessor, *size, fit, centering)
                for each, preprocessor in zip(shown, preprocessors, strict=False)
            ]
            return self._provenance.png(side_by_side(drawn), MAP)

        return await self._mapping.do(user, draw)

    async def masked(
        self,
        user: str,
        picture: CleanImage,
        mask: CleanImage | None,
        region: str | None,
        canvas: Canvas | None,
    ) -> tuple[CleanImage, CleanImage]:
        """A clean picture, on *canvas* if there is one, and the mask of what is drawn of it.

        Raises:
            InvalidRequest: Nothing says what to draw, or it is nothing.
            Refused: Too many control maps are being made.
        """
        draw = partial(self._control_images.masked, picture, mask, region, canvas)
        return await self._mapping.do(user, draw)

    def close(self) -> None:
        """Look at nothing more. May be called more than once."""
        self._decoding.close()
        self._mapping.close()

    def _check_bytes(self, data: bytes) -> None:
        max_bytes = int(self._settings.max_megabytes * 1e6)
        if len(data) > max_bytes:
            raise too_large(len(data), max_bytes)
