"""Jobs: accepted, followed, fetched, cancelled, and made again."""

import asyncio

from bot.jobs import JobStatus
from bot.source import Source
from generation.kinds import Edit
from generation.types import Preset
from tests.adapters.web_chat.api.conftest import CIRCLE, said, spent
from tests.conftest import ADMIN, PRESETS, at_step, finished
from tests.samples import data_url, picture


async def test_a_job_is_accepted_followed_and_fetched(web, bot, gate):
    response = await web.post("/api/jobs", json=CIRCLE)

    assert response.status_code == 202
    queued = response.json()
    assert queued["status"] in ("queued", "running")
    assert queued["position"] == 0
    assert response.headers["location"] == f"/api/jobs/{queued['id']}"
    early = await web.get(f"/api/jobs/{queued['id']}/image")
    said(early, 409, "conflict")
    gate.open()
    await finished(await bot.service.lookups.job(Source(ADMIN), queued["id"]))
    done = (await web.get(f"/api/jobs/{queued['id']}")).json()
    assert done["status"] == "succeeded"
    image = await web.get(done["pictures"][0]["url"])
    assert image.headers["content-type"] == "image/png"
    assert image.content.startswith(b"\x89PNG")
    assert (await web.get(done["thumbnail"])).headers["content-type"] == "image/webp"


async def test_a_download_has_a_telling_name(web, gate):
    gate.open()
    request = {**CIRCLE, "prompt": 'a "fox"\r\nin ../../snow'}
    id = (await web.post("/api/generate", json=request)).json()["metadata"]["id"]

    response = await web.get(f"/api/jobs/{id}/image", params={"download": True})

    disposition = response.headers["content-disposition"]
    assert disposition == f'attachment; filename="a-fox-in-snow-{id}.png"'


async def test_the_control_image_and_its_map_can_be_looked_at(web, gate):
    gate.open()
    control = {"preset": "canny", "image": data_url(picture())}
    body = (await web.post("/api/generate", json={**CIRCLE, "controlnet": control})).json()

    job = (await web.get(f"/api/jobs/{body['metadata']['id']}")).json()

    for url in (job["control"]["image"], job["control"]["map"]):
        assert (await web.get(url)).content.startswith(b"\x89PNG")


async def test_a_job_that_uses_no_picture_has_no_control_image(web, gate):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]

    for kind in ("image", "map"):
        said(await web.get(f"/api/jobs/{id}/control/{kind}"), 404)


async def test_a_queued_job_is_cancelled_and_refunded(web, bot):
    first = (await web.post("/api/jobs", json=CIRCLE)).json()
    second = (await web.post("/api/jobs", json=CIRCLE)).json()
    assert await spent(bot) == first["cost"] + second["cost"]

    response = await web.delete(f"/api/jobs/{second['id']}")

    assert response.json()["status"] == "cancelled"
    assert await spent(bot) == first["cost"]


async def test_a_running_job_is_cancelled_within_a_step(web, bot, gate):
    fifty = {**CIRCLE, "num_inference_steps": 50, "width": 256, "height": 256}
    id = (await web.post("/api/jobs", json=fifty)).json()["id"]
    gate.allow(2)
    await at_step(await bot.service.lookups.job(Source(ADMIN), id), 2)

    cancelling = asyncio.create_task(web.delete(f"/api/jobs/{id}"))
    while not cancelling.done():
        gate.allow(1)
        await asyncio.wait({cancelling}, timeout=0.01)
    cancelled = cancelling.result().json()

    assert cancelled["status"] == "cancelled"
    assert cancelled["cost"] - cancelled["refunded"] == cancelled["steps_drawn"] >= 2
    assert await spent(bot) == cancelled["steps_drawn"]


async def test_what_has_ended_cannot_be_cancelled(web, gate):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]

    assert id in said(await web.delete(f"/api/jobs/{id}"), 409, "conflict")


async def test_again_makes_another_picture_and_the_same_is_there_for_nothing(web, bot, gate):
    gate.open()
    first = (await web.post("/api/generate", json={**CIRCLE, "seed": None})).json()["metadata"]
    used = (await web.get("/api/quota")).json()["used"]

    same = (await web.post(f"/api/jobs/{first['id']}/again", json={"same": True})).json()
    assert (same["id"], (await web.get("/api/quota")).json()["used"]) == (first["id"], used)
    other = (await web.post(f"/api/jobs/{first['id']}/again", json={})).json()

    assert (other["parent"], other["relation"]) == (first["id"], "again")
    assert other["seed"] != first["seed"]
    assert not other["is_seed_given"]
    await web.delete(f"/api/jobs/{first['id']}/pictures")
    drawn = (await web.post(f"/api/jobs/{first['id']}/again", json={"same": True})).json()
    assert (drawn["seed"], drawn["relation"]) == (first["seed"], "same")


async def test_a_picture_is_varied_as_far_as_is_said(web, gate):
    gate.open()
    body = {**CIRCLE, "images": 2, "num_inference_steps": 10}
    first = (await web.post("/api/generate", json=body)).json()["metadata"]

    answer = await web.post(f"/api/jobs/{first['id']}/vary", json={"number": 2, "how": "subtle"})

    varied = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/jobs/{varied['id']}"
    assert (varied["preset"], varied["strength"], varied["relation"]) == ("redraw", 0.3, "subtle")
    wrong = await web.post(f"/api/jobs/{first['id']}/vary", json={"how": "wildly"})
    assert wrong.status_code == 422


async def test_a_picture_is_changed_as_words_say(make_bot, make_client, gate):
    gate.open()
    edit = Preset(name="edit", kind=Edit(kontext="a/b"))
    bot = await make_bot(presets={**PRESETS, "edit": edit})
    async with make_client(bot) as web:
        first = (await web.post("/api/generate", json={**CIRCLE, "images": 2})).json()["metadata"]
        body = {"prompt": "make it {night}, day", "number": 2, "num_inference_steps": 3, "seed": 9}

        answer = await web.post(f"/api/jobs/{first['id']}/edit", json=body)

        edited = answer.json()
        assert answer.status_code == 202
        assert answer.headers["location"] == f"/api/jobs/{edited['id']}"
        assert (edited["preset"], edited["relation"]) == ("edit", "edited")
        assert (edited["parent"], edited["prompt"], edited["seed"]) == (
            first["id"],
            body["prompt"],
            9,
        )
        other = await web.post(f"/api/jobs/{first['id']}/edit", json={**body, "preset": "canny"})
        assert (other.status_code, other.json()["error"]["field"]) == (400, "preset")
        assert (await web.get("/api/about")).json()["can_edit"]


async def test_where_no_preset_edits_a_change_is_refused(web, gate):
    gate.open()
    first = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]

    answer = await web.post(f"/api/jobs/{first['id']}/edit", json={"prompt": "make it night"})

    assert answer.status_code == 404
    assert "no preset here changes a picture by words" in answer.text
    assert not (await web.get("/api/about")).json()["can_edit"]


async def test_one_picture_of_several_is_made_again_alone(web, gate):
    gate.open()
    body = {**CIRCLE, "images": 3, "seed": 5}
    id = (await web.post("/api/generate", json=body)).json()["metadata"]["id"]

    again = (await web.post(f"/api/jobs/{id}/again", json={"number": 3})).json()
    vary = (await web.post(f"/api/jobs/{id}/again", json={"number": 3, "vary": True})).json()

    assert (again["seed"], again["images"]) == (7, 1)
    assert (vary["seed"] != 7, vary["images"]) == (True, 1)
    said(await web.post(f"/api/jobs/{id}/again", json={"number": 4}), 404, field="number")


async def test_a_deleted_picture_is_404_and_its_job_says_so(web, bot, gate, clock):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]
    clock.advance(40 * 86400)
    await bot.service.prune()

    job = (await web.get(f"/api/jobs/{id}")).json()

    assert job["status"] == JobStatus.SUCCEEDED
    assert job["is_pruned"]
    assert job["pictures"] == []
    said(await web.get(f"/api/jobs/{id}/image"), 404)
