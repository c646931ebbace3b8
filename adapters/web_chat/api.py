"""The HTTP API: all its routes in one application, behind the gate."""

from __future__ import annotations

from fastapi import FastAPI

from adapters.web_chat import (
    admin,
    archives,
    drawing,
    errors,
    facts,
    inspection,
    jobs,
    linking,
    links_to_pictures,
    mcp_route,
    messages,
    moderation,
    oauth,
    own_data,
    pages,
    pictures,
    previews,
    reference,
    signing_in,
    webhooks,
)
from adapters.web_chat.a1111 import envelope
from adapters.web_chat.a1111 import routes as a1111
from adapters.web_chat.description import TAGS, describe
from adapters.web_chat.envelopes import Envelopes
from adapters.web_chat.openai import refusals
from adapters.web_chat.openai import routes as openai
from adapters.web_chat.security import A1111, OPENAI, Gate
from adapters.web_chat.sharing import Web
from bot.config import Config, Secrets
from bot.service import Service

#: The modules with routes, in the order of the description.
ROUTES = (
    facts,
    drawing,
    jobs,
    pictures,
    archives,
    links_to_pictures,
    previews,
    messages,
    linking,
    inspection,
    own_data,
    webhooks,
    signing_in,
    oauth,
    moderation,
    admin,
)


def create_app(service: Service, config: Config, secrets: Secrets) -> FastAPI:
    """The application behind its gate; ``app.state.web.stopping`` ends its streams."""
    app = FastAPI(
        title="fluxbot",
        summary="Pictures from FLUX.1-dev, asked for by anyone with a browser or a script",
        version="0.1.0",
        # Their pages load scripts from another host; ours is in `reference`.
        docs_url=None,
        redoc_url=None,
        telemetry=None,
        openapi_tags=TAGS,
        generate_unique_id_function=lambda route: route.name,
    )
    web = Web(service, config, secrets)
    app.state.web = web
    routes = [route for room in ROUTES for route in room.router.routes]
    describe(app, routes, has_tokens=bool(web.tokens))
    errors.install(app)
    for room in ROUTES:
        app.include_router(room.router)
    app.include_router(openai.router)
    if config.web.a1111:
        app.include_router(a1111.router)
    pages.install(app)
    reference.install(app)
    mcp_route.install(app, web)
    app.add_middleware(
        Gate,
        host=config.web.host,
        allowed_hosts=(*config.web.allowed_hosts, config.web.public_url.partition("//")[2]),
        tokens=web.tokens,
        user_of_session=service.sessions.user,
        guesses=web.guesses,
        max_body_bytes=lambda: web.max_body_bytes,
    )
    translations = {OPENAI: refusals.translated, A1111: envelope.translated}
    app.add_middleware(Envelopes, translations=translations)
    return app
