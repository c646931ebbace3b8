"""Signing in and out: a bearer token is changed into a cookie, which ends when it is given back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from adapters.web_chat import errors
from adapters.web_chat.schemas import SessionBody
from adapters.web_chat.security import COOKIE, LOCAL_USER, address_of, cookie_of
from adapters.web_chat.sharing import TheWeb, responses
from adapters.web_chat.views import SessionView

router = APIRouter(tags=["signing in"])


@router.post(
    "/api/session",
    response_model=SessionView,
    summary="Change a bearer token, or the secret of a link, into a cookie",
    responses=responses(429),
)
async def sign_in(web: TheWeb, request: Request, body: SessionBody) -> SessionView | Response:
    if not web.tokens:
        return SessionView(user=LOCAL_USER)
    address = address_of(request.scope)
    if wait := web.guesses.wait(address):
        return errors.guessed_too_often(wait)
    user, token = web.tokens.user(body.token), body.token
    if user is None:
        user, token = await web.service.invitations.take(body.token), ""
    if user is None:
        web.guesses.wrong(address)
        return errors.unknown_token()
    secret, hash = web.tokens.new_session(token)
    seconds = await web.service.sessions.begin(hash, user)
    signed_in = Response(SessionView(user=user).model_dump_json(), media_type="application/json")
    signed_in.set_cookie(
        COOKIE,
        secret,
        max_age=int(seconds),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return signed_in


@router.delete(
    "/api/session",
    status_code=204,
    summary="Sign out",
    description="Ends the session, so that its cookie is worth nothing to anybody.",
    responses=responses(503),
)
async def sign_out(
    web: TheWeb,
    request: Request,
    response: Response,
    everywhere: Annotated[bool, Query(description="All sessions of this person end")] = False,
) -> None:
    sessions = web.service.sessions
    secret = cookie_of(request.headers)
    found = web.tokens.session(secret, sessions.user) if secret else None
    if found is not None:
        hash, user = found
        if everywhere:
            await sessions.end_all(user)
        else:
            await sessions.end(hash)
    response.delete_cookie(
        COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
