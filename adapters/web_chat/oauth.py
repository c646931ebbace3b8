"""Signing in with Discord or Slack: the way there and back.

The way back serves for the browser alone that has gone there: a state that is kept here and in a
cookie (RFC 6749, 10.12), once and for minutes. It leads to the page and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse

from adapters.web_chat.providers import NotLetIn, Provider
from adapters.web_chat.security import COOKIE, SIGN_IN_WITH
from adapters.web_chat.sharing import TheWeb, Web
from adapters.web_chat.ways import SECONDS

logger = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

#: Seconds for one request to the platform, and bytes of its answer.
PATIENCE, MOST_BYTES = 10.0, 100_000
STATE_COOKIE = "fluxbot_state"


class ProvidersView(BaseModel):
    """The platforms with which people can sign in."""

    providers: list[str] = Field(description="Names for /api/sign-in/{provider}")


@router.get(SIGN_IN_WITH + "providers", summary="Platforms with which people can sign in")
async def providers_there_are(web: TheWeb) -> ProvidersView:
    return ProvidersView(providers=list(web.providers))


@router.get(
    SIGN_IN_WITH + "{provider}",
    summary="Go to a platform to sign in",
    status_code=302,
    response_class=RedirectResponse,
)
async def go(web: TheWeb, request: Request, provider: str) -> RedirectResponse:
    found = web.providers.get(provider)
    if found is None:
        return _to_the_page("failed")
    state, verifier = web.ways.begin(provider)
    asked = {
        "response_type": "code",
        "client_id": found.client_id,
        "redirect_uri": _way_back(web, found),
        "scope": found.scope,
        "state": state,
    }
    if found.has_pkce:
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    answer = RedirectResponse(f"{found.page}?{urlencode(asked)}", status_code=302)
    answer.set_cookie(
        STATE_COOKIE,
        state,
        max_age=int(SECONDS),
        path=SIGN_IN_WITH,
        httponly=True,
        samesite="lax",  # strict ones do not come along on the way back from elsewhere
        secure=request.url.scheme == "https",
    )
    return answer


@router.get(
    SIGN_IN_WITH + "{provider}/callback",
    summary="Come back from a platform",
    status_code=302,
    response_class=RedirectResponse,
)
async def come_back(
    web: TheWeb,
    request: Request,
    provider: str,
    code: Annotated[str, Query(max_length=2000)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
) -> RedirectResponse:
    found = web.providers.get(provider)
    if found is None:
        return _to_the_page("failed")
    verifier = web.ways.end(provider, state, request.cookies.get(STATE_COOKIE, ""))
    if verifier is None:
        return _to_the_page("late")
    if not code:
        return _to_the_page("refused")
    try:
        user = await _user(web, found, code, verifier)
    except NotLetIn:
        return _to_the_page("unknown")
    except Exception as error:
        logger.warning("nobody signs in with %s: %s", provider, error or type(error).__name__)
        return _to_the_page("failed")
    secret, hash = web.tokens.new_session()
    seconds = await web.service.sessions.begin(hash, user)
    answer = _to_the_page()
    is_secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, secret, max_age=int(seconds), httponly=True, samesite="strict", secure=is_secure
    )
    return answer


def _way_back(web: Web, provider: Provider) -> str:
    return f"{web.config.web.public_url}{SIGN_IN_WITH}{provider.name}/callback"


def _to_the_page(trouble: str = "") -> RedirectResponse:
    """The way to the page, which says what *trouble* there was; the state has served."""
    answer = RedirectResponse(f"/#sign-in-trouble={trouble}" if trouble else "/", status_code=302)
    answer.delete_cookie(STATE_COOKIE, path=SIGN_IN_WITH)
    return answer


async def _user(web: Web, provider: Provider, code: str, verifier: str) -> str:
    import aiohttp  # Discord's library, and Slack's, bring it along

    patience = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=patience, trust_env=True) as session:

        async def fetch(
            method: str, address: str, token: str, fields: Mapping[str, str]
        ) -> tuple[int, dict[str, Any]]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.request(
                method,
                address,
                headers=headers,
                data=dict(fields) or None,
                allow_redirects=False,
            ) as response:
                if (response.content_length or 0) > MOST_BYTES:
                    raise ValueError("the answer is too long")
                said = await response.json(content_type=None)
                return response.status, said if isinstance(said, dict) else {}

        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": _way_back(web, provider),
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
        }
        if provider.has_pkce:
            fields["code_verifier"] = verifier
        status, said = await fetch("POST", provider.token_url, "", fields)
        token = said.get("access_token")
        if status != 200 or not isinstance(token, str) or not token:
            raise ValueError(f"the code is not taken ({status}, {said.get('error', '')})")
        return await provider.user_of(fetch, token)
