"""Votes, best-of channels, and people who keep their pictures out."""

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import votes
from bot.commands import ImagineCommand
from bot.conversation import converse
from bot.database import migrate
from bot.origins import Origin
from bot.refusals import Conflict, NotAllowed, NotFound
from bot.showcase import CannotBeShown
from bot.source import PictureOf, Source
from generation.errors import FluxbotError
from tests.bot.conftest import CIRCLE
from tests.conftest import ADMIN, finished

SERVER = "discord-server:1"
HERE = Origin(SERVER, channels=("7",))
TO = {"channel": "7", "message": "99"}
MAKER = "discord:10"
VOTERS = [f"discord:{id}" for id in range(11, 16)]


class Wall:
    """A best-of channel, and what it shows."""

    def __init__(self):
        self.shown = {}
        self.faults = []

    async def show(self, best):
        if self.faults:
            raise self.faults.pop(0)
        self.shown[str(len(self.shown))] = best
        return str(len(self.shown) - 1)

    async def take_down(self, channel, message):
        del self.shown[message]


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
async def bot(make_bot, gate):
    gate.open()
    bot = await make_bot(showcase={"votes": 2}, moderation={"reports_to_hide": 2})
    await bot.service.servers.set_showcase(ADMIN, SERVER, "7")
    return bot


@pytest.fixture
def service(bot):
    return bot.service


@pytest.fixture
def showing(service, wall):
    return service.showcase.on("discord", wall.show, wall.take_down)


async def drawn(service, user=MAKER, origin=HERE, to=TO, **more):
    job = await service.submit(Source(user, origin=origin, reply_to=to), replace(CIRCLE, **more))
    await finished(job)
    return job


def seen(user, job, **more):
    return Source(user, origin=HERE, shown=job.id, **more)


async def test_enough_votes_show_a_picture_once(service, showing, wall, bot):
    job = await drawn(service)

    first = await service.showcase.vote(seen(VOTERS[0], job), job.id)
    await showing.show_all()
    assert (first.count, first.is_given, wall.shown) == (1, True, {})
    second = await service.showcase.vote(seen(VOTERS[1], job), job.id)
    await showing.show_all()
    await service.showcase.vote(seen(VOTERS[2], job), job.id)
    await showing.show_all()

    assert (second.count, second.needed, second.has_channel) == (2, 2, True)
    (best,) = wall.shown.values()
    assert (best.job.id, best.channel, best.votes) == (job.id, "7", 2)
    assert best.path.read_bytes()


async def test_a_vote_is_taken_back_by_the_second_press(service):
    job = await drawn(service)

    await service.showcase.vote(seen(VOTERS[0], job), job.id)
    back = await service.showcase.vote(seen(VOTERS[0], job), job.id)

    assert (back.count, back.is_given) == (0, False)


async def test_what_may_not_be_voted_for(service, make_bot):
    job = await drawn(service)
    alone = await drawn(service, origin=Origin(), to=None)
    private = await drawn(service, to={**TO, "is_private": True})
    adults = replace(seen(VOTERS[0], job), origin=replace(HERE, is_age_restricted=True))

    with pytest.raises(NotAllowed, match="your own picture"):
        await service.showcase.vote(seen(MAKER, job), job.id)
    with pytest.raises(NotFound):
        await service.showcase.vote(Source(VOTERS[0], origin=HERE), job.id)
    with pytest.raises(NotFound):
        await service.showcase.vote(seen(VOTERS[0], job), job.id, 2)
    for source, hidden in ((adults, job), (seen(VOTERS[0], alone), alone)):
        with pytest.raises(Conflict, match="not shown to everybody"):
            await service.showcase.vote(source, hidden.id)
    with pytest.raises(Conflict, match="not shown to everybody"):
        await service.showcase.vote(seen(VOTERS[0], private), private.id)
    elsewhere = await make_bot()
    other = await drawn(elsewhere.service)
    with pytest.raises(NotFound, match="not voted for here"):
        await elsewhere.service.showcase.vote(seen(VOTERS[0], other), other.id)


@pytest.mark.parametrize("how", ["deleted", "removed", "reported", "erased", "kept out"])
async def test_a_picture_that_goes_is_taken_down(service, showing, wall, how):
    job = await drawn(service)
    for voter in VOTERS[:2]:
        await service.showcase.vote(seen(voter, job), job.id)
    await showing.show_all()
    assert len(wall.shown) == 1

    match how:
        case "deleted":
            await service.delete(Source(MAKER), job.id)
        case "removed":
            await service.moderation.remove(ADMIN, job.id)
        case "reported":
            for voter in VOTERS[: service.config.moderation.reports_to_hide]:
                await service.moderation.report(voter, job.id)
        case "erased":
            await service.own_data.delete(MAKER)
        case "kept out":
            await converse(service, Source(MAKER), "settings --showcase off")
    await showing.show_all()

    assert wall.shown == {}
    with pytest.raises(FluxbotError):
        await service.showcase.vote(seen(VOTERS[3], job), job.id)


async def test_a_picture_that_goes_before_it_is_shown_never_is(service, showing, wall):
    job = await drawn(service)
    for voter in VOTERS[:2]:
        await service.showcase.vote(seen(voter, job), job.id)

    await service.delete(Source(MAKER), job.id)
    await showing.show_all()

    assert wall.shown == {}


async def test_what_cannot_be_shown_now_is_shown_later_and_for_good_never(service, showing, wall):
    job, another = await drawn(service), await drawn(service)
    for each in (job, another):
        for voter in VOTERS[:2]:
            await service.showcase.vote(seen(voter, each), each.id)

    wall.faults = [OSError("away")]
    with pytest.raises(OSError, match="away"):
        await showing.show_all()
    wall.faults = [CannotBeShown("closed")]
    await showing.show_all()
    await showing.show_all()

    assert len(wall.shown) == 1


async def test_a_process_that_dies_leaves_what_is_owed_to_the_next(bot, service, wall):
    job = await drawn(service)
    for voter in VOTERS[:2]:
        await service.showcase.vote(seen(voter, job), job.id)

    service = await bot.restart()
    await service.showcase.on("slack", wall.show, wall.take_down).show_all()
    assert wall.shown == {}
    await service.showcase.on("discord", wall.show, wall.take_down).show_all()

    assert [best.job.id for best in wall.shown.values()] == [job.id]


async def test_others_build_on_a_picture_unless_its_maker_minds(service):
    job = await drawn(service)
    await converse(service, Source(MAKER), "settings --remix off")
    other = seen(VOTERS[0], job)

    for act in (
        lambda: service.again(other, job.id),
        lambda: service.from_picture(other, PictureOf(job.id, 1), "vary"),
        lambda: service.submit(
            other, ImagineCommand("a fox", preset="canny"), [PictureOf(job.id, 1)]
        ),
    ):
        with pytest.raises(NotAllowed, match="keeps others from building on it"):
            await act()
    series = await converse(service, other, f"again {job.id} --repeat 2")
    assert "keeps others from building on it" in series.text
    again = await service.again(Source(MAKER), job.id)
    assert again.parent == job.id
    reply = await converse(service, Source(MAKER), "settings --remix on")
    assert "remix yes" in reply.text
    assert (await service.again(other, job.id)).parent == job.id


async def test_managers_choose_the_channel_and_others_do_not(service):
    manager = Source(ADMIN, origin=Origin(SERVER, channels=("8",)))

    said = [
        (await converse(service, manager, text)).text
        for text in ("admin showcase", "admin showcase here", "admin showcase off")
    ]

    assert said == [
        "The best are shown in web-channel:7.",
        "Pictures with 2 votes are shown here.",
        "The best are shown nowhere any more.",
    ]
    refused = await converse(service, Source(MAKER, origin=HERE), "admin showcase here")
    assert refused.error is not None


async def test_votes_are_in_ones_own_data_and_go_with_it(bot, service):
    job = await drawn(service)
    await service.showcase.vote(seen(VOTERS[0], job), job.id)

    assert [row["job_id"] for row in await bot.rows("SELECT * FROM votes")] == [job.id]
    await service.own_data.delete(VOTERS[0])

    assert await bot.rows("SELECT * FROM votes") == []


PRESSES = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30)


@given(PRESSES)
def test_a_person_has_one_vote_by_whichever_account(presses):
    """Each of five people has two accounts, and presses with either."""
    with sqlite3.connect(":memory:", isolation_level=None) as db:
        db.row_factory = sqlite3.Row
        migrate(db)
        given_by = set()
        for person, is_second in presses:
            accounts = [f"discord:{person}", f"slack:{person}"]
            is_given = votes.toggle(
                db, "job", 1, accounts[::-1] if is_second else accounts, now=1.0
            )
            given_by ^= {person}
            assert is_given == (person in given_by)

        voters = votes.voters(db, "job", 1)
        assert len(voters) == len({each.partition(":")[2] for each in voters}) == len(given_by)
