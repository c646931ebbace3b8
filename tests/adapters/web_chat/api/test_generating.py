"""`/api/generate`: one request, and the picture in its answer."""

import base64

from generation.errors import GenerationError
from tests.adapters.web_chat.api.conftest import CIRCLE, said, spent
from tests.conftest import until
from tests.samples import data_url, opened, picture


async def test_health_answers_while_the_model_is_loading(web):
    response = await web.get("/health")

    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert response.json()["engine"] in ("loading", "ready")


async def test_health_names_every_engine(web, service):
    await until(lambda: service.state.status == "ready")

    assert (await web.get("/health")).json()["engines"] == [
        {"name": "engine-1", "device": "cpu", "status": "ready", "model": "demo", "loaded": {}}
    ]


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


async def test_whoever_accepts_a_picture_gets_the_picture(web, gate):
    gate.open()
    one, four = [
        await web.post(
            "/api/generate", json={**CIRCLE, "images": images}, headers={"Accept": "image/png"}
        )
        for images in (1, 4)
    ]

    assert one.headers["content-type"] == four.headers["content-type"] == "image/png"
    pictures = [opened(answer.content) for answer in (one, four)]
    assert [each.format for each in pictures] == ["PNG", "PNG"]
    assert pictures[1].width > pictures[0].width


async def test_a_picture_is_drawn_again_without_a_body(web, gate):
    gate.open()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]

    response = await web.post(f"/api/jobs/{id}/again")

    assert response.status_code == 202
    assert response.json()["parent"] == id


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
