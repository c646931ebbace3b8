"""Modals: every option as a field, and the filled-in fields as a command. All pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from adapters.slack_chat.blocks import actions, button, context, plain
from bot import fields, sentences
from bot.commands import OPTIONS, AskedLora, CommandError, ImagineCommand, escaped, read_option
from bot.commands.options import MAP, Option
from bot.commands.values import Loras, Number, Region, Several
from bot.conversation import refusal
from bot.jobs import Job
from bot.languages import ENGLISH, Language
from bot.loras import weights_of
from bot.presets import inpainting, most_pictures
from bot.requests import SETTINGS, command_of
from bot.sections import ListedLora
from bot.sentences import Hint
from generation.checks import MAX_LORAS, MAX_PROMPT_LENGTH, is_blank
from generation.types import FIELDS_ACROSS, Preset

CALLBACK = "flux_form"
#: Id of every field's input inside its block.
VALUE = "value"
#: Slack shows at most so many options, of so many characters.
MAX_OPTIONS = 100
MAX_OPTION = 75
#: What it means, by the field, where a person empties what a modal began with.
NONE_WANTED: Mapping[str, Any] = MappingProxyType({"loras": (), "negative_prompt": ""})
NONE_LISTED: Mapping[str, ListedLora] = MappingProxyType({})

Purpose = Literal["imagine", "edit", "change", "part", "control", "settings"]
PURPOSES: tuple[Purpose, ...] = ("imagine", "edit", "change", "part", "control", "settings")
EXAMPLE_OF_CHANGE = "make it night"


@dataclass(frozen=True, slots=True)
class Purposed:
    """The purpose of a modal, carried through Slack and back.

    Attributes:
        job: Id of the job that the modal is about.
        channel: Channel of the answer; empty for the person's own conversation with the bot.
        root: The thread there.
        file: Id of the file at Slack to draw from.
        number: Number (from 1) of the picture of `job`.
        chosen: Digits of its fields that are to be drawn anew.
        hook: Address for answers to the person where they opened the modal.
    """

    purpose: Purpose
    job: str = ""
    channel: str = ""
    root: str = ""
    file: str = ""
    hook: str = ""
    number: int = 1
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Filled:
    """The filled-in fields of a modal.

    Attributes:
        command: Command, with an empty prompt where there is no field for one.
        files: Attached files, as Slack describes them.
        errors: Sentences by the id of the block that they belong to.
    """

    command: ImagineCommand
    files: list[dict[str, Any]]
    errors: dict[str, str]


def titles(purpose: Purpose, say: Language) -> tuple[str, str]:
    """The title of a modal, and the label of its button."""
    match purpose:
        case "imagine":
            return say("New picture"), say("Draw")
        case "edit":
            return say("Edit prompt"), say("Draw")
        case "change":
            return say("Edit picture"), say("Draw")
        case "part":
            return say("Change a part"), say("Draw anew")
        case "control":
            return say("Control image"), say("Draw")
        case "settings":
            return say("Your defaults"), say("Keep")


def form(
    about: Purposed,
    presets: Mapping[str, Preset],
    default: str,
    values: Mapping[str, str],
    say: Language = ENGLISH,
    loras: Mapping[str, ListedLora] = NONE_LISTED,
) -> dict[str, Any]:
    """The modal for *about*; its fields begin with *values*, by option name."""
    title, submit = titles(about.purpose, say)
    blocks: list[dict[str, Any]] = []
    is_change, is_part = about.purpose == "change", about.purpose == "part"
    if about.purpose != "settings":
        element = _text(values.get("prompt", ""), MAX_PROMPT_LENGTH)
        element |= {"multiline": True, "focus_on_load": True}
        if is_change:
            element["placeholder"] = plain(EXAMPLE_OF_CHANGE, 150)
        label = say("What to change") if is_change else say("What to draw")
        label = say("What to draw there") if is_part else label
        blocks.append(_input("prompt", label, element, is_optional=False))
    blocks.extend(
        _option(option, presets, default, values, say, loras)
        for option in (() if is_change or is_part else OPTIONS)
        if about.purpose != "settings" or set(option.fields) & set(SETTINGS)
        # The size may be a shape too, and where to crop is seen on the web page alone.
        if option.name not in ("ar", "crop")
        and (option.name not in ("mask", "outpaint") or inpainting(presets.values()) is not None)
        and (option.name != "lora" or loras)
    )
    follows = any(each.kind.control_maps and not each.kind.takes_mask for each in presets.values())
    if about.purpose in ("imagine", "control") and follows:
        blocks.append(_input(MAP.name, say("Control map"), _map(say)))
    if about.purpose == "imagine":
        element = _files(most_pictures(presets.values()))
        blocks.append(_input("image", say("Control image"), element, say(Hint.FOR_PRESETS)))
    if is_change:
        editing = next((each.kind for each in presets.values() if each.kind.edits), None)
        if editing is not None and (more := len(editing.more_pictures)):
            blocks.append(_input("image", say("Further pictures"), _files(more), say(Hint.FURTHER)))
    if is_part:
        blocks += _fields(about, say)
    if about.purpose == "control":
        blocks.append(context(plain(say(Hint.CHOOSE_A_TAKER))))
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "title": {"type": "plain_text", "text": title},
        "submit": {"type": "plain_text", "text": submit},
        "close": {"type": "plain_text", "text": say("Cancel")},
        "private_metadata": json.dumps(asdict(about)),
        "blocks": blocks,
    }


def _files(most: int) -> dict[str, Any]:
    """A field for pictures, *most* of them at most."""
    return {
        "type": "file_input",
        "action_id": VALUE,
        "filetypes": ["png", "jpg", "jpeg", "webp"],
        "max_files": most,
    }


def _map(say: Language) -> dict[str, Any]:
    option = {"text": plain(say(Hint.IS_MAP), MAX_OPTION), "value": MAP.name}
    return {"type": "checkboxes", "action_id": VALUE, "options": [option]}


def _fields(about: Purposed, say: Language) -> Iterable[dict[str, Any]]:
    """The nine fields of a picture, row by row."""
    yield context(plain(say(Hint.FIELDS)))
    for first in fields.NUMBERS[::FIELDS_ACROSS]:
        yield actions(
            *(
                button(
                    str(number),
                    f"field:{number}",
                    about.job,
                    style="primary" if str(number) in about.chosen else None,
                )
                for number in range(first, first + FIELDS_ACROSS)
            )
        )


def _option(
    option: Option,
    presets: Mapping[str, Preset],
    default: str,
    values: Mapping[str, str],
    say: Language,
    loras: Mapping[str, ListedLora],
) -> dict[str, Any]:
    value = values.get(option.name, "")
    if option.name == "preset":
        return _input("preset", say("Preset"), _select(presets, default, value, say))
    kind = option.kind
    if isinstance(kind, Loras):
        return _input(option.name, "LoRAs", _lora_menu(loras, value, say), say(option.help))
    if isinstance(kind, Region):
        return _input(option.name, _label(option, say), _regions(value, say), say(option.help))
    if isinstance(kind, Number):
        element: dict[str, Any] = {
            "type": "number_input",
            "action_id": VALUE,
            "is_decimal_allowed": not kind.is_whole,
            "min_value": str(kind.lowest),
            "max_value": str(kind.highest),
        }
        if value:
            element["initial_value"] = value
    else:
        length = MAX_PROMPT_LENGTH if option.name == "negative" else 40
        element = _text(value, length)
    example = say("such as {example}", example=option.example.strip('"'))
    element["placeholder"] = plain(example, 150)
    return _input(option.name, _label(option, say), element, say(option.help))


def _label(option: Option, say: Language) -> str:
    match option.name:
        case "control-start":
            return say("ControlNet from")
        case "control-end":
            return say("ControlNet until")
        case name:
            return say.names.get(name, name).capitalize()


def _select(
    presets: Mapping[str, Preset], default: str, chosen: str, say: Language
) -> dict[str, Any]:
    options = {}
    for preset in list(presets.values())[:MAX_OPTIONS]:
        note = f" ({say('the default')})" if preset.name == default else ""
        note += f" ({say('attach a picture')})" if preset.needs_image else ""
        option: dict[str, Any] = {
            "text": plain(f"{preset.name}{note}", MAX_OPTION),
            "value": preset.name,
        }
        if preset.description:
            option["description"] = plain(say(preset.description), MAX_OPTION)
        options[preset.name] = option
    element: dict[str, Any] = {
        "type": "static_select",
        "action_id": VALUE,
        "options": list(options.values()),
    }
    if chosen in options:
        element["initial_option"] = options[chosen]
    return element


def _lora_menu(loras: Mapping[str, ListedLora], chosen: str, say: Language) -> dict[str, Any]:
    """A menu of *loras*, a group of weights for each, in which *chosen* ("ink:0.8,slow:-1") are
    chosen."""
    own = {each.partition(":")[0]: each for each in filter(None, chosen.split(","))}
    groups, initial = [], []
    for lora in list(loras.values())[:MAX_OPTIONS]:
        offered = [str(AskedLora(lora.name, weight)) for weight in weights_of(lora)]
        if lora.name in own:
            offered = list(dict.fromkeys([own[lora.name], *offered]))
        options = [{"text": plain(each, MAX_OPTION), "value": each} for each in offered]
        about = f"{lora.name} – {say(lora.description)}" if lora.description else lora.name
        groups.append({"label": plain(about, MAX_OPTION), "options": options})
        initial += [option for option in options if option["value"] in own.values()]
    element = {
        "type": "multi_static_select",
        "action_id": VALUE,
        "option_groups": groups,
        "max_selected_items": MAX_LORAS,
    }
    return element | ({"initial_options": initial} if initial else {})


def _regions(chosen: str, say: Language) -> dict[str, Any]:
    options = {
        name: {"text": plain(say(label), MAX_OPTION), "value": name}
        for name, label in sentences.REGION_LABELS.items()
    }
    element = {"type": "static_select", "action_id": VALUE, "options": list(options.values())}
    return element | ({"initial_option": options[chosen]} if chosen in options else {})


def _text(value: str, length: int) -> dict[str, Any]:
    element: dict[str, Any] = {
        "type": "plain_text_input",
        "action_id": VALUE,
        "max_length": length,
    }
    if value:
        element["initial_value"] = value[:length]
    return element


def _input(
    id: str, label: str, element: dict[str, Any], hint: str = "", *, is_optional: bool = True
) -> dict[str, Any]:
    block = {
        "type": "input",
        "block_id": id,
        "label": plain(label),
        "element": element,
        "optional": is_optional,
    }
    if hint:
        block["hint"] = plain(hint, 2000)
    return block


def typed(view: Mapping[str, Any]) -> dict[str, str]:
    """Words that stand in the fields of the modal *view*, by option."""
    state = view.get("state", {}).get("values", {})
    values = {id: _value(inputs.get(VALUE, {})) for id, inputs in state.items()}
    return {id: value for id, value in values.items() if value}


def about_of(view: Mapping[str, Any]) -> Purposed:
    """The purpose of the modal *view*, which came back from Slack."""
    return Purposed(**json.loads(view["private_metadata"]))


def filled(view: Mapping[str, Any], about: Purposed, say: Language = ENGLISH) -> Filled:
    """The filled-in fields of the modal *view* for *about*."""
    state = {id: fields[VALUE] for id, fields in view["state"]["values"].items()}
    began = {
        block["block_id"]
        for block in view.get("blocks", ())
        if {"initial_options", "initial_value"} & block.get("element", {}).keys()
    }
    errors: dict[str, str] = {}
    if about.purpose == "part" and not about.chosen:
        errors["prompt"] = refusal(sentences.no_field(), say).text
    values: dict[str, Any] = {}
    for option in OPTIONS:
        text = _value(state.get(option.name, {}))
        if not text:
            if option.name in began and option.field in NONE_WANTED:
                values[option.field] = NONE_WANTED[option.field]
            continue
        try:
            values |= read_option(option.name, text)
        except CommandError as error:
            errors[option.name] = refusal(error, say).text
    if state.get(MAP.name, {}).get("selected_options"):
        values[MAP.field] = True
    prompt = (_value(state.get("prompt", {})) or "").strip()
    if "prompt" in state and (not prompt or is_blank(prompt)):
        errors["prompt"] = refusal(sentences.no_prompt(), say).text
    files = state.get("image", {}).get("files") or []
    return Filled(ImagineCommand(prompt=prompt, **values), list(files), errors)


def _value(state: Mapping[str, Any]) -> str | None:
    if several := state.get("selected_options"):
        return ",".join(each["value"] for each in several)
    chosen = state.get("selected_option")
    value = chosen["value"] if chosen else state.get("value")
    return None if value is None else str(value).strip()


def block_of(field: str | None, blocks: Iterable[Mapping[str, Any]]) -> str:
    """Id of the block for errors about *field* of a command."""
    ids = [block["block_id"] for block in blocks if block.get("type") == "input"]
    names = {name: option.name for option in OPTIONS for name in option.fields}
    names |= {
        "control_image": "image",
        "mask_image": "mask",
        "prompt": "prompt",
        "aspect_ratio": "size",
    }
    wanted = names.get(field or "", "")
    return wanted if wanted in ids else ids[0]


def values_of(job: Job) -> dict[str, str]:
    """Values that the fields of a modal begin with, to change *job*."""
    command = command_of(job.request, job.images)
    # As people type it: braces in it are text, and those that they add have alternatives.
    return {"prompt": escaped(command.prompt), **values_of_settings(command.options)}


def values_of_settings(own: Mapping[str, Any]) -> dict[str, str]:
    """Values that the fields begin with, from the own defaults *own*."""
    values = {}
    for option in OPTIONS:
        value = own.get(option.field)
        if option.name == "size" and "width" in own and "height" in own:
            values["size"] = f"{own['width']}x{own['height']}"
        elif option.name == "ar" and value is not None:
            values["size"] = ":".join(map(str, value))  # one field is for both
        elif isinstance(option.kind, Several) and value is not None:
            values[option.name] = option.kind.typed(value)
        elif isinstance(option.kind, Loras) and value:
            values[option.name] = ",".join(map(str, value))
        elif value is not None and option.name != "size":
            values[option.name] = f"{value:g}" if isinstance(value, float) else str(value)
    return values
