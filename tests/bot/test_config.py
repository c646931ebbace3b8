"""``config.toml`` is the manual, and a mistake in it is pointed at."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from bot.config import (
    RENAMED,
    SECRET_VARIABLES,
    Config,
    ConfigError,
    check_license,
    load_config,
    load_secrets,
)
from bot.sections import ListedLora
from generation.kinds import flat_names
from generation.types import Preset

SHIPPED = Path(__file__).parent.parent.parent / "config.toml"


def written(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    return str(error.value)


def test_the_shipped_file_is_sound_and_holds_the_defaults():
    shipped = load_config(SHIPPED)

    for name, field in Config.model_fields.items():
        if name not in ("models", "presets", "loras", "storage"):
            assert getattr(shipped, name) == field.default, name
    assert shipped.storage.data_dir == SHIPPED.parent / "data"


def test_the_shipped_file_names_every_key_and_explains_it():
    text = SHIPPED.read_text(encoding="utf-8")
    written = tomllib.loads(text)

    for name, field in Config.model_fields.items():
        if name in ("models", "presets", "loras"):
            continue
        assert issubclass(field.annotation, BaseModel)
        for key in field.annotation.model_fields:
            is_written = key in written[name] or re.search(rf"^# {key} = ", text, re.M)
            assert is_written, f"{name}.{key} is missing in config.toml"
    for line, before in zip(text.splitlines()[1:], text.splitlines(), strict=False):
        is_first_of_its_paragraph = re.match(r"\w+ = ", line) and not re.match(r"\w+ = ", before)
        if is_first_of_its_paragraph and not re.match(r"\[(models|presets)\.", before):
            assert before.startswith("#"), f"nothing explains {line}"
    for key in {*flat_names(), *(field.name for field in fields(Preset)), *ListedLora.model_fields}:
        assert key == "name" or f"#   {key}" in text or f", {key}" in text, key


DEV = "black-forest-labs/FLUX.1-dev"


def shipped(monkeypatch, repository, **model):
    """The shipped file with nothing changed but `model`."""
    monkeypatch.setenv("FLUXBOT_MODEL__REPOSITORY", repository)
    for key, value in model.items():
        monkeypatch.setenv(f"FLUXBOT_MODEL__{key.upper()}", str(value))
    return load_config(SHIPPED)


@pytest.mark.parametrize(
    ("repository", "steps", "guidance", "tokens"),
    [
        (DEV, 28, 3.5, 512),
        ("black-forest-labs/FLUX.1-Krea-dev", 28, 4.5, 512),
        ("black-forest-labs/FLUX.1-schnell", 4, 0.0, 256),
        ("black-forest-labs/FLUX.1-Kontext-dev", 28, 2.5, 512),
    ],
)
def test_naming_a_model_brings_its_steps_guidance_size_and_presets(
    monkeypatch, repository, steps, guidance, tokens
):
    config = shipped(monkeypatch, repository)

    model = config.model
    assert (model.num_inference_steps, model.guidance_scale) == (steps, guidance)
    assert (model.max_sequence_length, model.width, model.height) == (tokens, 1024, 1024)
    assert {"plain", "redraw"} <= set(config.presets)
    assert all("demo/" not in str(preset) for preset in config.presets.values())


def test_every_known_model_is_described_and_has_a_licence():
    for name, model in load_config(SHIPPED).models.items():
        assert model.description, name
        assert model.license_name, name


def test_flux_dev_has_a_preset_of_every_kind_and_seven_over_one_controlnet(monkeypatch):
    presets = shipped(monkeypatch, DEV).presets

    union = "Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro-2.0"
    over_union = {
        name for name, preset in presets.items() if preset.kind.conditioning_model == union
    }
    assert over_union == {
        "canny",
        "soft-edge",
        "depth",
        "pose",
        "gray",
        "canny-depth",
        "canny-redraw",
    }
    assert presets["canny-bfl"].kind.control_lora == "black-forest-labs/FLUX.1-Canny-dev-lora"
    assert presets["upscale"].kind.upscale == 2
    assert presets["redraw"].kind.strength is not None
    assert presets["watercolour"].lora is not None
    assert presets["watercolour"].prompt_template != "{prompt}"


def test_what_the_operator_sets_wins_over_what_is_known_of_the_model(monkeypatch, tmp_path):
    assert shipped(monkeypatch, DEV, num_inference_steps=20).model.num_inference_steps == 20

    path = tmp_path / "config.toml"
    text = SHIPPED.read_text(encoding="utf-8")
    text += "\n[presets.canny]\ndescription = 'mine'\n"
    path.write_text(text.replace('default_preset = "plain"', "width = 512"), encoding="utf-8")
    config = load_config(path)
    assert (config.model.width, config.model.height) == (512, 1024)
    assert config.presets["canny"].description == "mine"
    assert "depth" in config.presets


def test_a_model_that_is_not_known_says_which_one_it_is_like(monkeypatch):
    with pytest.raises(ConfigError, match=r"'me/mine', which has no table under .models"):
        shipped(monkeypatch, "me/mine")

    config = shipped(monkeypatch, "me/mine", profile=DEV)
    assert (config.model.repository, config.model.num_inference_steps) == ("me/mine", 28)
    assert "canny" in config.presets

    with pytest.raises(ConfigError, match=r"model.profile is 'dev'"):
        shipped(monkeypatch, "me/mine", profile="dev")


def test_weights_whose_licence_asks_something_need_it_accepted(monkeypatch):
    with pytest.raises(ConfigError, match=r"read https://huggingface.co/black-forest-labs/FLUX.1-"):
        check_license(shipped(monkeypatch, DEV))
    with pytest.raises(ConfigError, match=r"set model.accept_license = true"):
        check_license(shipped(monkeypatch, "me/mine", profile=DEV))

    check_license(shipped(monkeypatch, "me/mine", profile=DEV, accept_license="true"))
    monkeypatch.delenv("FLUXBOT_MODEL__ACCEPT_LICENSE")
    monkeypatch.delenv("FLUXBOT_MODEL__PROFILE")
    for free in ("demo", "black-forest-labs/FLUX.1-schnell"):
        check_license(shipped(monkeypatch, free))


def test_a_mistake_in_what_is_known_of_a_model_is_pointed_at(tmp_path):
    text = "[models.demo.presets.x]\ncontrol_net = 'a'"
    assert "models.demo.presets.x.control_net = 'a' is not a setting; did you mean" in refused(
        tmp_path, text
    )


def test_the_shipped_presets_are_the_ones_the_readme_speaks_of():
    presets = load_config(SHIPPED).presets

    assert set(presets) >= {"plain", "canny", "redraw"}
    assert presets["canny"].needs_image
    assert not presets["plain"].needs_image


def test_a_preset_is_added_by_an_edit_alone(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[presets.plain]\n[presets.night]\nguidance_scale = 2.0\nwidth = 128\n")

    assert load_config(path).presets["night"] == Preset(name="night", guidance_scale=2.0, width=128)


def test_a_preset_of_ones_own_stands_in_whole_for_one_of_the_model(tmp_path):
    path = tmp_path / "config.toml"
    own = '[presets.plain]\ndescription = "mine"\n'
    known = "[models.demo]\n[models.demo.presets.plain]\nguidance_scale = 2.0\n"
    path.write_text(known + "[models.demo.presets.night]\n" + own)

    presets = load_config(path).presets

    assert presets["plain"] == Preset(name="plain", description="mine")
    assert list(presets) == ["plain", "night"]
    assert "[presets.NAME] replaces the model's preset as a whole" in SHIPPED.read_text(
        encoding="utf-8"
    )


def test_the_environment_overrides_the_file(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text("[quota]\ncredits = 5\nwindow_hours = 2\n")
    monkeypatch.setenv("FLUXBOT_QUOTA__CREDITS", "1000")
    monkeypatch.setenv("FLUXBOT_WEB__PORT", "8081")

    config = load_config(path)

    assert (config.quota.credits, config.quota.window_hours, config.web.port) == (1000, 2.0, 8081)


def test_lists_are_separated_by_commas_in_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text("")
    monkeypatch.setenv("FLUXBOT_ADMINS__USERS", "web:ada, discord:5")
    monkeypatch.setenv("FLUXBOT_WEB__ALLOWED_HOSTS", "flux.example.org")
    monkeypatch.setenv("FLUXBOT_PRESETS__PLAIN__WIDTH", "128")

    config = load_config(path)

    assert config.admins.users == ("web:ada", "discord:5")
    assert config.web.allowed_hosts == ("flux.example.org",)
    assert config.presets["plain"].width == 128


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[quota]\ncreditz = 3", "quota.creditz = 3 is not a setting; did you mean credits?"),
        ("[kwota]\ncredits = 1", "kwota = {'credits': 1} is not a section; did you mean quota?"),
        ("colour = 'red'", "colour = 'red' is not a section; there are model, engine"),
        ("[web]\nport = 99999", "web.port = 99999: should be less than or equal to 65535"),
        ("[quota]\ncredits = 'many'", "quota.credits = 'many': should be a valid integer"),
        (
            "[presets.x]\ncontrol_net = 'a'",
            "x.control_net = 'a' is not a setting; did you mean controlnet?",
        ),
        ("[presets.x]\nwidth = 100", "width must be a multiple of 16, not 100: try 96 or 112"),
        ("[presets.x]\npreprocessor = 'cany'", "'cany': should be 'none', 'canny', 'depth'"),
        ("[presets.x]\nprompt_template = 'a'", "prompt_template must contain {prompt}, not 'a'"),
        ("[presets.'A b']\n", "named with lower-case letters, digits, - and _, not 'A b'"),
        ("[presets.x]\nstrength = 1.5", "presets.x.strength = 1.5: strength must be a number"),
        ("[presets.x]\nwidth = 100", "presets.x.width = 100: width must be a multiple of 16"),
        ("[presets.X]\nwidth = 64", "presets: a preset is named with lower-case letters"),
        ("[model]\nrepository = 'dmeo'\n[models.demo]\n", "of 'demo'; did you mean demo?"),
        ("[presets.x]\ncontrol_lora = 'a'\nstrength = 0.5", "either a control_lora or a strength"),
        ("[model]\ndefault_preset = 'plane'", "'plane', but the presets are plain; did you mean"),
        ("[model]\ndevice = 'gpu'", "model.device = 'gpu': must be auto, cpu, mps, cuda or"),
        ("[model]\ndtype = 'int8'", "model.dtype = 'int8': should be 'auto', 'bfloat16'"),
        ("[model]\nwidth = 250", "model.width = 250: should be a multiple of 16"),
        ("quota = 3", "quota = 3: quota is a section, so write its keys under [quota]"),
        ("[presets.plain]\nstrength = 0.5", "'plain', which needs a picture, so that words alone"),
        ("[limits]\npixels = 4096", "is above [limits], so that every request"),
        ("[quota", "is not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_value_and_what_is_allowed(tmp_path, text, sentence):
    assert sentence in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("FLUXBOT_QUOTE__CREDITS", "there is no section 'quote'; did you mean quota?"),
        (
            "FLUXBOT_QUOTA__CREDTIS",
            "the environment variable FLUXBOT_QUOTA__CREDTIS = '1' is not a setting; did you mean"
            " credits?",
        ),
    ],
)
def test_a_misspelled_variable_does_not_pass_in_silence(tmp_path, monkeypatch, variable, sentence):
    monkeypatch.setenv(variable, "1")

    assert sentence in refused(tmp_path, "")


@pytest.fixture
def renamed(monkeypatch):
    """A key that has another name now, whatever was renamed in earnest."""
    monkeypatch.setattr("bot.config.RENAMED", {"quota.allowance": "quota.credits"})


def test_a_renamed_key_keeps_working_in_the_file_and_is_warned_of(tmp_path, caplog, renamed):
    config = load_config(written(tmp_path, "[quota]\nallowance = 7"))

    assert config.quota.credits == 7
    assert caplog.messages == [
        "config.toml: quota.allowance is the old name of quota.credits: rename it"
    ]


def test_a_renamed_key_keeps_working_in_the_environment(tmp_path, monkeypatch, caplog, renamed):
    monkeypatch.setenv("FLUXBOT_QUOTA__ALLOWANCE", "7")

    config = load_config(written(tmp_path, "[quota]\ncredits = 3"))

    assert config.quota.credits == 7, "a variable is stronger than the file under any name"
    assert caplog.messages == [
        "the environment variable FLUXBOT_QUOTA__ALLOWANCE is the old name of"
        " FLUXBOT_QUOTA__CREDITS: rename it"
    ]


def test_the_new_name_of_a_key_is_warned_of_by_nothing(tmp_path, caplog, renamed):
    assert load_config(written(tmp_path, "[quota]\ncredits = 7")).quota.credits == 7
    assert caplog.messages == []


def test_a_key_under_both_names_is_refused(tmp_path, monkeypatch, renamed):
    in_the_file = refused(tmp_path, "[quota]\nallowance = 7\ncredits = 7")
    monkeypatch.setenv("FLUXBOT_QUOTA__ALLOWANCE", "7")
    monkeypatch.setenv("FLUXBOT_QUOTA__CREDITS", "7")
    in_the_environment = refused(tmp_path, "")

    assert in_the_file == (
        "config.toml: quota.allowance is the old name of quota.credits, and both are set: take"
        " the old one out"
    )
    assert "FLUXBOT_QUOTA__ALLOWANCE is the old name of FLUXBOT_QUOTA__CREDITS" in (
        in_the_environment
    )


def test_a_mistake_under_an_old_variable_names_that_variable(tmp_path, monkeypatch, renamed):
    monkeypatch.setenv("FLUXBOT_QUOTA__ALLOWANCE", "much")

    sentence = refused(tmp_path, "")

    assert sentence.startswith("the environment variable FLUXBOT_QUOTA__ALLOWANCE = 'much'")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_every_renamed_key_leads_to_one_that_there_is(old, new):
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    (section, key), (new_section, new_key) = old.split("."), new.split(".")

    assert section == new_section, "keys move within their section alone"
    assert new_key in sections[section].model_fields
    assert key not in sections[section].model_fields


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "nowhere.toml")


def test_the_variables_that_hold_secrets_are_listed():
    """Tests clear them, so that nobody's token is used by the suite."""
    bare = load_secrets({})

    full = load_secrets(dict.fromkeys(SECRET_VARIABLES, "ada:0123456789abcdef"))

    for name in type(bare).model_fields:
        assert getattr(full, name) != getattr(bare, name), name


def test_secrets_come_from_the_environment_and_are_never_shown():
    secrets = load_secrets({"HF_TOKEN": "hf_x", "FLUXBOT_WEB_TOKENS": "ada:0123456789abcdef"})

    assert secrets.hf_token == "hf_x"
    assert secrets.web_tokens == {"0123456789abcdef": "ada"}
    assert "0123456789abcdef" not in repr(secrets)
    assert "hf_x" not in repr(secrets)


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGINGFACE_TOKEN"])
def test_the_hubs_token_is_found_under_its_three_names(name):
    assert load_secrets({name: "hf_x"}).hf_token == "hf_x"


@pytest.mark.parametrize("value", ["0123456789abcdef", "ada:short", "a da:0123456789abcdef"])
def test_a_web_token_that_cannot_be_used_stops_the_start(value):
    with pytest.raises(ConfigError, match="name:token,name:token with tokens of at least 16"):
        load_secrets({"FLUXBOT_WEB_TOKENS": value})


def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path):
    sentence = refused(tmp_path, "[model]\nhf_token = 'hf_x'")

    assert "model.hf_token = … is not a setting" in sentence
    assert "hf_x" not in sentence


def test_loras_are_those_of_the_model_and_those_for_all(tmp_path):
    path = written(
        tmp_path,
        """
[models.demo.presets.plain]
[models.demo.loras.ink]
repository = "demo/lora-ink"
min_lora_scale = -0.5
[models.demo.loras.pale]
repository = "lab/pale"
[models.other.loras.other]
repository = "lab/other"
[loras.pale]
repository = "mine/pale.safetensors"
trigger_words = "PALETOK, a pale wash"
""",
    )

    loras = load_config(path).loras

    assert [*loras] == ["ink", "pale"]
    assert loras["pale"] == ListedLora(
        name="pale",
        repository="mine/pale.safetensors",
        trigger_words=("PALETOK", "a pale wash"),
    )
    assert (loras["ink"].lora_scale, loras["ink"].min_lora_scale) == (1.0, -0.5)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            "[loras.Ink]\nrepository = 'a/b'",
            "a LoRA is named with lower-case letters, digits, - and",
        ),
        ("[loras.none]\nrepository = 'a/b'", "a LoRA cannot be named none, which means that none"),
        ("[loras.ink]\nweight = 1", "loras.ink.weight = 1 is not a setting; there are repository,"),
        ("[loras.ink]\nlora_scale = 1", "loras.ink.repository"),
        (
            "[loras.ink]\nrepository = 'a/b'\ntrigger_words = ['ink', ' ']",
            "trigger_words has an empty word, which no prompt could lack: leave it out",
        ),
        (
            "[loras.ink]\nrepository = 'a/b'\nsample = 'gone.png'",
            "gone.png, and there is no such file: correct the path, which begins at the folder",
        ),
        ("[loras.ink]\nrepository = 'a/b'\nlora_scale = 3", "loras.ink.lora_scale = 3: should be"),
        (
            "[loras.ink]\nrepository = 'a/b'\nmax_lora_scale = 0.5",
            "lora_scale (1) must lie between min_lora_scale (-2) and max_lora_scale (0.5)",
        ),
    ],
)
def test_a_mistake_in_a_lora_is_pointed_at(tmp_path, keys, sentence):
    assert sentence in refused(tmp_path, keys)
