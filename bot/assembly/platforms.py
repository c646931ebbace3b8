"""The platforms that the bot is on: one line in `PLATFORMS` for each.

An adapter is imported once its platform runs or is looked at, and never before: importing
slack_bolt or discord.py takes seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

from bot.assembly.folder import lock_owner
from bot.config import Config, ConfigError, Secrets
from bot.sections import Discord
from bot.service import Service

#: Seconds until a platform that could not be reached is tried again, and the longest that they
#: grow to: Discord takes a thousand beginnings a day.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0

logger = logging.getLogger("bot")

#: Whether a part is right, and a sentence about it.
Verdict = tuple[bool, str]


@dataclass(frozen=True, slots=True)
class Host:
    """The bot, as a platform gets it.

    Attributes:
        announce: Called with the address of the platform, once it answers.
    """

    service: Service
    config: Config
    secrets: Secrets
    announce: Callable[[str], None] = lambda address: None


async def _nothing_to_say(config: Config, secrets: Secrets) -> list[Verdict]:
    return []


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform that the bot is on.

    Attributes:
        name: Begins the ids of its people: ``discord`` in ``discord:1234``.
        is_on: Whether the configuration and the secrets switch it on.
        run: A coroutine that serves the platform until cancelled. An error in it ends this
            platform alone: for good where it is a ConfigError, else until the next attempt.
        check: Verdicts for ``python -m bot check``, also where the platform is off.
        must_listen: Whether the model is loaded only once the platform has announced an
            address. An error before then ends the start of the bot.
    """

    name: str
    is_on: Callable[[Config, Secrets], bool]
    run: Callable[[Host], Coroutine[Any, Any, None]]
    check: Callable[[Config, Secrets], Coroutine[Any, Any, list[Verdict]]] = _nothing_to_say
    must_listen: bool = False


@asynccontextmanager
async def running(
    host: Host, platforms: Iterable[Platform], wait: float = 0.0
) -> AsyncIterator[None]:
    """All of *platforms* that are on, running inside the block.

    Those that call somebody else, who may limit how often, begin after *wait* seconds.

    Raises:
        ConfigError: A platform that must listen cannot.
    """
    async with AsyncExitStack() as stack:
        for platform in platforms:
            if not platform.is_on(host.config, host.secrets):
                continue
            listens = asyncio.Event()
            run = partial(platform.run, replace(host, announce=_announced(host, listens)))
            if wait and not platform.must_listen:
                run = partial(_after, wait, run)
            going = keep_going(
                platform.name.capitalize(), run, started=listens if platform.must_listen else None
            )
            task = asyncio.create_task(going, name=platform.name)
            stack.push_async_callback(_ended, task)
            if platform.must_listen:
                await _first_of(task, listens)
        yield


async def _after(wait: float, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await asyncio.sleep(wait)
    await run()


def _announced(host: Host, listens: asyncio.Event) -> Callable[[str], None]:
    def announce(address: str) -> None:
        if not listens.is_set():
            host.announce(address)
        listens.set()

    return announce


async def keep_going(
    name: str,
    run: Callable[[], Coroutine[Any, Any, None]],
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    *,
    started: asyncio.Event | None = None,
) -> None:
    """Await *run*, and again after a pause whenever it fails; not after a ConfigError.

    Before *started* is set, an error is raised instead.
    """
    pause = FIRST_PAUSE
    while True:
        began = time.monotonic()
        try:
            await run()
            return
        except Exception as error:
            if started is not None and not started.is_set():
                raise
            if isinstance(error, ConfigError):
                logger.error("%s", error)
                return
            if time.monotonic() - began > LONGEST_PAUSE:  # it was well for a while
                pause = FIRST_PAUSE
            logger.exception("%s ended (%s); trying again in %g s", name, error, pause)
        await sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _first_of(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Wait until *event* is set; raises the error of *task* where that ends first."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if not event.is_set():
        task.result()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


# The web chat


def _wants_web(config: Config, secrets: Secrets) -> bool:
    return config.web.enabled


async def _run_web(host: Host) -> None:
    from adapters.web_chat.server import serve

    await serve(host.service, host.config, host.secrets, host.announce)


async def _check_web(config: Config, secrets: Secrets) -> list[Verdict]:
    from adapters.web_chat.exposure import check_closed

    web = config.web
    if not web.enabled:
        return [(True, "switched off")]
    people = f"{len(secrets.web_tokens)} tokens" if secrets.web_tokens else "no tokens"
    if web.public_url:
        people += f", and links to {web.public_url}"
    try:
        check_closed(web, bool(secrets.web_tokens))
    except ConfigError as error:
        return [(False, str(error))]
    if (reason := _cannot_listen(web.host, web.port)) is not None:
        if (owner := lock_owner(config.storage.data_dir)) is None:
            sentence = f"web.host = {web.host!r}, web.port = {web.port}: {reason}; set another one"
            return [(False, sentence)]
        people += f"; the bot is running (process {owner})"
    return [(True, f"http://{web.host}:{web.port}, {people}")]


def _cannot_listen(host: str, port: int) -> str | None:
    """The reason why that address is not free to listen on; None where it is."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server((str(address[0]), port), family=family).close()
    except socket.gaierror:
        return "there is no such address"
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return None


# Discord


def _wants_discord(config: Config, secrets: Secrets) -> bool:
    return secrets.discord_token is not None


async def _run_discord(host: Host) -> None:
    from adapters.discord_chat import DiscordChat

    if host.secrets.discord_token is not None:
        await DiscordChat(host.service, host.config, host.secrets.discord_token).run()


async def _check_discord(config: Config, secrets: Secrets) -> list[Verdict]:
    if secrets.discord_token is None:
        return [(True, "off: no DISCORD_TOKEN is set")]
    from adapters.discord_chat import identify

    try:
        who = await identify(secrets.discord_token, proxy=config.discord.proxy)
    except ConfigError as error:
        return [(False, str(error))]
    return [(True, f"the token belongs to {who.name}; {_reach(config.discord)}")]


def _reach(settings: Discord) -> str:
    """A sentence about the people who can reach the bot on Discord."""
    from adapters.discord_chat.doors import has_direct_messages, has_user_install

    if not settings.servers:
        places = "everybody in any server that adds it can use it (discord.servers closes that)"
    else:
        places = f"it answers in {len(settings.servers)} servers alone"
    roles = f", to members of {len(settings.roles)} roles" if settings.roles else ""
    ways = [
        name
        for name, is_open in (
            ("direct messages", has_direct_messages(settings)),
            ("people's own accounts", has_user_install(settings)),
        )
        if is_open
    ]
    return f"{places}{roles}; {' and '.join(ways) or 'nothing else'} beside it"


# Slack


def _wants_slack(config: Config, secrets: Secrets) -> bool:
    return bool(secrets.slack_bot_tokens or secrets.slack_app_token or config.slack.public_url)


async def _run_slack(host: Host) -> None:
    try:
        # On a thread, since the page answers meanwhile.
        slack = await asyncio.to_thread(import_module, "adapters.slack_chat.chat")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Slack is off: {error.name} is not installed; pip install '.[slack]'"
        ) from None
    await slack.SlackChat(host.service, host.config.slack, host.secrets).run()


async def _check_slack(config: Config, secrets: Secrets) -> list[Verdict]:
    if not _wants_slack(config, secrets):
        return [(True, "off: no tokens are set; see docs/slack.md")]
    try:
        from adapters.slack_chat.chat import findings
    except ModuleNotFoundError as error:
        return [(False, f"{error.name} is not installed: pip install '.[slack]'")]
    return await findings(config.slack, secrets, config.storage.data_dir)


PLATFORMS = (
    Platform("web", _wants_web, _run_web, _check_web, must_listen=True),
    Platform("discord", _wants_discord, _run_discord, _check_discord),
    Platform("slack", _wants_slack, _run_slack, _check_slack),
)


def check_person(user: str, platforms: Iterable[Platform] = PLATFORMS) -> None:
    """Raise ConfigError where *user* is not a possible id of a person on one of *platforms*."""
    platform, _, name = user.partition(":")
    names = [each.name for each in platforms]
    if not name or any(map(str.isspace, name)):
        raise ConfigError(f"users are written platform:id, such as discord:1234, not {user!r}")
    if platform not in names:
        raise ConfigError(f"there is no platform {platform!r}: there are {', '.join(names)}")
