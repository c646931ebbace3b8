"""What a picture says about itself, read back from a stranger's file.

Everything here is what the file claims, since anybody can write it: it is text, of limited length,
and drawing it again is an ordinary request. A signature alone shows who has made a file, and that
it is unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, fields
from html import unescape
from typing import Any, Literal

from bot.attachments import Attachments
from bot.commands import AskedLora, CommandError, ImagineCommand, parse, read_option, render
from bot.languages import ENGLISH, Language
from bot.loras import parted
from bot.provenance import XMP_KEYWORD
from bot.source import Picture, Source
from generation.checks import MAX_LORAS
from generation.errors import InvalidRequest
from generation.types import Signature

#: Characters of a text that are looked at, and of a prompt that are shown.
MAX_TEXT, MAX_SHOWN = 65_536, 2000
#: Brackets within brackets, in JSON of a stranger.
MAX_DEPTH = 20
#: Nodes of ComfyUI's workflow that are looked at.
MAX_NODES = 500

#: A1111's last line: "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: x"
_SETTING = re.compile(r"\s*([A-Za-z][\w /-]{0,40}):\s*([^,\n]{1,200})(?:,|$)")
_NEGATIVE = "Negative prompt: "
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_SOURCE = re.compile(r"newscodes/digitalsourcetype/(\w{1,64})\s*[\"<]")
_TOOL = re.compile(r"<xmp:CreatorTool>([^<]{1,200})<|xmp:CreatorTool=\"([^\"]{1,200})\"")
_OWN = re.compile(r"<fluxbot:request>([^<]{1,65536})<")
#: IPTC's terms for pictures in which a model had a part.
_BY_AI = frozenset({"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"})


@dataclass(frozen=True, slots=True)
class Findings:
    """What a picture says about itself; None and empty where it says nothing.

    Attributes:
        tool: Program in whose way it speaks.
        loras: LoRAs with their weights, as they are typed: "ink:0.8,slow:-1".
        job_id: Id of the job that it names.
        source: Last part of IPTC's term for the source.
        signature: Its manifest; None without one, or where none can be read here.
    """

    tool: Literal["", "fluxbot", "A1111", "ComfyUI", "another"] = ""
    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    model: str = ""
    preset: str = ""
    loras: str = ""
    job_id: str = ""
    source: str = ""
    creator_tool: str = ""
    signature: Signature | None = None

    @property
    def is_empty(self) -> bool:
        return self == Findings()

    @property
    def is_by_ai(self) -> bool:
        """Whether the file says that a model had a part in it."""
        signed = self.signature is not None and self.signature.is_by_ai
        return bool(self.prompt) or self.source in _BY_AI or signed

    @property
    def again(self) -> str:
        """Words that ask for the picture again; empty where it names no prompt."""
        if not self.prompt:
            return ""
        names = ("negative_prompt", "seed", "num_inference_steps", "guidance_scale")
        options = {name: getattr(self, name) or None for name in names}
        options["seed"] = self.seed
        if self.width and self.height and not (self.width % 16 or self.height % 16):
            options |= {"width": self.width, "height": self.height}
        if self.loras:
            options["loras"] = _asked(self.loras) or None
        # Other programs allow more steps and other sizes than we do.
        for asked in (options, {"seed": self.seed}, {}):
            try:
                words = render(ImagineCommand(self.prompt, **asked))
                parse(words)
            except (CommandError, InvalidRequest):
                continue
            return words
        return ""

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        signed = self.signature
        own["signature"] = signed and asdict(signed)
        return own


def findings_in(texts: Mapping[str, str], signature: Signature | None = None) -> Findings:
    """What a file with *texts* and *signature* says about itself. No texts make it raise."""
    marks = texts.get(XMP_KEYWORD, "")[:MAX_TEXT]
    source, tool, own = _SOURCE.search(marks), _TOOL.search(marks), _OWN.search(marks)
    facts: dict[str, Any] = {
        "source": source[1] if source else "",
        "creator_tool": _line(unescape(tool[1] or tool[2]), 200) if tool else "",
        "signature": signature,
    }
    request = _json(texts.get("fluxbot", "")) or _json(unescape(own[1]) if own else "")
    if isinstance(request, dict):
        return Findings(tool="fluxbot", **facts, **_settings(request))
    if parameters := texts.get("parameters", "")[:MAX_TEXT].strip():
        return Findings(tool="A1111", **facts, **_parameters(parameters))
    workflow = _json(texts.get("prompt", ""))
    if isinstance(workflow, dict) and (found := _workflow(workflow)):
        return Findings(tool="ComfyUI", **facts, **found)
    is_another = bool(facts["source"] or facts["creator_tool"])
    return Findings(tool="another" if is_another else "", **facts)


class Inspections:
    """Looks at pictures for people who may draw, at a limited rate.

    Args:
        check: Raises Refused for a person who may not draw.
        bytes_of: The bytes of a picture that a person has given or named.
    """

    def __init__(
        self,
        attachments: Attachments,
        check: Callable[[Source], Awaitable[None]],
        bytes_of: Callable[[Source, Picture], Awaitable[bytes]],
    ) -> None:
        self._attachments = attachments
        self._check = check
        self._bytes_of = bytes_of

    async def findings(self, source: Source, picture: Picture) -> Findings:
        """What *picture* says about itself.

        Raises:
            InvalidImage: It is no PNG, JPEG or WebP, or too large.
            Refused: The person is banned, asks too often, or too many files are being looked at.
            NotFound: There is no such picture.
        """
        self._attachments.check_rate(source.user)
        await self._check(source)
        data = await self._bytes_of(source, picture)
        texts = await self._attachments.texts(source.user, data)
        signature = await self._attachments.signature(source.user, data)
        return findings_in(texts, signature)


def told(found: Findings, say: Language = ENGLISH) -> str:
    """*found* in sentences, with the words to draw it again."""
    if found.is_empty:
        return say(
            "This picture says nothing about where it comes from. That does not mean that it was"
            " not made by AI: what a picture says is easily lost."
        )
    lines = []
    if found.is_by_ai:
        lines.append(say("It says of itself that it was made by AI."))
    if found.tool in ("ComfyUI", "A1111"):
        lines.append(say("It speaks in the way of another program: {tool}", tool=found.tool))
    elif found.creator_tool:
        lines.append(say("Made with: {tool}", tool=found.creator_tool))
    if found.prompt:
        lines.append(f"“{found.prompt}”")
    if settings := _summary(found):
        lines.append(settings)
    match found.signature:
        case Signature(is_valid=True, signer=signer):
            lines.append(
                say(
                    "It is signed by “{signer}” and unchanged since. Whether that name can be"
                    " trusted, its certificate alone does not tell.",
                    signer=signer,
                )
            )
        case Signature():
            lines.append(say("It has a signature that is not valid: it was changed, or forged."))
        case None:
            lines.append(say("It is not signed, so anybody may have written this."))
    if found.again:
        lines.append(say("To draw it again, write: {words}", words=found.again))
    return "\n".join(lines)


def _summary(found: Findings) -> str:
    parts = [
        (found.width and found.height and f"{found.width}x{found.height}"),
        found.num_inference_steps is not None and f"steps {found.num_inference_steps}",
        found.guidance_scale is not None and f"guidance {found.guidance_scale:g}",
        found.seed is not None and f"seed {found.seed}",
        found.preset,
        found.loras,
        found.model,
        found.job_id,
    ]
    return " · ".join(part for part in parts if part)


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What flat *values* of any origin say, as far as it is of the right type."""
    return {
        "prompt": _line(values.get("prompt"), MAX_SHOWN),
        "negative_prompt": _line(values.get("negative_prompt"), MAX_SHOWN),
        "seed": _whole(values.get("seed"), 2**32 - 1),
        "num_inference_steps": _whole(values.get("num_inference_steps"), 1000),
        "guidance_scale": _number(values.get("guidance_scale")),
        "width": _whole(values.get("width"), 65_535),
        "height": _whole(values.get("height"), 65_535),
        "model": _line(values.get("model"), 200),
        "preset": _line(values.get("preset"), 64),
        "loras": ",".join(map(str, _asked(_typed(values.get("loras"))))),
        "job_id": _line(values.get("job"), 16),
    }


def _typed(loras: Any) -> str:
    """*loras*, of a request of ours or as they are typed, as they are typed."""
    if not isinstance(loras, list):
        return loras if isinstance(loras, str) else ""
    named = [each for each in loras[:MAX_LORAS] if isinstance(each, dict)]
    return ",".join(f"{each.get('name')}:{each.get('lora_scale')}" for each in named)


def _asked(typed: str) -> tuple[AskedLora, ...]:
    """The LoRAs in *typed*; none where they cannot be read."""
    try:
        asked: tuple[AskedLora, ...] = read_option("lora", typed[:MAX_SHOWN])["loras"]
    except CommandError:
        return ()
    return asked


def _parameters(text: str) -> dict[str, Any]:
    """What A1111's text of *parameters* says."""
    words, _, last = text.rpartition("\n")
    if not last.lstrip().startswith("Steps:"):
        words, last = text, ""
    prompt, _, negative = words.partition(f"\n{_NEGATIVE}")
    prompt, loras = parted(prompt)
    said = {key.lower(): value.strip() for key, value in _SETTING.findall(last[:4000])}
    size = _SIZE.fullmatch(said.get("size", ""))
    return _settings(
        {
            "prompt": prompt,
            "negative_prompt": negative,
            "seed": said.get("seed"),
            "num_inference_steps": said.get("steps"),
            "guidance_scale": said.get("cfg scale") or said.get("guidance"),
            "width": size and size[1],
            "height": size and size[2],
            "model": said.get("model"),
            "preset": said.get("preset"),
            "loras": loras,
        }
    )


def _workflow(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """What ComfyUI's workflow says: the words that lead to its sampler, and the sampler's own
    settings; empty where it is none."""
    inputs = {
        str(name): node["inputs"]
        for name, node in list(nodes.items())[:MAX_NODES]
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
    }
    sampler = next((each for each in inputs.values() if "positive" in each), None)
    if sampler is None:
        return {}

    def words(key: str) -> object:
        link = sampler.get(key)
        node = inputs.get(str(link[0]), {}) if isinstance(link, list) and link else {}
        return node.get("text")

    return _settings(
        {
            "prompt": words("positive"),
            "negative_prompt": words("negative"),
            "seed": sampler.get("seed", sampler.get("noise_seed")),
            "num_inference_steps": sampler.get("steps"),
            "guidance_scale": sampler.get("cfg"),
        }
    )


def _json(text: str) -> object:
    """The JSON in *text*; None where it is none, too long or nested too deeply."""
    if not text or len(text) > MAX_TEXT:
        return None
    depth = 0
    for bracket in re.finditer(r"[\[{\]}]", text):  # in strings too, which is strict enough
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            return None
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def _line(value: object, length: int) -> str:
    """*value*, where it is text, on one line and without invisible characters."""
    if not isinstance(value, str):
        return ""
    text = " ".join("".join(c if c.isprintable() else " " for c in value[: 2 * length]).split())
    return text[:length]


def _whole(value: object, highest: int) -> int | None:
    number = _number(value)
    if number is None or number != int(number) or not 0 <= number <= highest:
        return None
    return int(number)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value[:30] if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e15 else None
