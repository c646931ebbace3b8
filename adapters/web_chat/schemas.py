"""Bodies of requests and responses of the HTTP API, in diffusers' argument names.

Types are strict: true, "7" and NaN are not numbers. Unknown names are refused, so that a
misspelt one is never silently without effect.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from adapters.web_chat import errors
from adapters.web_chat.errors import MISSING_PROMPT
from bot.jobs import Job, JobStatus
from generation.checks import (
    MAX_PROMPT_LENGTH,
    MAX_SEED,
    MAX_SIZE,
    MAX_STEPS,
    MIN_SIZE,
    SIZE_MULTIPLE,
    is_blank,
)

DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w=.+-]+)*,", re.IGNORECASE)
WHITESPACE = b" \t\r\n"
#: Characters that are decoded in one go, a multiple of four. Decoding keeps all other threads
#: waiting, and a large picture as a whole would do so for 50 ms.
BASE64_PIECE = 2**18


def decode_image(text: str, max_bytes: int, field: str) -> bytes:
    """The bytes of a picture in base64 or in a data URL.

    Raises:
        TooLarge: The picture has more than *max_bytes*; nothing was decoded.
        InvalidImage: *text* is neither base64 nor a data URL.
    """
    prefix = DATA_URL.match(text[:200])
    start = prefix.end() if prefix else 0
    if prefix and not prefix.group().lower().endswith(";base64,"):
        raise errors.data_url_is_no_base64(field)
    if not prefix and re.match(r"\s*(https?|file|ftp):", text[:20], re.IGNORECASE):
        raise errors.picture_is_an_address(field)
    try:
        payload = text[start:].encode("ascii")
    except UnicodeEncodeError:
        raise errors.picture_is_no_base64(field) from None
    if any(bytes([space]) in payload for space in WHITESPACE):
        payload = payload.translate(None, WHITESPACE)
    if len(payload) * 3 // 4 > max_bytes + 3:
        raise errors.picture_too_large(len(payload) * 3 // 4, max_bytes, field)
    if len(payload) % 4 or b"=" in payload[:-2]:
        raise errors.picture_is_no_base64(field)
    try:
        data = b"".join(
            base64.b64decode(payload[place : place + BASE64_PIECE], validate=True)
            for place in range(0, len(payload), BASE64_PIECE)
        )
    except binascii.Error:
        raise errors.picture_is_no_base64(field) from None
    if not data:
        raise errors.picture_is_empty(field)
    return data


def _not_blank(prompt: str) -> str:
    if is_blank(prompt):
        raise PydanticCustomError("blank_prompt", MISSING_PROMPT.replace("{", "{{"))
    return prompt


class Body(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _whole(value: object) -> object:
    """7.0 is the whole number 7, in JSON as in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Pixels = Annotated[
    Whole,
    Field(
        ge=MIN_SIZE,
        le=MAX_SIZE,
        multiple_of=SIZE_MULTIPLE,
        description="Pixels, a multiple of 16; the preset's own where it is left out",
    ),
]
ImageText = Annotated[
    str,
    Field(
        min_length=4,
        description="PNG, JPEG or WebP, in base64 or as a data URL; addresses are not followed",
        examples=["data:image/png;base64,iVBORw0KGgo…"],
    ),
]
PresetName = Annotated[str, Field(min_length=1, max_length=64, examples=["canny"])]


class ControlNetBody(Body):
    """A picture to draw from, and the preset for it."""

    preset: PresetName = Field(description="A preset that takes a picture; see /api/presets")
    image: ImageText


class OptionsBody(Body):
    """Options of a picture; left out, they are the preset's or the bot's defaults."""

    negative_prompt: str | None = Field(
        None, max_length=MAX_PROMPT_LENGTH, description="What to avoid; steps take twice as long"
    )
    width: Pixels | None = None
    height: Pixels | None = None
    num_inference_steps: Whole | None = Field(
        None, ge=1, le=MAX_STEPS, description="Denoising steps; the operator may allow fewer"
    )
    guidance_scale: float | None = Field(
        None, ge=0, le=30, description="How closely the picture follows the prompt"
    )
    seed: Whole | None = Field(
        None, ge=0, le=MAX_SEED, description="Seed of the noise; drawn at random if left out"
    )
    images: Whole | None = Field(
        None, ge=1, le=16, description="Number of pictures, with the seeds seed, seed + 1, …"
    )
    strength: float | None = Field(
        None, ge=0, le=1, description="With a preset that redraws: how far to change the picture"
    )
    preset: PresetName | None = Field(None, description="See /api/presets")


class GenerateBody(OptionsBody):
    """One request for a picture."""

    prompt: Annotated[str, AfterValidator(_not_blank)] = Field(
        min_length=1,
        max_length=MAX_PROMPT_LENGTH,
        description="What to draw",
        examples=["a red circle on a blue background"],
    )
    controlnet: ControlNetBody | None = None


class QuoteBody(OptionsBody):
    """Like a request for a picture, but the prompt may still be unknown."""

    prompt: str = Field("not yet known", min_length=1, max_length=MAX_PROMPT_LENGTH)
    image: ImageText | None = None


class MessageBody(Body):
    """A typed message, in the grammar of every platform."""

    text: str = Field(
        max_length=8000, examples=["a red circle --steps 20 --seed 7", "history circle", "help"]
    )
    image: ImageText | None = None
    options: OptionsBody | None = Field(
        None,
        description="Options chosen by clicking; options in the text win over them. They and the"
        " picture count for prompts alone, so they may stay attached to any other command",
    )


class AgainBody(Body):
    """The same request again."""

    vary: bool = Field(False, description="Take a new seed instead of making the same pixels")
    number: Whole | None = Field(
        None, ge=1, le=16, description="This picture alone; all of them where it is left out"
    )


class ControlMapBody(Body):
    """A picture, to see the control map that a preset makes of it."""

    image: ImageText
    preset: PresetName
    width: Pixels | None = None
    height: Pixels | None = None


class InspectBody(Body):
    """A picture, to read what it says about itself."""

    image: ImageText


class SessionBody(Body):
    """A bearer token, to be changed into a cookie."""

    token: str = Field(min_length=1, max_length=512)


class ErrorDetail(BaseModel):
    """The error: a stable word, a sentence for people, the field at fault."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    field: str | None = Field(description="Name of the member at fault, such as controlnet.image")


class ErrorView(BaseModel):
    error: ErrorDetail


class MessageErrorDetail(ErrorDetail):
    word: str | None = Field(None, description="The word of the message that is wrong")
    position: int | None = Field(None, description="Where it begins in the text, in characters")


class MessageErrorView(BaseModel):
    error: MessageErrorDetail


class PictureView(BaseModel):
    number: int
    seed: int
    url: str


class ControlView(BaseModel):
    """Addresses of the attached picture and of the control map made of it."""

    image: str
    map: str | None = Field(description="Null until the job is done, and for presets without a map")


class JobView(BaseModel):
    """A job: its request and its progress."""

    id: str
    status: Literal["queued", "running", "held", "succeeded", "failed", "cancelled"]
    position: int = Field(description="Jobs ahead of this one, running ones included")
    wait: float | None = Field(description="Seconds until it starts; null where that is not known")
    picture: int = Field(description="Number of the picture being drawn, from 1; 0 before")
    step: int
    steps: int = Field(description="Denoising steps of each picture that really run")
    images: int
    prompt: str
    negative_prompt: str
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    true_cfg_scale: float
    strength: float | None
    seed: int
    preset: str
    controlnet: str | None = Field(description="Name of the preset, if it uses a ControlNet")
    controlnet_model: str | None
    model: str
    cost: int = Field(description="Credits charged")
    refunded: int = Field(
        description="Credits of these that were given back: all if it failed; if it was cancelled,"
        " those of the steps that were not drawn"
    )
    steps_drawn: int | None = Field(
        description="Steps of all pictures that were drawn when the person cancelled it"
    )
    submitted_at: float = Field(description="Unix seconds")
    finished_at: float | None
    seconds: float | None = Field(description="Time on the engine, all pictures together")
    error: str | None
    remarks: list[str]
    parent: str | None = Field(description="Id of the job that this one repeats or varies")
    pictures: list[PictureView]
    grid: str | None = Field(description="All pictures in one")
    thumbnail: str | None
    control: ControlView | None
    is_pruned: bool = Field(description="Whether its files were deleted for their age")
    is_spoiler: bool = Field(description="Whether to hide the picture until the person asks for it")

    @classmethod
    def of(cls, job: Job) -> Self:
        request, progress, kind = job.request, job.progress, job.request.kind
        address = f"/api/jobs/{job.id}"
        is_kept = job.status is JobStatus.SUCCEEDED and not job.is_pruned
        return cls(
            id=job.id,
            status=job.status.value,
            position=progress.position,
            wait=progress.wait,
            picture=progress.picture,
            step=progress.step,
            steps=request.steps_taken,
            images=job.images,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            width=request.width,
            height=request.height,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            true_cfg_scale=request.true_cfg_scale,
            strength=kind.to_dict()["strength"],
            seed=request.seed,
            preset=request.preset,
            controlnet=(request.preset or "yes") if kind.control_map is not None else None,
            controlnet_model=kind.conditioning_model,
            model=request.model,
            cost=job.cost,
            refunded=job.refunded,
            steps_drawn=job.steps_drawn,
            submitted_at=job.submitted_at,
            finished_at=job.finished_at,
            seconds=job.seconds,
            error=job.error,
            remarks=list(job.remarks),
            parent=job.parent,
            pictures=[
                PictureView(number=number, seed=each.seed, url=f"{address}/image?number={number}")
                for number, each in enumerate(job.requests if is_kept else (), start=1)
            ],
            grid=f"{address}/grid" if is_kept and job.images > 1 else None,
            thumbnail=f"{address}/thumbnail" if is_kept else None,
            control=ControlView(
                image=f"{address}/control/image",
                map=f"{address}/control/map" if is_kept and kind.control_map is not None else None,
            )
            if request.pictures and not job.is_pruned
            else None,
            is_pruned=job.is_pruned,
            is_spoiler=job.is_spoiler,
        )


class Metadata(BaseModel):
    """Everything needed to make the picture again."""

    id: str = Field(description="Id of the job")
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    true_cfg_scale: float
    strength: float | None
    seed: int
    seeds: list[int] = Field(description="One for each picture")
    prompt: str
    negative_prompt: str
    preset: str
    controlnet: str | None = Field(description="Name of the preset, if it uses a ControlNet")
    controlnet_model: str | None
    model: str
    images: int
    cost: int
    seconds: float | None
    remarks: list[str]

    @classmethod
    def of(cls, job: Job) -> Self:
        view = JobView.of(job).model_dump()
        return cls(
            seeds=[each.seed for each in job.requests],
            **{name: view[name] for name in cls.model_fields if name != "seeds"},
        )


class GenerateView(BaseModel):
    image: str = Field(description="A PNG as a data URL: the picture, or all of them in a grid")
    images: list[str] = Field(description="Each picture alone, as data URLs")
    metadata: Metadata


class FileView(BaseModel):
    """A file that goes with a reply."""

    name: str
    text: str


class MessageView(BaseModel):
    """The bot's reply."""

    kind: str = Field(
        description="The command that was understood: imagine, presets, history, help, …"
    )
    text: str
    job: JobView | None
    jobs: list[JobView]
    is_export: bool = Field(False, description="Whether /api/me/export goes with it")
    asks_to_delete: bool = Field(False, description="Whether a yes is DELETE /api/me")
    file: FileView | None = None


class DeletionView(BaseModel):
    """What was deleted of a person."""

    jobs: int = Field(description="Jobs whose pictures and words are gone")
    backups_until: float | None = Field(
        description="Unix seconds at which the last backup that still has them is deleted"
    )


class PresetView(BaseModel):
    name: str
    description: str
    needs_image: bool
    controlnet: str | None
    preprocessor: str
    strength: float | None
    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int


class PresetsView(BaseModel):
    presets: list[PresetView]
    default: str


class HistoryView(BaseModel):
    jobs: list[JobView]
    next: int | None = Field(description="Give it as `before` to read on; null at the end")


class QuotaView(BaseModel):
    """Credits of the current window, and granted ones."""

    credits: int = Field(description="Allowance of one window")
    used: int
    granted: int
    left: int
    window_seconds: float
    resets_in: float | None = Field(description="Seconds until the oldest charge comes back")


class QuoteView(BaseModel):
    cost: int = Field(description="Credits")
    left: int = Field(description="Credits that are left to spend")
    seconds: float | None = Field(description="Time on the engine; null before any was measured")
    position: int
    starts_in: float | None


class EngineView(BaseModel):
    status: str
    message: str


class StatusView(BaseModel):
    """State that changes while the page is open."""

    user: str
    is_signed_in: bool = Field(description="Whether a session's cookie was sent, to sign out of")
    engine: EngineView
    waiting: int
    running: int
    held: int | None = Field(
        description="Jobs whose pictures wait for moderators; null for people who decide on none"
    )
    mine: list[JobView] = Field(description="The person's own jobs that have not ended")


class HealthView(BaseModel):
    status: Literal["ok"]
    engine: str


class Word(BaseModel):
    """A word of the grammar, for completion."""

    word: str
    hint: str
    example: str


class AboutView(BaseModel):
    """Facts that do not change while the bot runs."""

    text: str
    examples: list[str]
    model: str
    limits: dict[str, int]
    max_image_bytes: int
    verbs: list[Word]
    options: list[Word]


class ControlMapView(BaseModel):
    image: str = Field(description="The control map, a PNG as a data URL")
    width: int
    height: int
    preset: str
    remarks: list[str]


class SignatureView(BaseModel):
    is_valid: bool = Field(description="Whether the file is as it was signed")
    signer: str = Field(description="Name in the certificate, which anybody can make")
    is_by_ai: bool


class InspectView(BaseModel):
    text: str = Field(description="All of it in sentences")
    again: str = Field(description="Words that ask for it again; empty without a prompt")
    tool: Literal["", "fluxbot", "A1111", "ComfyUI", "another"]
    prompt: str
    negative_prompt: str
    seed: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    width: int | None
    height: int | None
    model: str
    preset: str
    job_id: str
    source: str = Field(description="Last part of IPTC's term for the digital source")
    creator_tool: str
    signature: SignatureView | None


class SessionView(BaseModel):
    user: str


def dump(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json")
