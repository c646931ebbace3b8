"""What Prometheus is told: few labels, the bot at a moment, and nothing about people."""

import re

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bot.assembly.platforms import PLATFORMS
from bot.backups import back_up
from bot.commands import ImagineCommand
from bot.gauges import Gauges
from bot.jobs import JobStatus
from bot.metrics import PLATFORMS as NAMED
from bot.metrics import Metrics
from bot.refusals import StorageTrouble
from bot.source import Source
from bot.windows import Meaning
from generation.errors import EngineLost, FluxbotError
from tests.bot.conftest import CIRCLE, HERE
from tests.bot.following.paper import Desk, Paper
from tests.conftest import ADA, EVE, finished, until


def gauges_of(bot, database=None):
    return Gauges(
        bot.service,
        database or bot.database,
        bot.folder / "bot.sqlite3",
        bot.folder / "backups",
        {"data": bot.folder, "download": bot.folder / "not there"},
        bot.clock,
    )


async def scraped(bot, database=None):
    """(text, value of each sample by its name and the values of its labels, in the order of the
    labels' names) of a scrape."""
    text = generate_latest(await gauges_of(bot, database).look()).decode()
    values = {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return text, values


def test_the_platforms_that_have_names_are_those_that_there_are():
    assert set(NAMED) == {platform.name for platform in PLATFORMS}


async def test_ends_waits_times_and_credits_are_counted_by_preset_and_platform(bot, gate, clock):
    gate.seconds = 6.0
    one = await bot.service.submit(Source(ADA), CIRCLE)
    gone = await bot.service.submit(Source(EVE, reply_to=HERE), CIRCLE)
    clock.advance(7)
    await bot.service.cancel(Source(EVE), gone.id)
    gate.open()
    assert await finished(one) is JobStatus.SUCCEEDED
    gate.fault = FluxbotError("it cannot be drawn")
    failed = await bot.service.submit(Source(ADA), CIRCLE)
    assert await finished(failed) is JobStatus.FAILED

    _, values = await scraped(bot)

    ends = {key[1:]: n for key, n in values.items() if key[0] == "fluxbot_jobs_ended_total"}
    assert ends == {
        ("web", "plain", "succeeded"): 1,
        ("web", "plain", "failed"): 1,
        ("discord", "plain", "cancelled"): 1,
    }
    assert values["fluxbot_credits_spent_total", "web", "plain"] == one.cost
    assert values["fluxbot_credits_refunded_total", "web", "plain"] == failed.cost
    assert values["fluxbot_credits_spent_total", "discord", "plain"] == 0
    assert values["fluxbot_credits_refunded_total", "discord", "plain"] == gone.cost
    assert values["fluxbot_job_wait_seconds_count",] == 2
    assert values["fluxbot_job_drawing_seconds_sum", "plain"] == 6.0
    assert values["fluxbot_step_seconds_sum", "plain"] == 2.0
    assert values["fluxbot_engine_jobs_total", "engine-1", "succeeded"] == 1
    assert values["fluxbot_engine_jobs_total", "engine-1", "failed"] == 1


async def test_a_preset_that_is_gone_and_a_platform_that_nobody_knows_are_other(bot, gate):
    bot.service.metrics = metrics = Metrics({"canny"})
    job = await bot.service.submit(Source(ADA), CIRCLE)
    job.user = "myspace:ada"

    metrics.ended(job)
    metrics.drawn(job, 3.0)
    metrics.called("carrier pigeon", None)
    text, values = await scraped(bot)
    gate.open()
    await finished(job)

    assert values["fluxbot_jobs_ended_total", "other", "other", "queued"] == 1
    assert values["fluxbot_job_drawing_seconds_count", "other"] == 1
    assert values["fluxbot_platform_calls_total", "ok", "other"] == 1
    assert re.search("myspace|pigeon|plain", text) is None


async def test_calls_to_a_platform_are_counted_by_their_outcome(bot, gate):
    desk = Desk(bot)
    desk.prepared["faults"] = {
        "edit": [Paper(Meaning.PASSES), ConnectionResetError(), Paper(Meaning.CLOSED)]
    }
    gate.open()
    job, _ = await desk.ask()
    await desk.settled(job)
    await desk.following.close(is_silent=True)

    _, values = await scraped(bot)

    calls = {key[1]: n for key, n in values.items() if key[0] == "fluxbot_platform_calls_total"}
    assert {name: n for name, n in calls.items() if name != "ok"} == {
        "passes": 1,
        "unexpected": 1,
        "closed": 1,
    }
    assert calls["ok"] >= 2, "the message was opened, and the other way taken"


async def test_the_moment_shows_the_queue_the_engines_the_answers_owed_and_the_disk(
    bot, gate, clock
):
    await until(lambda: bot.service.state.status == "ready")
    gate.fault = EngineLost("it died")
    gate.allow()
    first = await bot.service.submit(Source(EVE, reply_to=HERE), CIRCLE)
    await finished(first)
    gate.fault = None
    gate.close_again()
    gate.waits.clear()
    drawn = await bot.service.submit(Source(ADA), CIRCLE)
    await until(gate.waits.is_set)
    await bot.service.submit(Source(ADA), CIRCLE)
    clock.advance(90)
    back_up(bot.folder / "bot.sqlite3", bot.folder / "backups", 1_700_000_000)

    _, values = await scraped(bot)
    gate.open()
    await finished(drawn)

    assert values["fluxbot_jobs_waiting",] == values["fluxbot_jobs_running",] == 1
    assert values["fluxbot_oldest_waiting_seconds",] == 90
    assert values["fluxbot_jobs_held",] == 0
    assert values["fluxbot_deliveries_owed", "discord"] == 1
    assert values["fluxbot_oldest_owed_seconds", "discord"] == 90
    assert values["fluxbot_engine_jobs_total", "engine-1", "lost"] == 2
    assert values["fluxbot_engine_state", "engine-1", "drawing"] == 1
    assert values["fluxbot_drawing_state", "ready"] == 1
    assert values["fluxbot_drawing_state", "failed"] == 0
    assert values["fluxbot_database_bytes", "database"] > 0
    assert 0 < values["fluxbot_disk_free_bytes", "data"] <= values["fluxbot_disk_bytes", "data"]
    assert ("fluxbot_disk_free_bytes", "download") not in values
    assert values["fluxbot_backup_timestamp_seconds",] == 1_700_000_000
    assert values["fluxbot_database_up",] == 1


async def test_a_database_that_cannot_be_read_is_a_figure_and_no_error(bot):
    class Broken:
        async def read(self, work):
            raise StorageTrouble("the bot cannot save anything right now")

    _, values = await scraped(bot, Broken())

    assert values["fluxbot_database_up",] == 0
    assert ("fluxbot_jobs_waiting",) not in values


@pytest.mark.parametrize("user", ["web:ada-lovelace", "discord:80351110224678912"])
async def test_nothing_in_a_scrape_is_about_a_person(bot, gate, user):
    gate.open()
    source = Source(user, reply_to={"channel": "secret-garden"}, event_id="event-77")
    job = await bot.service.submit(source, ImagineCommand("a zeppelin", num_inference_steps=1))
    await finished(job)

    text, _ = await scraped(bot)

    private = (user.partition(":")[2], "zeppelin", job.id, "secret-garden", "event-77")
    assert [word for word in private if re.search(re.escape(word), text)] == []
