"""The HTTP API, against the real service and an engine that the test steps."""

import asyncio
import base64
import io
import json

import pytest
from PIL import Image

from bot.jobs import JobStatus
from generation.errors import GenerationError
from tests.conftest import ADMIN, at_step, finished
from tests.samples import data_url, opened, picture

CIRCLE = {"prompt": "a red circle", "width": 64, "height": 64, "num_inference_steps": 2}


def said(response, status, code=None, field=None):
    """The sentence of an error, after the envelope was looked at."""
    error = response.json()["error"]
    assert response.status_code == status, error
    assert set(error) >= {"code", "message", "field"}
    assert code is None or error["code"] == code
    assert field is None or error["field"] == field
    assert "Traceback" not in response.text
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    return error["message"]


async def spent(bot, user=ADMIN):
    return (await bot.service.quota(user)).used


async def test_health_answers_while_the_model_is_loading(web):
    response = await web.get("/health")

    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert response.json()["engine"] in ("loading", "ready")


async def test_generate_answers_with_the_picture_and_what_made_it(web, gate):
    gate.open()

    response = await web.post("/api/generate", json={**CIRCLE, "seed": 7, "guidance_scale": 2.5})

    assert response.status_code == 200
    body = response.json()
    assert body["image"].startswith("data:image/png;base64,")
    assert opened(body["image"]).size == (64, 64)
    metadata = body["metadata"]
    assert {
        "width": 64,
        "height": 64,
        "num_inference_steps": 2,
        "guidance_scale": 2.5,
        "seed": 7,
        "preset": "plain",
        "controlnet": None,
        "model": "demo",
    }.items() <= metadata.items()
    assert metadata["seconds"] >= 0
    assert (await web.get(f"/api/jobs/{metadata['id']}")).json()["status"] == "succeeded"


async def test_generate_follows_a_control_image_given_in_base64_or_as_a_data_url(web, gate):
    gate.open()
    control = picture()

    bodies = []
    for image in (base64.b64encode(control).decode(), data_url(control)):
        request = {**CIRCLE, "seed": 1, "controlnet": {"preset": "canny", "image": image}}
        bodies.append((await web.post("/api/generate", json=request)).json())

    assert [body["metadata"]["controlnet"] for body in bodies] == ["canny", "canny"]
    one, two = [opened(body["image"]).tobytes() for body in bodies]
    assert one == two


async def test_the_same_seed_makes_the_same_picture_and_another_another(web, gate):
    gate.open()

    images = [
        (await web.post("/api/generate", json={**CIRCLE, "seed": seed})).json()["image"]
        for seed in (7, 7, 8)
    ]

    assert opened(images[0]).tobytes() == opened(images[1]).tobytes()
    assert opened(images[0]).tobytes() != opened(images[2]).tobytes()


async def test_several_pictures_come_as_one_grid_and_each_alone(web, gate):
    gate.open()

    body = (await web.post("/api/generate", json={**CIRCLE, "images": 4, "seed": 5})).json()

    assert len(body["images"]) == 4
    assert opened(body["image"]).width > 64
    assert body["metadata"]["seeds"] == [5, 6, 7, 8]
    id = body["metadata"]["id"]
    alone = await web.get(f"/api/jobs/{id}/image", params={"number": 3})
    assert alone.content == base64.b64decode(body["images"][2].partition(",")[2])
    assert (await web.get(f"/api/jobs/{id}/grid")).headers["content-type"] == "image/png"


@pytest.mark.parametrize("path", ["/api/generate", "/api/jobs"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": None},
        {"prompt": ""},
        {"prompt": " \n"},
        {"prompt": "\u200b\u00ad"},
        {"width": "wide", "seed": -1},
        {"prompt": " ", "controlnet": {"preset": "canny", "image": "not base64!"}},
    ],
)
async def test_a_missing_prompt_is_told_before_anything_else(make_bot, make_client, path, body):
    """Even before the quota, which is used up here."""
    bot = await make_bot(quota={"credits": 0})

    async with make_client(bot) as web:
        response = await web.post(path, json=body)

    assert "prompt" in said(response, 400, "invalid_request", "prompt")
    assert await bot.rows("SELECT * FROM jobs") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", 7),
        ("prompt", "x" * 2001),
        ("width", 100),
        ("width", 32),
        ("height", 1e9),
        ("width", "256"),
        ("width", True),
        ("num_inference_steps", 0),
        ("num_inference_steps", 51),
        ("num_inference_steps", 2.5),
        ("num_inference_steps", 10**400),
        ("guidance_scale", -1),
        ("guidance_scale", float("nan")),
        ("guidance_scale", float("inf")),
        ("guidance_scale", 10**400),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", True),
        ("images", 0),
        ("images", 5),
        ("negative_prompt", "\0"),
        ("preset", "no such preset"),
        ("controlnet", "canny"),
        ("steps", 20),
    ],
)
async def test_a_bad_number_names_its_field_and_costs_nothing(bot, web, field, value):
    response = await web.post(
        "/api/jobs",
        content=json.dumps({"prompt": "a fox", field: value}),
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code in (400, 422)
    sentence = said(response, response.status_code, field=field)
    assert field.replace("_", " ") in sentence.replace("_", " ")
    assert await spent(bot) == 0


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"width": 4096}, "width must be at most 2048, not 4096"),
        ({"width": 100}, "width must be a multiple of 16, not 100"),
        ({"guidance_scale": 31}, "guidance_scale must be at most 30, not 31"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"seed": "7"}, "seed must be a whole number, not 7"),
        ({"images": True}, "images must be a whole number, not true"),
        ({"preset": ["canny"]}, "preset must be text, not a list"),
        ({"controlnet": "canny"}, "controlnet must be an object, not canny"),
        ({"prompt": "x" * 2001}, "prompt has 2001 characters; at most 2000 are allowed: shorten"),
        ({"steps": 20}, "steps is not understood: did you mean num_inference_steps?"),
        ({"size": "64x64"}, "size is not understood: did you mean width and height?"),
        ({"num_images": 2}, "num_images is not understood: did you mean images?"),
        ({"control_image": "x"}, "control_image is not understood: did you mean controlnet.image?"),
        ({"heigth": 64}, "heigth is not understood: did you mean height?"),
        ({"zzz": 1}, "zzz is not understood: leave it out"),
    ],
)
async def test_a_refusal_says_the_value_the_limit_and_the_way_out(web, body, sentence):
    response = await web.post("/api/jobs", json={"prompt": "a fox", **body})

    assert said(response, 422).startswith(sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[]", "the body must be an object, not a list"),
        (b'{"prompt": "\xff"}', "the body cannot be read: send JSON in UTF-8"),
    ],
)
async def test_a_body_that_is_no_object_is_told_so(web, content, sentence):
    response = await web.post(
        "/api/jobs", content=content, headers={"Content-Type": "application/json"}
    )

    assert said(response, response.status_code) == sentence


async def test_whoever_accepts_a_picture_gets_the_picture(web, gate):
    gate.open()
    one, four = [
        await web.post(
            "/api/generate", json={**CIRCLE, "images": images}, headers={"Accept": "image/png"}
        )
        for images in (1, 4)
    ]

    assert one.headers["content-type"] == four.headers["content-type"] == "image/png"
    pictures = [Image.open(io.BytesIO(answer.content)) for answer in (one, four)]
    assert [each.format for each in pictures] == ["PNG", "PNG"]
    assert pictures[1].width > pictures[0].width


async def test_a_picture_is_drawn_again_without_a_body(web, gate):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]

    response = await web.post(f"/api/jobs/{id}/again")

    assert response.status_code == 202
    assert response.json()["parent"] == id


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"null", 400),
        (b"[]", 422),
        (b'"a fox"', 422),
        (b"[" * 100_000, 400),
        (b'{"prompt": "\\ud800"}', 422),
        (b'{"\\ud800": 1, "prompt": "a fox"}', 422),
        (b'{"prompt": "a fox", "seed": ' + b"9" * 5000 + b"}", 400),
        (b"\xff\xfe", 400),
    ],
)
async def test_a_body_that_is_no_request_is_refused_in_the_envelope(web, content, status):
    response = await web.post(
        "/api/jobs", content=content, headers={"Content-Type": "application/json"}
    )

    said(response, status)


async def test_a_form_is_told_to_send_json(web):
    response = await web.post("/api/jobs", data={"prompt": "a fox"})

    assert "application/json" in said(response, 422)


@pytest.mark.parametrize(
    ("image", "status", "word"),
    [
        ("####", 400, "base64"),
        ("data:image/png,raw", 400, "base64"),
        ("http://169.254.169.254/latest", 400, "addresses"),
        ("aGVsbG8gd29ybGQ=", 400, "PNG"),
        (data_url(picture()[:80]), 400, "damaged"),
        (data_url(b"<svg onload=alert(1)>", "image/svg+xml"), 400, "PNG"),
        ("A" * 1_350_000, 413, "MB"),
    ],
)
async def test_a_bad_control_image_is_explained_and_costs_nothing(
    make_bot, make_client, image, status, word
):
    bot = await make_bot(control_images={"max_megabytes": 1.0})

    async with make_client(bot) as web:
        response = await web.post(
            "/api/jobs", json={**CIRCLE, "controlnet": {"preset": "canny", "image": image}}
        )

    assert word in said(response, status, field="controlnet.image")
    assert await spent(bot) == 0


async def test_a_preset_says_that_it_needs_a_control_image(web):
    response = await web.post("/api/jobs", json={**CIRCLE, "preset": "canny"})

    assert "needs a control image" in said(response, 400, field="controlnet.image")


async def test_a_preset_says_that_it_takes_no_control_image(web):
    control = {"preset": "plain", "image": data_url(picture())}

    response = await web.post("/api/jobs", json={**CIRCLE, "controlnet": control})

    assert "takes no control image" in said(response, 400, field="controlnet.image")


async def test_two_different_presets_are_one_too_many(web):
    control = {"preset": "canny", "image": data_url(picture())}

    response = await web.post(
        "/api/jobs", json={**CIRCLE, "preset": "redraw", "controlnet": control}
    )

    said(response, 400, field="preset")


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
    await finished(await bot.service.job(ADMIN, queued["id"]))
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
    id = (await web.post("/api/jobs", json={**CIRCLE, "num_inference_steps": 50})).json()["id"]
    gate.allow(2)
    await at_step(await bot.service.job(ADMIN, id), 2)

    cancelling = asyncio.create_task(web.delete(f"/api/jobs/{id}"))
    while not cancelling.done():
        gate.allow(1)
        await asyncio.wait({cancelling}, timeout=0.01)
    response = cancelling.result()

    assert response.json()["status"] == "cancelled"
    assert await spent(bot) == 0


async def test_what_has_ended_cannot_be_cancelled(web, gate):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]

    assert id in said(await web.delete(f"/api/jobs/{id}"), 409, "conflict")


async def test_again_makes_the_same_pixels_and_vary_others(web, bot, gate):
    gate.open()
    first = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]

    same = (await web.post(f"/api/jobs/{first['id']}/again", json={})).json()
    other = (await web.post(f"/api/jobs/{first['id']}/again", json={"vary": True})).json()

    assert same["seed"] == first["seed"] != other["seed"]
    assert same["parent"] == other["parent"] == first["id"]
    for job in (same, other):
        await finished(await bot.service.job(ADMIN, job["id"]))
    one, two = [
        opened(data_url((await web.get(f"/api/jobs/{id}/image")).content)).tobytes()
        for id in (first["id"], same["id"])
    ]
    assert one == two


async def test_one_picture_of_several_is_made_again_alone(web, gate):
    gate.open()
    body = {**CIRCLE, "images": 3, "seed": 5}
    id = (await web.post("/api/generate", json=body)).json()["metadata"]["id"]

    again = (await web.post(f"/api/jobs/{id}/again", json={"number": 3})).json()
    vary = (await web.post(f"/api/jobs/{id}/again", json={"number": 3, "vary": True})).json()

    assert (again["seed"], again["images"]) == (7, 1)
    assert (vary["seed"] != 7, vary["images"]) == (True, 1)
    said(await web.post(f"/api/jobs/{id}/again", json={"number": 4}), 404, field="number")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/jobs/nosuchid"),
        ("GET", "/api/jobs/nosuchid/events"),
        ("GET", "/api/jobs/nosuchid/image"),
        ("GET", "/api/jobs/nosuchid/grid"),
        ("GET", "/api/jobs/nosuchid/thumbnail"),
        ("GET", "/api/jobs/nosuchid/control/map"),
        ("GET", "/api/events?job=nosuchid"),
        ("DELETE", "/api/jobs/nosuchid"),
        ("GET", "/api/jobs/%00%ff/image"),
        ("GET", "/nothing/here"),
        ("GET", "/static/../config.toml"),
        ("GET", "/static/%2e%2e/api.py"),
    ],
)
async def test_what_is_not_there_is_404_in_the_envelope(web, method, path):
    said(await web.request(method, path), 404, "not_found")


async def test_a_wrong_method_is_405_and_says_which_are_right(web):
    response = await web.put("/api/quota")

    assert "GET" in said(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET"


async def test_a_used_up_quota_is_429_and_says_when_to_come_back(make_bot, make_client):
    bot = await make_bot(quota={"credits": 1, "pixels_per_credit": 64 * 64 * 2})

    async with make_client(bot) as web:
        assert (await web.post("/api/jobs", json=CIRCLE)).status_code == 202
        said(await web.post("/api/jobs", json=CIRCLE), 429, "quota_exceeded")


async def test_too_many_waiting_jobs_of_one_person_are_429(make_bot, make_client):
    bot = await make_bot(queue={"max_waiting_per_user": 2})

    async with make_client(bot) as web:
        answers = [await web.post("/api/jobs", json=CIRCLE) for _ in range(4)]

    assert answers[0].status_code == 202
    said(answers[-1], 429, "too_many_jobs")


async def test_a_full_queue_is_503(make_bot, make_client):
    bot = await make_bot(queue={"max_waiting": 1})

    async with make_client(bot) as web:
        answers = [await web.post("/api/jobs", json=CIRCLE) for _ in range(3)]

    assert answers[0].status_code == 202
    said(answers[-1], 503, "queue_full")


async def test_a_generation_that_fails_is_503_and_refunded(bot, web, gate):
    gate.fault = GenerationError("the picture came out blank")

    response = await web.post("/api/generate", json=CIRCLE)

    assert "blank" in said(response, 503, "generation_failed")
    assert await spent(bot) == 0


async def test_a_crash_of_the_engine_tells_nothing_of_its_inside(bot, web, gate):
    gate.fault = RuntimeError("secret path /home/ada")

    response = await web.post("/api/generate", json=CIRCLE)

    assert "secret" not in said(response, 503)
    assert await spent(bot) == 0


async def test_a_fault_of_our_own_is_500_without_detail_and_in_the_log(web, bot, caplog):
    bot.service.about = None

    response = await web.get("/api/about")

    assert "about" not in said(response, 500, "internal")
    assert "AttributeError" not in response.text
    assert "AttributeError" in caplog.text


async def test_history_is_searched_and_paged(web, gate, bot):
    gate.open()
    for prompt in ("a red fox", "a blue bird", "a red boat"):
        await web.post("/api/generate", json={**CIRCLE, "prompt": prompt})

    found = (await web.get("/api/history", params={"words": "red"})).json()
    page = (await web.get("/api/history", params={"limit": 2})).json()
    rest = (await web.get("/api/history", params={"limit": 2, "before": page["next"]})).json()

    assert [job["prompt"] for job in found["jobs"]] == ["a red boat", "a red fox"]
    assert [job["prompt"] for job in page["jobs"]] == ["a red boat", "a blue bird"]
    assert [job["prompt"] for job in rest["jobs"]] == ["a red fox"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1000", "before=-1", "before=99999999999999999999", "limit=x", "before="],
)
async def test_history_refuses_what_is_no_page(web, query):
    said(await web.get(f"/api/history?{query}"), 422)


@pytest.mark.parametrize("words", ['"', "a AND", "NEAR(", "*", "prompt:", "\0", "'; DROP TABLE"])
async def test_no_search_words_are_commands(web, words):
    assert (await web.get("/api/history", params={"words": words})).status_code == 200


async def test_quota_tells_what_is_used_and_left(web):
    before = (await web.get("/api/quota")).json()
    job = (await web.post("/api/jobs", json=CIRCLE)).json()

    after = (await web.get("/api/quota")).json()

    assert after["left"] == before["left"] - job["cost"]
    assert set(after) == {"credits", "used", "granted", "left", "window_seconds", "resets_in"}


async def test_a_quote_is_what_will_be_charged(web):
    body = {"width": 512, "height": 256, "num_inference_steps": 10, "images": 2}
    quote = (await web.post("/api/quote", json=body)).json()

    job = (await web.post("/api/jobs", json={"prompt": "a fox", **body})).json()

    assert quote["cost"] == job["cost"] == 40


async def test_a_control_map_is_shown_and_nothing_is_spent(web, bot):
    body = {"image": data_url(picture(128, 64)), "preset": "canny"}

    response = (await web.post("/api/control-map", json=body)).json()

    shown = opened(response["image"])
    assert shown.size == (response["width"], response["height"])
    assert shown.width > shown.height
    assert sorted({value for _, value in shown.convert("L").getcolors()}) == [0, 255]
    assert await spent(bot) == 0


async def test_presets_say_what_they_need(web):
    body = (await web.get("/api/presets")).json()

    assert body["default"] == "plain"
    needs = {preset["name"]: preset["needs_image"] for preset in body["presets"]}
    assert needs == {"plain": False, "canny": True, "redraw": True}


async def test_a_message_is_a_prompt_in_the_shared_grammar(web):
    text = "a fox --size 64x64 --steps 3 --seed 7"

    reply = (await web.post("/api/messages", json={"text": text})).json()

    assert reply["kind"] == "imagine"
    job = reply["job"]
    assert (job["prompt"], job["num_inference_steps"], job["seed"]) == ("a fox", 3, 7)


async def test_what_is_typed_goes_before_what_is_clicked(web):
    options = {"num_inference_steps": 9, "width": 512, "height": 512, "seed": 4}
    text = "a fox --steps 3 --ar 2:1"

    job = (await web.post("/api/messages", json={"text": text, "options": options})).json()["job"]

    assert (job["num_inference_steps"], job["seed"]) == (3, 4)
    assert job["width"] == 2 * job["height"] != 1024


async def test_a_wrong_word_is_pointed_at_in_the_words_that_people_type(web):
    text = "a fox --steps 80 --seed 7"

    error = (await web.post("/api/messages", json={"text": text})).json()["error"]

    assert text[error["position"] :].startswith(error["word"])
    assert error["word"] == "80"
    assert "num_inference_steps" not in error["message"]
    assert "Steps" in error["message"]


@pytest.mark.parametrize("verb", ["presets", "history", "quota", "queue", "settings", "help"])
async def test_every_verb_is_answered_with_text(web, verb):
    reply = (await web.post("/api/messages", json={"text": verb})).json()

    assert reply["kind"] == verb
    assert reply["text"]


async def test_a_verb_does_not_mind_the_picture_that_stays_attached(web):
    body = {"text": "quota", "image": data_url(picture()), "options": {"preset": "canny"}}

    assert (await web.post("/api/messages", json=body)).json()["kind"] == "quota"


async def test_status_tells_the_engine_and_ones_own_jobs(web, bot):
    id = (await web.post("/api/jobs", json=CIRCLE)).json()["id"]

    status = (await web.get("/api/status")).json()

    assert status["user"] == "web:local"
    assert [job["id"] for job in status["mine"]] == [id]
    assert status["engine"]["status"] in ("loading", "ready")


async def test_about_has_what_the_page_needs_for_completion(web):
    about = (await web.get("/api/about")).json()

    assert about["examples"] == ["a red circle"]
    assert {"preset", "steps", "size", "seed"} <= {word["word"] for word in about["options"]}
    assert {"history", "again", "admin"} <= {word["word"] for word in about["verbs"]}


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
