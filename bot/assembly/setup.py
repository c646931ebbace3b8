"""``python -m bot init``: asks what is needed, checks tokens as they are given, and writes ``.env``
and a short file of settings that differ.

Answers may be piped: one a line, an empty one for what stands in brackets. Nothing is written
before the last one was given.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console

from bot.assembly.command_line import DEFAULT_CONFIG, ConfigOption, console, fail, failing, read
from bot.assembly.platforms import check_person
from bot.config import Config, ConfigError, Secrets, local_file
from bot.known_models import merged
from bot.permissions import opener
from generation import cards, weights

T = TypeVar("T")

#: The verdict on a token: whether it serves, and a sentence.
Verdict = tuple[bool, str]
Ask = Callable[[str], Coroutine[Any, Any, Verdict]]
#: Settings by section and key.
Settings = dict[str, dict[str, Any]]

#: Characters of tokens, which need no escapes in a ``.env``.
_TOKEN = re.compile(r"[\w.:,/+=~@%-]+", re.ASCII)
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=")


@dataclass(frozen=True, slots=True)
class Answers:
    """All that was answered.

    Attributes:
        secrets: Variables of ``.env``.
        settings: Settings that differ from those in force.
        next_steps: What is left to the operator, in sentences.
    """

    secrets: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)
    next_steps: list[str] = field(default_factory=list)

    def differ(self, section: str, key: str, value: Any, now: Any) -> None:
        """Keep *value* for a key, unless it is *now* already."""
        if value != now:
            self.settings.setdefault(section, {})[key] = value


@dataclass(frozen=True, slots=True)
class Checks:
    """Those who are asked about tokens."""

    discord: Ask
    slack: Callable[[str, str], Coroutine[Any, Any, list[Verdict]]]
    hub: Callable[[str, str], Verdict]


def init(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Set the bot up: asks what is needed, checks tokens, and writes .env and what differs."""
    settings, _ = read(config)
    answers = ask(settings, checks(settings), console)
    with failing():
        if not write(config, answers, console):
            fail("nothing was written")
    for step in answers.next_steps:
        console.print(f"· {step}", soft_wrap=True)
    console.print("Now: python -m bot check, and then python -m bot run")


def checks(config: Config) -> Checks:
    """Discord, Slack and the Hugging Face Hub themselves, at the addresses that *config* and the
    environment name."""

    async def discord(token: str) -> Verdict:
        from adapters.discord_chat import identify, invitation

        try:
            who = await identify(token, proxy=config.discord.proxy)
        except ConfigError as error:
            return False, str(error)
        link = invitation(who.application_id)
        return True, f"the token belongs to {who.name}; add it to a server with {link}"

    async def slack(bot_token: str, app_token: str) -> list[Verdict]:
        try:
            from adapters.slack_chat.chat import findings
        except ModuleNotFoundError as error:
            return [(False, f"{error.name} is not installed: pip install '.[slack]'")]
        tokens = Secrets(slack_bot_tokens=(bot_token,), slack_app_token=app_token)
        return await findings(config.slack, tokens)

    def hub(token: str, repository: str) -> Verdict:
        weights.prepare_environment(config.storage.download_dir, os.environ)
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

        try:
            HfApi().auth_check(repository, token=token)
        except GatedRepoError:
            page = f"https://huggingface.co/{repository}"
            return False, f"the token may not fetch {repository} yet: ask for access at {page}"
        except (HfHubHTTPError, OSError) as error:
            return False, f"the Hub does not take the token: {str(error).splitlines()[0]}"
        return True, f"the token may fetch {repository}"

    return Checks(discord, slack, hub)


def ask(config: Config, asked: Checks, console: Console) -> Answers:
    """The operator's answers; *config* is what holds without them.

    Raises:
        typer.Abort: The answers end before the questions do.
    """
    answers = Answers()
    _ask_model(config, asked, console, answers)
    _ask_page(config, console, answers)
    _ask_discord(asked, console, answers)
    _ask_slack(asked, console, answers)
    _ask_admins(config, console, answers)
    return answers


def write(path: Path, answers: Answers, console: Console) -> bool:
    """Write the files beside the configuration at *path*; False where the operator would rather
    keep those that are there, and then nothing is changed."""
    secrets, settings = path.parent / ".env", local_file(path)
    plan = []
    if answers.secrets:
        names = ", ".join(answers.secrets)
        if secrets.exists():
            question = f"{secrets} exists. Set {names} in it, and keep the rest?"
            if not typer.confirm(question, default=False):
                return False
        plan.append((secrets, _with_secrets(_text(secrets), answers.secrets)))
    if answers.settings:
        names = ", ".join(
            f"{section}.{key}" for section, keys in answers.settings.items() for key in keys
        )
        question = f"{settings} exists. Set {names} in it, and keep the rest but for comments?"
        if settings.exists() and not typer.confirm(question, default=False):
            return False
        kept = tomllib.loads(_text(settings))
        plan.append((settings, as_toml(merged(kept, answers.settings))))
    for file, text in plan:
        _replace(file, text)
        console.print(f"{file} is written.")
    if not plan:
        console.print("Nothing differs from what is set already, so nothing was written.")
    return True


def as_toml(settings: Mapping[str, Any]) -> str:
    """*settings* as a file: tables of texts, numbers, booleans, lists of these, and tables."""
    lines = ["# What differs from config.toml, which explains every key; by `python -m bot init`."]

    def add(table: Mapping[str, Any], names: tuple[str, ...]) -> None:
        values = {key: each for key, each in table.items() if not isinstance(each, Mapping)}
        if values and names:
            lines.extend(["", f"[{'.'.join(map(_key, names))}]"])
        for key, value in values.items():
            lines.append(f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}")
        for key, each in table.items():
            if isinstance(each, Mapping):
                add(each, (*names, key))

    add(settings, ())
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)


# The questions


def _ask_model(config: Config, asked: Checks, console: Console, answers: Answers) -> None:
    names = list(config.models)
    for number, name in enumerate(names, start=1):
        console.print(f"  {number}  {name} (for {config.models[name].runs_on})")
    now = config.model.repository
    chosen = _prompt("Which model? A number, or a repository or folder", now)
    if chosen.isdecimal() and 1 <= int(chosen) <= len(names):
        chosen = names[int(chosen) - 1]
    answers.differ("model", "repository", chosen, now)
    found = cards.cards(os.environ)
    there = ", ".join(found) if found else "no NVIDIA card was found"
    known = config.models.get(chosen)
    if known is not None and known.license is not None:
        console.print(f"It has a licence with conditions for whoever runs a bot: {known.license}")
        if typer.confirm("Have you read it, and will you keep to it?", default=False):
            answers.differ("model", "accept_license", True, config.model.accept_license)
        else:
            answers.next_steps.append(
                "Read the licence, then set model.accept_license = true: nothing is drawn before."
            )
    device = _prompt(f"Where to draw? auto, cpu, mps or cuda:0 ({there})", config.model.device)
    answers.differ("model", "device", device, config.model.device)
    if known is not None and known.gated:
        token = _token(
            "Token of the Hugging Face Hub (hf_…)",
            lambda token: [asked.hub(token, chosen)],
            console,
        )
        if token:
            answers.secrets["HF_TOKEN"] = token
        else:
            answers.next_steps.append(f"{chosen} is fetched once HF_TOKEN stands in .env.")
    if chosen != "demo":
        answers.next_steps.append("Fetch the weights: python -m bot download")


def _ask_page(config: Config, console: Console, answers: Answers) -> None:
    console.print("The page answers on this machine alone, unless it has a public address.")
    while True:
        url = _prompt("Public address, such as https://flux.example.org", config.web.public_url)
        if re.fullmatch(r"(https?://[\w.-]+(:\d{1,5})?)?", url):
            break
        console.print("That is no address: it begins with https:// and has no path.")
    answers.differ("web", "public_url", url, config.web.public_url)
    if url:
        answers.next_steps.append(
            "Put a proxy in front of the page: docs/howto/behind-a-proxy.md; and give people links:"
            " python -m bot people add NAME"
        )


def _ask_discord(asked: Checks, console: Console, answers: Answers) -> None:
    token = _token(
        "Discord's bot token (docs/discord.md; empty for no Discord)",
        lambda token: [asyncio.run(asked.discord(token))],
        console,
    )
    if token:
        answers.secrets["DISCORD_TOKEN"] = token


def _ask_slack(asked: Checks, console: Console, answers: Answers) -> None:
    while True:
        bot_token = _secret("Slack's bot token, xoxb-… (docs/slack.md; empty for no Slack)")
        if not bot_token:
            return
        app_token = _secret("Slack's app-level token, xapp-…")
        verdicts = asyncio.run(asked.slack(bot_token, app_token))
        if _accepts(verdicts, console):
            answers.secrets["SLACK_BOT_TOKEN"] = bot_token
            answers.secrets["SLACK_APP_TOKEN"] = app_token
            return


def _ask_admins(config: Config, console: Console, answers: Answers) -> None:
    now = " ".join(config.admins.users)
    console.print("Admins rule the bot, such as web:ada, discord:1234 or slack:T12-U34.")
    while True:
        users = _prompt("Who is admin? Several are separated by blanks", now).replace(",", " ")
        try:
            for user in users.split():
                check_person(user)
        except ConfigError as error:
            console.print(f"{error}.")
            continue
        answers.differ("admins", "users", users.split(), list(config.admins.users))
        return


# Shared by the questions


def _token(words: str, verdicts: Callable[[str], list[Verdict]], console: Console) -> str:
    """A token that serves, or that the operator wants all the same; empty for none."""
    while token := _secret(words):
        if _accepts(verdicts(token), console):
            break
    return token


def _accepts(verdicts: list[Verdict], console: Console) -> bool:
    """Whether the tokens serve by *verdicts*, or the operator keeps them all the same."""
    for is_right, sentence in verdicts:
        console.print("✓" if is_right else "✗", sentence, soft_wrap=True)
    if all(is_right for is_right, _ in verdicts):
        return True
    return typer.confirm("Keep it all the same? No asks again.", default=False)


def _prompt(words: str, now: str) -> str:
    answer: str = typer.prompt(words, default=now)
    return answer.strip()


def _secret(words: str) -> str:
    """A token, which is not shown as it is typed; empty for none."""
    while True:
        # Without a terminal there is nobody to hide it from, and nothing to hide it with.
        answer = typer.prompt(
            words, default="", show_default=False, hide_input=sys.stdin.isatty()
        ).strip()
        if not answer or _TOKEN.fullmatch(answer):
            return str(answer)
        typer.echo("A token has no blanks and no quotes in it.")


# The files


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _with_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """The lines of *text*, a ``.env``, with *secrets* in place of what it had for them."""
    lines = [
        line
        for line in text.splitlines()
        if not ((found := _LINE.match(line)) and found[1] in secrets)
    ]
    return "\n".join([*lines, *(f"{name}='{value}'" for name, value in secrets.items())]) + "\n"


def _replace(file: Path, text: str) -> None:
    """Write *file*, which its owner alone may read, as a whole or not at all.

    Raises:
        ConfigError: It cannot be written.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        with open(part, "w", encoding="utf-8", opener=opener) as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        os.replace(part, file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from None
