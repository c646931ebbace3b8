"""Accounts of one person are joined once both sides say yes, and parted again."""

import asyncio
from dataclasses import replace

import pytest

from bot import linking
from bot.commands import DeleteCommand, ImagineCommand, LinkCommand, UnlinkCommand
from bot.conversation import converse, later
from bot.jobs import JobStatus
from bot.linking import Account
from bot.refusals import Conflict, NotAllowed, NotFound, QuotaExceeded, TooOften
from bot.source import Source
from tests.bot.conftest import CIRCLE
from tests.bot.service.test_own_data import drawn, read
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished, stepping, until

ADA_SOURCE, EVE_SOURCE = Source(ADA, name="ada"), Source(EVE, name="Eve the Great")


async def say(bot, source, said):
    reply = await converse(bot.service, source, said)
    assert reply.error is None, reply.text
    return reply


async def joined(bot, first=ADA_SOURCE, second=EVE_SOURCE):
    """Join both, as the two sides do."""
    offer = await say(bot, first, "link")
    await say(bot, second, f"link {offer.joining.shown_code}")
    await say(bot, second, "link yes")
    await say(bot, first, "link yes")


async def refused(bot, source, said):
    reply = await converse(bot.service, source, said)
    assert reply.error is not None, reply.text
    return reply.error


async def test_two_accounts_are_joined_once_both_sides_have_said_yes(bot):
    offer = await say(bot, ADA_SOURCE, "link")
    code = offer.joining.shown_code
    told_first = asyncio.create_task(anext(later(bot.service, ADA_SOURCE, offer)))

    typed = await say(bot, EVE_SOURCE, f"link {code.lower()}")
    assert typed.asks_to_join
    assert "Web “ada”" in typed.text
    assert isinstance(await refused(bot, ADA_SOURCE, "link yes"), NotFound)

    yes = await say(bot, EVE_SOURCE, LinkCommand("yes", code))
    question = await told_first
    assert question.asks_to_join
    assert "Discord “Eve the Great” (eve)" in question.text
    assert bot.service.selves.of(ADA) == {ADA}
    assert isinstance(await refused(bot, EVE_SOURCE, "link yes"), NotFound)

    assert "Joined" in (await say(bot, ADA_SOURCE, "link yes")).text
    assert "Joined" in (await anext(later(bot.service, EVE_SOURCE, yes))).text
    assert bot.service.selves.of(ADA) == bot.service.selves.of(EVE) == {ADA, EVE}

    await bot.restart()
    assert bot.service.selves.of(ADA) == {ADA, EVE}


@pytest.mark.parametrize("who", ["first", "second"])
async def test_whoever_says_no_is_joined_with_nobody_and_the_other_side_learns_it(bot, who):
    offer = await say(bot, ADA_SOURCE, "link")
    await say(bot, EVE_SOURCE, f"link {offer.joining.code}")
    if who == "first":
        waiting = await say(bot, EVE_SOURCE, "link yes")
        assert (await say(bot, ADA_SOURCE, "link no")).text == "Nothing was joined."
        told = await anext(later(bot.service, EVE_SOURCE, waiting))
    else:
        assert (await say(bot, EVE_SOURCE, "link no")).text == "Nothing was joined."
        told = await anext(later(bot.service, ADA_SOURCE, offer))

    assert told.text == "Nothing was joined."
    assert isinstance(await refused(bot, EVE_SOURCE, f"link {offer.joining.code}"), NotFound)
    assert bot.service.selves.of(ADA) == {ADA}


async def test_a_code_serves_once_for_minutes_and_is_nobody_elses(bot, clock):
    first = (await say(bot, ADA_SOURCE, "link")).joining
    assert isinstance(await refused(bot, ADA_SOURCE, f"link {first.code}"), Conflict)
    second = (await say(bot, ADA_SOURCE, "link")).joining
    assert isinstance(await refused(bot, EVE_SOURCE, f"link {first.code}"), NotFound)
    await say(bot, EVE_SOURCE, f"link {second.code}")
    assert isinstance(await refused(bot, Source(BOB), f"link {second.code}"), NotFound)

    clock.advance(linking.SECONDS)
    assert isinstance(await refused(bot, EVE_SOURCE, "link yes"), NotFound)
    third = (await say(bot, ADA_SOURCE, "link")).joining
    clock.advance(linking.SECONDS)
    assert isinstance(await refused(bot, EVE_SOURCE, f"link {third.code}"), NotFound)


async def test_codes_are_neither_guessed_nor_hoarded(bot):
    codes = {(await say(bot, ADA_SOURCE, "link")).joining.code for _ in range(4)}
    assert len(codes) == 4
    assert isinstance(await refused(bot, ADA_SOURCE, "link"), TooOften)
    for _ in range(4):
        assert isinstance(await refused(bot, EVE_SOURCE, "link aaaa-2222"), NotFound)
    open_one = (await say(bot, Source(BOB), "link")).joining
    assert isinstance(await refused(bot, EVE_SOURCE, f"link {open_one.code}"), TooOften)


async def test_a_yes_said_twice_at_once_joins_once(bot):
    offer = await say(bot, ADA_SOURCE, "link")
    await say(bot, EVE_SOURCE, f"link {offer.joining.code}")
    await say(bot, EVE_SOURCE, "link yes")

    both = await asyncio.gather(
        *(bot.service.linking.answer(ADA, is_yes=True) for _ in range(2)), return_exceptions=True
    )

    assert sorted(type(each).__name__ for each in both) == ["Joining", "NotFound"]
    rows = await bot.rows("SELECT account FROM selves")
    assert sorted(row["account"] for row in rows) == [EVE, ADA]


async def test_joined_accounts_see_and_use_each_others_pictures_until_they_part(bot, gate):
    hers = await drawn(bot, gate)
    eves = await drawn(bot, gate, EVE)
    await bot.service.own_settings.change(ADA, ImagineCommand(images=2))
    await bot.service.own_settings.change(EVE, ImagineCommand(num_inference_steps=9))
    await joined(bot)

    for source in (ADA_SOURCE, EVE_SOURCE):
        page = await bot.service.lookups.history(source.user)
        assert [job.id for job in page.jobs] == [eves.id, hers.id]
        assert (await say(bot, source, f"show {hers.id}")).job.id == hers.id
        own = await bot.service.own_settings.of(source.user)
        assert (own["images"], own["num_inference_steps"]) == (2, 9)
    assert (await bot.service.lookups.latest(ADA_SOURCE)).id == eves.id
    await bot.service.favourites.add(ADA_SOURCE, eves.id)
    await bot.service.favourites.add(ADA_SOURCE, hers.id)
    assert await bot.service.favourites.among(EVE, [eves, hers]) == [eves.id, hers.id]
    waiting = await bot.service.submit(ADA_SOURCE, CIRCLE)
    await until(lambda: [job.id for job in bot.service.queue(EVE).mine] == [waiting.id])
    await stepping(gate, bot.service.cancel(EVE_SOURCE, waiting.id))

    assert "by itself" in (await say(bot, ADA_SOURCE, UnlinkCommand(EVE))).text
    assert isinstance(await refused(bot, ADA_SOURCE, f"show {eves.id}"), NotFound)
    assert isinstance(await refused(bot, EVE_SOURCE, DeleteCommand(hers.id)), NotFound)
    page = await bot.service.lookups.history(EVE)
    assert [job.id for job in page.jobs] == [eves.id]
    assert await bot.service.favourites.among(ADA, [eves, hers]) == [hers.id]
    assert isinstance(await refused(bot, ADA_SOURCE, "unlink"), NotFound)


async def test_parting_is_not_for_accounts_of_others(bot):
    await joined(bot)

    assert isinstance(await refused(bot, Source(BOB), f"unlink {ADA}"), NotFound)
    assert isinstance(await refused(bot, ADA_SOURCE, f"unlink {BOB}"), NotFound)
    assert bot.service.selves.of(ADA) == {ADA, EVE}


async def test_credits_of_both_add_up_and_parting_brings_none_back(make_bot, gate):
    bot = await make_bot(quota={"credits": 4, "pixels_per_credit": 1048576})
    job = await drawn(bot, gate)
    assert job.cost > 0
    await joined(bot)
    before = await bot.service.quota(EVE)
    assert (before.used, before.left) == (job.cost, 4 - job.cost)

    for _ in range(before.left // job.cost):
        await drawn(bot, gate, EVE)
    with pytest.raises(QuotaExceeded):
        await bot.service.submit(ADA_SOURCE, CIRCLE)

    await say(bot, EVE_SOURCE, "unlink")
    for source in (ADA_SOURCE, EVE_SOURCE):
        with pytest.raises(QuotaExceeded):
            await bot.service.submit(source, CIRCLE)


async def test_a_ban_holds_for_all_accounts_and_cannot_be_escaped(bot):
    await joined(bot)
    waiting = await bot.service.submit(EVE_SOURCE, CIRCLE)

    await asyncio.gather(bot.service.admin.ban(ADMIN, ADA), finished(waiting))

    assert waiting.status is JobStatus.CANCELLED
    await say(bot, EVE_SOURCE, "unlink")
    for source in (ADA_SOURCE, EVE_SOURCE):
        with pytest.raises(NotAllowed):
            await bot.service.submit(source, CIRCLE)
    offer = await say(bot, Source(BOB), "link")
    await say(bot, EVE_SOURCE, f"link {offer.joining.code}")
    await say(bot, EVE_SOURCE, "link yes")
    assert isinstance(await refused(bot, Source(BOB), "link yes"), NotAllowed)
    assert bot.service.selves.of(BOB) == {BOB}


async def test_an_admin_is_not_banned_by_another_account_and_makes_no_other_one_admin(bot):
    await joined(bot, Source(ADMIN), EVE_SOURCE)

    assert not bot.service.admin.is_admin(EVE)
    with pytest.raises(Conflict):
        await bot.service.admin.ban(ADMIN, EVE)


async def test_own_data_of_all_accounts_is_handed_over_and_deleted(bot, gate):
    hers, eves = await drawn(bot, gate), await drawn(bot, gate, EVE)
    await joined(bot)

    export = await bot.service.own_data.export(EVE)
    files = await read(export)
    await export.close()
    assert {f"pictures/{each.id}-1.png" for each in (hers, eves)} <= set(files)
    assert f'"user": "{ADA}"'.encode() in files["about.json"]

    assert EVE in (await say(bot, ADA_SOURCE, "mydata delete")).text
    deletion = await bot.service.own_data.delete(ADA)

    assert deletion.jobs == 2
    assert bot.service.selves.of(ADA) == {ADA}
    for table, column in (("jobs", "user"), ("entries", "user"), ("selves", "account")):
        rows = await bot.rows(f"SELECT {column} AS name FROM {table}")
        assert {row["name"].partition(":")[0] for row in rows} == {"deleted"}, table
    # Deleting is no way out of what was spent together.
    assert (await bot.service.quota(EVE)).used == hers.cost + eves.cost


async def test_only_so_many_accounts_are_one_person(bot, monkeypatch):
    monkeypatch.setattr("bot.selves.MOST", 2)
    await joined(bot)

    offer = await say(bot, Source(BOB), "link")
    await say(bot, EVE_SOURCE, f"link {offer.joining.code}")
    await say(bot, EVE_SOURCE, "link yes")

    assert isinstance(await refused(bot, Source(BOB), "link yes"), Conflict)
    assert bot.service.selves.of(BOB) == {BOB}


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_accounts_of_one_person_take_one_turn_in_a_round(bot, gate, is_restarted):
    await joined(bot)
    first = await bot.service.submit(Source("web:zoe"), CIRCLE)
    await at_step(first, 0, picture=1)
    jobs = [
        await bot.service.submit(source, replace(CIRCLE, prompt=source.user))
        for source in (ADA_SOURCE, EVE_SOURCE, Source(BOB))
    ]
    if is_restarted:
        await stepping(gate, bot.restart())
        jobs = [await bot.service.lookups.job(Source(ADMIN), each.id) for each in jobs]

    gate.open()
    await asyncio.gather(*map(finished, jobs))

    people = [job.user for job in jobs]
    drawn_in_turn = [each.prompt for each in gate.drawn if each.prompt in people]
    assert drawn_in_turn == [ADA, BOB, EVE]


async def test_a_person_reports_a_picture_once_whatever_their_account(bot, gate):
    await joined(bot)
    job = await drawn(bot, gate, BOB)
    await bot.service.moderation.report(ADA, job.id)

    with pytest.raises(Conflict, match="already"):
        await bot.service.moderation.report(EVE, job.id)


async def test_a_person_reports_so_many_an_hour_with_all_their_accounts(bot, gate, monkeypatch):
    monkeypatch.setattr("bot.reports.MOST_AN_HOUR", 2)
    await joined(bot)
    jobs = [await drawn(bot, gate, BOB) for _ in range(3)]
    await bot.service.moderation.report(ADA, jobs[0].id)
    await bot.service.moderation.report(EVE, jobs[1].id)

    with pytest.raises(TooOften):
        await bot.service.moderation.report(ADA, jobs[2].id)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ada", "Discord “ada” (1)"),
        ("[you](https://evil)\n**yes**", "Discord “you https evil yes” (1)"),
        ("", "Discord “1”"),
        ("x" * 99, f"Discord “{'x' * 40}” (1)"),
    ],
)
def test_a_name_that_somebody_has_chosen_is_shown_without_tricks(name, shown):
    assert str(Account("discord:1", name)) == shown
