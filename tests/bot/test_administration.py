"""Acts of admins and of people who manage one server, and the audit log."""

import pytest

from bot.administration import CANCELLED, DRAINING
from bot.commands import ImagineCommand
from bot.conversation import converse
from bot.jobs import JobStatus
from bot.origins import Origin, kind_of_group
from bot.refusals import Conflict, NotAccepting, NotAllowed, NotFound, QuotaExceeded
from bot.source import Source
from generation.errors import InvalidRequest
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished, stepping

SERVER, OTHER_SERVER = "discord-server:1", "discord-server:2"
ARTISTS, PATRONS = "discord-role:11", "discord-role:12"


def asked_in(server=SERVER, *channels, roles=()):
    return Origin(server, channels, roles)


@pytest.fixture
def admin(service):
    return service.admin


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("discord-role:1", "role"),
        ("slack-server:T1", "server"),
        ("discord:1", None),
        ("x-y:1", None),
        ("role:1", None),
        ("web:a-role:b", None),
    ],
)
def test_a_group_is_told_from_a_person_by_its_name(name, kind):
    assert kind_of_group(name) == kind


async def test_a_role_gives_each_of_its_members_its_quota_and_the_largest_counts(service, admin):
    await admin.set_group_quota(ADMIN, ARTISTS, 5)
    await admin.set_group_quota(ADMIN, PATRONS, 20)

    assert (await service.quota(ADA, asked_in(roles=(ARTISTS, PATRONS)))).credits == 20
    assert (await service.quota(ADA, asked_in(roles=(ARTISTS,)))).credits == 5
    assert (await service.quota(ADA, asked_in())).credits == service.config.quota.credits


async def test_ones_own_quota_comes_before_that_of_a_role(service, admin):
    await admin.set_group_quota(ADMIN, ARTISTS, 20)
    await admin.set_quota(ADMIN, ADA, 3)

    assert (await service.quota(ADA, asked_in(roles=(ARTISTS,)))).credits == 3


async def test_a_charge_is_held_against_the_quota_of_the_role(service, admin):
    await admin.set_group_quota(ADMIN, ARTISTS, 1)
    here = asked_in(roles=(ARTISTS,))
    await service.submit(Source(ADA, origin=here), CIRCLE)

    with pytest.raises(QuotaExceeded, match="you have 0 left"):
        await service.submit(Source(ADA, origin=here), CIRCLE)
    await service.submit(Source(ADA, origin=asked_in()), CIRCLE)


async def test_all_people_of_a_server_together_spend_no_more_than_it_has(service, admin, gate):
    await admin.set_group_quota(ADMIN, SERVER, 2)
    first = await service.submit(Source(ADA, origin=asked_in()), CIRCLE)
    await service.submit(Source(BOB, origin=asked_in()), CIRCLE)

    with pytest.raises(QuotaExceeded, match="the people of this server have 0 left together"):
        await service.submit(Source(EVE, origin=asked_in()), CIRCLE)

    await service.submit(Source(EVE, origin=asked_in(OTHER_SERVER)), CIRCLE)
    await stepping(gate, service.cancel(Source(ADA), first.id))
    await service.submit(Source(EVE, origin=asked_in()), CIRCLE)


async def test_a_group_quota_is_lifted_by_the_default(service, admin):
    await admin.set_group_quota(ADMIN, SERVER, 0)
    await admin.set_group_quota(ADMIN, SERVER, None)

    assert await admin.group_quota(ADMIN, SERVER) is None
    await service.submit(Source(ADA, origin=asked_in()), CIRCLE)


async def test_where_channels_are_chosen_nobody_draws_in_others(service, admin):
    await service.servers.set_channel(ADMIN, SERVER, "art", is_allowed=True)

    with pytest.raises(NotAllowed, match="no channel for drawing"):
        await service.submit(Source(ADA, origin=asked_in(SERVER, "general")), CIRCLE)
    await service.submit(Source(ADA, origin=asked_in(SERVER, "thread", "art")), CIRCLE)
    await service.submit(Source(ADA, origin=asked_in(OTHER_SERVER, "general")), CIRCLE)


async def test_the_last_channel_taken_out_opens_the_server_again(service, admin):
    await service.servers.set_channel(ADMIN, SERVER, "art", is_allowed=True)

    assert await service.servers.set_channel(ADMIN, SERVER, "art", is_allowed=False) == ()
    await service.submit(Source(ADA, origin=asked_in(SERVER, "general")), CIRCLE)


async def test_who_manages_a_server_decides_there_and_nowhere_else(service, admin):
    admin.recognise(EVE, manages=SERVER)

    await service.servers.set_channel(EVE, SERVER, "art", is_allowed=True)
    assert [entry.act for entry in await admin.audit(EVE, server=SERVER)] == ["allow channel"]
    assert (await admin.stats(EVE, SERVER))["jobs"] == 0
    for act in (
        service.servers.set_channel(EVE, OTHER_SERVER, "art", is_allowed=True),
        admin.audit(EVE),
        admin.stats(EVE),
        admin.pause(EVE),
        admin.set_group_quota(EVE, ARTISTS, 10**6),
    ):
        with pytest.raises(NotAllowed):
            await act


async def test_what_a_platform_says_of_a_person_holds_until_it_says_otherwise(admin):
    admin.recognise(EVE, is_admin=True)
    await admin.pause(EVE)

    admin.recognise(EVE)

    with pytest.raises(NotAllowed):
        await admin.resume(EVE)


async def test_what_managers_see_of_the_log_and_the_figures_is_their_server_alone(service, admin):
    await service.servers.set_channel(ADMIN, OTHER_SERVER, "art", is_allowed=True)
    await admin.pause(ADMIN)
    await service.submit(Source(ADA, origin=asked_in(OTHER_SERVER, "art")), CIRCLE)
    admin.recognise(EVE, manages=SERVER)

    assert await admin.audit(EVE, server=SERVER) == []
    assert (await admin.stats(EVE, SERVER))["jobs"] == 0
    assert (await admin.stats(ADMIN, OTHER_SERVER))["jobs"] == 1


async def test_a_preset_that_is_switched_off_is_neither_listed_nor_drawn(bot):
    service = bot.service
    await service.admin.enable_preset(ADMIN, "redraw", is_enabled=False)

    assert "redraw" not in service.presets
    with pytest.raises(InvalidRequest, match="switched the preset redraw off: choose one of plain"):
        await service.submit(Source(ADA), ImagineCommand("a fox", preset="redraw"))

    service = await bot.restart()
    assert "redraw" not in service.presets
    await service.admin.enable_preset(ADMIN, "redraw", is_enabled=True)
    assert "redraw" in service.presets


async def test_a_picture_of_a_preset_that_is_switched_off_is_not_drawn_again(make_bot, gate):
    gate.open()
    bot = await make_bot(model={"default_preset": "canny"})
    job = await bot.service.submit(
        Source(ADA), ImagineCommand("a fox", preset="plain", width=64, height=64)
    )
    await finished(job)
    await bot.service.admin.enable_preset(ADMIN, "plain", is_enabled=False)

    with pytest.raises(InvalidRequest, match="switched the preset plain off"):
        await bot.service.again(Source(ADA), job.id)


async def test_the_default_preset_stays_on(admin):
    with pytest.raises(Conflict, match="plain is the default preset"):
        await admin.enable_preset(ADMIN, "plain", is_enabled=False)


async def test_a_preset_that_is_not_there_cannot_be_switched(admin):
    with pytest.raises(NotFound, match="there is no preset 'nope': there are plain, canny"):
        await admin.enable_preset(ADMIN, "nope", is_enabled=False)


async def test_while_draining_what_waits_is_drawn_and_nothing_new_is_accepted(bot, gate):
    job = await bot.service.submit(Source(ADA), CIRCLE)
    await bot.service.admin.drain(ADMIN)
    gate.open()

    with pytest.raises(NotAccepting, match=DRAINING):
        await bot.service.submit(Source(ADA), CIRCLE)
    assert await finished(job) is JobStatus.SUCCEEDED
    assert bot.service.state.status == "draining"

    service = await bot.restart()
    with pytest.raises(NotAccepting):
        await service.submit(Source(ADA), CIRCLE)
    await service.admin.resume(ADMIN)
    await service.submit(Source(ADA), CIRCLE)


async def test_a_job_that_is_moved_to_the_front_is_drawn_next_and_one_at_the_back_last(
    service, admin, gate
):
    running = await service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0)
    first, second, third = [await service.submit(Source(who), CIRCLE) for who in (ADA, BOB, EVE)]

    await admin.move(ADMIN, third.id, to_front=True)
    await admin.move(ADMIN, first.id, to_front=False)

    waiting = list(admin.queue(ADMIN))[1:]
    assert waiting == [third, second, first]
    assert [job.progress.position for job in waiting] == [1, 2, 3]
    gate.open()
    for job in waiting:
        await finished(job)
    assert [request.seed for request in gate.drawn] == [7] * 4
    assert sorted(waiting, key=lambda job: job.finished_at) == waiting


async def test_only_what_waits_can_be_moved(service, admin):
    running = await service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0)

    with pytest.raises(NotFound, match="that waits"):
        await admin.move(ADMIN, running.id, to_front=True)


async def test_an_admin_cancels_somebodys_job_and_it_is_written_down(service, admin):
    await service.submit(Source(BOB), CIRCLE)
    job = await service.submit(Source(ADA), CIRCLE)

    await admin.cancel(ADMIN, job.id)

    assert job.status is JobStatus.CANCELLED
    assert (await service.lookups.job(Source(ADA), job.id)).error == CANCELLED
    assert (await service.quota(ADA)).used == 0
    (entry,) = await admin.audit(ADMIN)
    assert (entry.admin, entry.act, entry.subject, entry.detail) == (ADMIN, "cancel", job.id, ADA)


async def test_a_refund_is_given_once_and_leaves_the_picture(service, admin, gate):
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await finished(job)

    await admin.refund(ADMIN, job.id)

    assert (await service.quota(ADA)).used == 0
    assert (await service.lookups.picture(Source(ADA), job.id)).exists()
    with pytest.raises(Conflict, match="given back already"):
        await admin.refund(ADMIN, job.id)


async def test_what_has_not_ended_is_cancelled_and_not_refunded(service, admin):
    job = await service.submit(Source(ADA), CIRCLE)

    with pytest.raises(Conflict, match="cancel it instead"):
        await admin.refund(ADMIN, job.id)


async def test_nobody_but_an_admin_gets_any_of_it(service, admin):
    job = await service.submit(Source(ADA), CIRCLE)
    for text in (
        "presets", "presets disable canny", "drain", f"queue first {job.id}",
        f"queue cancel {job.id}", f"queue refund {job.id}", f"quota set {SERVER} 3", "audit",
    ):  # fmt: skip
        reply = await converse(service, Source(BOB), f"admin {text}")
        assert isinstance(reply.error, NotAllowed), text


async def test_admins_are_answered_in_sentences(service, gate):
    async def say(text):
        reply = await converse(service, Source(ADMIN), text)
        assert reply.error is None, reply.text
        return reply.text

    running = await service.submit(Source(ADA), CIRCLE)
    await at_step(running, 0)
    job = await service.submit(Source(ADA), CIRCLE)

    assert "canny: demo/controlnet-canny (not loaded)" in await say("admin presets")
    assert await say("admin presets disable canny") == "The preset canny can no longer be chosen."
    assert "canny (switched off): " in await say("admin presets")
    assert await say("admin presets enable canny") == "The preset canny can be chosen again."
    assert await say(f"admin queue first {job.id}") == f"{job.id} is now the next one."
    assert await say(f"admin queue last {job.id}") == f"{job.id} is now the last one."
    assert await say(f"admin queue cancel {job.id}") == (
        f"{job.id} is cancelled; {ADA} has the credits back."
    )
    assert "no limit of its own" in await say(f"admin quota set {SERVER} default")
    assert "together have 9 credits" in await say(f"admin quota set {SERVER} 9")
    assert "its members have the usual quota" in await say(f"admin quota set {ARTISTS} default")
    assert "each of its members has 4 credits" in await say(f"admin quota set {ARTISTS} 4")
    assert "waiting jobs are still drawn" in await say("admin drain")
    assert (await say("admin audit")).splitlines()[0].endswith(f"{ADMIN} · drain")
