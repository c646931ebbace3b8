"""Installing the app in more workspaces, by a link: ``/slack/install`` leads to Slack, which asks,
and ``/slack/oauth_redirect`` back (OAuth 2.0, RFC 6749).

The way back serves once, within ten minutes, and for the browser alone that has gone there.
"""

from __future__ import annotations

import html
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib import resources

import aiohttp
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.oauth.async_callback_options import (
    AsyncCallbackOptions,
    AsyncFailureArgs,
    AsyncSuccessArgs,
)
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack_chat.grants import Grants, team_of
from adapters.slack_chat.workspaces import SCOPES
from bot import sentences
from bot.config import Secrets
from bot.languages import Language, language_of
from bot.sections import Slack

logger = logging.getLogger(__name__)

#: Logs codes, at a level that we leave out.
QUIET = logging.getLogger("slack_bolt.oauth")

INSTALL, WAY_BACK = "/slack/install", "/slack/oauth_redirect"
#: Seconds that a way back stays open, and how many are open at once; the oldest close first.
SECONDS, MOST_WAYS = 600.0, 1000
#: What the answers may do in a browser: nothing, and tell nobody the address with the code.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none';"
        " form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE = (resources.files(__package__) / "installed.html").read_text(encoding="utf-8")

#: Puts an installation that is on the disk into service.
Welcome = Callable[[Installation], Awaitable[None]]


class Installing:
    """Answers the two addresses, and hands over what was installed.

    Args:
        client: Calls Slack without a token.
        welcome: Called once the installation is on the disk.
        now: Seconds of a clock that does not leap.
    """

    def __init__(
        self,
        settings: Slack,
        credentials: Secrets,
        grants: Grants,
        client: AsyncWebClient,
        welcome: Welcome,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slack = settings.api_base.removesuffix("api/")
        self._workspaces = settings.workspaces
        self._welcome = welcome
        self._flow = _Flow(
            client=client,
            logger=QUIET,
            settings=AsyncOAuthSettings(
                client_id=credentials.slack_client_id,
                client_secret=credentials.slack_client_secret,
                scopes=sorted(SCOPES),
                user_scopes=[],
                redirect_uri=settings.public_url + WAY_BACK,
                install_path=INSTALL,
                install_page_rendering_enabled=False,
                redirect_uri_path=WAY_BACK,
                authorization_url=f"{self._slack}oauth/v2/authorize",
                installation_store=grants,
                state_store=_States(now),
                state_expiration_seconds=int(SECONDS),
                callback_options=AsyncCallbackOptions(self._succeeded, self._failed),
            ),
        )
        self._grants = grants
        self._client = client

    def add_to(self, app: web.Application) -> None:
        """Have *app* answer the two addresses."""
        app.router.add_get(INSTALL, self._go)
        app.router.add_get(WAY_BACK, self._come_back)

    async def _go(self, request: web.Request) -> web.StreamResponse:
        answer = await self._flow.handle_installation(await to_bolt_request(request))
        return await _closed(answer)

    async def _come_back(self, request: web.Request) -> web.StreamResponse:
        asked = await to_bolt_request(request)
        try:
            answer = await self._flow.handle_callback(asked)
        except (TimeoutError, aiohttp.ClientError, OSError, SlackApiError) as error:
            logger.warning("Slack: an installation failed: %s", error or type(error).__name__)
            answer = self._page(asked, 503, sentences.not_installed)
        return await _closed(answer)

    async def _succeeded(self, args: AsyncSuccessArgs) -> BoltResponse:
        """The page after Slack has granted the app; one that is not wanted is given back."""
        installed = args.installation
        team, name = team_of(installed), installed.team_name or installed.enterprise_name or ""
        if self._workspaces and team not in self._workspaces:
            logger.warning("Slack: %s (%s) is none of slack.workspaces", name, team)
            await self._give_back(installed)
            return self._page(args.request, 403, sentences.uninvited)
        await self._grants.async_save(installed)
        await self._welcome(installed)
        return self._page(
            args.request,
            200,
            lambda say: sentences.installed(name or team, say),
            f"{self._slack}app_redirect?app={installed.app_id or ''}&team={team}",
        )

    async def _give_back(self, installed: Installation) -> None:
        try:
            await self._client.apps_uninstall(
                client_id=self._flow.settings.client_id,
                client_secret=self._flow.settings.client_secret,
                token=installed.bot_token,
            )
        except SlackApiError as error:
            logger.warning("Slack: the app stays there, without effect: %s", error)

    async def _failed(self, args: AsyncFailureArgs) -> BoltResponse:
        logger.info("Slack: no installation: %s", args.reason)
        why = {
            "access_denied": sentences.not_allowed_to_install,
            "invalid_browser": sentences.installed_too_late,
            "invalid_state": sentences.installed_too_late,
        }.get(args.reason, sentences.not_installed)
        return self._page(args.request, args.suggested_status_code, why)

    def _page(
        self,
        request: AsyncBoltRequest,
        status: int,
        sentence: Callable[[Language], str],
        address: str = INSTALL,
    ) -> BoltResponse:
        say = language_of((request.headers.get("accept-language") or [""])[0][:2])
        link = say("Try again") if address == INSTALL else say("Open Slack")
        page = PAGE.format(
            language=say.code,
            sentence=html.escape(sentence(say)),
            address=html.escape(address),
            link=html.escape(link),
        )
        return BoltResponse(
            status=status, body=page, headers={"Content-Type": "text/html; charset=utf-8"}
        )


class _Flow(AsyncOAuthFlow):
    """The library's flow; `Installing` keeps an installation once it knows that it is wanted."""

    async def store_installation(
        self, request: AsyncBoltRequest, installation: Installation
    ) -> None: ...


async def _closed(answer: BoltResponse) -> web.Response:
    response = await to_aiohttp_response(answer)
    response.headers.update(HEADERS)
    return response


class _States(AsyncOAuthStateStore):
    """Ways back that are open, in memory: a restart closes them, and one begins again."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ends: OrderedDict[str, float] = OrderedDict()

    async def async_issue(self, *args: object, **more: object) -> str:
        state = secrets.token_urlsafe(24)
        self._ends[state] = self._now() + SECONDS
        while len(self._ends) > MOST_WAYS:
            self._ends.popitem(last=False)
        return state

    async def async_consume(self, state: str) -> bool:
        return self._now() < self._ends.pop(state, 0.0)
