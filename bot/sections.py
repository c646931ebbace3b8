"""The sections of ``config.toml``: keys, defaults and ranges, as frozen values.

What a key means, and in which unit, stands beside it in ``config.toml``.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    field_validator,
    model_validator,
)

from bot.commands.values import NO_LORAS
from generation.checks import (
    MAX_LORA_SCALE,
    MAX_SIZE,
    MAX_STEPS,
    MAX_TOLERANCE,
    MIN_SIZE,
    SIZE_MULTIPLE,
)
from generation.kinds import KINDS, Kind
from generation.types import Fit, Preset

PRESET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

Pixels = Annotated[int, Field(ge=MIN_SIZE, le=MAX_SIZE, multiple_of=SIZE_MULTIPLE)]


def _split(value: Any) -> Any:
    """Environment variables say "a, b" where the file says ["a", "b"]."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Section):
    repository: str = "demo"
    profile: str | None = None
    revision: str | None = None
    transformer: str | None = None
    accept_license: bool = False
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    offload_level: Literal[
        "auto",
        "resident",
        "text-offload",
        "model-offload",
        "group-offload",
        "sequential-offload",
    ] = "auto"
    quantization: Literal["none", "auto", "fp8", "int8", "4bit"] = "none"
    text_encoder_quantization: Literal["none", "int8", "4bit"] = "none"
    compile: Literal["auto", "on", "off"] = "auto"
    attention: Literal[
        "auto",
        "native",
        "_native_cudnn",
        "_native_flash",
        "_native_efficient",
        "_native_math",
        "flash",
        "_flash_3",
        "sage",
        "_sage_qk_int8_pv_fp8_cuda",
        "_sage_qk_int8_pv_fp8_cuda_sm90",
        "_sage_qk_int8_pv_fp16_cuda",
        "_sage_qk_int8_pv_fp16_triton",
    ] = "auto"
    max_sequence_length: int = Field(64, ge=16, le=512)
    num_inference_steps: int = Field(12, ge=1, le=MAX_STEPS)
    guidance_scale: float = Field(3.5, ge=0, le=30)
    true_cfg_scale: float = Field(1.75, gt=1, le=20)
    step_cache_tolerance: float = Field(0.0, ge=0, le=MAX_TOLERANCE)
    width: Pixels = 256
    height: Pixels = 256
    default_preset: str = "plain"

    @field_validator("device")
    @classmethod
    def _is_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
            raise ValueError("must be auto, cpu, mps, cuda or cuda:N")
        return device


def _named(tables: Any, section: str = "presets", word: str = "preset") -> Any:
    """Presets, or what else is called *word*, learn their names from their headings."""
    if not isinstance(tables, dict):
        return tables
    for name, values in tables.items():
        if not PRESET_NAME.fullmatch(name):
            raise ValueError(
                f"a {word} is named with lower-case letters, digits, - and _, not {name!r}"
            )
        if isinstance(values, dict) and values.get("name", name) != name:
            raise ValueError(
                f"{section}.{name}.name: a {word} gets its name from its heading alone"
            )
    return {
        name: {"name": name, **values} if isinstance(values, dict) else values
        for name, values in tables.items()
    }


@cache
def preset_table(kinds: tuple[type[Kind], ...]) -> type[BaseModel]:
    """The keys of a preset and of its *kinds*, flat, as ``config.toml`` has them. Kept, since
    making such a model takes milliseconds, and there is one table for each preset."""
    definitions: dict[str, Any] = {}
    for kind in kinds:
        types = get_type_hints(kind)
        definitions |= {key.name: (_type_of(types[key.name]) | None, None) for key in fields(kind)}
    types = get_type_hints(Preset)
    definitions |= {key.name: (types[key.name], None) for key in fields(Preset)}
    definitions["kind"] = (str | None, None)
    return create_model("Preset", __config__=ConfigDict(extra="forbid"), **definitions)


def _type_of(key: Any) -> Any:
    """The type of a *key*; several kinds are a list of tables, each with the keys of that kind."""
    if get_origin(key) is not tuple or not issubclass(kind := get_args(key)[0], Kind):
        return key
    types = get_type_hints(kind)
    keys: dict[str, Any] = {
        each.name: (types[each.name], ... if each.default is MISSING else each.default)
        for each in fields(kind)
    }
    table = create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **keys)
    return tuple[table, ...]


def _preset(values: Any) -> Any:
    """A preset from the flat keys of its table."""
    if not isinstance(values, dict):
        return values
    return Preset.from_dict(
        preset_table(tuple(KINDS.values()))(**values).model_dump(exclude_unset=True)
    )


PresetTables = Annotated[
    dict[str, Annotated[Preset, BeforeValidator(_preset)]], BeforeValidator(_named)
]

LoraScale = Annotated[float, Field(ge=-MAX_LORA_SCALE, le=MAX_LORA_SCALE)]


class ListedLora(Section):
    """A table ``[loras.NAME]``: a LoRA that people may ask for.

    Attributes:
        name: The word behind ``--lora``.
        repository: Repository id, folder or file ("owner/name/file.safetensors").
        model: The model that it was made for, as `Preset.model`; None for all. A LoRA under
            ``[models.ID.loras]`` is made for ID.
        description: One line for people who choose.
        trigger_words: Words that it was trained on, which prompts are to have.
        lora_scale: Its weight where people say none.
        min_lora_scale: The least that they may say, -2 to 2; below 0 it does the opposite.
        max_lora_scale: The most.
        sample: A picture of what it does; None without one, or where the model brings it.
    """

    name: str
    repository: str = Field(min_length=1)
    model: str | None = Field(None, min_length=1)
    description: str = ""
    trigger_words: Names = ()
    lora_scale: LoraScale = 1.0
    min_lora_scale: LoraScale = -MAX_LORA_SCALE
    max_lora_scale: LoraScale = MAX_LORA_SCALE
    sample: Path | None = None

    @model_validator(mode="after")
    def _has_a_range(self) -> ListedLora:
        if self.name == NO_LORAS:
            raise ValueError(f"a LoRA cannot be named {NO_LORAS}, which means that none is wanted")
        if not all(word.strip() for word in self.trigger_words):
            raise ValueError(
                "trigger_words has an empty word, which no prompt could lack: leave it out"
            )
        if not self.min_lora_scale <= self.lora_scale <= self.max_lora_scale:
            raise ValueError(
                f"lora_scale ({self.lora_scale:g}) must lie between min_lora_scale"
                f" ({self.min_lora_scale:g}) and max_lora_scale ({self.max_lora_scale:g})"
            )
        return self


LoraTables = Annotated[
    dict[str, ListedLora], BeforeValidator(partial(_named, section="loras", word="LoRA"))
]


class KnownModel(Section):
    """A table ``[models.ID]``: facts of a model.

    Its numbers are the defaults of ``[model]``, and of presets that name it.

    Attributes:
        profile: Another such table, which has what this one leaves out.
        description: One line for people, who see it among the models.
        license_name: The name of its licence, likewise.
        license: Page of the licence that the operator must accept; None where the licence asks
            nothing of a bot's operator.
        gated: Whether the Hub asks for a token that has been given access.
        runs_on: Where it runs, in a few words, for whoever chooses a model.
        presets: Presets that belong to this model.
        loras: LoRAs that were made for it.
    """

    profile: str | None = None
    description: str = ""
    license_name: str = ""
    license: str | None = None
    gated: bool = False
    runs_on: str = "a large graphics card"
    max_sequence_length: int | None = Field(None, ge=16, le=512)
    num_inference_steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    guidance_scale: float | None = Field(None, ge=0, le=30)
    true_cfg_scale: float | None = Field(None, gt=1, le=20)
    width: Pixels | None = None
    height: Pixels | None = None
    presets: PresetTables = Field(default_factory=dict)
    loras: LoraTables = Field(default_factory=dict)


#: Keys of `KnownModel` that stand in for those of `Model`.
KNOWN_NUMBERS = tuple((KnownModel.model_fields.keys() & Model.model_fields.keys()) - {"profile"})


class PreprocessorModels(Section):
    depth: str = "depth-anything/Depth-Anything-V2-Small-hf"
    person: str = "PekingU/rtdetr_r18vd_coco_o365"
    pose: str = "usyd-community/vitpose-base-simple"


class Engine(Section):
    process: Literal["auto", "thread", "child"] = "auto"
    devices: Names = ()
    seconds_per_step: float = Field(30.0, ge=1)
    seconds_to_load: float = Field(3600.0, ge=10)
    ray: str | None = Field(None, pattern=r"^[^\s:/]+:\d{1,5}$")
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = "auto"
    unload_after: float = Field(0.0, ge=0)
    before_loading: str | tuple[str, ...] = ()
    after_unloading: str | tuple[str, ...] = ()
    seconds_to_call: float = Field(60.0, ge=1, le=600)

    @field_validator("before_loading", "after_unloading")
    @classmethod
    def _is_a_call(cls, call: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(call, str) and call and not re.fullmatch(r"https?://[^\s/]\S*", call):
            raise ValueError(
                'must be a URL that starts with http, or a command as a list: ["make-room"]'
            )
        if not isinstance(call, str) and not all(call):
            raise ValueError("must have no empty word")
        return call

    @model_validator(mode="after")
    def _rests_here(self) -> Engine:
        if self.ray is not None and self.unload_after:
            raise ValueError(
                "unload_after means nothing to the GPUs of a cluster, which Ray gives away: leave"
                " it out"
            )
        return self

    @field_validator("devices")
    @classmethod
    def _are_devices(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        is_known = devices == ("auto",) or all(re.fullmatch(r"cuda:\d+", each) for each in devices)
        if not is_known or len(set(devices)) < len(devices):
            raise ValueError('must be "auto", or different cards such as ["cuda:0", "cuda:1"]')
        return devices


class Limits(Section):
    num_inference_steps: int = Field(50, ge=1, le=MAX_STEPS)
    pixels: int = Field(1024 * 1024, ge=MIN_SIZE**2, le=MAX_SIZE**2)
    upscaled_pixels: int = Field(2048 * 2048, ge=MIN_SIZE**2, le=MAX_SIZE**2)
    images: int = Field(4, ge=1, le=16)
    series: int = Field(9, ge=1, le=25)


class Variations(Section):
    subtle: float = Field(0.3, gt=0, le=1)
    strong: float = Field(0.6, gt=0, le=1)
    images: int = Field(1, ge=1, le=16)


class Draft(Section):
    num_inference_steps: int = Field(8, ge=1, le=MAX_STEPS)
    reduction: int = Field(2, ge=1, le=4)
    step_cache_tolerance: float = Field(0.6, ge=0, le=MAX_TOLERANCE)


class ShowcaseSettings(Section):
    votes: int = Field(0, ge=0)


class Queue(Section):
    max_waiting: int = Field(200, ge=1)
    max_waiting_per_user: int = Field(10, ge=1)
    seconds_to_finish: float = Field(30.0, ge=0, le=3600)
    seconds_to_notify: float = Field(30.0, ge=0)


class Quota(Section):
    credits: int = Field(10_000, ge=0)
    window_hours: float = Field(24.0, gt=0, le=24 * 366)
    pixels_per_credit: int = Field(256 * 256, ge=1)
    relaxed: bool = False


class Gallery(Section):
    keep_days: float = Field(30.0, ge=0)


class Retention(Section):
    prompts_days: float = Field(0.0, ge=0)
    audit_days: float = Field(0.0, ge=0)
    when_person_leaves: Literal["keep", "delete"] = "keep"
    when_bot_is_removed: Literal["keep", "delete"] = "keep"
    grace_days: float = Field(7.0, ge=0)


class ControlImageSettings(Section):
    fit: Fit = "crop"
    max_megabytes: float = Field(10.0, gt=0, le=64)
    decoders: int = Field(2, ge=1, le=16)
    seconds_to_decode: float = Field(10.0, gt=0, le=600)
    megabytes_to_decode: float = Field(1000.0, ge=200)
    previews_per_minute: int = Field(120, ge=1)


class PictureThresholds(Section):
    """Scores of the pictures screen, 0 to 1, from which on something happens; 1 is never."""

    spoiler_at: float = Field(0.6, ge=0, le=1)
    hold_at: float = Field(0.85, ge=0, le=1)
    refuse_at: float = Field(1.0, ge=0, le=1)


class AgeRestrictedThresholds(PictureThresholds):
    spoiler_at: float = Field(0.85, ge=0, le=1)
    hold_at: float = Field(1.0, ge=0, le=1)


class ScreenSettings(Section):
    enabled: Annotated[tuple[Literal["words", "pictures"], ...], BeforeValidator(_split)] = (
        "words",
        "pictures",
    )
    off_because: str = ""
    words_file: Path | None = None
    words_action: Literal["refuse", "hold"] = "refuse"
    pictures: PictureThresholds = PictureThresholds()
    age_restricted: AgeRestrictedThresholds = AgeRestrictedThresholds()
    refund: bool = True
    strikes: int = Field(3, ge=0)
    strike_hours: float = Field(24.0, gt=0, le=24 * 366)
    words_strike: bool = False


#: Begins ``provenance.private_key`` where the key stands in an environment variable.
ENVIRONMENT = "env:"


class ProvenanceSettings(Section):
    prompt: bool = True
    certificate: Path | None = None
    private_key: str | None = None
    algorithm: Literal["es256", "ps256", "ed25519"] = "es256"
    timestamp_url: str | None = Field(None, pattern=r"^https?://.+")

    def relative_to(self, folder: Path) -> ProvenanceSettings:
        """These settings, with paths that start from *folder*."""
        key = self.private_key
        is_path = key is not None and not key.startswith(ENVIRONMENT)
        return self.model_copy(
            update={
                "certificate": self.certificate and folder / self.certificate.expanduser(),
                "private_key": str(folder / Path(key).expanduser()) if key and is_path else key,
            }
        )


class Moderation(Section):
    discord_channel: str = ""
    slack_channel: str = ""
    reports_to_hide: int = Field(0, ge=0)


class Web(Section):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    allowed_hosts: Names = ()
    public_url: str = Field("", pattern=r"^(https?://[\w.-]+(:\d{1,5})?)?$")
    max_connections: int = Field(500, ge=10, le=50_000)
    max_connections_per_address: int = Field(50, ge=2)
    max_streams_per_person: int = Field(20, ge=1)
    seconds_for_headers: float = Field(10.0, gt=0, le=600)
    seconds_for_body: float = Field(30.0, gt=0, le=3600)
    webhooks: Literal["off", "public", "any"] = "public"
    a1111: bool = False
    session_days: float = Field(30.0, gt=0, le=400)


class Logs(Section):
    format: Literal["text", "json"] = "text"


class ExpansionSettings(Section):
    url: str = Field("", pattern="^(https?://.+)?$")
    model: str = ""
    seconds: float = Field(20.0, gt=0, le=300)
    per_minute: int = Field(6, ge=1)


class MetricsSettings(Section):
    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(9464, ge=0, le=65535)


class Discord(Section):
    home_servers: Names = ()
    servers: Names = ()
    roles: Names = ()
    direct_messages: bool | None = None
    user_install: bool | None = None
    proxy: str | None = None


class Slack(Section):
    mode: Literal["socket", "http"] = "socket"
    home_workspaces: Names = ()
    public_url: str = Field("", pattern=r"^(https?://[\w.-]+(:\d{1,5})?)?$")
    workspaces: Names = ()
    external_people: bool = False
    carousel: bool = False
    command: str = Field("/flux", pattern=r"^/[a-z0-9_-]{1,31}$")
    api_base: str = Field("https://slack.com/api/", pattern=r"^https?://.+/$")
    file_hosts: Names = ("files.slack.com", "files-origin.slack.com")
    connections: int = Field(2, ge=1, le=10)
    host: str = "127.0.0.1"
    port: int = Field(3000, ge=0, le=65535)


class Admins(Section):
    users: Names = ("web:local",)


class Storage(Section):
    data_dir: Path = Path("data")
    download_dir: Path = Path("download")
    keep_backups: int = Field(7, ge=0)
