"""Screens judge words before the charge and pictures before they are seen; moderators decide about
what is held."""

import asyncio
import threading
from dataclasses import replace

import pytest

from bot.commands import ImagineCommand
from bot.jobs import Delivery, JobStatus, Review
from bot.origins import Origin
from bot.refusals import Conflict, NotAccepting, NotAllowed, NotFound, Screened, TooManyJobs
from bot.screens import PASSED, Action, Verdict
from bot.source import PictureOf, Source
from generation.errors import EngineLost
from generation.executor import ThreadExecutor
from tests.bot.conftest import CIRCLE, HERE, left
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished, until
from tests.samples import picture

SERVER = "discord-server:1"


class Judge:
    """A screen that finds what a test tells it to.

    Attributes:
        words: Verdicts, by a word that they are about.
        picture: The verdict on every picture.
        seen: Sizes of the pictures that it was shown.
        fault: Raised instead of a verdict.
        gate: Where set, nothing is judged before it is set.
    """

    def __init__(self):
        self.words = {}
        self.picture = PASSED
        self.seen = []
        self.texts = []
        self.fault = None
        self.gate = threading.Event()
        self.gate.set()

    def judge_words(self, texts, place):
        if self.fault is not None:
            raise self.fault
        self.texts.append((tuple(texts), place))
        found = [verdict for word, verdict in self.words.items() if word in " ".join(texts)]
        return found[0] if found else PASSED

    def judge_picture(self, image, place):
        assert self.gate.wait(20)
        if self.fault is not None:
            raise self.fault
        self.seen.append(image.size)
        return self.picture


REFUSED = Verdict(Action.REFUSE, "these words are not drawn here", "judge", "a word")
HELD = Verdict(Action.HOLD, "held", "judge", "0.90")
HIDDEN = Verdict(Action.SPOILER, "", "judge", "0.70")
NOT_SHOWN = Verdict(Action.REFUSE, "the picture was not shown", "judge", "0.99")


@pytest.fixture
def judge():
    judge = Judge()
    yield judge
    judge.gate.set()


@pytest.fixture
async def make_judged(make_bot, judge):
    async def make(**settings):
        bot = await make_bot(**settings)
        bot.judges = {"judge": lambda: judge}
        await bot.restart()
        return bot

    return make


@pytest.fixture
async def bot(make_judged):
    return await make_judged()


async def held(bot, gate, judge, source=None):
    judge.picture = HELD
    gate.open()
    job = await bot.service.submit(source or Source(EVE, reply_to=HERE), CIRCLE)
    await until(lambda: job.status is JobStatus.HELD)
    return job


# Words


async def test_refused_words_cost_nothing_and_make_no_job(bot, service, judge):
    judge.words = {"rude": REFUSED}

    with pytest.raises(Screened, match="these words are not drawn here"):
        await service.submit(Source(ADA), ImagineCommand("a rude fox"))

    assert await left(service) == bot.config.quota.credits
    assert (await service.history(ADA)).jobs == []


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
    again = await (await bot.restart()).job(Source(ADA), job.id)
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
    assert (await service.job(Source(ADA), job.id)).is_spoiler


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


# What is held


async def test_nobody_but_moderators_gets_a_held_picture(bot, service, judge, gate):
    job = await held(bot, gate, judge, Source(ADA))

    for look in (
        lambda: service.picture(Source(ADA), job.id),
        lambda: service.picture_file(Source(ADA), job.id, "thumbnail"),
        lambda: service.picture(Source(ADMIN), job.id),
        lambda: service.delete(Source(ADA), job.id),
        lambda: service.cancel(Source(ADA), job.id),
        lambda: service.from_picture(Source(ADA), PictureOf(job.id), "vary"),
    ):
        with pytest.raises(Conflict, match="a moderator looks at this picture"):
            await look()
    assert (await service.review.picture(ADMIN, job.id)).exists()
    with pytest.raises(NotAllowed):
        await service.review.picture(BOB, job.id)


async def test_whoever_looks_at_a_held_picture_is_in_the_audit_log(service, judge, gate):
    judge.picture = HELD
    gate.open()
    job = await service.submit(Source(ADA), replace(CIRCLE, images=2))
    await until(lambda: job.status is JobStatus.HELD)

    await service.review.picture(ADMIN, job.id, 2)
    with pytest.raises(NotAllowed):
        await service.moderation.picture(EVE, job.id)

    acts = await service.admin.audit(ADMIN)
    assert [(act.admin, act.act, act.subject, act.detail) for act in acts] == [
        (ADMIN, "look", job.id, "picture 2")
    ]


async def test_held_pictures_count_among_those_that_one_person_may_have_waiting(
    make_judged, judge, gate
):
    service = (await make_judged(queue={"max_waiting_per_user": 2})).service
    judge.picture = HELD
    gate.open()
    for _ in range(2):
        job = await service.submit(Source(ADA), CIRCLE)
        await until(lambda job=job: job.status is JobStatus.HELD)

    with pytest.raises(TooManyJobs, match=r"2 jobs waiting already \(2 of them for a moderator\)"):
        await service.submit(Source(ADA), CIRCLE)
    await service.submit(Source(BOB), CIRCLE)


async def test_a_released_picture_goes_to_its_person(bot, service, judge, gate):
    job = await held(bot, gate, judge)

    await service.review.release(ADMIN, job.id)

    assert await finished(job) is JobStatus.SUCCEEDED
    assert await service.picture(Source(EVE), job.id)
    (owed,) = await service.answers.undelivered("discord")
    assert owed.id == job.id
    assert [(entry.act, entry.subject) for entry in await service.admin.audit(ADMIN)] == [
        ("release", job.id)
    ]


async def test_a_rejected_picture_is_deleted_refunded_and_a_strike(bot, service, judge, gate):
    job = await held(bot, gate, judge)

    await service.review.reject(ADMIN, job.id, "not here")

    assert await finished(job) is JobStatus.FAILED
    assert job.error.startswith("a moderator decided not to show this picture (not here); your")
    assert await left(service, EVE) == bot.config.quota.credits
    assert list(bot.gallery.images.iterdir()) == []
    assert len(await service.review.strikes(ADMIN, EVE)) == 1


async def test_a_held_picture_is_still_held_after_a_restart_and_not_drawn_again(bot, judge, gate):
    job = await held(bot, gate, judge)
    drawn = len(bot.engine.drawn)

    service = await bot.restart()

    (again,) = await service.review.held(ADMIN)
    assert (again.id, again.status, again.review) == (job.id, JobStatus.HELD, Review.HELD)
    assert len(bot.engine.drawn) == drawn
    await service.review.release(ADMIN, job.id)
    assert (await service.job(Source(EVE), job.id)).delivery is Delivery.OWED


async def test_a_decision_is_made_once(bot, service, judge, gate):
    job = await held(bot, gate, judge)

    outcomes = await asyncio.gather(
        service.review.release(ADMIN, job.id),
        service.review.reject(ADMIN, job.id),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    with pytest.raises(Conflict, match=r"was (released|rejected) already"):
        await service.review.release(ADMIN, job.id)


async def test_a_manager_decides_about_their_own_server_alone(bot, service, judge, gate):
    theirs = await held(bot, gate, judge, Source(EVE, Origin(SERVER), reply_to=HERE))
    other = await held(bot, gate, judge, Source(ADA, Origin("discord-server:2")))
    service.admin.recognise(BOB, manages=SERVER)

    assert [job.id for job in await service.review.held(BOB, SERVER)] == [theirs.id]
    with pytest.raises(NotAllowed):
        await service.review.release(BOB, other.id)
    await service.review.release(BOB, theirs.id)


async def test_a_picture_that_nobody_looks_at_is_refunded_in_the_end(bot, service, judge, gate):
    job = await held(bot, gate, judge, Source(ADA))
    bot.clock.advance(31 * 86400)

    await service.prune()

    assert await finished(job) is JobStatus.FAILED
    assert job.error.startswith("no moderator looked at this picture in time")
    assert await left(service) == bot.config.quota.credits
    assert await service.review.strikes(ADMIN, ADA) == []


async def test_a_picture_that_is_released_just_when_its_time_is_over_stays(
    bot, service, judge, gate
):
    job = await held(bot, gate, judge, Source(ADA))
    read = bot.database.read

    async def released_meanwhile(work):
        found = await read(work)
        bot.database.read = read
        await service.review.release(ADMIN, job.id)
        return found

    bot.database.read = released_meanwhile
    expired = await service.review.expire(bot.clock() + 1)

    assert expired == 0
    assert job.status is JobStatus.SUCCEEDED
    assert (await service.picture(Source(ADA), job.id)).exists()


async def test_cancelling_without_an_id_passes_over_what_is_held(service, judge, gate):
    judge.picture = HELD
    await service.admin.pause(ADMIN)
    first, second, newest = [await service.submit(Source(ADA), CIRCLE) for _ in range(3)]
    await service.admin.move(ADMIN, newest.id, to_front=True)
    gate.allow(CIRCLE.num_inference_steps)
    await service.admin.resume(ADMIN)
    await until(lambda: newest.status is JobStatus.HELD)
    await service.admin.pause(ADMIN)

    assert await service.cancel(Source(ADA)) is second
    cancelling = asyncio.create_task(service.cancel(Source(ADA)))
    gate.open()
    assert await cancelling is first
    with pytest.raises(Conflict, match="moderator"):
        await service.cancel(Source(ADA))


async def test_whoever_cancels_too_late_is_not_kept_waiting_for_moderators(
    service, judge, gate, monkeypatch
):
    judge.picture = HELD
    draw = ThreadExecutor.generate
    cancelling = []

    async def draw_and_cancel(executor, request, on_step):
        result = await draw(executor, request, on_step)
        cancelling.append(asyncio.create_task(service.cancel(Source(ADA))))
        return result

    monkeypatch.setattr(ThreadExecutor, "generate", draw_and_cancel)
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await until(lambda: job.status is JobStatus.HELD)

    await until(lambda: cancelling[0].done())
    with pytest.raises(Conflict, match="moderator"):
        await cancelling[0]


async def test_what_was_to_be_held_is_held_when_it_is_replayed(bot, service, judge, gate):
    judge.words = {"circle": HELD}
    gate.open()
    gate.fault = EngineLost("it has died")
    job = await service.submit(Source(ADA), CIRCLE)
    assert await finished(job) is JobStatus.FAILED
    gate.fault = None

    new = await service.admin.replay(ADMIN, job.id)

    await until(lambda: new.status in (JobStatus.HELD, JobStatus.SUCCEEDED))
    assert new.status is JobStatus.HELD
    assert new.verdict == HELD.note


async def test_a_moderator_can_take_a_spoiler_away(service, judge, gate):
    judge.picture = HIDDEN
    gate.open()
    job = await service.submit(Source(ADA), CIRCLE)
    await finished(job)

    await service.review.reveal(ADMIN, job.id)

    assert not (await service.job(Source(ADA), job.id)).is_spoiler
    with pytest.raises(NotFound):
        await service.review.reveal(ADMIN, "zzzzzzzz")


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

    bot.clock.advance(86401)
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


async def test_a_held_picture_is_deleted_with_its_persons_data(bot, service, gate, judge):
    job = await held(bot, gate, judge)
    assert bot.gallery.picture_path(job.id, 1).exists()

    await service.own_data.delete(EVE)

    assert job.status is JobStatus.FAILED
    assert not any(bot.gallery.images.iterdir())
    assert await service.review.held(ADMIN) == []
    assert await left(service, EVE) == bot.config.quota.credits - job.cost


async def test_strikes_outlive_a_deletion_without_their_reasons(bot, service, gate, judge):
    job = await held(bot, gate, judge)
    await service.review.reject(ADMIN, job.id)
    assert len(await service.review.strikes(ADMIN, EVE)) == 1

    await service.own_data.delete(EVE)

    assert len(await service.review.strikes(ADMIN, EVE)) == 1
    (row,) = await bot.rows("SELECT user, reason FROM strikes")
    assert (row["user"].partition(":")[0], row["reason"]) == ("deleted", "")
    assert await service.review.lift(ADMIN, EVE) == 1
