"""Signing in on the page by a link, which serves once."""

from functools import partial

import pytest

from bot import invitations
from bot.conversation import converse
from bot.refusals import NotAllowed
from bot.source import Source
from tests.adapters.web_chat.test_signing_in import SECRETS, as_user
from tests.bot.service.test_own_data import drawn
from tests.conftest import ADMIN, EVE

PAGE = "http://flux.example.org"


@pytest.fixture
async def open_bot(make_bot):
    return await make_bot(web={"public_url": PAGE})


async def link_for(bot, user):
    now = bot.clock()
    make = partial(invitations.make_link, user=user, now=now, seconds=invitations.INVITED)
    return await bot.database.write(make)


async def sign_in(web, secret):
    return await web.post("/api/session", json={"token": secret})


async def test_a_link_signs_in_once_and_the_session_outlives_a_restart(open_bot, make_client):
    secret = await link_for(open_bot, "web:carl")
    async with make_client(open_bot) as web:
        assert (await web.get("/api/status")).status_code == 401
        assert (await sign_in(web, secret)).json() == {"user": "web:carl"}
        assert (await web.get("/api/status")).json()["user"] == "web:carl"
        cookies = dict(web.cookies)
    async with make_client(open_bot) as other:
        assert (await sign_in(other, secret)).status_code == 401

    await open_bot.restart()
    async with make_client(open_bot) as web:
        web.cookies.update(cookies)
        assert (await web.get("/api/status")).json()["user"] == "web:carl"


async def test_a_link_that_nobody_has_used_ends(open_bot, make_client, clock):
    secret = await link_for(open_bot, "web:carl")
    clock.advance(invitations.INVITED)

    async with make_client(open_bot) as web:
        assert (await sign_in(web, secret)).status_code == 401


async def test_nobody_has_more_than_a_few_links_and_the_database_has_none(open_bot):
    links = [await link_for(open_bot, "web:carl") for _ in range(invitations.MOST + 1)]

    rows = await open_bot.rows("SELECT * FROM sign_in_links")
    assert len(rows) == invitations.MOST
    assert not any(link in str(rows) for link in links)


async def test_people_from_elsewhere_sign_in_as_themselves(open_bot, make_client, gate):
    job = await drawn(open_bot, gate, EVE)
    reply = await converse(open_bot.service, Source(EVE), "link")
    page, _, secret = reply.link.partition("/#sign-in=")
    assert page == PAGE

    async with make_client(open_bot) as web:
        assert (await sign_in(web, secret)).json() == {"user": EVE}
        assert [each["id"] for each in (await web.get("/api/history")).json()["jobs"]] == [job.id]


async def test_who_is_removed_is_signed_out_while_the_bot_runs(open_bot, make_client):
    add = partial(invitations.add, user="web:carl", now=open_bot.clock())
    await open_bot.database.write(add)
    async with make_client(open_bot) as web:
        await sign_in(web, await link_for(open_bot, "web:carl"))

        assert await open_bot.database.write(partial(invitations.remove, user="web:carl"))
        await open_bot.service.sessions.look()

        assert (await web.get("/api/status")).status_code == 401
    assert not await open_bot.database.write(partial(invitations.remove, user="web:carl"))


async def test_tokens_serve_beside_links(open_bot, make_client):
    async with make_client(open_bot, SECRETS) as web:
        token = next(iter(SECRETS.web_tokens))
        assert (await web.get("/api/status", headers=as_user(token))).status_code == 200
        await sign_in(web, token)
        assert (await web.get("/api/status")).json()["user"] == "web:ada"


async def test_without_a_public_address_nobody_is_given_a_link(bot):
    assert (await converse(bot.service, Source(EVE), "link")).link == ""


async def test_the_public_name_is_answered_and_asks_to_sign_in(make_bot, make_client):
    bot = await make_bot(web={"public_url": "http://flux.example.org:8443"})
    async with make_client(bot) as web:
        answer = await web.get("/api/status", headers={"Host": "flux.example.org:8443"})
        assert answer.status_code == 401
        assert (await web.get("/", headers={"Host": "evil.example"})).status_code == 400


async def test_an_address_that_is_none_is_refused(make_bot):
    with pytest.raises(ValueError, match="public_url"):
        await make_bot(web={"public_url": "flux.example.org/page"})


async def test_an_admin_invites_people_and_nobody_else_does(open_bot, make_client):
    refused = await converse(open_bot.service, Source(EVE), "admin invite carl")
    assert isinstance(refused.error, NotAllowed)

    reply = await converse(open_bot.service, Source(ADMIN), "admin invite carl")

    assert reply.link.startswith(f"{PAGE}/#sign-in=")
    async with make_client(open_bot) as web:
        signed_in = await sign_in(web, reply.link.partition("=")[2])
        assert signed_in.json() == {"user": "web:carl"}
    (act,) = await open_bot.rows("SELECT act, admin, subject FROM audit")
    assert (act["act"], act["admin"], act["subject"]) == ("invite", ADMIN, "web:carl")
