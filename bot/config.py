"""``config.toml`` and the environment, read into one frozen `Config`.

``config.toml`` beside the README is the reference manual: every key stands there
with its unit, its default and a sentence. ``config.local.toml`` beside it, if there is one,
has what differs. An environment variable overrides a key
(``FLUXBOT_QUOTA__CREDITS=1000``: section, two underscores, key). Secrets come from
the environment or ``.env`` alone.
"""

from __future__ import annotations

import logging
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bot.known_models import UnknownModel, merged, nearest, with_known_models
from bot.sections import (
    KNOWN_NUMBERS,
    Admins,
    ControlImageSettings,
    Discord,
    Draft,
    Engine,
    ExpansionSettings,
    Gallery,
    KnownModel,
    Limits,
    ListedLora,
    Logs,
    LoraTables,
    MetricsSettings,
    Model,
    Moderation,
    PreprocessorModels,
    PresetTables,
    ProvenanceSettings,
    Queue,
    Quota,
    Retention,
    ScreenSettings,
    ShowcaseSettings,
    Slack,
    Storage,
    Variations,
    Web,
    preset_table,
)
from generation.checks import shortened
from generation.kinds import KINDS
from generation.types import Preset

logger = logging.getLogger(__name__)

#: Pydantic's errors for another value in the place of a section.
NO_SECTION = ("model_type", "model_attributes_type", "dataclass_type", "dict_type")

ENVIRONMENT_PREFIX = "FLUXBOT_"

#: Keys that have another name now, old to new. The old one keeps working, with a warning.
RENAMED = {"model.placement": "model.offload_level"}


class ConfigError(Exception):
    """The configuration cannot be used; the message names key, value and the values allowed."""


class Config(BaseSettings):
    """Everything that an operator can set, frozen.

    Attributes:
        models: Known models, by repository id.
        presets: Presets by name, in the order of the file: the model's, then the operator's.
        loras: LoRAs that people may ask for, likewise.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
        enable_decoding=False,
    )

    model: Model = Model()
    engine: Engine = Engine()
    limits: Limits = Limits()
    variations: Variations = Variations()
    draft: Draft = Draft()
    showcase: ShowcaseSettings = ShowcaseSettings()
    queue: Queue = Queue()
    quota: Quota = Quota()
    gallery: Gallery = Gallery()
    retention: Retention = Retention()
    control_images: ControlImageSettings = ControlImageSettings()
    screens: ScreenSettings = ScreenSettings()
    provenance: ProvenanceSettings = ProvenanceSettings()
    moderation: Moderation = Moderation()
    web: Web = Web()
    logs: Logs = Logs()
    metrics: MetricsSettings = MetricsSettings()
    expansion: ExpansionSettings = ExpansionSettings()
    discord: Discord = Discord()
    slack: Slack = Slack()
    admins: Admins = Admins()
    storage: Storage = Storage()
    preprocessors: PreprocessorModels = PreprocessorModels()
    models: dict[str, KnownModel] = Field(default_factory=dict)
    presets: PresetTables = Field(default_factory=lambda: {"plain": Preset(name="plain")})
    loras: LoraTables = Field(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        # pydantic-settings takes whatever is given apart, and would take a kind for a section.
        presets = values.get("presets")
        if isinstance(presets, dict):
            values["presets"] = {
                name: each.to_dict() if isinstance(each, Preset) else each
                for name, each in presets.items()
            }
        super().__init__(**values)

    @property
    def drawn_with(self) -> tuple[Model, ...]:
        """The main model, and those that presets name beside it, each once."""
        named = (self.model_for(each.model) for each in self.presets.values())
        return tuple(dict.fromkeys((self.model, *named)))

    def model_for(self, name: str | None) -> Model:
        """``[model]`` as it holds for the model *name* of a preset: with its numbers, and without a
        revision or a transformer of the main one, which None means."""
        main = self.model
        pinned = f"{main.repository}@{main.revision}" if main.revision else main.repository
        if name is None or (main.transformer is None and name == pinned):
            return main
        known = self.models.get(name) or self.models.get(name.partition("@")[0]) or KnownModel()
        numbers = {key: Model.model_fields[key].default for key in KNOWN_NUMBERS}
        numbers |= {key: own for key in KNOWN_NUMBERS if (own := getattr(known, key)) is not None}
        repository, _, revision = (
            (name, "", "") if name.startswith((".", "/", "~")) else name.partition("@")
        )
        beside = {"profile": None, "revision": revision or None, "transformer": None}
        return main.model_copy(update={**numbers, **beside, "repository": repository})

    def known(self, model: Model) -> KnownModel | None:
        """The entry of one of `drawn_with` in ``[models]``, or None without one."""
        pinned = self.models.get(f"{model.repository}@{model.revision}")
        return pinned or self.models.get(model.profile or model.repository)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return _Environment(settings_cls), init_settings


class Secrets(BaseModel):
    """Secrets, which are never written into ``config.toml``.

    Attributes:
        hf_token: Token for the Hugging Face Hub; None without one.
        web_tokens: Names of the people who may use the web chat, by their bearer token.
        metrics_token: Opens the figures for Prometheus; None where this machine alone reads them.
        expansion_key: Key for the language model of ``[expansion]``; None without one.
        discord_token: Token of the bot on Discord; None without Discord.
        slack_bot_tokens: One for each workspace; none without Slack.
        slack_app_token: Opens the sockets in Socket Mode.
        slack_signing_secret: Proves in HTTP mode that a request is Slack's.
        discord_client_id: Id of the application on Discord, with whose secret people sign in on
            the page; likewise for Slack.
    """

    model_config = ConfigDict(frozen=True)

    hf_token: str | None = Field(None, repr=False)
    web_tokens: dict[str, str] = Field(default_factory=dict, repr=False)
    metrics_token: str | None = Field(None, repr=False)
    expansion_key: str | None = Field(None, repr=False)
    discord_token: str | None = Field(None, repr=False)
    slack_bot_tokens: tuple[str, ...] = Field((), repr=False)
    slack_app_token: str | None = Field(None, repr=False)
    slack_signing_secret: str | None = Field(None, repr=False)
    discord_client_id: str | None = None
    discord_client_secret: str | None = Field(None, repr=False)
    slack_client_id: str | None = None
    slack_client_secret: str | None = Field(None, repr=False)


HF_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGINGFACE_TOKEN")
WEB_TOKENS_VARIABLE = "FLUXBOT_WEB_TOKENS"
METRICS_TOKEN_VARIABLE = "FLUXBOT_METRICS_TOKEN"
EXPANSION_KEY_VARIABLE = "FLUXBOT_EXPANSION_KEY"
#: "no" leaves the `local_file` unread.
LOCAL_FILE_VARIABLE = "FLUXBOT_LOCAL_FILE"
DISCORD_TOKEN_VARIABLE = "DISCORD_TOKEN"
SLACK_BOT_TOKEN_VARIABLE = "SLACK_BOT_TOKEN"
SLACK_APP_TOKEN_VARIABLE = "SLACK_APP_TOKEN"
SLACK_SIGNING_SECRET_VARIABLE = "SLACK_SIGNING_SECRET"
#: Id and secret of an application with which people sign in on the page.
CLIENT_VARIABLES = (
    "DISCORD_CLIENT_ID",
    "DISCORD_CLIENT_SECRET",
    "SLACK_CLIENT_ID",
    "SLACK_CLIENT_SECRET",
)

#: Characters of a token that nobody guesses.
SHORTEST_TOKEN = 16

#: All variables that hold secrets.
SECRET_VARIABLES = (
    *HF_TOKEN_VARIABLES,
    WEB_TOKENS_VARIABLE,
    METRICS_TOKEN_VARIABLE,
    EXPANSION_KEY_VARIABLE,
    DISCORD_TOKEN_VARIABLE,
    SLACK_BOT_TOKEN_VARIABLE,
    SLACK_APP_TOKEN_VARIABLE,
    SLACK_SIGNING_SECRET_VARIABLE,
    *CLIENT_VARIABLES,
)


def local_file(path: Path) -> Path:
    """The file beside the configuration at *path* that has what differs from it, where it is
    there: ``config.local.toml``."""
    return path.with_name(f"{path.stem}.local{path.suffix}")


def load_config(path: Path) -> Config:
    """The configuration from *path*, from the `local_file` beside it and from the environment,
    each of which overrides the one before.

    Relative folders in the files start from the folder of *path*.

    Raises:
        ConfigError: A key is unknown or a value is not allowed.
    """
    values = _read(path)
    _check_environment(os.environ)
    _warn_of_old_names(values, path.name)
    values = _with_new_names(values, f"{path.name}: ")
    local = local_file(path)
    if local.exists() and os.environ.get(LOCAL_FILE_VARIABLE) != "no":
        own = _read(local)
        _warn_of_old_names(own, local.name)
        values = merged(values, _with_new_names(own, f"{local.name}: "))
    try:
        config = Config(**values)
        config = Config(**with_known_models(values, config.model))
    except ValidationError as error:
        raise ConfigError("\n".join(_sentences(error, path.name))) from None
    except UnknownModel as error:
        raise ConfigError(f"{path.name}: {error}") from None
    config = config.model_copy(
        update={
            "storage": config.storage.model_copy(
                update={
                    "data_dir": path.parent / config.storage.data_dir,
                    "download_dir": path.parent / config.storage.download_dir,
                }
            ),
            "screens": config.screens.model_copy(
                update={
                    "words_file": config.screens.words_file
                    and path.parent / config.screens.words_file
                }
            ),
            "provenance": config.provenance.relative_to(path.parent),
            "loras": {
                name: lora.model_copy(update={"sample": lora.sample and path.parent / lora.sample})
                for name, lora in config.loras.items()
            },
        }
    )
    for lora in config.loras.values():
        if lora.sample is not None and not lora.sample.is_file():
            raise ConfigError(
                f"{path.name}: loras.{lora.name}.sample is {lora.sample}, and there is no such"
                " file: correct the path, which begins at the folder of this file, or leave it out"
            )
    name = config.model.default_preset
    if name not in config.presets:
        raise ConfigError(
            f"{path.name}: model.default_preset is {name!r}, but the presets are"
            f" {', '.join(config.presets)}{nearest(name, config.presets)}"
        )
    if config.presets[name].needs_image:
        raise ConfigError(
            f"{path.name}: model.default_preset is {name!r}, which needs a picture, so that words"
            " alone would always be refused: choose a preset that needs none"
        )
    for model in config.drawn_with:
        if model.width * model.height > config.limits.pixels or (
            model.num_inference_steps > config.limits.num_inference_steps
        ):
            table = "model" if model == config.model else f"models.{model.repository!r}"
            raise ConfigError(
                f"{path.name}: width, height or num_inference_steps of [{table}] is above [limits],"
                " so that every request without them would be refused: raise the limit"
            )
    return config


class _Environment(EnvSettingsSource):
    """The environment variables, those of renamed keys under the new names."""

    def __call__(self) -> dict[str, Any]:
        return _with_new_names(super().__call__(), "the environment variable ", _variable)


def _variable(key: str) -> str:
    """The environment variable of *key*: FLUXBOT_QUOTA__CREDITS of quota.credits."""
    return ENVIRONMENT_PREFIX + key.replace(".", "__").upper()


def _with_new_names(
    values: dict[str, Any], where: str, spelled: Callable[[str], str] = str
) -> dict[str, Any]:
    """*values* with the new names of keys that were renamed.

    Args:
        where: Begins a sentence about a key.
        spelled: A key as it reads there.

    Raises:
        ConfigError: A key has a value under both names.
    """
    for old, new in RENAMED.items():
        section, _, key = old.partition(".")
        keys, name = values.get(section), new.partition(".")[2]
        if not isinstance(keys, dict) or key not in keys:
            continue
        if name in keys:
            raise ConfigError(
                f"{where}{spelled(old)} is the old name of {spelled(new)}, and both are set: take"
                " the old one out"
            )
        renamed = {name if each == key else each: value for each, value in keys.items()}
        values = {**values, section: renamed}
    return values


def _warn_of_old_names(values: Mapping[str, Any], file: str) -> None:
    """Log the keys of *values*, and the variables, that have another name now."""
    variables = {name.upper() for name in os.environ}
    for old, new in RENAMED.items():
        section, _, key = old.partition(".")
        if isinstance(values.get(section), dict) and key in values[section]:
            logger.warning("%s: %s is the old name of %s: rename it", file, old, new)
        if (variable := _variable(old)) in variables:
            logger.warning(
                "the environment variable %s is the old name of %s: rename it",
                variable,
                _variable(new),
            )


def check_license(config: Config, *models: Model) -> None:
    """Raise ConfigError unless the operator has accepted the licence of *models*, all by default,
    where it asks anything of a bot's operator."""
    for model in models or config.drawn_with:
        known = config.known(model)
        if known is not None and known.license is not None and not model.accept_license:
            raise ConfigError(
                f"{model.repository} has a licence with conditions for everybody who runs a bot"
                f" with it: read {known.license}, then set model.accept_license = true in"
                " config.toml (the comment there says what to look for)"
            )


def _read(path: Path) -> dict[str, Any]:
    """What stands in the file at *path*.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: name another file with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def load_secrets(environ: Mapping[str, str] = os.environ) -> Secrets:
    """The secrets from the environment.

    Raises:
        ConfigError: ``FLUXBOT_WEB_TOKENS`` is not of the form ``name:token,name:token``, or
            ``FLUXBOT_METRICS_TOKEN`` is too short.
    """
    hf_token = next((environ[name] for name in HF_TOKEN_VARIABLES if environ.get(name)), None)
    web_tokens: dict[str, str] = {}
    for pair in environ.get(WEB_TOKENS_VARIABLE, "").split(","):
        if not pair.strip():
            continue
        name, colon, token = pair.strip().partition(":")
        if not colon or not re.fullmatch(r"[\w.-]{1,64}", name) or len(token) < 16:
            raise ConfigError(
                f"{WEB_TOKENS_VARIABLE} must read name:token,name:token with tokens of at least 16"
                " characters; make one with: python -c 'import secrets;"
                " print(secrets.token_urlsafe())'"
            )
        web_tokens[token] = name
    metrics_token = environ.get(METRICS_TOKEN_VARIABLE) or None
    if metrics_token is not None and len(metrics_token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{METRICS_TOKEN_VARIABLE} must have at least {SHORTEST_TOKEN} characters; make one"
            " with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    bot_tokens = environ.get(SLACK_BOT_TOKEN_VARIABLE, "").split(",")
    return Secrets(
        hf_token=hf_token,
        web_tokens=web_tokens,
        metrics_token=metrics_token,
        expansion_key=environ.get(EXPANSION_KEY_VARIABLE) or None,
        discord_token=environ.get(DISCORD_TOKEN_VARIABLE) or None,
        slack_bot_tokens=tuple(token.strip() for token in bot_tokens if token.strip()),
        slack_app_token=environ.get(SLACK_APP_TOKEN_VARIABLE) or None,
        slack_signing_secret=environ.get(SLACK_SIGNING_SECRET_VARIABLE) or None,
        **{name.lower(): environ.get(name) or None for name in CLIENT_VARIABLES},
    )


def _check_environment(environ: Mapping[str, str]) -> None:
    """Raise ConfigError for a ``FLUXBOT_`` variable that would have no effect."""
    for variable in environ:
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable in (*SECRET_VARIABLES, LOCAL_FILE_VARIABLE):
            continue
        section = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")[0].lower()
        if section not in Config.model_fields:
            raise ConfigError(
                f"the environment variable {variable} sets nothing: there is no section"
                f" {section!r}{nearest(section, Config.model_fields)}; variables read like"
                " FLUXBOT_QUOTA__CREDITS"
            )


def _sentences(error: ValidationError, file: str) -> list[str]:
    sentences = []
    for problem in error.errors():
        location, given = [str(part) for part in problem["loc"]], problem["input"]
        # A preset checks itself as a whole, and says which of its keys is at fault.
        field = getattr(problem.get("ctx", {}).get("error"), "field", None)
        if field is not None and isinstance(given, dict) and field in given:
            location, given = [*location, field], given[field]
        where, key = f"{file}: ", ".".join(location)
        names = (key, *(old for old, new in RENAMED.items() if new == key))
        variable = next((v for v in map(_variable, names) if v in os.environ), None)
        if variable is not None:
            where, key = "the environment variable ", variable
        value = "…" if "token" in key.lower() else shortened(given)
        said = f"{where}{key} = {value}"
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            kind = "section" if len(location) == 1 else "setting"
            known = _keys_beside(location)
            hint = nearest(location[-1], known) or f"; there are {', '.join(known)}"
            sentences.append(f"{said} is not a {kind}{hint}")
        elif problem["type"] in NO_SECTION:
            sentences.append(f"{said}: {key} is a section, so write its keys under [{key}]")
        else:
            reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
            said = f"{where}{key}" if isinstance(given, dict) else said
            sentences.append(f"{said}: {reason[0].lower() + reason[1:]}")
    return sentences


def _keys_beside(location: list[str]) -> list[str]:
    """The keys that are allowed in the place of *location*."""
    kind: Any = Config
    for part in location[:-1]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
    if getattr(kind, "__origin__", None) is Preset:
        return [name for name in preset_table(tuple(KINDS.values())).model_fields if name != "name"]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        own_name = {"name"} if kind is ListedLora else set()
        return [name for name in kind.model_fields if name not in own_name]
    return []
