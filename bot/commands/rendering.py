"""Commands for pictures back to text, for people to read, copy and edit."""

from __future__ import annotations

from bot.commands.options import FLAGS, OPTIONS
from bot.commands.parsing import parse
from bot.commands.series import escaped
from bot.commands.values import NO_LORAS, Loras, Ratio, Several
from bot.commands.vocabulary import CommandError, ImagineCommand
from bot.commands.words import GAPS


def render(command: ImagineCommand) -> str:
    """The shortest text that `parse` turns into *command* again.

    That holds for every command that `parse` returns. Other commands lose white space around the
    prompt, and a width without a height.
    """
    prompt, options = escaped(command.prompt), render_options(command)
    for text in (f"{prompt} {options}", f"imagine {prompt} {options}", f"{options} -- {prompt}"):
        text = text.strip(GAPS)
        try:
            if parse(text) == command:
                break
        except CommandError:
            continue
    return text


def render_options(command: ImagineCommand) -> str:
    """The options of *command* alone."""
    values = command.options
    if command.width and command.height:
        values["size"] = f"{command.width}x{command.height}"
    if command.crop_x is not None and command.crop_y is not None:
        values["crop_x"] = f"{command.crop_x},{command.crop_y}"
    texts = []
    for option in OPTIONS:
        value = values.get("size" if option.name == "size" else option.field)
        if value is None:
            continue
        if isinstance(option.kind, Ratio) and option.name != "size":
            value = "{}:{}".format(*value)
        elif isinstance(option.kind, Several):
            value = option.kind.typed(value) if isinstance(value, tuple) else value
        elif option.field == "negative_prompt":
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            value = f'"{escaped}"'
        elif isinstance(option.kind, Loras):
            texts += [f"--{option.name} {each}" for each in value] or [
                f"--{option.name} {NO_LORAS}"
            ]
            continue
        texts.append(f"--{option.name} {value}")
    texts += [f"--{flag.name}" for flag in FLAGS if values.get(flag.field)]
    return " ".join(texts)
