"""Favourites, and pictures that are deleted: what people keep, and what they do not."""

import asyncio
import json
import zipfile

from tests.adapters.web_chat.api.conftest import CIRCLE, said
from tests.conftest import ADMIN


async def test_favourites_are_added_found_by_words_and_taken_back(web, bot, gate):
    gate.open()
    ids = []
    for prompt in ("a red fox", "a red circle", "a blue fox"):
        job = (await web.post("/api/jobs", json={**CIRCLE, "prompt": prompt})).json()
        ids.append(job["id"])
    for id in (*ids, ids[0]):
        assert (await web.put(f"/api/jobs/{id}/favourite")).json()["is_favourite"] is True

    assert (await web.delete(f"/api/jobs/{ids[1]}/favourite")).json()["is_favourite"] is False

    async def found(**query):
        page = (await web.get("/api/history", params=query)).json()
        return [job["id"] for job in page["jobs"]], page["favourites"], page["next"]

    assert await found() == ([*reversed(ids)], [ids[2], ids[0]], None)
    assert (await found(favourites=True))[0] == [ids[2], ids[0]]
    assert (await found(favourites=True, words="red"))[0] == [ids[0]]
    one, _, following = await found(favourites=True, limit=1)
    assert one == [ids[2]]
    assert (await found(favourites=True, before=following))[0] == [ids[0]]
    assert (await found(words="favourites red"))[0] == [ids[0]]
    assert (await found(preset="plain", since="2023-11-14", until="today"))[0] == [*reversed(ids)]
    assert (await found(preset="canny", favourites=True))[0] == []
    assert (await found(until="2023-11-13"))[0] == []
    said(await web.get("/api/history", params={"since": "someday"}), 400, "invalid_request")
    said(await web.get("/api/history", params={"preset": "lace"}), 400, "invalid_request")
    assert (await web.put("/api/jobs/nosuchid/favourite")).status_code == 404


async def test_favourites_are_handed_over_with_ones_data_and_deleted_with_it(web, bot, gate):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]
    await web.put(f"/api/jobs/{id}/favourite")

    export = await bot.service.own_data.export(ADMIN)
    with zipfile.ZipFile(export.files[0]) as archive:
        about = json.loads(archive.read("about.json"))
    await export.close()
    await bot.service.own_data.delete(ADMIN)

    assert [each["job_id"] for each in about["favourites"]] == [id]
    assert await bot.rows("SELECT * FROM favourites") == []


async def test_the_pictures_of_a_job_are_deleted_once_it_has_ended(web, bot, gate):
    id = (await web.post("/api/jobs", json=CIRCLE)).json()["id"]
    said(await web.delete(f"/api/jobs/{id}/pictures"), 409, "conflict")
    gate.open()
    async with asyncio.timeout(30):
        while (await web.get(f"/api/jobs/{id}")).json()["status"] != "succeeded":
            pass

    deleted = (await web.delete(f"/api/jobs/{id}/pictures")).json()

    assert (deleted["is_pruned"], deleted["pictures"]) == (True, [])
    said(await web.get(f"/api/jobs/{id}/image"), 404, "not_found")
    assert not list(bot.gallery.images.glob(f"{id}*"))
    said(await web.delete("/api/jobs/nosuchid/pictures"), 404)
