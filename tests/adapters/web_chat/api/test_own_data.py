"""One's own data over HTTP."""

import io
import json
import zipfile

from bot.source import Source
from tests.adapters.web_chat.api.conftest import CIRCLE, said
from tests.conftest import ADMIN


async def test_all_that_is_kept_comes_in_a_zip_that_is_not_kept(web, bot, gate):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]

    response = await web.get("/api/me/export")

    assert response.headers["content-type"] == "application/zip"
    assert "no-store" in response.headers["cache-control"]
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        stored = (await bot.service.lookups.picture(Source(ADMIN), id)).read_bytes()
        assert archive.read(f"pictures/{id}-1.png") == stored
        assert json.loads(archive.read("about.json"))["user"] == ADMIN
    assert not any((bot.folder / "exports").iterdir())


async def test_a_fourth_time_a_day_is_refused(web):
    for _ in range(3):
        assert (await web.get("/api/me/export")).status_code == 200

    said(await web.get("/api/me/export"), 429, "too_often")


async def test_everything_is_deleted_and_it_says_until_when_backups_have_it(web, bot, clock, gate):
    gate.open()
    await web.post("/api/generate", json=CIRCLE)

    response = await web.delete("/api/me")

    assert response.json() == {"jobs": 1, "backups_until": clock() + 8 * 86400}
    assert (await web.get("/api/history")).json()["jobs"] == []
    assert not any(bot.gallery.images.iterdir())


async def test_words_alone_delete_nothing_before_a_yes(web, gate):
    gate.open()
    await web.post("/api/generate", json=CIRCLE)

    asked = (await web.post("/api/messages", json={"text": "mydata delete"})).json()
    assert (asked["asks_to_delete"], asked["is_export"]) == (True, False)
    assert len((await web.get("/api/history")).json()["jobs"]) == 1

    done = (await web.post("/api/messages", json={"text": "mydata delete --yes"})).json()
    assert "Your data is deleted: 1 request" in done["text"]
    assert "Backups that still have it are gone by" in done["text"]
    assert (await web.get("/api/history")).json()["jobs"] == []
