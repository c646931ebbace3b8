"""Reports of people, and the acts of moderators on pictures and people."""

from dataclasses import replace

import pytest

from bot.commands import ImagineCommand
from bot.conversation import converse
from bot.incidents import Kind
from bot.moderation_log import CannotBeTold, ModerationLog
from bot.origins import Origin
from bot.refusals import Conflict, NotAllowed, NotFound, Screened, TooOften
from bot.source import Source
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, EVE, finished
from tests.judges import REFUSED, Judge

SERVER, OTHER = "discord-server:1", "discord-server:2"


def here(user=ADA, server=SERVER, channel="art"):
    return Source(user, Origin(server, (channel,)))


@pytest.fixture
def moderation(service):
    service.admin.recognise(EVE, manages=SERVER)
    return service.moderation


async def drawn(service, gate, source=None, command=CIRCLE):
    gate.open()
    job = await service.submit(source or here(), command)
    await finished(job)
    return job


async def test_a_moderator_learns_who_asked_and_from_what_it_was_made(service, moderation, gate):
    first = await drawn(service, gate, here(BOB))
    gate.open()
    job = await service.again(Source(ADA, Origin(SERVER), shown=first.id), first.id)
    await finished(job)

    reply = await converse(service, here(EVE), f"admin who {job.id}")

    assert f"{ADA} asked for {job.id}" in reply.text
    assert CIRCLE.prompt in reply.text
    assert f"made from {first.id} of {BOB}" in reply.text
    assert "They have 1 picture and 0 strikes." in reply.text
    assert [(each.act, each.subject) for each in await service.admin.audit(EVE, server=SERVER)] == [
        ("who", job.id)
    ]


async def test_nobody_else_learns_it(service, moderation, gate):
    job = await drawn(service, gate, here(server=OTHER))

    for user in (EVE, ADA, BOB):
        with pytest.raises(NotAllowed):
            await moderation.who(user, job.id)


async def test_a_report_reaches_moderators_once_a_person(service, moderation, gate):
    job = await drawn(service, gate)

    reply = await converse(service, here(BOB), f"report {job.id} not for this channel")
    with pytest.raises(Conflict, match="already"):
        await moderation.report(BOB, job.id)

    assert "moderators will look" in reply.text
    (reported,) = await moderation.reported(EVE, SERVER)
    assert (reported.job_id, reported.count) == (job.id, 1)
    assert reported.reasons == ("not for this channel",)
    assert await moderation.reported(ADMIN, OTHER) == []


async def test_after_enough_reports_a_picture_is_hidden(make_bot, gate):
    bot = await make_bot(moderation={"reports_to_hide": 2})
    job = await drawn(bot.service, gate)

    assert not (await bot.service.moderation.report(BOB, job.id)).is_spoiler
    assert (await bot.service.moderation.report(EVE, job.id)).is_spoiler
    assert (await bot.service.lookups.job(Source(ADA), job.id)).is_spoiler


async def test_moderators_read_how_many_reports_there_are_and_the_reason_of_each(
    bot, service, moderation, gate
):
    job = await drawn(service, gate)
    await moderation.report(BOB, job.id)
    await moderation.report(EVE, job.id, "not for this channel")

    rows = await bot.rows("SELECT note FROM incidents ORDER BY number")
    assert [row["note"] for row in rows] == ["1 report", "2 reports: not for this channel"]


async def test_a_person_cannot_report_everything(service, moderation, gate):
    jobs = [await drawn(service, gate) for _ in range(11)]
    for job in jobs[:10]:
        await moderation.report(BOB, job.id)

    with pytest.raises(TooOften):
        await moderation.report(BOB, jobs[10].id)


async def test_reports_are_dismissed_or_the_picture_is_deleted(bot, service, moderation, gate):
    kept = await drawn(service, gate)
    gone = await drawn(service, gate, replace(here(), reply_to={"to": 1}))
    await moderation.report(BOB, kept.id)
    await moderation.report(BOB, gone.id)

    assert await moderation.dismiss(EVE, kept.id) == 1
    with pytest.raises(NotFound):
        await moderation.dismiss(EVE, kept.id)
    erased = []

    async def erase(reply_to):
        erased.append(reply_to)
        return len(erased) > 1

    service.own_data.erase_message["web"] = erase
    assert (await moderation.remove(EVE, gone.id, "not here"))[1] == 1
    _, left = await moderation.remove(EVE, gone.id)
    assert (left, erased) == (0, [gone.reply_to] * 2)

    assert await moderation.reported(EVE, SERVER) == []
    assert await service.lookups.picture(Source(ADA), kept.id)
    with pytest.raises(NotFound):
        await service.lookups.picture(Source(ADA), gone.id)
    acts = [each.act for each in await service.admin.audit(EVE, server=SERVER)]
    assert acts == ["remove", "remove", "dismiss"]


async def test_everything_of_a_person_in_a_server_is_deleted_and_nothing_else(
    service, moderation, gate
):
    theirs = await drawn(service, gate)
    elsewhere = await drawn(service, gate, here(server=OTHER))
    others = await drawn(service, gate, here(BOB))

    asked = await converse(service, here(EVE), f"admin erase {ADA}")
    assert "--yes" in asked.text
    assert await service.lookups.picture(Source(ADA), theirs.id)
    await converse(service, here(EVE), f"admin erase {ADA} --yes")

    with pytest.raises(NotFound):
        await service.lookups.picture(Source(ADA), theirs.id)
    assert (await service.lookups.job(Source(ADA), theirs.id)).request.prompt != CIRCLE.prompt
    assert await service.lookups.picture(Source(ADA), elsewhere.id)
    assert await service.lookups.picture(Source(BOB), others.id)
    with pytest.raises(NotAllowed):
        await moderation.erase(EVE, ADA, OTHER)


async def test_the_figures_of_a_server_count_what_was_refused_held_and_reported(
    bot, service, moderation, gate
):
    job = await drawn(service, gate)
    await moderation.report(BOB, job.id)

    assert (await moderation.figures(EVE, 1, SERVER))["reported"] == 1
    assert (await moderation.figures(ADMIN, 1, OTHER))["reported"] == 0
    reply = await converse(service, here(EVE), "admin stats 7")
    assert reply.text.startswith("In the last 7 days: 1 job")
    assert reply.text.endswith("0 refused, 0 held, 1 reported.")
    bot.clock.advance(86399)
    assert (await moderation.figures(EVE, 1, SERVER))["reported"] == 1
    bot.clock.advance(2)
    assert (await moderation.figures(EVE, 1, SERVER))["reported"] == 0


# The log channel


class Told(list):
    def __init__(self):
        super().__init__()
        self.fault = None

    async def __call__(self, channel, incident):
        if self.fault is not None:
            raise self.fault
        self.append((channel, incident.kind))


@pytest.fixture
def told():
    return Told()


@pytest.fixture
async def log(bot, moderation, told):
    log = ModerationLog(bot.database, "discord", "all", told)
    await log.tell_all()
    return log


async def test_the_audit_log_knows_which_channel_is_told(service, moderation):
    await moderation.set_log_channel(EVE, SERVER, "mods")
    await moderation.set_log_channel(EVE, SERVER, None)

    acts = await service.admin.audit(EVE, server=SERVER)
    assert [(each.act, each.subject) for each in acts] == [
        ("log channel", "off"),
        ("log channel", "mods"),
    ]


async def test_moderators_are_told_in_the_channel_of_the_server_and_in_the_one_for_all(
    service, moderation, gate, log, told
):
    await converse(service, here(EVE, channel="mods"), "admin log here")
    theirs = await drawn(service, gate)
    others = await drawn(service, gate, here(server=OTHER))
    await moderation.report(BOB, theirs.id)
    await moderation.report(BOB, others.id)
    await service.servers.ban(EVE, SERVER, BOB)

    await log.tell_all()

    assert told == [
        ("all", Kind.REPORTED),
        ("mods", Kind.REPORTED),
        ("all", Kind.REPORTED),
        ("all", Kind.ACT),
        ("mods", Kind.ACT),
    ]


async def test_what_could_not_be_told_is_told_later_and_a_closed_channel_holds_up_nothing(
    service, moderation, gate, log, told, bot
):
    job = await drawn(service, gate)
    await moderation.report(BOB, job.id)
    told.fault = OSError("no network")
    with pytest.raises(OSError, match="no network"):
        await log.tell_all()

    told.fault = None
    again = ModerationLog(bot.database, "discord", "all", told)
    await again.tell_all()
    assert told == [("all", Kind.REPORTED)]

    await moderation.report(EVE, job.id)
    told.fault = CannotBeTold("no such channel")
    await again.tell_all()
    told.fault = None
    await again.tell_all()
    assert len(told) == 1


async def test_refused_words_and_held_pictures_are_told(make_bot, gate):
    judge = Judge()
    bot = await make_bot()
    bot.judges = {"judge": lambda: judge}
    service = await bot.restart()
    judge.words = {"rude": REFUSED}

    with pytest.raises(Screened):
        await service.submit(here(), ImagineCommand("a rude fox"))

    rows = await bot.rows("SELECT kind, user, server, note FROM incidents")
    assert rows == [
        {"kind": "refused", "user": ADA, "server": SERVER, "note": "judge: a word: a rude fox"}
    ]
