"""Screens judge words before the charge, and pictures before they are seen."""

from dataclasses import replace

import pytest

from bot.commands import ImagineCommand
from bot.jobs import JobStatus
from bot.origins import Origin
from bot.refusals import Conflict, NotAccepting, NotAllowed, Screened
from bot.screens import PASSED, Action, Verdict
from bot.source import PictureOf, Source
from tests.bot.conftest import CIRCLE, left
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished, until
from tests.judges import HELD, HIDDEN, NOT_SHOWN, REFUSED, held
from tests.samples import picture

SERVER = "discord-server:1"


@pytest.fixture
async def bot(make_judged):
    return await make_judged()


# Words


async def test_refused_words_cost_nothing_and_make_no_job(bot, service, judge):
    judge.words = {"rude": REFUSED}

    with pytest.raises(Screened, match="these words are not drawn here"):
        await service.submit(Source(ADA), ImagineCommand("a rude fox"))

    assert await left(service) == bot.config.quota.credits
    assert (await service.lookups.history(ADA)).jobs == []


async def test_the_whole_request_is_judged_its_negative_prompt_too(service, judge):
    await service.submit(Source(ADA), ImagineCommand("a fox", negative_prompt="fog"))

    ((texts, _),) = judge.texts
    assert texts == ("a fox", "fog")


@pytest.mark.parametrize("way", ["again", "vary", "same words"])
async def test_no_way_leads_round_the_screen(service, judge, gate, way):
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await finished(job)
    judge.words = {"circle": REFUSED}
    ways = {
        "again": lambda: service.again(Source(ADA), job.id),
        "vary": lambda: service.from_picture(Source(ADA), PictureOf(job.id), "vary"),
        "same words": lambda: service.submit(Source(BOB), CIRCLE),
    }

    with pytest.raises(Screened):
        await ways[way]()


async def test_an_attached_picture_is_judged_before_the_charge(bot, service, judge):
    judge.picture = NOT_SHOWN

    with pytest.raises(Screened):
        await service.submit(Source(ADA), ImagineCommand("a fox", preset="canny"), [picture()])

    assert await left(service) == bot.config.quota.credits
    assert list(bot.gallery.control_images.glob("*.png")) == []


async def test_drawing_again_is_no_way_round_the_judgement_of_an_attached_picture(
    bot, service, judge, gate
):
    gate.open()
    drawn = await service.submit(Source(ADA), replace(CIRCLE, preset="canny"), (picture(),))
    await finished(drawn)
    spent = (await service.quota(ADA)).used
    judge.picture = NOT_SHOWN

    with pytest.raises(Screened):
        await service.again(Source(ADA), drawn.id)

    assert (await service.quota(ADA)).used == spent


async def test_a_servers_own_words_reach_the_screen_from_there_alone(bot, service, judge):
    service.admin.recognise(BOB, manages=SERVER)
    await service.review.refuse_word(BOB, SERVER, "Voldemort", is_refused=True)

    await service.submit(Source(ADA, Origin(SERVER)), ImagineCommand("a fox"))
    await service.submit(Source(ADA), ImagineCommand("a fox"))

    assert [place.words for _, place in judge.texts] == [("voldemort",), ()]


async def test_words_that_are_to_be_held_are_drawn_and_held(service, judge, gate):
    judge.words = {"doubtful": HELD}
    gate.open()

    job = await service.submit(Source(ADA), ImagineCommand("a doubtful fox", width=64, height=64))

    await until(lambda: job.status is JobStatus.HELD)


# Pictures


async def test_a_refused_picture_is_stored_nowhere_and_its_credits_come_back(
    bot, service, judge, gate
):
    judge.picture = NOT_SHOWN
    gate.open()

    job = await service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert "the picture was not shown; your credits were given back" in job.error
    assert "strike 1 of 3" in job.error
    assert await left(service) == bot.config.quota.credits
    assert list(bot.gallery.images.iterdir()) == []


async def test_credits_are_kept_where_the_operator_wants_that(make_judged, judge, gate):
    bot = await make_judged(screens={"refund": False})
    judge.picture = NOT_SHOWN
    gate.open()

    job = await bot.service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.FAILED
    assert "given back" not in job.error
    assert await left(bot.service) == bot.config.quota.credits - job.cost


async def test_a_spoiler_is_kept_with_the_job(bot, judge, gate):
    judge.picture = HIDDEN
    gate.open()

    job = await bot.service.submit(Source(ADA), CIRCLE)

    assert await finished(job) is JobStatus.SUCCEEDED
    assert job.is_spoiler
    again = await (await bot.restart()).lookups.job(Source(ADA), job.id)
    assert again.is_spoiler


async def test_a_preview_is_shown_only_once_it_is_judged(bot, service, judge, gate):
    judge.gate.clear()
    job = await service.submit(Source(ADA), ImagineCommand("a fox", num_inference_steps=9))
    gate.allow(3)
    await at_step(job, 3)
    assert job.progress.preview is None

    judge.gate.set()

    await until(lambda: job.progress.preview is not None)


async def test_after_a_preview_that_may_not_be_seen_there_are_no_more(service, judge, gate):
    judge.picture = HELD
    job = await service.submit(Source(ADA), ImagineCommand("a fox", num_inference_steps=9))
    gate.allow(2)
    await at_step(job, 2)
    await until(lambda: judge.seen)
    judge.picture = PASSED

    gate.allow(6)
    await at_step(job, 8)

    assert job.progress.preview is None
    assert len(judge.seen) == 1


@pytest.mark.parametrize("verdict", [HELD, HIDDEN])
async def test_of_a_picture_that_is_held_or_hidden_for_its_words_there_are_no_previews(
    service, judge, gate, verdict
):
    judge.words = {"doubtful": verdict}
    job = await service.submit(Source(ADA), ImagineCommand("doubtful", num_inference_steps=9))
    gate.allow(3)
    await at_step(job, 3)

    await service.submit(Source(BOB), CIRCLE)  # judged after what came before

    assert job.progress.preview is None
    assert judge.seen == []


@pytest.mark.parametrize("verdict", [HIDDEN, HELD, NOT_SHOWN])
async def test_only_a_preview_that_passes_is_shown(service, judge, gate, verdict):
    judge.picture = verdict
    job = await service.submit(Source(ADA), ImagineCommand("a fox", num_inference_steps=9))
    gate.allow(2)
    await at_step(job, 2)
    await until(lambda: judge.seen)
    await service.submit(Source(BOB), CIRCLE)  # judged after what came before

    gate.allow(1)
    await at_step(job, 3)

    assert job.progress.preview is None


@pytest.mark.parametrize("verdict", [PASSED, HELD])
async def test_a_picture_that_is_hidden_for_its_words_stays_hidden(
    bot, service, judge, gate, verdict
):
    judge.words = {"circle": HIDDEN}
    judge.picture = verdict
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await until(lambda: job.status in (JobStatus.SUCCEEDED, JobStatus.HELD))
    if job.status is JobStatus.HELD:
        await service.review.release(ADMIN, job.id)

    assert job.is_spoiler
    service = await bot.restart()
    assert (await service.lookups.job(Source(ADA), job.id)).is_spoiler


async def test_a_server_refuses_so_many_words_and_no_more(service):
    for number in range(200):
        await service.review.refuse_word(ADMIN, SERVER, f"word {number}", is_refused=True)

    with pytest.raises(Conflict, match="200 words already"):
        await service.review.refuse_word(ADMIN, SERVER, "one more", is_refused=True)


# A screen that does not work


async def test_a_screen_that_fails_lets_no_words_through(bot, service, judge):
    judge.fault = RuntimeError("out of order")

    with pytest.raises(NotAccepting, match="the filter for words and pictures does not work"):
        await service.submit(Source(ADA), CIRCLE)

    assert await left(service) == bot.config.quota.credits


async def test_a_screen_that_fails_lets_no_picture_through(bot, service, judge, gate):
    job = await service.submit(Source(ADA), CIRCLE)
    judge.fault = RuntimeError("out of order")
    gate.open()

    assert await finished(job) is JobStatus.FAILED
    assert await left(service) == bot.config.quota.credits
    assert list(bot.gallery.images.iterdir()) == []


async def test_a_screen_that_cannot_be_loaded_stops_the_bot_from_accepting(bot):
    def broken():
        raise OSError("words.txt is not there")

    bot.judges = {"judge": broken}
    service = await bot.restart()

    await until(lambda: service.state.status == "failed")
    with pytest.raises(NotAccepting, match="does not work"):
        await service.submit(Source(ADA), CIRCLE)


# Strikes


async def test_three_refused_pictures_pause_a_person_for_a_day(bot, service, judge, gate):
    judge.picture = NOT_SHOWN
    gate.open()
    for count in (1, 2, 3):
        job = await service.submit(Source(ADA), CIRCLE)
        await finished(job)
        assert f"strike {count} of 3" in job.error

    with pytest.raises(NotAllowed, match="you cannot draw for another 24 hours"):
        await service.submit(Source(ADA), CIRCLE)
    await service.submit(Source(BOB), CIRCLE)

    for seconds, words in ((86400 - 120, "2 minutes"), (61, "1 minute")):
        bot.clock.advance(seconds)
        with pytest.raises(NotAllowed, match=f"you cannot draw for another {words},"):
            await service.submit(Source(ADA), CIRCLE)
    bot.clock.advance(60)
    await service.submit(Source(ADA), CIRCLE)


async def test_an_admin_lifts_strikes(service, judge, gate):
    judge.picture = NOT_SHOWN
    gate.open()
    for _ in range(3):
        await finished(await service.submit(Source(ADA), CIRCLE))

    assert await service.review.lift(ADMIN, ADA) == 3

    await service.submit(Source(ADA), CIRCLE)


async def test_refused_words_are_strikes_only_where_the_operator_says_so(make_judged, judge):
    bot = await make_judged(screens={"words_strike": True, "strikes": 1})
    judge.words = {"rude": REFUSED}

    with pytest.raises(Screened, match="strike 1 of 1: you cannot draw for 24 hours"):
        await bot.service.submit(Source(ADA), ImagineCommand("a rude fox"))
    with pytest.raises(NotAllowed, match="you cannot draw for another"):
        await bot.service.submit(Source(ADA), CIRCLE)


async def test_sexual_words_about_minors_always_are(service, judge):
    judge.words = {"rude": Verdict(Action.REFUSE, "not drawn", "minors", "…")}

    with pytest.raises(Screened, match="strike 1 of 3"):
        await service.submit(Source(ADA), ImagineCommand("a rude fox"))


# One's own data


async def test_strikes_outlive_a_deletion_without_their_reasons(bot, service, gate, judge):
    job = await held(bot, gate, judge)
    await service.review.reject(ADMIN, job.id)
    assert len(await service.review.strikes(ADMIN, EVE)) == 1

    await service.own_data.delete(EVE)

    assert len(await service.review.strikes(ADMIN, EVE)) == 1
    (row,) = await bot.rows("SELECT user, reason FROM strikes")
    assert (row["user"].partition(":")[0], row["reason"]) == ("deleted", "")
    assert await service.review.lift(ADMIN, EVE) == 1
