"""People without credits draw when nobody who pays waits, where the operator lets them."""

import pytest

from bot.conversation import converse
from bot.jobs import FairQueue, Job, JobStatus
from bot.origins import Origin
from bot.source import Source
from tests.bot.conftest import left
from tests.conftest import ADA, BOB, EVE, at_step, finished, stepping

SMALL = "--size 64x64 --steps 3"
RELAXED = "Relaxed: drawn when nobody else waits, at no charge."


@pytest.fixture
async def bot(make_bot):
    return await make_bot(quota={"credits": 1, "relaxed": True})


def saying(bot):
    async def say(text, user=ADA):
        return await converse(bot.service, Source(user), text)

    return say


async def test_nobody_draws_beyond_their_credits_by_default(make_bot):
    say = saying(await make_bot(quota={"credits": 1}))
    await say(f"a fox {SMALL}")

    assert "would cost 1 credits and you have 0 left" in (await say(f"a cat {SMALL}")).text


async def test_who_has_no_credits_waits_for_all_who_have(bot, gate):
    say = saying(bot)
    first = (await say(f"a fox {SMALL}", BOB)).job
    await at_step(first, 0, picture=1)
    paid = (await say(f"a red house {SMALL}")).job
    relaxed = (await say(f"a blue house {SMALL}")).job
    other = (await say(f"a cat {SMALL}", EVE)).job

    assert (relaxed.cost, relaxed.is_relaxed, relaxed.remarks) == (0, True, (RELAXED,))
    assert (paid.cost, paid.remarks) == (1, ())
    assert [paid.progress.position, other.progress.position] == [1, 2]
    queue = (await say("queue")).jobs
    assert [job.request.prompt for job in queue] == ["a red house", "a blue house"]
    gate.allow(3)
    await at_step(paid, 0, picture=1)
    gate.allow(3)
    await at_step(other, 0, picture=1)
    assert relaxed.status is JobStatus.QUEUED
    gate.open()
    for job in (paid, other, relaxed):
        assert await finished(job) is JobStatus.SUCCEEDED
    assert await left(bot.service) == 0


async def test_it_is_still_so_after_a_restart(bot, gate):
    say = saying(bot)
    first = (await say(f"a fox {SMALL}", BOB)).job
    await at_step(first, 0, picture=1)
    await say(f"a red house {SMALL}")
    relaxed = (await say(f"a blue house {SMALL}")).job
    await say(f"a cat {SMALL}", EVE)

    service = await stepping(gate, bot.restart())

    again = await service.lookups.job(Source(ADA), relaxed.id)
    assert again.is_relaxed
    assert again.progress.position == 3


async def test_a_quote_says_so_before(bot):
    say = saying(bot)
    await say(f"a fox {SMALL}")
    proposal = await say(f"{{a,b}} {SMALL}")

    assert RELAXED in proposal.text
    assert "credits" not in proposal.text
    series = (await say(proposal.choices[0].says)).series
    assert [job.is_relaxed for job in series.parts] == [True, True]


async def test_limits_of_a_server_hold_for_them_too(make_bot):
    bot = await make_bot(quota={"credits": 1, "relaxed": True})
    await bot.service.admin.set_group_quota("web:local", "discord-server:1", 1)
    source = Source(ADA, Origin("discord-server:1"))
    await converse(bot.service, source, f"a fox {SMALL}")

    refused = await converse(bot.service, source, f"a cat {SMALL}")

    assert "the people of this server have 0 left together" in refused.text


async def test_they_take_half_of_the_queue_at_most(make_bot):
    bot = await make_bot(quota={"credits": 0, "relaxed": True}, queue={"max_waiting": 4})
    say = saying(bot)
    running = (await say(f"a fox {SMALL}")).job
    await at_step(running, 0, picture=1)
    for user in (ADA, BOB):
        assert (await say(f"a fox {SMALL}", user)).job is not None

    refused = await say(f"a fox {SMALL}", EVE)

    assert refused.text.startswith("Too many pictures wait to be drawn at no charge")


async def test_people_without_credits_take_turns_among_themselves(fox):
    queue = FairQueue()
    jobs = [
        Job(user=user, request=fox, is_relaxed=is_relaxed, id=id)
        for user, is_relaxed, id in [
            (ADA, True, "a1"),
            (ADA, True, "a2"),
            (BOB, True, "b1"),
            (ADA, False, "a3"),
        ]
    ]
    for job in jobs:
        queue.put(job)

    assert [job.id for job in queue.of(ADA)] == ["a3", "a1", "a2"]
    drawn = [(await queue.get()).id for _ in jobs]

    assert drawn == ["a3", "a1", "b1", "a2"]


async def test_drawing_at_no_charge_takes_nobodys_turn_among_those_who_pay(fox):
    queue = FairQueue()
    queue.put(Job(user=ADA, request=fox, is_relaxed=True))
    await queue.get()

    for user in (ADA, BOB):
        queue.put(Job(user=user, request=fox))

    assert [(await queue.get()).user for _ in range(2)] == [ADA, BOB]
