"""A person's own data: all of it is handed over, and none of it stays once they delete it."""

import asyncio
import json
import sqlite3
import zipfile
from dataclasses import replace
from functools import partial

import pytest

from bot import deletion_record
from bot.backups import back_up, made_at, restore
from bot.commands import ImagineCommand
from bot.jobs import JobStatus
from bot.origins import Origin
from bot.refusals import Conflict, NotAllowed, NotFound, QuotaExceeded, StorageTrouble, TooOften
from bot.source import PictureOf, Source
from tests.bot.conftest import CIRCLE, HERE, left
from tests.conftest import ADA, ADMIN, BOB, EVE, at_step, finished, stepping, until
from tests.judges import HELD
from tests.samples import picture

MARKER = "quixotrillium"
WORDS = replace(CIRCLE, prompt=f"a {MARKER} fox", negative_prompt=f"no {MARKER}z")
SERVER = "web-server:1"


async def drawn(bot, gate, user=ADA, command=WORDS, pictures=(), **source):
    gate.open()
    job = await bot.service.submit(Source(user, **source), command, pictures)
    assert await finished(job) is JobStatus.SUCCEEDED
    gate.close_again()
    return job


def traces(bot, *texts):
    """Files of the data folder in which one of *texts* stands, by name or by content."""
    return [
        path.name
        for path in bot.folder.rglob("*")
        for text in texts
        if text in path.name or (path.is_file() and text.encode() in path.read_bytes())
    ]


async def read(export):
    """The files of an export, by name; all parts together."""
    found = {}
    for path in export.files:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            found |= {name: archive.read(name) for name in archive.namelist()}
    return found


# Handed over


async def test_an_export_has_pictures_attachments_and_all_that_is_known(bot, gate):
    job = await drawn(bot, gate, command=replace(WORDS, preset="canny"), pictures=(picture(),))
    await bot.service.own_settings.change(ADA, ImagineCommand(num_inference_steps=5))
    await bot.service.admin.ban(ADMIN, ADA, "for a test")

    export = await bot.service.own_data.export(ADA)

    files = await read(export)
    stored = (await bot.service.lookups.picture(Source(ADA), job.id)).read_bytes()
    assert files[f"pictures/{job.id}-1.png"] == stored
    assert len([name for name in files if name.startswith("attached/")]) == 1
    (line,) = files["history.jsonl"].decode().splitlines()
    assert json.loads(line)["request"]["prompt"] == f"a {MARKER} fox"
    about = json.loads(files["about.json"])
    assert (about["user"], about["settings"]) == (ADA, {"num_inference_steps": 5})
    assert about["ban_reason"] == "for a test"
    assert json.loads(files["credits.json"])[0]["credits"] == -job.cost


async def test_an_export_has_nothing_of_other_people(bot, gate):
    of_bob = await drawn(bot, gate, BOB)
    gate.open()
    shown = Source(ADA, shown=of_bob.id)
    mine = await bot.service.from_picture(shown, PictureOf(of_bob.id, 1), "vary")
    await finished(mine)
    await bot.service.admin.ban(ADMIN, ADA, "for a test")

    files = await read(await bot.service.own_data.export(ADA))

    assert not [name for name in files if of_bob.id in name]
    assert f"pictures/{mine.id}-1.png" in files
    assert not [
        name for name, data in files.items() if BOB.encode() in data or b"web:local" in data
    ]


async def test_an_export_goes_on_behind_a_picture_that_is_gone(bot, gate):
    jobs = [await drawn(bot, gate, command=replace(WORDS, seed=seed)) for seed in range(3)]
    bot.gallery.picture_path(jobs[1].id, 1).unlink()

    export = await bot.service.own_data.export(ADA)

    pictures = [name for name in await read(export) if name.startswith("pictures/")]
    assert len(pictures) == 2
    assert not any(jobs[1].id in name for name in pictures)
    await export.close()
    await export.close()


async def test_an_export_comes_in_parts_that_can_be_sent(bot, gate):
    for seed in range(4):
        await drawn(bot, gate, command=replace(WORDS, seed=seed))
    most = (
        2
        * bot.gallery.picture_path((await bot.service.lookups.latest(Source(ADA))).id, 1)
        .stat()
        .st_size
    )
    most += 6000

    export = await bot.service.own_data.export(ADA, most)

    assert len(export.files) > 1
    assert all(path.stat().st_size <= most for path in export.files)
    assert len([name for name in await read(export) if name.startswith("pictures/")]) == 4
    first = export.at_most(1)
    sent = [name for name in await read(first) if name.startswith("pictures/")]
    assert (first.files, first.left_out) == (export.files[:1], 4 - len(sent))
    assert export.at_most(len(export.files)) == export
    await export.close()
    assert not any((bot.folder / "exports").iterdir())


async def test_a_person_can_have_their_data_a_few_times_a_day_and_one_at_a_time(bot, clock):
    own_data = bot.service.own_data
    first = asyncio.create_task(own_data.export(ADA))
    await asyncio.sleep(0)
    with pytest.raises(Conflict, match="put together already"):
        await own_data.export(ADA)
    await first
    await own_data.export(ADA)
    await own_data.export(ADA)

    with pytest.raises(TooOften, match="3 times a day"):
        await own_data.export(ADA)

    clock.advance(86401)
    assert (await own_data.export(ADA)).files


# Deleted


async def test_nothing_of_a_person_who_deletes_all_is_left_on_the_disk(make_bot, gate):
    bot = await make_bot(admins={"users": (ADMIN, ADA)})
    await drawn(bot, gate, BOB, replace(CIRCLE, prompt="a blue square"))
    for seed in range(30):
        command = replace(WORDS, seed=seed, prompt=f"a {MARKER}{seed} fox")
        await drawn(bot, gate, command=command, reply_to={"to": ADA}, event_id=f"e:{ADA}{seed}")
    await drawn(bot, gate, command=replace(WORDS, preset="canny"), pictures=(picture(),))
    await bot.service.own_settings.change(ADA, ImagineCommand(num_inference_steps=5))
    await bot.service.admin.grant(ADA, BOB, 5)
    await bot.service.admin.grant(ADMIN, ADA, 5)
    await bot.database.checkpoint()
    assert traces(bot, MARKER, ADA)

    deletion = await bot.service.own_data.delete(ADA)

    assert deletion.jobs == 31
    assert traces(bot, MARKER, ADA) == []
    (of_bob,) = (await bot.service.lookups.history(BOB)).jobs
    assert (await bot.service.lookups.picture(Source(BOB), of_bob.id)).exists()
    assert not any(bot.gallery.control_images.iterdir())
    assert not (await bot.service.lookups.history(ADA)).jobs
    assert await bot.service.own_settings.of(ADA) == {}
    acts = await bot.rows("SELECT * FROM audit ORDER BY number")
    assert [act["act"] for act in acts] == ["grant", "grant"]
    assert acts[0]["admin"] == acts[1]["subject"]
    assert acts[0]["admin"].startswith("deleted:")


async def test_the_ledger_keeps_its_sums_and_a_person_who_comes_back_their_credits(
    make_bot, gate, clock
):
    bot = await make_bot(quota={"credits": 10, "window_hours": 24})
    job = await drawn(bot, gate)
    before = await left(bot.service)
    total = "SELECT sum(credits) AS sum FROM entries"
    sums = await bot.rows(total)

    await bot.service.own_data.delete(ADA)
    await bot.service.own_data.delete(ADA)

    assert await left(bot.service) == before == 10 - job.cost
    assert await bot.rows(total) == sums
    clock.advance(25 * 3600)
    await bot.service.own_data.forget_old()
    assert await bot.rows("SELECT * FROM departed") == []
    assert await left(bot.service) == 10


async def test_a_person_with_more_to_pay_than_is_left_is_refused_after_coming_back(make_bot, gate):
    bot = await make_bot(quota={"credits": 1})
    await drawn(bot, gate)

    await bot.service.own_data.delete(ADA)

    with pytest.raises(QuotaExceeded):
        await bot.service.submit(Source(ADA), CIRCLE)


async def test_a_ban_outlives_a_deletion_until_an_admin_lifts_it(bot, clock):
    await bot.service.admin.ban(ADMIN, ADA, "spam")
    await bot.service.own_data.delete(ADA)
    clock.advance(365 * 86400)
    await bot.service.own_data.forget_old()

    with pytest.raises(NotAllowed, match="spam"):
        await bot.service.submit(Source(ADA), CIRCLE)

    await bot.service.admin.unban(ADMIN, ADA)
    assert await bot.service.submit(Source(ADA), CIRCLE)


async def test_a_control_image_that_somebody_else_needs_stays_for_them(bot, gate):
    command = replace(CIRCLE, preset="canny")
    await drawn(bot, gate, command=command, pictures=(picture(),))
    of_bob = await drawn(bot, gate, BOB, command, (picture(),))

    await bot.service.own_data.delete(ADA)

    assert (await bot.service.lookups.control_image(Source(BOB), of_bob.id)).exists()


async def test_a_repeated_event_of_a_deleted_job_is_not_drawn_again(bot, gate):
    await drawn(bot, gate, reply_to=HERE, event_id="web:1")
    await bot.service.own_data.delete(ADA)

    with pytest.raises(Conflict, match="deleted together with your data"):
        await bot.service.submit(Source(ADA, reply_to=HERE, event_id="web:1"), CIRCLE)


async def test_jobs_that_wait_or_are_drawn_are_cancelled_first(bot, gate):
    running = await bot.service.submit(Source(ADA), replace(WORDS, num_inference_steps=50))
    await at_step(running, 0)
    waiting = await bot.service.submit(Source(ADA), WORDS)
    of_bob = await bot.service.submit(Source(BOB), CIRCLE)

    deleting = asyncio.create_task(bot.service.own_data.delete(ADA))
    await finished(waiting)
    await stepping(gate, deleting)

    assert running.status is waiting.status is JobStatus.CANCELLED
    assert traces(bot, MARKER) == []
    assert all(path.name.startswith(of_bob.id) for path in bot.gallery.images.iterdir())
    gate.open()
    assert await finished(of_bob) is JobStatus.SUCCEEDED


async def test_a_held_picture_that_its_person_deletes_is_not_paid_back(make_judged, gate, judge):
    """Nobody has judged it, and it was drawn."""
    bot = await make_judged()
    judge.picture = HELD
    gate.open()
    job = await bot.service.submit(Source(ADA), WORDS)
    await until(lambda: job.status is JobStatus.HELD)
    before = await left(bot.service)

    await bot.service.own_data.delete(ADA)

    assert job.status is JobStatus.FAILED
    assert await left(bot.service) == before == bot.config.quota.credits - job.cost


async def test_a_person_is_told_how_many_messages_could_not_be_deleted(bot, gate):
    deleted = []

    async def erase(reply_to):
        deleted.append(reply_to)
        return len(deleted) != 2

    bot.service.own_data.erase_message["discord"] = erase
    for message in range(4):
        await drawn(bot, gate, user=EVE, reply_to={"platform": "discord", "message": message})

    deletion = await bot.service.own_data.delete(EVE)

    assert (len(deleted), deletion.messages_left) == (4, 1)


async def test_what_a_person_wrote_in_a_report_is_deleted_with_their_data(bot, gate):
    job = await drawn(bot, gate, user=EVE)
    await bot.service.moderation.report(BOB, job.id, f"a {MARKER} that I know")

    await bot.service.own_data.delete(BOB)

    rows = await bot.rows("SELECT reason FROM reports")
    assert [row["reason"] for row in rows] == [""]


async def test_nothing_new_is_asked_for_while_ones_data_is_being_deleted(bot, gate):
    running = await bot.service.submit(Source(ADA), replace(WORDS, num_inference_steps=50))
    await at_step(running, 0)
    waiting = await bot.service.submit(Source(ADA), WORDS)
    deleting = asyncio.create_task(bot.service.own_data.delete(ADA))
    await finished(waiting)  # and the running one is not done before its next step

    with pytest.raises(Conflict, match="your data is being deleted"):
        await bot.service.submit(Source(ADA), CIRCLE)

    await stepping(gate, deleting)
    assert await bot.service.submit(Source(ADA), CIRCLE)


async def test_an_address_is_not_written_again_after_it_was_deleted(bot, gate):
    job = await drawn(bot, gate, reply_to=HERE)
    await bot.service.own_data.delete(ADA)

    await bot.service.answers.redirect(job, {"to": ADA})

    assert await bot.rows("SELECT reply_to FROM jobs") == [{"reply_to": None}]


async def test_a_deletion_that_a_crash_interrupts_is_carried_out_by_the_next_start(
    bot, gate, monkeypatch
):
    await drawn(bot, gate)

    def crash(job_ids):
        raise OSError("the power is gone")

    monkeypatch.setattr(bot.gallery, "prune_pictures", crash)
    with pytest.raises(OSError, match="power"):
        await bot.service.own_data.delete(ADA)

    await bot.restart()
    await bot.service.own_data.carry_out_due()

    assert traces(bot, MARKER, ADA) == []


async def test_deleting_a_person_in_one_server_leaves_their_other_pictures(bot, gate):
    here = await drawn(bot, gate, origin=Origin(SERVER))
    there = await drawn(bot, gate, command=CIRCLE)
    before = await left(bot.service)

    deletion = await bot.service.own_data.delete(ADA, SERVER)

    assert deletion.jobs == 1
    assert await left(bot.service) == before
    assert (await bot.service.lookups.picture(Source(ADA), there.id)).exists()
    with pytest.raises(NotFound):
        await bot.service.lookups.picture(Source(ADA), here.id)
    assert traces(bot, MARKER) == []


# Later


LEAVING = {"grace_days": 7, "when_person_leaves": "delete", "when_bot_is_removed": "delete"}


async def test_a_person_who_comes_back_within_the_days_of_grace_keeps_all(make_bot, gate, clock):
    bot = await make_bot(retention=LEAVING, gallery={"keep_days": 0})
    own_data = bot.service.own_data
    kept = await drawn(bot, gate, origin=Origin(SERVER))
    await own_data.person_left(ADA, SERVER)
    clock.advance(6 * 86400)
    assert await own_data.carry_out_due() == 0
    await own_data.back(SERVER, ADA)
    clock.advance(2 * 86400)

    assert await own_data.carry_out_due() == 0

    assert (await bot.service.lookups.picture(Source(ADA), kept.id)).exists()


async def test_a_person_who_goes_on_drawing_has_not_left(make_bot, gate, clock):
    bot = await make_bot(retention=LEAVING)
    await bot.service.own_data.person_left(ADA, SERVER)
    await drawn(bot, gate, origin=Origin(SERVER))
    clock.advance(8 * 86400)

    assert await bot.service.own_data.carry_out_due() == 0


async def test_a_person_who_stays_away_has_nothing_left_there(make_bot, gate, clock):
    bot = await make_bot(retention=LEAVING)
    await drawn(bot, gate, origin=Origin(SERVER))
    await bot.service.own_data.person_left(ADA, SERVER)
    clock.advance(8 * 86400)

    assert await bot.service.own_data.carry_out_due() == 1

    assert traces(bot, MARKER) == []
    assert await bot.service.own_data.carry_out_due() == 0


async def test_a_server_that_the_bot_was_removed_from_is_forgotten(make_bot, gate, clock):
    bot = await make_bot(retention=LEAVING, admins={"users": (ADMIN,)})
    await drawn(bot, gate, origin=Origin(SERVER))
    elsewhere = await drawn(bot, gate, BOB, CIRCLE)
    await bot.service.servers.set_channel(ADMIN, SERVER, "c1", is_allowed=True)
    await bot.service.own_data.bot_removed(SERVER)
    clock.advance(8 * 86400)

    assert await bot.service.own_data.carry_out_due() == 1

    assert traces(bot, MARKER) == []
    assert await bot.rows("SELECT * FROM channels") == []
    assert (await bot.service.lookups.picture(Source(BOB), elsewhere.id)).exists()


async def test_leaving_deletes_nothing_where_nobody_has_said_so(bot, gate, clock):
    await drawn(bot, gate, origin=Origin(SERVER))
    await bot.service.own_data.person_left(ADA, SERVER)
    await bot.service.own_data.bot_removed(SERVER)
    clock.advance(365 * 86400)

    assert await bot.service.own_data.carry_out_due() == 0


async def test_old_words_are_forgotten_and_the_history_says_so(make_bot, gate, clock):
    bot = await make_bot(retention={"prompts_days": 10}, gallery={"keep_days": 0})
    old = await drawn(bot, gate)
    clock.advance(11 * 86400)
    new = await drawn(bot, gate, command=CIRCLE)

    assert await bot.service.own_data.forget_old() == 1

    page = await bot.service.lookups.history(ADA)
    assert [job.request.prompt for job in page.jobs] == [new.request.prompt, "(prompt forgotten)"]
    assert not (await bot.service.lookups.history(ADA, MARKER)).jobs
    assert (await bot.service.lookups.picture(Source(ADA), old.id)).exists()
    with pytest.raises(NotFound, match="was forgotten for its age"):
        await bot.service.again(Source(ADA), old.id)
    # What stands in a picture stays with it.
    files = (bot.gallery.picture_path(old.id, 1), bot.gallery.path(old.id, "thumbnail"))
    kept = {file.name for file in files}
    assert set(traces(bot, MARKER)) <= kept


async def test_acts_of_admins_are_forgotten_once_they_are_old(make_bot, clock):
    bot = await make_bot(retention={"audit_days": 10})
    await bot.service.admin.ban(ADMIN, EVE)
    clock.advance(6 * 86400)
    await bot.service.admin.ban(ADMIN, BOB)
    clock.advance(5 * 86400)

    await bot.service.own_data.forget_old()

    assert [act.subject for act in await bot.service.admin.audit(ADMIN)] == [BOB]


# A backup that brings deleted things back


async def test_a_deletion_is_repeated_after_a_backup_is_restored(make_bot, gate, clock):
    bot = await make_bot()
    await drawn(bot, gate, command=replace(WORDS, prompt=f"a {MARKER} fox"))
    await drawn(bot, gate, BOB)
    record = bot.folder / "backups" / deletion_record.NAME
    copy = back_up(bot.folder / "bot.sqlite3", bot.folder / "backups", clock.now)
    clock.advance(60)
    await bot.service.own_data.delete(ADA)
    assert ADA not in record.read_text()
    await bot.stop()
    restore(bot.folder / "bot.sqlite3", copy, clock.now)
    await bot.start()
    assert len((await bot.service.lookups.history(ADA)).jobs) == 1

    repeat = partial(deletion_record.repeat, path=record, since=made_at(copy), now=clock.now)
    assert await bot.database.write(repeat) == 1
    assert await bot.service.own_data.carry_out_due() == 1

    assert not (await bot.service.lookups.history(ADA)).jobs
    assert len((await bot.service.lookups.history(BOB)).jobs) == 1


def test_the_record_of_deletions_forgets_what_no_backup_is_older_than(tmp_path):
    path = tmp_path / deletion_record.NAME
    db = sqlite3.connect(":memory:")
    for table in ("jobs (user, server)", "people (user)", "entries (user)"):
        db.execute(f"CREATE TABLE {table}")
    db.execute("CREATE TABLE due_deletions (user, server, due_at, UNIQUE (user, server))")
    db.execute("INSERT INTO jobs VALUES ('web:ada', 's:1'), ('web:bob', 's:1'), ('web:eve', NULL)")
    db.execute("INSERT INTO jobs VALUES ('web:ada', 's:2'), ('web:eve', 's:2')")

    def again(since):
        db.execute("DELETE FROM due_deletions")
        deletion_record.repeat(db, path, since, 500.0)
        return set(db.execute("SELECT user, server FROM due_deletions"))

    assert again(0) == set()
    deletion_record.note(path, "web:eve", None, 100.0, keep_for=50)
    deletion_record.note(path, "web:ada", "s:1", 120.0, keep_for=50)
    assert again(0) == {("web:eve", ""), ("web:ada", "s:1")}
    assert again(100) == {("web:ada", "s:1")}
    deletion_record.note(path, "", "s:1", 160.0, keep_for=50)

    assert again(0) == {("web:ada", "s:1"), ("", "s:1")}
    assert path.stat().st_mode & 0o077 == 0


async def test_a_deletion_that_cannot_be_written_down_is_carried_out_later(make_bot, gate):
    bot = await make_bot()
    await drawn(bot, gate)
    (bot.folder / "backups").write_text("no folder")
    with pytest.raises(StorageTrouble, match="as soon as that works again"):
        await bot.service.own_data.delete(ADA)
    assert (await bot.service.lookups.history(ADA)).jobs

    (bot.folder / "backups").unlink()
    await bot.service.own_data.carry_out_due()

    assert not (await bot.service.lookups.history(ADA)).jobs
