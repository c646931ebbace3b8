"""The page behind a picture's link: for its person alone, unless it is shared."""

import io
import json
import re
import zipfile
from functools import partial

import pytest
from PIL import Image

from bot import deletion_record
from bot.backups import back_up, made_at, restore
from bot.commands import ImagineCommand
from bot.conversation import converse
from bot.source import Source
from tests.adapters.web_chat.api.conftest import CIRCLE, said
from tests.adapters.web_chat.test_signing_in import SECRETS, as_user
from tests.conftest import ADA, ADMIN, BOB, EVE, finished

AS_ADA, AS_BOB = (as_user(token) for token in SECRETS.web_tokens)
PROMPT = 'a "red" <b>circle</b>'


@pytest.fixture
async def web(bot, make_client):
    """A client of nobody's."""
    async with make_client(bot, SECRETS) as client:
        yield client


async def drawn(web, gate, **fields):
    gate.open()
    body = {**CIRCLE, "prompt": PROMPT, **fields}
    answer = await web.post("/api/generate", json=body, headers=AS_ADA)
    return answer.json()["metadata"]["id"]


async def share(web, id, user=AS_ADA):
    return await web.put(f"/api/jobs/{id}/link", headers=user)


async def test_a_page_is_private_until_it_is_shared_and_after_it_is_taken_back(web, gate):
    id = await drawn(web, gate)
    nothing = await web.get("/p/nosuchid")
    assert nothing.status_code == 404
    for path in (f"/p/{id}", "/p/" + "x" * 500):
        assert (await web.get(path)).text == nothing.text
    for path in (f"/p/{id}/1", f"/p/{id}/preview.jpg", f"/p/{id}/{'9' * 5000}"):
        assert (await web.get(path)).status_code == 404
    assert (await share(web, id, AS_BOB)).status_code == 404

    shared = (await share(web, id)).json()

    assert shared == {"id": id, "is_shared": True, "url": f"http://localhost:8080/p/{id}"}
    page = await web.get(f"/p/{id}")
    assert page.status_code == 200
    assert "a &quot;red&quot; &lt;b&gt;circle&lt;/b&gt;" in page.text
    assert "<script" not in page.text
    assert "for ada" in page.text
    assert "64 × 64" in page.text
    for address in re.findall(r'(?:src|href)="(/p/[^"]+)"', page.text):
        assert (await web.get(address)).headers["content-type"] == "image/png"
    (preview,) = re.findall(r'og:image" content="http://localhost:8080([^"]+)"', page.text)
    with Image.open(io.BytesIO((await web.get(preview)).content)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 64))
    for path in (f"/p/{id}", f"/p/{id}/1", preview):
        headers = (await web.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert "noindex" in headers["x-robots-tag"]
        assert "script-src 'self'" in headers["content-security-policy"]

    german = await web.get(f"/p/{id}", headers={"Accept-Language": "de"})
    assert '<html lang="de"' in german.text
    assert "Von KI gemacht für ada" in german.text

    await web.delete(f"/api/jobs/{id}/link", headers=AS_ADA)

    for path in (f"/p/{id}", f"/p/{id}/1", preview):
        assert (await web.get(path)).status_code == 404
    assert (await web.get(f"/p/{id}")).text == nothing.text


async def test_its_person_opens_a_private_page_also_from_a_link_elsewhere(web, gate):
    id = await drawn(web, gate)
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    # Without the cookie, which a browser leaves at home; the page leads there again.
    first = await web.get(f"/p/{id}", headers=elsewhere)
    assert first.status_code == 404
    assert 'http-equiv="refresh" content="0; url=?again"' in first.text
    assert "refresh" not in (await web.get(f"/p/{id}?again")).text

    await web.post("/api/session", json={"token": next(iter(SECRETS.web_tokens))})

    page = await web.get(f"/p/{id}?again")
    assert page.status_code == 200
    assert "Private" in page.text
    assert f"/#picture={id}" in page.text
    assert "og:title" not in page.text
    assert (await web.get(f"/p/{id}/1")).status_code == 200


async def delete_pictures(web, bot, id):
    await web.delete(f"/api/jobs/{id}/pictures", headers=AS_ADA)


async def remove(web, bot, id):
    await bot.service.moderation.remove(ADMIN, id)


async def report(web, bot, id):
    for user in (BOB, EVE, "discord:mallory"):
        await bot.service.moderation.report(user, id)


async def ban(web, bot, id):
    await bot.service.admin.ban(ADMIN, ADA)


async def forget(web, bot, id):
    await bot.service.own_data.delete(ADA)


@pytest.mark.parametrize("end", [delete_pictures, remove, report, ban, forget])
async def test_what_ends_a_picture_ends_its_link(make_bot, make_client, gate, end):
    bot = await make_bot(moderation={"reports_to_hide": 3})
    async with make_client(bot, SECRETS) as web:
        id = await drawn(web, gate)
        await share(web, id)
        assert (await web.get(f"/p/{id}/1")).status_code == 200

        await end(web, bot, id)

        assert (await web.get(f"/p/{id}")).status_code == 404
        assert (await web.get(f"/p/{id}/1")).status_code == 404
        if end is report:  # showing it again is not sharing it
            said(await share(web, id), 409, "conflict")
            await bot.service.review.reveal(ADMIN, id)
            assert (await web.get(f"/p/{id}")).status_code == 404
        elif end is not ban:
            assert await bot.rows("SELECT * FROM shared_jobs") == []


async def test_people_elsewhere_share_by_words_where_there_is_a_page(make_bot, make_client, gate):
    bot = await make_bot()
    gate.open()
    job = await bot.service.submit(Source(EVE), ImagineCommand("a fox", num_inference_steps=1))
    await finished(job)
    refused = await converse(bot.service, Source(EVE), f"share {job.id}")
    assert "no page" in refused.text

    await bot.restart(web={"public_url": "https://flux.example.org"})
    reply = await converse(bot.service, Source(EVE), f"share {job.id}")
    assert reply.text.endswith(f": https://flux.example.org/p/{job.id}")
    async with make_client(bot, SECRETS) as web:
        assert (await web.get(f"/p/{job.id}")).status_code == 200
        await converse(bot.service, Source(EVE), f"share {job.id} off")
        assert (await web.get(f"/p/{job.id}")).status_code == 404


async def test_a_backup_brings_no_link_back_that_was_taken_back_since(make_bot, gate, clock):
    bot = await make_bot()
    gate.open()
    ids = []
    for _ in range(2):
        job = await bot.service.submit(Source(ADA), ImagineCommand("a fox", num_inference_steps=1))
        await finished(job)
        await bot.service.sharing.share(Source(ADA), job.id)
        ids.append(job.id)
    backups = bot.folder / "backups"
    copy = back_up(bot.folder / "bot.sqlite3", backups, clock.now)
    clock.advance(60)
    await bot.service.sharing.take_back(Source(ADA), ids[0])
    assert ids[0] not in (backups / deletion_record.TAKEN_BACK).read_text()
    await bot.stop()
    restore(bot.folder / "bot.sqlite3", copy, clock.now)
    await bot.start()

    record, since = backups / deletion_record.TAKEN_BACK, made_at(copy)
    end = partial(deletion_record.end_links, path=record, since=since)
    assert await bot.database.write(end) == 1

    shared = [await bot.service.sharing.is_shared(Source(ADA), id) for id in ids]
    assert shared == [False, True]


async def test_only_a_picture_that_is_there_is_shared(web, bot, gate):
    id = (await web.post("/api/jobs", json=CIRCLE, headers=AS_ADA)).json()["id"]
    said(await share(web, id), 409, "conflict")
    gate.open()
    deleted = await drawn(web, gate)
    await web.delete(f"/api/jobs/{deleted}/pictures", headers=AS_ADA)

    said(await share(web, deleted), 404, "not_found")


async def test_what_is_shared_is_handed_over_with_ones_data(web, bot, gate):
    id = await drawn(web, gate)
    await share(web, id)

    export = await bot.service.own_data.export(ADA)
    with zipfile.ZipFile(export.files[0]) as archive:
        about = json.loads(archive.read("about.json"))
    await export.close()

    assert [each["job_id"] for each in about["shared"]] == [id]
    assert await bot.service.sharing.is_shared(Source(ADA), id)
