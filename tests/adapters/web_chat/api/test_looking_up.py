"""Answers without drawing, and messages in people's words."""

import pytest

from bot.jobs import Job
from bot.provenance import Provenance
from generation.kinds import Edit
from generation.types import Preset
from tests.adapters.web_chat.api.conftest import CIRCLE, said, spent
from tests.bot.test_loras import LORAS
from tests.conftest import ADMIN, INPAINTING
from tests.samples import data_url, opened, picture, square


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


@pytest.mark.parametrize("words", ['"', "a AND", "NEAR(", "*", "prompt:", "'; DROP TABLE"])
async def test_no_search_words_are_commands(web, words):
    assert (await web.get("/api/history", params={"words": words})).status_code == 200


async def test_search_words_that_are_no_text_are_refused_as_everywhere(web):
    assert "no text (NUL" in said(await web.get("/api/history", params={"words": "\0"}), 400)


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


async def test_a_quote_of_typed_words_is_that_of_all_their_pictures(web):
    asked = {"text": "a {red,blue} fox --steps 10 --repeat 2", "width": 512, "height": 256}

    quote = (await web.post("/api/quote", json=asked)).json()

    assert (quote["pictures"], quote["cost"]) == (4, 80)
    assert (quote["width"], quote["height"]) == (512, 256)
    wrong = await web.post("/api/quote", json={"text": "a fox --steps 99"})
    assert "99" in said(wrong, 400)
    said(await web.post("/api/quote", json={"text": "help"}), 400)


async def test_a_quote_tells_the_size_of_what_a_picture_will_become(web):
    asked = {"text": "a fox --presets canny,plain", "image_width": 200, "image_height": 100}

    quote = (await web.post("/api/quote", json=asked)).json()
    job = await web.post(
        "/api/jobs",
        json={
            "prompt": "a fox",
            "controlnet": {"preset": "canny", "image": data_url(picture(200, 100))},
        },
    )

    assert quote["pictures"] == 2
    assert [quote["width"], quote["height"]] == [job.json()["width"], job.json()["height"]]
    half = said(await web.post("/api/quote", json={"image_width": 200}), 400)
    assert "image_width and image_height go together" in half


async def test_a_quote_is_of_all_pictures_that_are_to_come_along(make_bot, make_client):
    bot = await make_bot(presets={"edit": Preset(name="edit", kind=Edit(references=2))})
    async with make_client(bot) as web:
        image = data_url(picture(64, 64))
        sides = {"image_width": 64, "image_height": 64}

        quotes = [
            (
                await web.post("/api/quote", json={**asked, "preset": "edit", "pictures": count})
            ).json()["cost"]
            for asked, count in ((sides, 1), (sides, 3), ({"image": image}, 3))
        ]
        job = await web.post(
            "/api/jobs",
            json={
                "prompt": "put them together",
                "controlnet": {
                    "preset": "edit",
                    "image": image,
                    "image_2": image,
                    "image_3": image,
                },
            },
        )

        assert quotes[1] == quotes[2] == job.json()["cost"]
        assert quotes[1] > quotes[0]


async def test_a_mask_beside_an_instruction_is_no_second_picture(make_bot, make_client):
    edit = Preset(name="edit", kind=Edit(references=1))
    bot = await make_bot(presets={**INPAINTING, "edit": edit})
    image, other = data_url(picture(64, 64)), data_url(picture(64, 64, "white"))
    said = {"text": "remove the star", "image": image}
    async with make_client(bot) as web:
        masked = (await web.post("/api/messages", json={**said, "mask_image": other})).json()
        both = (await web.post("/api/messages", json={**said, "image_2": other})).json()

    assert masked["job"]["preset"] == "inpaint"
    assert both["job"]["preset"] == "edit"


async def test_a_control_map_is_cropped_where_it_is_said(web):
    body = {"image": data_url(picture(192, 64)), "preset": "redraw", "width": 64, "height": 64}

    middle, left = [
        opened((await web.post("/api/control-map", json={**body, **crop})).json()["image"])
        for crop in ({}, {"crop_x": 0})
    ]

    assert middle.tobytes() != left.tobytes()
    said(await web.post("/api/control-map", json={**body, "crop_x": 1.1}), 422)


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


async def test_models_are_told_in_the_persons_language_and_named_by_presets(make_bot, make_client):
    known = {"description": "Fast pictures of your words", "license_name": "Apache 2.0"}
    bot = await make_bot(models={"demo": known})

    async with make_client(bot, **{"Accept-Language": "de"}) as german:
        (model,) = (await german.get("/api/models")).json()["models"]
        presets = (await german.get("/api/presets")).json()["presets"]

    assert model == {
        "name": "demo",
        "description": "Schnelle Bilder nach deinen Worten",
        "license_name": "Apache 2.0",
        "license_page": "",
        "presets": ["plain", "canny", "redraw"],
        "num_inference_steps": 12,
        "width": 256,
        "height": 256,
        "is_default": True,
        "is_loaded": False,
        "seconds_to_load": None,
    }
    assert {preset["model"] for preset in presets} == {"demo"}


async def test_loras_are_listed_asked_for_and_told(bot, web, gate, tmp_path):
    gate.open()
    sample = tmp_path / "ink.png"
    sample.write_bytes(picture())
    bot.settings["loras"] = {**LORAS, "ink": {**LORAS["ink"], "sample": str(sample)}}
    await bot.service.admin.reload_presets(ADMIN)

    ink, slow = (await web.get("/api/presets")).json()["loras"]
    assert ink["presets"] == ["plain", "canny", "redraw"]
    shown = await web.get(ink["sample"])
    asked = {"prompt": "a fox", "num_inference_steps": 2, "width": 64, "height": 64}
    drawn = await web.post("/api/generate", json={**asked, "loras": "ink:0.5, slow"})
    form = {name: (None, str(value)) for name, value in {**asked, "loras": "ink"}.items()}
    queued = await web.post("/api/jobs", files=form)
    refused = await web.post("/api/jobs", json={**asked, "loras": "ink:9"})

    assert (shown.headers["content-type"], shown.content) == ("image/png", sample.read_bytes())
    assert (slow["sample"], slow["max_lora_scale"], slow["trigger_words"][0]) == (
        None,
        0.5,
        "SLOWTOK",
    )
    assert (await web.get("/api/loras/slow/sample")).status_code == 404
    assert drawn.json()["metadata"]["loras"] == "ink:0.5,slow:0.5"
    assert queued.json()["loras"] == "ink:0.8"
    assert refused.status_code == 400
    assert refused.json()["error"]["field"] == "loras"


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


async def test_a_picture_tells_what_it_says_about_itself(web, bot, fox):
    marks = Provenance()
    data = marks.png(square(), marks.of(Job(user="ada", request=fox), fox))

    told = (await web.post("/api/inspect", json={"image": data_url(data)})).json()
    silent = (await web.post("/api/inspect", json={"image": data_url(picture())})).json()
    damaged = await web.post("/api/inspect", json={"image": data_url(data[:100])})

    assert (told["tool"], told["prompt"], told["seed"]) == ("fluxbot", fox.prompt, fox.seed)
    assert told["source"] == "trainedAlgorithmicMedia"
    assert told["signature"] is None
    assert told["again"].startswith(fox.prompt)
    assert "says nothing about where it comes from" in silent["text"]
    assert damaged.status_code == 400
    assert await spent(bot) == 0


async def test_inspect_is_said_with_a_picture_too(web, fox):
    marks = Provenance()
    data = marks.png(square(), marks.of(Job(user="ada", request=fox), fox))

    with_picture = await web.post(
        "/api/messages", json={"text": "inspect", "image": data_url(data)}
    )
    without = await web.post("/api/messages", json={"text": "inspect"})

    assert fox.prompt in with_picture.json()["text"]
    assert without.status_code == 400
    assert "Attach one" in without.text
