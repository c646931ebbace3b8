"""Forms beside JSON: the same requests, with pictures as files."""

import pytest
from PIL import Image

from tests.adapters.web_chat.api.conftest import CIRCLE, said, spent
from tests.conftest import ADMIN, FOLLOWING, INPAINTING
from tests.samples import data_url, file, noise, opened, picture

FORM = {name: str(value) for name, value in CIRCLE.items()}


async def test_a_form_draws_what_the_same_json_draws(web, gate):
    gate.open()
    control = {"preset": "canny", "image": data_url(picture())}
    json = await web.post("/api/generate", json={**CIRCLE, "seed": 1, "controlnet": control})

    form = await web.post(
        "/api/generate",
        data={**FORM, "seed": "1", "preset": "canny", "strength": ""},
        files={"image": ("a.png", picture(), "image/png")},
    )

    assert form.status_code == json.status_code == 200
    assert form.json()["metadata"]["controlnet"] == "canny"
    assert opened(form.json()["image"]).tobytes() == opened(json.json()["image"]).tobytes()


async def test_a_form_has_the_mask_beside_the_picture(web, bot, gate):
    gate.open()
    bot.settings["presets"] = INPAINTING
    await bot.service.admin.reload_presets(ADMIN)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (8, 8, 24, 24))
    pictures = {"image": file(noise(64, 64)), "mask_image": file(mask)}
    files = {name: (f"{name}.png", data, "image/png") for name, data in pictures.items()}
    control = {"preset": "inpaint"} | {name: data_url(data) for name, data in pictures.items()}
    fox = {"prompt": "a fox", "num_inference_steps": 3}

    json = await web.post("/api/jobs", json={**fox, "controlnet": control})
    form = await web.post("/api/jobs", data={**fox, "preset": "inpaint"}, files=files)
    control["mask_image"] = data_url(picture(96, 32))
    wrong = await web.post("/api/jobs", json={**fox, "controlnet": control})
    words = await web.post(
        "/api/jobs", data={**fox, "preset": "inpaint", "outpaint": "up"}, files=files
    )

    jobs = (await bot.service.lookups.history("web:local")).jobs
    assert [each.status_code for each in (json, form)] == [202, 202]
    assert jobs[0].request.pictures == jobs[1].request.pictures
    assert "same shape" in said(wrong, 400, field="controlnet.mask_image")
    assert "a share from 1% to 200%, or sides" in said(words, 400, field="outpaint")


async def test_every_route_that_takes_a_picture_takes_it_as_a_file(web, gate):
    gate.open()
    files = {"image": ("a.png", picture(), "image/png")}

    job = await web.post("/api/jobs", data={**FORM, "preset": "canny"}, files=files)
    quote = await web.post("/api/quote", data={"preset": "canny"}, files=files)
    drawn = await web.post("/api/control-map", data={"preset": "canny"}, files=files)
    told = await web.post("/api/inspect", files=files)
    message = await web.post("/api/messages", data={"text": "a fox --preset canny"}, files=files)

    for response in (job, quote, drawn, told, message):
        assert response.is_success, response.text
    assert job.json()["preset"] == message.json()["job"]["preset"] == "canny"


@pytest.mark.parametrize(
    ("form", "status", "field", "words"),
    [
        ({**FORM, "width": "wide"}, 422, "width", "a whole number, not wide"),
        ({**FORM, "width": "16"}, 422, "width", "at least 64"),
        ({**FORM, "width": "[" * 2000}, 422, "width", "a whole number"),
        ({**FORM, "seed": "9" * 5000}, 422, "seed", "a whole number"),
        ({**FORM, "colour": "red"}, 422, "colour", "not understood"),
        ({**FORM, "prompt": ""}, 400, "prompt", "there is no prompt"),
        ({**FORM, "prompt": ["a", "b"]}, 400, "prompt", "comes twice"),
        ({**FORM, "preset": "canny", "image": "no picture!"}, 400, "controlnet.image", "base64"),
        ({**FORM, "prompt": "x" * 70_000}, 400, None, "Part exceeded"),
        ({f"p{n}": "x" for n in range(50)}, 400, None, "Too many fields"),
    ],
)
async def test_a_wrong_form_is_refused_as_the_same_json_is(web, bot, form, status, field, words):
    """In the same words, and nothing is charged."""
    files = [
        (name, (None, each))
        for name, value in form.items()
        for each in (value if isinstance(value, list) else [value])
    ]

    response = await web.post("/api/generate", files=files)

    assert words in said(response, status, field=field)
    assert await spent(bot) == 0


async def test_a_form_that_breaks_off_or_is_too_large_is_refused(web, bot):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (b"", b"--x\r\n", b"no form", b"--x\r\nContent-Disposition: form-data\r\n\r\n"):
        broken = await web.post("/api/generate", content=content, headers=headers)
        assert broken.status_code in (400, 422), content
    none = {"Content-Type": "multipart/form-data"}
    said(await web.post("/api/generate", content=b"x", headers=none), 400)
    large = {"image": ("a.png", b"x" * 20_000_000, "image/png")}
    said(await web.post("/api/jobs", data=FORM, files=large), 413, "too_large")
    barely = {"image": ("a.png", b"x" * 11_000_000, "image/png")}
    form = {**FORM, "preset": "canny"}
    said(await web.post("/api/jobs", data=form, files=barely), 413, "too_large", "controlnet.image")


async def test_a_form_that_is_sent_again_with_its_key_is_the_same_job(web):
    """Its boundary is another one each time."""
    ids = set()
    for _ in range(2):
        files = {"image": ("a.png", picture(), "image/png")}
        headers = {"Idempotency-Key": "a"}
        form = {**FORM, "preset": "canny"}
        ids.add((await web.post("/api/jobs", data=form, files=files, headers=headers)).json()["id"])

    assert len(ids) == 1


async def test_several_pictures_go_to_the_controlnets_that_follow_them(web, bot, gate):
    gate.open()
    bot.settings["presets"] = FOLLOWING
    await bot.service.admin.reload_presets(ADMIN)
    first, second = picture(64, 64), picture(64, 64, colour="blue")
    urls = {"image": data_url(first), "image_2": data_url(second)}
    files = {"image": ("a.png", first), "image_2": ("b.png", second)}
    weighed = {**CIRCLE, "strength": [0.6, 0.3]}

    json = await web.post("/api/jobs", json={**weighed, "controlnet": {"preset": "both", **urls}})
    form = await web.post(
        "/api/jobs", data={**FORM, "strength": "[0.6, 0.3]", "preset": "both"}, files=files
    )
    said = await web.post(
        "/api/messages", json={"text": "a fox --preset both --strength 0.6,0.3", **urls}
    )
    three = await web.post(
        "/api/jobs",
        json={**weighed, "controlnet": {"preset": "both", **urls, "image_3": urls["image"]}},
    )
    maps = await web.post(
        "/api/control-map", json={**urls, "preset": "both", "width": 64, "height": 64}
    )

    assert [each.status_code for each in (json, form, said)] == [202, 202, 200]
    jobs = (await bot.service.lookups.history("web:local")).jobs
    assert len({tuple(job.request.pictures.items()) for job in jobs}) == 1
    assert {job.request.kind.strength_setting for job in jobs} == {(0.6, 0.3)}
    shown = json.json()
    assert shown["controlnet_conditioning_scale"] == [0.6, 0.3]
    assert shown["controlnet_model"] == "demo/controlnet-canny, demo/controlnet-blobs"
    (address,) = shown["control"]["next_images"]
    assert opened((await web.get(address)).content).tobytes() == opened(second).tobytes()
    assert "takes 1 or 2 pictures, not 3" in three.json()["error"]["message"]
    assert (maps.json()["width"], maps.json()["height"]) == (128, 64)
    presets = (await web.get("/api/presets")).json()["presets"]
    assert {each["name"]: each["pictures"] for each in presets} == {
        "plain": 0, "canny": 1, "redraw": 1, "both": 2,
    }  # fmt: skip
