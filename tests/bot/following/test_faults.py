"""The consequences of a platform's faults, and of our own, for the end of a job."""

from dataclasses import replace

import pytest

from bot import following as module
from bot.jobs import Delivery, JobStatus
from bot.refusals import StorageTrouble
from bot.source import Source
from bot.windows import TRIES_ON_A_WAY, Attempt, Meaning
from tests.bot.following.paper import EVE, FOX, Paper, replaced, until
from tests.conftest import finished, stepping


@pytest.mark.parametrize(
    ("meaning", "is_repeated"), [(Meaning.PASSES, False), (Meaning.UNKNOWN, True)]
)
async def test_what_passes_is_tried_again_and_what_is_unknown_looked_for_first(
    desk, gate, meaning, is_repeated
):
    desk.prepared["faults"] = {"edit": [Paper(meaning, retry_in=7.0), Paper(meaning)]}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.letters == [("edit", JobStatus.SUCCEEDED)]
    tries = [attempt for what, attempt in sheet.attempts if what == "edit"]
    assert [each.is_repeated for each in tries] == [False, is_repeated, is_repeated]
    assert desk.pauses == [7.0, 2.0], "what the platform wants, and longer each time"


async def test_what_is_followed_again_may_have_been_posted_before(desk):
    job = await desk.bot.service.submit(Source(EVE, reply_to={"sheet": 1}), FOX)

    await desk.following.follow_all()
    await until(lambda: desk.sheets[job.id].attempts)

    assert desk.sheets[job.id].attempts[0] == ("open", Attempt(is_repeated=True))


async def test_a_way_that_is_closed_leads_to_the_next_and_the_message_says_so(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.CLOSED)]}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED
    assert sheet.letters == [("letter", JobStatus.SUCCEEDED)]
    assert sheet.lines[-1] == "Answered in a direct message."


async def test_a_last_word_is_tried_until_the_platform_takes_it_or_refuses_it(desk, gate):
    passing = [Paper(Meaning.PASSES)] * 2
    desk.prepared["faults"] = {"edit": [Paper(Meaning.CLOSED)], "note": passing}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.lines[-1] == "Answered in a direct message."


async def test_what_can_be_delivered_nowhere_is_refunded_in_the_persons_language(desk, gate):
    why = "der Kanal wurde archiviert"
    closed = {"edit": [Paper(Meaning.CLOSED)], "letter": [Paper(Meaning.CLOSED, why)]}
    desk.prepared["faults"] = closed
    gate.open()

    job, sheet = await desk.ask(locale="de")
    job = await desk.settled(job)

    assert (job.delivery, job.error) == (Delivery.NONE, why)
    assert (await desk.bot.service.quota(EVE)).used == 0
    assert sheet.lines[-1] == f"Nicht zugestellt: {why}. Du hast deine Credits zurück."


async def test_what_is_refused_for_good_goes_no_other_way(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.REFUSED, "no foxes here")]}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert (sheet.letters, job.error) == ([], "no foxes here")
    assert "no foxes here" in sheet.lines[-1]


async def test_a_file_that_is_too_large_is_made_smaller_and_then_goes_another_way(desk, gate):
    faults = [Paper(Meaning.TOO_LARGE)] * (module.MOST_SHRINKS + 1)
    desk.prepared["faults"] = {"edit": faults}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    tries = [attempt.shrunk for what, attempt in sheet.attempts if what == "edit"]
    assert tries == list(range(module.MOST_SHRINKS + 1))
    assert sheet.letters == [("letter", JobStatus.SUCCEEDED)]


async def test_a_way_on_which_every_attempt_fails_lets_the_others_try(desk, gate):
    """I8"""
    desk.prepared["faults"] = {"edit": [Paper(Meaning.UNKNOWN)] * 1000}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.letters == [("letter", JobStatus.SUCCEEDED)]
    assert 60 < sum(desk.pauses) < 300, "the platform has minutes to come back, and no hours"


async def test_the_platform_may_say_how_soon_the_next_way_has_its_turn(desk, gate):
    desk.prepared["faults"] = {"edit": [replaced(Paper(Meaning.PASSES), tries=3)] * 1000}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert len([what for what, _ in sheet.attempts if what == "edit"]) == 3


async def test_while_the_platform_is_down_nobody_is_refunded(desk, gate):
    """I8"""
    down = [Paper(Meaning.UNKNOWN)] * (TRIES_ON_A_WAY + 50)
    desk.prepared["faults"] = {"edit": list(down), "letter": list(down)}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert (job.delivery, len(sheet.letters)) == (Delivery.DELIVERED, 1)
    assert max(desk.pauses) == module.LONGEST_PAUSE_OF_ROUNDS
    assert sum(desk.pauses) > 6 * 3600


async def test_no_way_is_tried_for_ever(desk, gate):
    """I8"""
    forever = {name: [Paper(Meaning.UNKNOWN)] * 10_000 for name in ("edit", "letter", "note")}
    desk.prepared["faults"] = forever
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert "could not be posted anywhere" in job.error
    assert (await desk.bot.service.quota(EVE)).used == 0
    for name in forever:
        assert len([what for what, _ in sheet.attempts if what == name]) < 150


async def test_a_message_that_cannot_be_posted_yet_keeps_no_picture_from_being_drawn(desk, gate):
    """I8: the end of the job takes its ways all the same."""
    desk.prepared["faults"] = {"open": [Paper(Meaning.PASSES)] * 10_000}
    gate.open()

    job, sheet = await desk.ask()
    job = await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED
    assert len([what for what, _ in sheet.attempts if what == "open"]) < 150


async def test_an_attempt_that_hangs_is_made_again(desk, gate, monkeypatch):
    """I8"""
    monkeypatch.setattr(module, "SECONDS_FOR_AN_ATTEMPT", 0.05)
    desk.prepared["hanging"] = ["edit"]
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.letters == [("edit", JobStatus.SUCCEEDED)]
    tries = [attempt for what, attempt in sheet.attempts if what == "edit"]
    assert tries == [Attempt(), Attempt(is_repeated=True)]


async def test_an_end_that_will_be_refused_is_not_drawn(desk, gate):
    """C14: a filter that takes offence at the progress takes offence at the end."""
    desk.prepared["faults"] = {"show": [Paper(Meaning.REFUSED, "no foxes here")]}

    job, sheet = await desk.ask()
    job = await stepping(gate, desk.settled(job))

    assert (job.status, job.error) == (JobStatus.CANCELLED, "no foxes here")
    assert (await desk.bot.service.quota(EVE)).used == 0
    assert "no foxes here" in sheet.lines[-1]


async def test_a_platform_that_does_not_know_the_bot_is_owed_the_answer(desk, gate):
    desk.prepared["faults"] = {"edit": [Paper(Meaning.GONE)]}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert (desk.gone, sheet.letters) == ([job], [])
    assert [each.id for each in await desk.bot.service.answers.undelivered("paper")] == [job.id]


async def test_progress_tells_too_that_the_platform_does_not_know_the_bot(desk):
    desk.prepared["faults"] = {"show": [Paper(Meaning.GONE)]}

    job, _ = await desk.ask()
    await desk.settled(job)

    assert desk.gone == [job]


async def test_the_people_of_a_platform_that_is_gone_get_their_credits_back(desk, gate):
    job, _ = await desk.ask()
    other = await desk.bot.service.submit(
        Source(EVE, reply_to={"sheet": 2}), replace(FOX, prompt="a cat")
    )

    ending = desk.following.abandon(lambda job: job.reply_to["sheet"] == 1, "the token was revoked")
    await stepping(gate, ending)

    ended = await desk.bot.service.lookups.job(Source(EVE), job.id)
    assert ended.error == "Paper could not be reached: the token was revoked"
    assert [each.id for each in await desk.bot.service.answers.undelivered("paper")] == [other.id]


async def test_where_nothing_can_be_shown_nothing_is_drawn(desk, gate):
    desk.prepared["faults"] = {"open": [Paper(Meaning.CLOSED, "the channel was archived")]}

    job, sheet = await desk.ask()
    job = await stepping(gate, desk.settled(job))

    assert (job.status, job.error) == (JobStatus.CANCELLED, "the channel was archived")
    assert "the channel was archived" in sheet.lines[-1]


async def test_a_fault_of_our_own_leaves_the_answer_owed(desk, gate, caplog):
    desk.prepared["faults"] = {"edit": [ZeroDivisionError()]}
    gate.open()

    job, _ = await desk.ask()
    await desk.settled(job)
    assert "still owed" in caplog.text
    await desk.following.follow_all()
    job = await desk.settled(job)

    assert job.delivery is Delivery.DELIVERED


async def test_a_fault_of_our_own_that_stays_ends_in_words_and_a_refund(desk, gate):
    """I8: it was tried every minute, for ever."""
    desk.prepared["faults"] = {"edit": [ZeroDivisionError()] * 10}
    gate.open()

    job, _ = await desk.ask()
    for _ in range(module.MOST_FAULTS_OF_OURS):
        await desk.settled(job)
        await desk.following.follow_all()
    job = await desk.settled(job)

    assert (job.delivery, job.error) == (Delivery.NONE, "something went wrong on our side")
    assert (await desk.bot.service.quota(EVE)).used == 0
    assert "something went wrong on our side" in desk.sheets[job.id].lines[-1]


async def test_a_row_that_no_window_will_ever_understand_is_given_up(desk, gate):
    """I8"""

    def opened(job, say):
        raise KeyError("team")

    gate.open()
    desk.following._open_window = opened
    job, _ = await desk.ask()
    await finished(job)

    for _ in range(module.MOST_FAULTS_OF_OURS + 1):
        await desk.following.follow_all()

    (job,) = (await desk.bot.service.lookups.history(EVE)).jobs
    assert job.delivery is Delivery.NONE


async def test_trouble_of_the_disk_only_delays_the_answer(desk, gate):
    desk.prepared["faults"] = {"edit": [OSError(24, "Too many open files"), StorageTrouble("full")]}
    gate.open()

    job, sheet = await desk.ask()
    await desk.settled(job)

    assert sheet.letters == [("edit", JobStatus.SUCCEEDED)]
