"""Slack, started and stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator

from adapters.slack_chat.actions import Actions
from adapters.slack_chat.context import PATIENCE, Context
from adapters.slack_chat.errors import GONE, OutcomeUnknown, RateLimited, SlackError
from adapters.slack_chat.grants import FILE_NAME, Grants, team_of
from adapters.slack_chat.installing import INSTALL, Installing
from adapters.slack_chat.listeners import Listeners, acknowledge_the_rest
from adapters.slack_chat.moderation import teller
from adapters.slack_chat.own_data import erase_message
from adapters.slack_chat.pace import Pace
from adapters.slack_chat.reactions import SlackReactions
from adapters.slack_chat.rotation import Rotation
from adapters.slack_chat.showcase import BestOf
from adapters.slack_chat.sockets import PING_INTERVAL, Sockets
from adapters.slack_chat.window import PLATFORM, SlackWindow, abandon
from adapters.slack_chat.workspaces import NEEDED_SCOPES, SCOPES, TIMEOUT, Workspace
from bot.config import ConfigError, Secrets
from bot.following import Following
from bot.languages import Language
from bot.sections import Slack
from bot.series import Shown
from bot.service import Service

logger = logging.getLogger(__name__)

#: Path of Slack's requests in HTTP mode.
PATH = "/slack/events"
#: Seconds between attempts to reach Slack at all.
RECONNECT = 15.0


class SlackChat:
    """The bot in every workspace that it has a token for, and in those that install it meanwhile.

    *now* and *sleep* are the clock for the pace of messages; *patience* is the time in seconds
    that a command may take before it is acknowledged.
    """

    def __init__(
        self,
        service: Service,
        settings: Slack,
        secrets: Secrets,
        *,
        make_pace: Callable[[], Pace] = Pace,
        patience: float = PATIENCE,
        ping_interval: float = PING_INTERVAL,
    ) -> None:
        """Raises:
        ConfigError: A token is missing, or is one of another kind.
        """
        check_tokens(settings, secrets)
        self._service = service
        self._settings = settings
        self._secrets = secrets
        self._make_pace = make_pace
        self._patience = patience
        self._ping_interval = ping_interval
        self._open = AsyncExitStack()
        self._hopeless = asyncio.Event()
        self._why_hopeless = ""
        self.workspaces: dict[str, Workspace] = {}
        self.port = settings.port

    async def run(self) -> None:
        """Stay in Slack until cancelled.

        Raises:
            ConfigError: Slack does not let the app in, or no longer.
        """
        try:
            await self.start()
            names = ", ".join(each.name for each in self.workspaces.values())
            logger.info("Slack: listening in %s", names or "no workspace yet")
            if self._settings.public_url:
                logger.info("Slack: install it at %s%s", self._settings.public_url, INSTALL)
            await self.ended()
        except ConfigError as error:
            raise ConfigError(f"Slack is off: {error}") from None
        finally:
            await self.close()

    async def start(self) -> None:
        """Connect, and follow owed answers of the last run.

        Raises:
            ConfigError: No token works, or the port is taken.
        """
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        session = _session()
        self._open.push_async_callback(session.close)
        self._session = session
        #: Has no token: calls that need none, and addresses for answers, go by it.
        nobody = Workspace("", self._settings, session, self._make_pace())
        self._grants = Grants(self._service.config.storage.data_dir / FILE_NAME)
        self._rotation = Rotation(
            self._grants,
            AsyncTokenRotator(
                client_id=self._secrets.slack_client_id or "",
                client_secret=self._secrets.slack_client_secret or "",
                client=nobody.patient,
            ),
        )
        for token in self._secrets.slack_bot_tokens:
            await self._connect(Workspace(token, self._settings, session, self._make_pace()))
        for bot in self._grants.all():
            await self._connect(self._granted(bot))
        if not self.workspaces and not self._settings.public_url:
            raise ConfigError("no Slack token can be used: see above, and docs/slack.md")
        self.following = Following(
            self._service, PLATFORM, self._open_window, on_gone=self._on_gone
        )
        self._open.push_async_callback(self.following.close)
        self._service.own_data.erase_message[PLATFORM] = partial(erase_message, self.workspaces)
        log = self._service.moderation.log(
            PLATFORM, self._service.config.moderation.slack_channel, teller(self.workspaces)
        )
        telling = asyncio.create_task(log.run(), name="slack tells moderators")
        best_of = BestOf(self.workspaces)
        showing = self._service.showcase.on(PLATFORM, best_of.show, best_of.take_down)
        shows = asyncio.create_task(showing.run(), name="slack shows the best")
        self._open.callback(shows.cancel)
        self._open.callback(telling.cancel)
        looking = asyncio.create_task(self.following.run(), name="slack follows")
        self._open.callback(looking.cancel)
        renewing = asyncio.create_task(self._rotation.run(self.workspaces), name="slack renews")
        self._open.callback(renewing.cancel)

        async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
            # Bolt reads fewer fields than `installations`, which has the last word: here any
            # workspace will do, and nothing of it is used.
            ids = (team_id, enterprise_id, *self.workspaces)
            known = (self.workspaces[id] for id in ids if id in self.workspaces)
            workspace = next(known, nobody)
            return AuthorizeResult(
                enterprise_id=None,
                team_id=workspace.team,
                bot_user_id=workspace.bot_user,
                bot_id=workspace.bot_id,
                bot_token=workspace.token,
            )

        app = AsyncApp(
            name="flux",
            logger=_bolt_logger(),
            authorize=authorize,
            signing_secret=self._secrets.slack_signing_secret or "",
            # Else Bolt acknowledges before anything is done, and Slack delivers no more.
            process_before_response=True,
            # Among them is that the bot has joined a channel; the others are left by `Listeners`.
            ignoring_self_events_enabled=False,
        )
        context = Context(
            self._service,
            self._settings,
            self.workspaces,
            self.following,
            nobody,
            self._grants,
            self._patience,
        )
        self._context = context
        self._open.push_async_callback(context.close)
        Listeners(app, context)
        Actions(app, context)
        SlackReactions(app, context)
        acknowledge_the_rest(app)
        is_http = self._settings.mode == "http"
        doors = app.web_app(path=PATH) if is_http else web.Application()
        if self._settings.public_url:
            Installing(
                self._settings, self._secrets, self._grants, nobody.patient, self._on_installed
            ).add_to(doors)
        if is_http or self._settings.public_url:
            await self._listen(doors)
        if not is_http:
            await self._open_sockets(app, nobody)

    def _granted(self, bot: Bot) -> Workspace:
        """The workspace of *bot*, not yet connected."""
        workspace = Workspace(bot.bot_token, self._settings, self._session, self._make_pace())
        workspace.team = team_of(bot)
        if bot.bot_refresh_token:
            workspace.renew = partial(self._rotation.renew, workspace)
        return workspace

    async def _on_installed(self, installation: Installation) -> None:
        self._context.spawn(self._welcome(installation.to_bot()))

    async def _welcome(self, bot: Bot) -> None:
        """Serve the workspace of *bot*, which has just been installed there, perhaps anew."""
        workspace = self.workspaces.get(team_of(bot))
        if workspace is None:
            await self._connect(self._granted(bot))
        else:
            workspace.use(bot.bot_token)
            if bot.bot_refresh_token:
                workspace.renew = partial(self._rotation.renew, workspace)
            await self._context.is_back(workspace)
        await self.following.follow_all()
        logger.info("Slack: installed in %s", bot.team_name or bot.enterprise_name or team_of(bot))

    def _open_window(self, job: Shown, say: Language) -> SlackWindow | None:
        workspace = self.workspaces.get((job.reply_to or {})["team"])
        return None if workspace is None else SlackWindow(self._service, workspace, job, say)

    async def _on_gone(self, job: Shown) -> None:
        workspace = self.workspaces.get((job.reply_to or {})["team"])
        if workspace is not None:
            await abandon(self.following, workspace)

    async def _connect(self, workspace: Workspace) -> None:
        while True:
            try:
                await workspace.connect()
                break
            except (OutcomeUnknown, RateLimited) as error:
                logger.warning("Slack cannot be reached, trying again: %s", error)
                await workspace.pace.sleep(RECONNECT)
            except SlackError as error:
                why = GONE.get(error.error, error.error)
                whose = workspace.team or f"{workspace.token[:8]}…"
                logger.error("a Slack token (%s) cannot be used: %s", whose, why)
                return
        if missing := workspace.missing:
            logger.warning("Slack: %s", missing_scopes(missing))
        if workspace.scopes >= NEEDED_SCOPES:
            self.workspaces[workspace.team] = workspace
            self._service.servers_here.add(f"slack-server:{workspace.team}")
            await self._service.own_data.back(f"slack-server:{workspace.team}")

    async def _open_sockets(self, app: AsyncApp, nobody: Workspace) -> None:
        sockets = Sockets(
            app,
            self._secrets.slack_app_token or "",
            nobody.patient,
            self._settings.connections,
            self._give_up,
            self._ping_interval,
        )
        self._open.push_async_callback(sockets.close)
        await sockets.connect()
        if self._hopeless.is_set():
            raise ConfigError(f"SLACK_APP_TOKEN opens no socket: {self._why_hopeless}")

    async def _listen(self, doors: web.Application) -> None:
        runner = web.AppRunner(doors, access_log=None)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"slack.host = {self._settings.host!r}, slack.port = {self._settings.port}:"
                f" {error.strerror or error}"
            ) from None
        self.port = runner.addresses[0][1]

    def _give_up(self, reason: str) -> None:
        self._why_hopeless = reason
        self._hopeless.set()

    async def ended(self) -> None:
        """Wait until Slack no longer lets the app in.

        Raises:
            ConfigError: Always, with the reason.
        """
        await self._hopeless.wait()
        raise ConfigError(f"SLACK_APP_TOKEN opens no socket any more: {self._why_hopeless}")

    async def close(self) -> None:
        """Stop listening and finish running work; owed answers stay owed. Can be called twice."""
        await self._open.aclose()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT), trust_env=True)


def _bolt_logger() -> logging.Logger:
    quiet = logging.getLogger("slack_bolt")
    quiet.setLevel(logging.ERROR)  # it warns of tokens in the environment, where ours stand
    return quiet


def check_tokens(settings: Slack, secrets: Secrets) -> None:
    """Raise ConfigError where a token is missing, or of another kind."""
    for token in secrets.slack_bot_tokens:
        if not token.startswith("xoxb-"):
            raise ConfigError("SLACK_BOT_TOKEN must begin with xoxb-: it is the bot's own token")
    if settings.public_url:
        if not (secrets.slack_client_id and secrets.slack_client_secret):
            raise ConfigError(
                "SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are not set, which slack.public_url needs"
            )
    elif not secrets.slack_bot_tokens:
        raise ConfigError("SLACK_BOT_TOKEN is not set: docs/slack.md says where to find it")
    if settings.mode == "http":
        if not secrets.slack_signing_secret:
            raise ConfigError('SLACK_SIGNING_SECRET is not set, which slack.mode = "http" needs')
    elif not (secrets.slack_app_token or "").startswith("xapp-"):
        raise ConfigError("SLACK_APP_TOKEN must be set, and begin with xapp-: it opens the sockets")


def missing_scopes(missing: list[str]) -> str:
    """A sentence about the scopes *missing*, and the acts that need them."""
    what = ", ".join(f"{scope} (to {SCOPES[scope]})" for scope in missing)
    return f"the app lacks {what}: add them under OAuth & Permissions, and reinstall it"


async def findings(
    settings: Slack, secrets: Secrets, data_dir: Path | None = None
) -> list[tuple[bool, str]]:
    """Slack's verdict on each token, with a sentence; and what was installed, by *data_dir*."""
    try:
        check_tokens(settings, secrets)
        grants = None if data_dir is None else Grants(data_dir / FILE_NAME)
    except ConfigError as error:
        return [(False, str(error))]
    found = []
    async with _session() as session:
        for token in secrets.slack_bot_tokens:
            workspace = Workspace(token, settings, session, Pace())
            try:
                await workspace.connect()
            except (SlackError, OutcomeUnknown) as error:
                found.append((False, f"SLACK_BOT_TOKEN {token[:8]}…: {_why(error)}"))
                continue
            missing = workspace.missing
            sentence = f"workspace {workspace.name}, as {workspace.bot_user}"
            if missing:
                sentence += f"; {missing_scopes(missing)}"
            found.append((not missing, sentence))
        if settings.public_url:
            found += _about_installing(settings, grants)
        if settings.mode == "socket":
            opener = Workspace(secrets.slack_app_token or "", settings, session, Pace())
            try:
                await opener.call("apps.connections.open")
            except (SlackError, OutcomeUnknown) as error:
                found.append((False, f"SLACK_APP_TOKEN opens no socket: {_why(error)}"))
            else:
                found.append((True, "SLACK_APP_TOKEN opens sockets"))
    return found


def _about_installing(settings: Slack, grants: Grants | None) -> list[tuple[bool, str]]:
    count = len(grants.all()) if grants is not None else 0
    who = f"{len(settings.workspaces)} workspaces" if settings.workspaces else "any workspace"
    said = f"{who} may install it at {settings.public_url}{INSTALL}; {count} have"
    if not settings.home_workspaces:
        said += "; slack.home_workspaces is empty, so nobody rules the bot from Slack"
    return [(True, said)]


def _why(error: SlackError | OutcomeUnknown) -> str:
    if isinstance(error, SlackError):
        return GONE.get(error.error, str(error))
    return f"Slack cannot be reached ({error})"
