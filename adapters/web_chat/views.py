"""Bodies of responses of the HTTP API, in diffusers' argument names."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from bot import lineage
from bot.commands.vocabulary import Notify
from bot.jobs import Job
from bot.languages import ENGLISH, Language
from bot.loras import asked_of
from bot.views import EngineStatus
from generation.checks import public_name
from generation.kinds import Kind, Numbers, flat_values
from generation.types import Fit


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

    @classmethod
    def all_of(cls, job: Job) -> list[Self]:
        """The pictures of *job* that may be seen by now."""
        requests = list(job.requests)
        return [
            cls(
                number=number,
                seed=requests[number - 1].seed,
                url=f"/api/jobs/{job.id}/image?number={number}",
            )
            for number in job.available
        ]


class ControlView(BaseModel):
    """Addresses of the attached picture, of those after it, of its mask and of the control map made
    of it."""

    image: str
    next_images: list[str] = Field(description="Empty for presets that take one picture")
    mask: str | None = Field(description="White where it was drawn; null for other presets")
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
    step_cache_tolerance: float = Field(
        description="How far steps were guessed instead of being computed; 0 where none was"
    )
    strength: float | None
    controlnet_conditioning_scale: Numbers | None = Field(
        description="How firmly a ControlNet was followed; null without one"
    )
    control_guidance_start: Numbers | None = Field(description="Null without a ControlNet")
    control_guidance_end: Numbers | None = Field(description="Null without a ControlNet")
    crop_x: float = Field(description="Which part of a wider picture was kept, 0 to 1")
    crop_y: float = Field(description="Which part of a taller picture was kept, 0 to 1")
    is_map: bool = Field(description="Whether the attached picture was the control map itself")
    loras: str | None = Field(description="LoRAs that were asked for, with their weights: ink:0.8")
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
    series: str | None = Field(
        description="Id of the first of the jobs that were asked for together; null for one alone"
    )
    relation: str | None = Field(
        description="How it came of its parent, such as again, subtle or upscaled"
    )
    lineage: str = Field(description="The same in words, such as “varied from k7m2p9qa”")
    is_draft: bool = Field(description="Whether `final` makes a picture of it")
    is_seed_given: bool = Field(description="Whether a person gave the seed, which `again` keeps")
    pictures: list[PictureView] = Field(
        description="Those that are there by now: each as soon as it is drawn. They stay when the"
        " job is cancelled or fails before all are drawn"
    )
    grid: str | None = Field(description="All pictures in one, once the job has ended")
    thumbnail: str | None
    control: ControlView | None
    is_pruned: bool = Field(description="Whether its files were deleted for their age")
    is_spoiler: bool = Field(description="Whether to hide the picture until the person asks for it")

    @classmethod
    def of(cls, job: Job, say: Language = ENGLISH) -> Self:
        request, progress, kind = job.request, job.progress, job.request.kind
        address = f"/api/jobs/{job.id}"
        shown = job.available
        is_kept = bool(shown) and job.status.is_final
        has_map = is_kept and 1 in shown and bool(kind.control_maps)
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
            step_cache_tolerance=request.step_cache_tolerance,
            strength=flat_values(kind)["strength"],
            **of_controlnet(kind),
            crop_x=request.crop_x,
            crop_y=request.crop_y,
            is_map=request.kind.shows_maps,
            loras=",".join(map(str, asked_of(request) or ())) or None,
            seed=request.seed,
            preset=request.preset,
            controlnet=(request.preset or "yes") if kind.control_maps else None,
            controlnet_model=kind.conditioning_model and public_name(kind.conditioning_model),
            model=public_name(request.model),
            cost=job.cost,
            refunded=job.refunded,
            steps_drawn=job.steps_drawn,
            submitted_at=job.submitted_at,
            finished_at=job.finished_at,
            seconds=job.seconds,
            error=job.error and say(job.error),
            remarks=[say(remark) for remark in job.remarks],
            parent=job.parent,
            series=job.series,
            relation=job.relation,
            lineage=lineage.line(job.parent, job.relation, say),
            is_draft=request.is_draft,
            is_seed_given=job.is_seed_given,
            pictures=PictureView.all_of(job),
            grid=f"{address}/grid" if is_kept and job.images > 1 else None,
            thumbnail=f"{address}/thumbnail" if is_kept else None,
            control=ControlView(
                image=f"{address}/control/image",
                next_images=[
                    f"{address}/control/{name.removeprefix('control_')}"
                    for name in kind.more_pictures
                    if name in request.pictures
                ],
                mask=f"{address}/control/mask" if kind.takes_mask else None,
                map=f"{address}/control/map" if has_map else None,
            )
            if request.pictures and not job.is_pruned
            else None,
            is_pruned=job.is_pruned,
            is_spoiler=job.is_spoiler,
        )


def of_controlnet(kind: Kind) -> dict[str, Numbers | None]:
    """The weight and the reach of a ControlNet, or of each of several; None without one."""
    start, end = kind.span_setting or (None, None)
    return {
        "controlnet_conditioning_scale": kind.scale_setting,
        "control_guidance_start": start,
        "control_guidance_end": end,
    }


class Metadata(BaseModel):
    """Everything needed to make the picture again."""

    id: str = Field(description="Id of the job")
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    true_cfg_scale: float
    step_cache_tolerance: float
    strength: float | None
    controlnet_conditioning_scale: Numbers | None
    control_guidance_start: Numbers | None
    control_guidance_end: Numbers | None
    crop_x: float
    crop_y: float
    loras: str | None
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


class LinkView(BaseModel):
    """A step on the way to accounts that are joined."""

    text: str
    code: str = Field(description="The code that it is about, for /api/links/{code}")
    asks: bool = Field(
        description="Whether it asks for a yes or no, which are the messages `link yes CODE` and"
        " `link no CODE`; else more may come"
    )


class ChoiceView(BaseModel):
    """Words to say next, by a button."""

    model_config = ConfigDict(from_attributes=True)

    label: str
    says: str = Field(description="The text of the message that it stands for")
    is_main: bool = Field(description="Whether most people want just this")


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
    link: LinkView | None = None
    choices: list[ChoiceView] = Field(default=[], description="Words to say next, by buttons")


class DeletionView(BaseModel):
    """What was deleted of a person."""

    jobs: int = Field(description="Jobs whose pictures and words are gone")
    backups_until: float | None = Field(
        description="Unix seconds at which the last backup that still has them is deleted"
    )


class NotificationsView(BaseModel):
    when: Notify
    after_seconds: float


class PresetView(BaseModel):
    name: str
    description: str
    needs_image: bool
    pictures: int = Field(description="Pictures that may be attached, without a mask")
    mask_feather: int | None = Field(
        description="Pixels over which old and new blend inside of a mask; null for presets that"
        " take none"
    )
    controlnet: str | None
    preprocessor: str
    strength: float | None
    controlnet_conditioning_scale: Numbers | None = Field(
        description="How firmly its ControlNet is followed; null without one"
    )
    control_guidance_start: Numbers | None = Field(description="Null without a ControlNet")
    control_guidance_end: Numbers | None = Field(description="Null without a ControlNet")
    model: str = Field(description="Name of the model that it draws with; see /api/models")
    enlarges: int | None = Field(
        description="How many times larger than the attached picture the result is; null where the"
        " size is chosen"
    )
    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int
    takes_loras: bool = Field(description="Whether LoRAs may be asked for with it")
    sample: str | None = Field(description="Address of a picture that it has made; null without")


class LoraView(BaseModel):
    name: str
    description: str
    lora_scale: float = Field(description="Its weight where none is said")
    min_lora_scale: float
    max_lora_scale: float
    trigger_words: list[str] = Field(description="Added to a prompt that lacks them")
    presets: list[str] = Field(description="Presets with which it may be asked for")
    sample: str | None = Field(description="Address of a picture made with it; null without")


class ModelView(BaseModel):
    name: str
    description: str
    license_name: str = Field(description="Empty where nobody says it")
    license_page: str = Field(description="Empty where it is not known")
    presets: list[str] = Field(description="Presets that draw with it")
    num_inference_steps: int = Field(description="Where neither you nor the preset says them")
    width: int
    height: int
    is_default: bool = Field(description="Whether it draws where no preset is asked for")
    is_loaded: bool = Field(description="Whether its weights are in memory")
    seconds_to_load: float | None = Field(
        description="About as long as that takes; null where nobody has measured it"
    )


class ModelsView(BaseModel):
    models: list[ModelView]


class PresetsView(BaseModel):
    presets: list[PresetView]
    default: str
    loras: list[LoraView] = Field(description="LoRAs that may be asked for")


class FavouriteView(BaseModel):
    id: str
    is_favourite: bool


class SharedView(BaseModel):
    id: str
    is_shared: bool = Field(description="Whether whoever has the link may see the pictures")
    url: str = Field(description="The link of the page with the pictures")


class HistoryView(BaseModel):
    jobs: list[JobView]
    favourites: list[str] = Field(description="Ids of those jobs that are favourites")
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
    is_relaxed: bool = Field(
        description="Whether it would be drawn at no charge, when nobody who pays waits, since the"
        " credits do not suffice"
    )
    left: int = Field(description="Credits that are left to spend")
    seconds: float | None = Field(description="Time on the engine; null before any was measured")
    position: int
    starts_in: float | None
    pictures: int = Field(description="Number of pictures")
    width: int = Field(description="Pixels of the first picture")
    height: int


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


class EngineHealth(BaseModel):
    """One of the engines that share the work."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    device: str = Field(description="Such as cuda:0, or a machine's name; empty until it is known")
    status: EngineStatus
    model: str
    loaded: dict[str, int] = Field(description="Bytes of weights in memory, by repository")


class HealthView(BaseModel):
    status: Literal["ok"]
    engine: str = Field(description="State of drawing, all engines together")
    engines: list[EngineHealth]


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
    upscale: int | None = Field(
        description="How many times larger `upscale` makes a picture; null where it cannot"
    )
    can_expand: bool = Field(description="Whether `expand` proposes richer words")
    can_edit: bool = Field(description="Whether a preset changes pictures as words say")
    fit: Fit = Field(description="How an attached picture meets a size of another shape")
    max_image_bytes: int
    max_image_side: int = Field(
        description="Pixels of the longest side of an attached picture that matter: larger ones"
        " are taken, and made smaller"
    )
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
    loras: str = Field(description="LoRAs with their weights: ink:0.8")
    job_id: str
    source: str = Field(description="Last part of IPTC's term for the digital source")
    creator_tool: str
    signature: SignatureView | None


class SessionView(BaseModel):
    user: str
