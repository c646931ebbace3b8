"""Requests that are refused: named, explained, and free."""

import json

import pytest

from tests.adapters.web_chat.api.conftest import CIRCLE, said, spent
from tests.samples import data_url, picture


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


@pytest.mark.parametrize(
    ("strength", "sentence", "field"),
    [
        ("wide", "strength must be a number, not wide", "strength"),
        (2, "strength must be at most 1, not 2", "strength"),
        ([0.5, 2], "strength.1 must be at most 1, not 2", "strength.1"),
        ([], "strength: List should have at least 1 item after validation, not 0", "strength"),
    ],
)
async def test_one_number_or_several_are_called_by_the_name_of_the_member(
    web, strength, sentence, field
):
    answer = await web.post("/api/jobs", json={**CIRCLE, "strength": strength})

    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == sentence
    assert answer.json()["error"]["field"] == field
