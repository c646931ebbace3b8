"""Who may draw in a server: channels, roles, and what its managers decide about people there."""

import pytest

from bot.commands import parse
from bot.conversation import converse
from bot.jobs import JobStatus
from bot.origins import Origin
from bot.refusals import Conflict, NotAllowed, QuotaExceeded
from bot.source import PictureOf, Source
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, EVE, finished

SERVER, OTHER = "discord-server:1", "discord-server:2"
ARTISTS = "discord-role:11"


def here(user=ADA, server=SERVER, *, channels=(), roles=(), **more):
    return Source(user, Origin(server, channels, roles), **more)


@pytest.fixture
def servers(service):
    service.admin.recognise(EVE, manages=SERVER)
    return service.servers


async def test_where_roles_are_chosen_only_their_members_draw(service, servers):
    await servers.set_role(EVE, SERVER, ARTISTS, is_allowed=True)

    with pytest.raises(NotAllowed, match="needs a role"):
        await service.submit(here(), CIRCLE)
    await service.submit(here(roles=(ARTISTS,)), CIRCLE)
    await service.submit(here(EVE), CIRCLE)
    await service.submit(here(server=OTHER), CIRCLE)

    assert await servers.set_role(EVE, SERVER, ARTISTS, is_allowed=False) == ()
    await service.submit(here(), CIRCLE)


async def test_a_manager_bans_in_their_own_server_alone(service, servers):
    await service.admin.pause(ADMIN)
    waiting = await service.submit(here(), CIRCLE)
    elsewhere = await service.submit(here(server=OTHER), CIRCLE)

    await servers.ban(EVE, SERVER, ADA, "spam")

    with pytest.raises(NotAllowed, match="banned from drawing in this server: spam"):
        await service.submit(here(), CIRCLE)
    assert waiting.status is JobStatus.CANCELLED
    assert elsewhere.status is not JobStatus.CANCELLED
    await service.submit(here(server=OTHER), CIRCLE)
    await service.submit(Source(ADA), CIRCLE)
    assert await servers.banned(EVE, SERVER) == (ADA,)

    await servers.unban(EVE, SERVER, ADA)
    await service.submit(here(), CIRCLE)


async def test_whoever_manages_the_server_too_is_not_banned_in_it(service, servers):
    with pytest.raises(Conflict):
        await servers.ban(EVE, SERVER, ADMIN)


async def test_a_manager_lowers_what_a_person_may_spend_there_and_raises_nothing(
    service, servers, gate
):
    await service.admin.set_quota(ADMIN, ADA, 2 * (await cost(service)))
    await servers.set_quota(EVE, SERVER, ADA, await cost(service))
    await service.submit(here(), CIRCLE)

    with pytest.raises(QuotaExceeded, match="in this server"):
        await service.submit(here(), CIRCLE)
    await service.submit(here(server=OTHER), CIRCLE)

    await servers.set_quota(EVE, SERVER, ADA, 10**6)
    with pytest.raises(QuotaExceeded):
        await service.submit(here(), CIRCLE)


async def cost(service):
    return (await service.previews.quote(Source(BOB), CIRCLE)).cost


async def test_a_person_who_deletes_their_data_is_still_banned_there(service, servers):
    await servers.ban(EVE, SERVER, ADA)

    await service.own_data.delete(ADA)

    with pytest.raises(NotAllowed, match="banned from drawing in this server"):
        await service.submit(here(), CIRCLE)
    await servers.unban(EVE, SERVER, ADA)
    await service.submit(here(), CIRCLE)


@pytest.mark.parametrize("rule", ["channel", "role", "ban", "ban everywhere"])
async def test_what_keeps_somebody_from_drawing_keeps_them_from_every_way_to_draw(
    service, servers, gate, rule
):
    gate.open()
    job = await service.submit(here(), CIRCLE)
    await finished(job)
    match rule:
        case "channel":
            await servers.set_channel(EVE, SERVER, "art", is_allowed=True)
        case "role":
            await servers.set_role(EVE, SERVER, ARTISTS, is_allowed=True)
        case "ban":
            await servers.ban(EVE, SERVER, ADA)
        case _:
            await service.admin.ban(ADMIN, ADA)
    ways = [
        lambda: service.submit(here(), CIRCLE),
        lambda: service.submit(here(), CIRCLE, [PictureOf(job.id)]),
        lambda: service.again(here(), job.id),
        lambda: service.again(here()),
        lambda: service.from_picture(here(), PictureOf(job.id), "vary"),
        lambda: service.previews.quote(here(), CIRCLE),
        lambda: service.check_may_draw(here()),
    ]

    for way in ways:
        with pytest.raises(NotAllowed):
            await way()
    for text in ("a fox", f"again {job.id}", "vary"):
        assert isinstance((await converse(service, here(), text)).error, NotAllowed), text


ORDERS = {
    f"admin ban {BOB}": "is banned in this server",
    f"admin unban {BOB}": "may draw in this server again",
    "admin bans": "Nobody is banned here.",
    f"admin quota set {BOB} 5": "may spend 5 credits here",
    f"admin quota {BOB}": "has no limit of their own in this server",
    "admin channels allow art": "art",
    f"admin roles allow {ARTISTS}": ARTISTS,
    "admin words refuse voldemort": "voldemort",
    "admin held": "No picture is held.",
    "admin stats": "In the last 24 hours",
    "admin stats 7": "In the last 7 days",
    "admin reports": "No picture is reported.",
    "admin log": "No channel is told.",
    "admin log off": "Nothing is told here any more.",
    "admin showcase": "The best are shown nowhere.",
    "admin showcase off": "The best are shown nowhere any more.",
    f"admin erase {BOB}": "for good",
    f"admin erase {BOB} --yes": "is deleted",
    "admin audit": "No admin has done anything yet.",
    "admin audit spam --page 2": "No admin has done anything yet.",
}
ONLY_ADMINS = [
    f"admin quota grant {BOB} 5",
    f"admin quota reset {BOB}",
    "admin quota set discord-server:1 5",
    "admin pause",
    "admin drain",
    "admin resume",
    "admin presets reload",
    "admin presets disable plain",
    "admin queue",
    "admin queue failed",
    f"admin strikes lift {BOB}",
    "admin invite ada",
]


@pytest.mark.parametrize("order", ORDERS)
async def test_managers_give_orders_in_their_server_and_nowhere_else(service, servers, order):
    done = await converse(service, here(EVE), order)
    elsewhere = await converse(service, here(EVE, OTHER), order)
    by_anybody = await converse(service, here(ADA), order)

    assert ORDERS[order] in done.text
    assert isinstance(elsewhere.error, NotAllowed)
    assert isinstance(by_anybody.error, NotAllowed)


@pytest.mark.parametrize("order", ONLY_ADMINS)
async def test_what_concerns_the_whole_bot_is_not_for_managers(service, servers, order):
    assert isinstance((await converse(service, here(EVE), order)).error, NotAllowed)


def test_every_admin_command_is_in_one_of_these_tables():
    from bot.commands import ADMIN_USAGES

    tried = {order.split()[1] for order in (*ORDERS, *ONLY_ADMINS)}

    assert tried | {"release", "reject", "reveal", "who", "dismiss", "remove"} >= set(ADMIN_USAGES)
    assert all(parse(order) for order in (*ORDERS, *ONLY_ADMINS))
