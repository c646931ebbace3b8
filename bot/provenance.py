"""The marks that every picture carries: that it was made by AI, by which software, and how.

All files that leave the bot are encoded here, so that none goes without. Each carries XMP with

- ``Iptc4xmpExt:DigitalSourceType``, a term of https://cv.iptc.org/newscodes/digitalsourcetype/,
- ``Iptc4xmpExt:AISystemUsed`` and ``AIPromptInformation`` (IPTC Photo Metadata 2025.1),
- ``xmp:CreatorTool``, ``dc:description`` and the whole request as ``fluxbot:request``.

A PNG also has the text chunks ``parameters``, one readable line, and ``fluxbot``, the request as
JSON; a WebP or JPEG has the readable line as EXIF's UserComment, where other programs look for it.
Where the operator has a certificate, a C2PA manifest binds all of this to the pixels
(``bot/credentials.py``).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image
from PIL.PngImagePlugin import PngInfo, putchunk

from bot.jobs import Job
from bot.loras import tags
from generation.checks import public_name
from generation.results import png_of
from generation.types import GenerationRequest

#: The version in pyproject.toml, which a checkout is never asked for otherwise.
VERSION = "0.1.0"
SOFTWARE = f"fluxbot {VERSION}"

#: Quality of a JPEG or WebP that somebody asks for in the place of a PNG, 0 to 100.
QUALITY = 92
#: Where the marks of a PNG stand: behind its signature and its header (PNG specification, third
#: edition, 5.6: texts may stand anywhere between header and end).
PNG_PIXELS = 8 + 12 + 13
#: The keyword of XMP among a PNG's texts, and the beginning of its segment in a JPEG (XMP
#: specification, part 3, 1.1.5 and 1.1.3).
XMP_KEYWORD, XMP_SEGMENT = "XML:com.adobe.xmp", b"http://ns.adobe.com/xap/1.0/\0"
#: Bytes of XMP that fit into a segment of a JPEG (XMP specification, part 3, 1.1.3).
MAX_JPEG_XMP = 65_502
#: EXIF's directory of details, and its comment in it (EXIF 2.32, tables 4 and 7).
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286

#: Characters that XML 1.0 has no way to write.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SourceType(StrEnum):
    """Terms of IPTC's vocabulary of digital sources."""

    #: Made by a model alone; a control map guides it, but none of its pixels are in the result.
    MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    #: A picture that was edited by a model, as image to image does.
    EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    #: A picture as an algorithm sees it, such as its edges or its depth.
    ALTERED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"


@dataclass(frozen=True, slots=True)
class Facts:
    """How one file came about.

    Attributes:
        model: Repository and revision of the weights; empty where no model drew.
        prompt: The person's words; empty where they are not told.
        parameters: The readable line.
        request: The request as JSON types, with the job's id as ``job``; empty without one.
        inputs: Files of pictures that it was drawn from.
    """

    source: SourceType
    model: str = ""
    prompt: str = ""
    parameters: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()

    @property
    def creator_tool(self) -> str:
        return f"{SOFTWARE} ({self.model})" if self.model else SOFTWARE


#: Fields of a request that name weights.
OF_WEIGHTS = ("model", "lora", "controlnet", "control_lora", "fill", "kontext", "redux")

#: A control map of an attached picture.
MAP = Facts(SourceType.ALTERED, parameters="Control map of an attached picture")

#: The bytes of a picture with a manifest that is signed, from bytes, media type and facts.
Sign = Callable[[bytes, str, Facts], bytes]


def facts_of(job: Job, request: GenerationRequest, *, tells_prompt: bool = True) -> Facts:
    """How the picture that *request*, one of *job*'s, describes came about."""
    values = {"job": job.id, **_public(request.to_dict())}
    model = public_name(request.model)
    settings = (
        f"Steps: {request.num_inference_steps}, Guidance: {request.guidance_scale:g},"
        f" Seed: {request.seed}, Size: {request.width}x{request.height},"
        f" Preset: {request.preset}, Model: {model}"
    )
    if request.step_cache_tolerance > 0:
        settings += f", Step cache: {request.step_cache_tolerance:g}"
    if job.remarks:  # such as the words that a richer prompt was made from
        values["remarks"] = list(job.remarks)
    if not tells_prompt:
        values.pop("remarks", None)
        del values["prompt"], values["negative_prompt"]
    return Facts(
        source=_source(request),
        model=model,
        prompt=request.prompt if tells_prompt else "",
        parameters=f"{request.prompt}{tags(request.loras)}\n{settings}"
        if tells_prompt
        else settings,
        request=values,
        inputs=tuple(request.pictures.values()),
    )


def _facts_so_far(job: Job) -> Facts:
    """What unfinished pictures of *job* say. The settings are those of the finished ones, which
    alone carry them."""
    return Facts(_source(job.request), public_name(job.request.model))


def _public(value: Any, name: str = "") -> Any:
    """*value* of the field *name*, without paths of the operator's machine."""
    if isinstance(value, dict):
        return {each: _public(inside, each) for each, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public(each, name) for each in value]
    return public_name(value) if name in OF_WEIGHTS and isinstance(value, str) else value


def _source(request: GenerationRequest) -> SourceType:
    is_drawn_over = bool(request.pictures) and not request.kind.control_maps
    return SourceType.EDITED if is_drawn_over else SourceType.MADE


def xmp(facts: Facts) -> bytes:
    """The XMP packet for *facts* (XMP specification, part 1)."""
    fields = [
        ("Iptc4xmpExt:DigitalSourceType", str(facts.source)),
        ("Iptc4xmpExt:AISystemUsed", facts.model),
        ("Iptc4xmpExt:AIPromptInformation", facts.prompt),
        ("xmp:CreatorTool", facts.creator_tool),
        ("fluxbot:request", _json(facts.request) if facts.request else ""),
    ]
    elements = "".join(f"<{name}>{_text(text)}</{name}>" for name, text in fields if text)
    if facts.parameters:
        elements += (
            '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
            f"{_text(facts.parameters)}</rdf:li></rdf:Alt></dc:description>"
        )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' xmlns:fluxbot="urn:fluxbot:1#">{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="r"?>'
    ).encode()


class Provenance:
    """Encodes pictures with the marks that they carry. Blocking; threads may share it.

    Args:
        tells_prompt: Whether files carry the person's words.
        sign: Adds a manifest; None without a certificate.
    """

    def __init__(self, tells_prompt: bool = True, sign: Sign | None = None) -> None:
        self._tells_prompt = tells_prompt
        self._sign = sign

    def of(self, job: Job, request: GenerationRequest) -> Facts:
        """How the picture that *request*, one of *job*'s, describes came about."""
        return facts_of(job, request, tells_prompt=self._tells_prompt)

    def png(self, image: Image.Image, facts: Facts) -> bytes:
        """*image* as a PNG; see `marked`."""
        return self.marked(png_of(image), facts)

    def marked(self, png: bytes, facts: Facts) -> bytes:
        """*png*, which has no marks yet, with those for *facts*.

        Raises:
            SignatureFailed: No manifest could be signed.
        """
        info = PngInfo()
        info.add_itxt(XMP_KEYWORD, xmp(facts).decode())
        info.add_itxt("parameters", facts.parameters)
        if facts.request:
            info.add_itxt("fluxbot", _json(facts.request))
        file = io.BytesIO()
        file.write(png[:PNG_PIXELS])
        for kind, text, *_ in info.chunks:
            putchunk(file, kind, text)
        file.write(png[PNG_PIXELS:])
        return self._signed(file.getvalue(), "image/png", facts)

    def webp(self, image: Image.Image, facts: Facts, *, quality: int, method: int) -> bytes:
        """*image* as a WebP; see `png`."""
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=method, xmp=xmp(facts), exif=_exif(facts))
        return self._signed(file.getvalue(), "image/webp", facts)

    def jpeg(self, image: Image.Image, facts: Facts, *, quality: int) -> bytes:
        """*image* as a JPEG; see `png`. The longest words fit into its XMP, however they are
        escaped."""
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling=0, xmp=xmp(facts), exif=_exif(facts))
        return self._signed(file.getvalue(), "image/jpeg", facts)

    def encoded(self, path: Path, media_type: str) -> bytes:
        """The PNG file *path*, a picture of the bot's, as a PNG, JPEG or WebP with the same
        marks."""
        data = path.read_bytes()
        if media_type == "image/png":
            return data
        with Image.open(io.BytesIO(data)) as image:
            picture = image.convert("RGB")
        if media_type == "image/jpeg":
            return self.jpeg(picture, _facts_in(data), quality=QUALITY)
        return self.webp(picture, _facts_in(data), quality=QUALITY, method=2)

    def preview(self, job: Job, jpeg: bytes | None) -> bytes | None:
        """The preview *jpeg* of an unfinished picture of *job*, marked but never signed, since it
        is replaced within seconds; None without one."""
        if jpeg is None:
            return None
        return _marked_jpeg(jpeg, xmp(_facts_so_far(job)))

    def sheet(self, job: Job, image: Image.Image) -> bytes:
        """A JPEG of *image*, small pictures of *job*, which is not done: marked, and never signed,
        as a preview is."""
        file = io.BytesIO()
        image.save(file, "JPEG", quality=80, xmp=xmp(_facts_so_far(job)))
        return file.getvalue()

    def fitted(self, path: Path, max_bytes: int) -> tuple[bytes, str]:
        """The PNG file *path*, a picture of the bot's, in at most *max_bytes*, and the suffix of
        its format.

        Unchanged where it fits, else a WebP of the best quality that fits, and of fewer pixels
        where none does.
        """
        data = path.read_bytes()
        if len(data) <= max_bytes:
            return data, path.suffix
        with Image.open(io.BytesIO(data)) as image:
            picture = image.convert("RGB")
        facts = _facts_in(data)
        while True:
            for quality in (95, 85, 70):
                webp = self.webp(picture, facts, quality=quality, method=2)
                if len(webp) <= max_bytes or max(picture.size) <= 16:
                    return webp, ".webp"
            picture = picture.reduce(2)

    def _signed(self, data: bytes, media_type: str, facts: Facts) -> bytes:
        return data if self._sign is None else self._sign(data, media_type, facts)


def enlarged_preview(jpeg: bytes, side: int) -> bytes:
    """The preview *jpeg* with *side* pixels on its longer side and the marks that it had."""
    with Image.open(io.BytesIO(jpeg)) as image:
        share = side / max(image.size)
        size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        marks = image.info.get("xmp", xmp(Facts(SourceType.MADE)))
        file = io.BytesIO()
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        large.save(file, "JPEG", quality=70, xmp=marks)
    return file.getvalue()


def unfinished(image: Image.Image) -> bytes:
    """*image*, of which more is to be drawn, as a JPEG that is marked and never signed."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75, xmp=xmp(Facts(SourceType.MADE)))
    return file.getvalue()


def read_request(png: bytes) -> dict[str, Any] | None:
    """The request inside a PNG of the bot's, as `GenerationRequest.to_dict` wrote it, with
    the job's id as ``job``; None without one."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.load()
            text = getattr(image, "text", {}).get("fluxbot")
        values = json.loads(text) if text else None
    except (OSError, SyntaxError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _facts_in(png: bytes) -> Facts:
    """The facts that a PNG of the bot's carries, for a smaller copy of it."""
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        texts: dict[str, str] = getattr(image, "text", {})
    request = read_request(png) or {}
    marks = texts.get(XMP_KEYWORD, "")
    # With its tags, which no words of a person can imitate.
    source = next((each for each in SourceType if f">{each}</" in marks), SourceType.MADE)
    return Facts(
        source,
        model=str(request.get("model", "")),
        prompt=str(request.get("prompt", "")),
        parameters=texts.get("parameters", ""),
        request=request,
    )


def _exif(facts: Facts) -> bytes:
    """EXIF with the readable line as its comment."""
    exif = Image.Exif()
    comment = b"UNICODE\0" + facts.parameters.encode("utf-16-be", "replace")
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = comment
    return exif.tobytes()


def _marked_jpeg(jpeg: bytes, packet: bytes) -> bytes:
    """*jpeg* with XMP in a segment behind JFIF's, and not one pixel changed."""
    assert len(packet) <= MAX_JPEG_XMP, "a preview carries no words of people"
    start = 2
    if jpeg[2:4] == b"\xff\xe0":  # APP0
        start += 2 + int.from_bytes(jpeg[4:6], "big")
    content = XMP_SEGMENT + packet
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    return jpeg[:start] + segment + jpeg[start:]


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("", text))
