"""OpenAI's images API, tried with its own client over a real server."""

import asyncio
import base64
import contextlib

import httpx
import openai
import pytest
from PIL import Image

from adapters.web_chat import repeats
from bot.config import Secrets
from bot.jobs import JobStatus
from bot.source import Source
from generation.kinds import Edit
from generation.types import Preset
from tests.bot.test_loras import LORAS
from tests.conftest import ADMIN, INPAINTING, PRESETS, until
from tests.samples import file, noise, opened, picture

ADA, BOB = "ada-token-0123456789", "bob-token-0123456789"
TOKENS = Secrets(web_tokens={ADA: "ada", BOB: "bob"})
SMALL = {"size": "64x64", "extra_body": {"steps": 2}}


@contextlib.asynccontextmanager
async def client_of(server, token="none", **settings):
    settings = {"max_retries": 0, "timeout": 30, **settings}
    async with openai.AsyncOpenAI(
        base_url=f"{server.address}/v1", api_key=token, **settings
    ) as client:
        yield client


@pytest.fixture
async def client(server):
    async with client_of(server) as client:
        yield client


async def jobs_of(server, user="web:local"):
    return (await server.bot.service.lookups.history(user)).jobs


def size_of(image):
    return opened(base64.b64decode(image.b64_json)).size


async def test_presets_are_models(client):
    models = {model.id: model async for model in client.models.list()}

    assert [*models] == ["flux", *(f"flux:{name}" for name in PRESETS)]
    assert {model.root for model in models.values()} == {"demo"}, "which draws"
    assert (await client.models.retrieve("flux:canny")).id == "flux:canny"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("flux:nonsense")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_pictures_come_in_base64_in_the_format_and_number_that_is_asked_for(
    server, client, gate
):
    gate.open()

    answer = await client.images.generate(
        model="gpt-image-1",
        prompt="a red circle",
        n=2,
        size="64x80",
        quality="high",
        output_format="webp",
        output_compression=50,
        background="auto",
        user="somebody",
        extra_body={"seed": 7, "steps": 2, "moderation": "low", "whatever": [1]},
    )

    assert [size_of(image) for image in answer.data] == [(64, 80), (64, 80)]
    assert {opened(base64.b64decode(image.b64_json)).format for image in answer.data} == {"WEBP"}
    assert (answer.size, answer.output_format) == ("64x80", "webp")
    job = (await jobs_of(server))[0]
    assert (job.request.prompt, job.request.seed, job.images) == ("a red circle", 7, 2)
    assert job.request.num_inference_steps == 2


async def test_loras_are_a_field_of_ours_or_stand_in_the_prompt(server, client, gate):
    gate.open()
    server.bot.settings["loras"] = LORAS
    await server.bot.service.admin.reload_presets(ADMIN)

    for prompt, extra in (("a fox", {"loras": "ink:0.5"}), ("a fox <lora:ink:0.5>", {})):
        await client.images.generate(prompt=prompt, extra_body={**extra, "steps": 2}, size="64x64")
    with pytest.raises(openai.BadRequestError, match="no LoRA 'pale': choose one of ink, slow"):
        await client.images.generate(prompt="a fox", extra_body={"loras": "pale"})

    asked = [(job.request.prompt, job.request.lora_scales) for job in await jobs_of(server)]
    assert asked == [("a fox", {"lab/ink": 0.5})] * 2


async def test_a_link_leads_to_the_picture_without_a_token(make_server, gate):
    gate.open()
    server = await make_server(TOKENS)
    async with client_of(server, ADA) as client, httpx.AsyncClient() as stranger:
        answer = await client.images.generate(
            prompt="a red circle", response_format="url", output_format="jpeg", **SMALL
        )
        link = answer.data[0].url
        found = await stranger.get(link)
        guessed = await stranger.get(link[:-1])
        models = await stranger.get(f"{server.address}/v1/models")

    assert link.startswith(server.address)
    assert (found.status_code, found.headers["content-type"]) == (200, "image/jpeg")
    assert opened(found.content).size == (64, 64)
    assert (guessed.status_code, models.status_code) == (404, 401)


async def test_a_stream_shows_unfinished_pictures_and_then_the_finished_ones(client, gate):
    gate.open()

    stream = await client.images.generate(
        prompt="a fox",
        size="64x64",
        stream=True,
        partial_images=2,
        n=2,
        extra_body={"steps": 8},
    )
    events = [event async for event in stream]

    done = [event for event in events if event.type == "image_generation.completed"]
    partial = events[: -len(done)]
    assert [size_of(event) for event in done] == [(64, 64)] * 2
    assert {event.type for event in partial} == {"image_generation.partial_image"}
    assert 1 <= len(partial) <= 4
    assert {event.partial_image_index for event in partial} <= {0, 1}
    assert opened(base64.b64decode(partial[0].b64_json)).format == "JPEG"


async def test_a_stream_that_fails_says_so(client, gate):
    stream = await client.images.generate(prompt="a fox", stream=True, **SMALL)
    gate.fault = RuntimeError("broken")
    gate.open()

    with pytest.raises(openai.APIError) as failed:
        [event async for event in stream]

    assert failed.value.type == "server_error"


async def test_pictures_are_edited_and_varied(server, client, gate):
    gate.open()
    fox = ("fox.png", picture(64, 64), "image/png")

    edited = await client.images.edit(image=fox, prompt="at night", **SMALL)
    followed = await client.images.edit(
        image=[fox], prompt="a drawing", model="flux:canny", **SMALL
    )
    with pytest.warns(DeprecationWarning, match="deprecated"):
        varying = client.images.create_variation(image=fox, n=2, **SMALL)
    varied = await varying
    stream = await client.images.edit(image=fox, prompt="by day", stream=True, **SMALL)
    events = [event.type async for event in stream]

    assert [len(each.data) for each in (edited, followed, varied)] == [1, 1, 2]
    assert events == ["image_edit.completed"]
    jobs = [(job.request.preset, job.request.prompt) for job in await jobs_of(server)]
    assert jobs == [
        ("redraw", "by day"),
        ("redraw", "a variation of this picture"),
        ("canny", "a drawing"),
        ("redraw", "at night"),
    ]


async def test_where_a_preset_edits_an_edit_changes_the_picture_unless_a_strength_is_said(
    make_server, gate
):
    gate.open()
    edit = Preset(name="edit", kind=Edit(kontext="a/b"))
    server = await make_server(TOKENS, presets={**PRESETS, "edit": edit})
    fox = ("fox.png", picture(64, 64), "image/png")
    headers = {"Authorization": f"Bearer {ADA}"}
    async with httpx.AsyncClient(base_url=server.address, headers=headers) as http:
        for path, more in (("edits", {}), ("edits", {"strength": "0.5"}), ("variations", {})):
            body = {"prompt": "make it night", "size": "64x64", **more}
            parts = {name: (None, text) for name, text in body.items()}
            answer = await http.post(f"/v1/images/{path}", files={**parts, "image": fox})
            assert answer.status_code == 200, answer.text

    presets = [job.request.preset for job in await jobs_of(server, "web:ada")]
    assert presets == ["redraw", "redraw", "edit"]


async def test_what_open_webui_sends_is_understood(make_server, gate):
    """As version 0.12.4 sent it, when it was run."""
    gate.open()
    server = await make_server(TOKENS)
    fox = ("image.png", picture(64, 64), "image/png")
    texts = {"model": "flux", "prompt": "a fox", "n": "1", "response_format": "b64_json"}
    parts = {name: (None, text) for name, text in texts.items()}
    headers = {"Authorization": f"Bearer {ADA}"}
    async with httpx.AsyncClient(base_url=server.address, headers=headers) as http:
        body = {**texts, "n": 1, "size": "64x64", "steps": 2}
        drawn = await http.post("/v1/images/generations", json=body)
        one = await http.post("/v1/images/edits", files={**parts, "image": fox})
        listed = await http.post("/v1/images/edits", files={**parts, "image[]": fox})

    for answer in (drawn, one, listed):
        assert [set(each) for each in answer.json()["data"]] == [{"b64_json"}]
    assert len(await jobs_of(server, "web:ada")) == 3


async def test_what_cannot_be_edited_is_told_and_costs_nothing(server, client):
    fox = ("fox.png", picture(64, 64), "image/png")
    mask = {"image": fox, "mask": fox, "prompt": "a hat"}
    two = {"image": [fox, fox], "prompt": "both"}
    words = {"image": fox, "prompt": "a hat", "model": "flux:plain"}
    none = {"image": ("fox.png", b"nonsense", "image/png"), "prompt": "a hat"}

    for wrong, param in ((mask, "mask"), (two, "image"), (words, "image"), (none, "image")):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.images.edit(**wrong)
        assert refused.value.param == param
        assert refused.value.type == "invalid_request_error"
    assert await jobs_of(server) == []


async def test_what_is_transparent_in_a_mask_is_drawn_and_the_rest_stays(make_server, gate):
    """As OpenAI describes masks."""
    gate.open()
    server = await make_server(presets=INPAINTING)
    fox, mask = noise(64, 64), Image.new("RGBA", (64, 64), "black")
    mask.paste((0, 0, 0, 0), (0, 0, 32, 64))
    async with client_of(server) as client:
        edit = client.images.edit(
            image=("fox.png", file(fox), "image/png"),
            mask=("mask.png", file(mask), "image/png"),
            prompt="a hat",
            **SMALL,
        )
        drawn = opened(base64.b64decode((await edit).data[0].b64_json))

    right = (32, 0, 64, 64)
    assert drawn.convert("RGB").crop(right).tobytes() == fox.crop(right).tobytes()
    assert drawn.convert("RGB").tobytes() != fox.tobytes()
    assert (await jobs_of(server))[0].request.preset == "inpaint"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"size": "70x64"}, "size"),
        ({"size": "4096x4096"}, "size"),
        ({"size": "large"}, "size"),
        ({"n": 9}, "n"),
        ({"n": 99}, "n"),
        ({"prompt": "  "}, "prompt"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "tiff"}, "output_format"),
        ({"extra_body": {"partial_images": 4}}, "partial_images"),
    ],
    ids=lambda each: str(each)[:24],
)
async def test_a_wrong_value_is_a_bad_request_that_names_it(server, client, wrong, param):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.generate(**{"prompt": "a fox", **wrong})

    assert refused.value.param == param
    assert await jobs_of(server) == []


async def test_every_refusal_is_the_error_of_openais_client(make_server, gate):
    server = await make_server(TOKENS, quota={"credits": 1})
    gate.open()
    async with client_of(server, "wrong") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
        assert refused.value.code == "invalid_api_key"
    async with client_of(server, ADA) as client:
        with pytest.raises(openai.NotFoundError):
            await client.images.generate(prompt="a fox", model="sdxl")
        with pytest.raises(openai.RateLimitError) as refused:
            await client.images.generate(prompt="a fox", n=4, size="1024x1024")
        assert refused.value.code == "insufficient_quota"
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert int(refused.value.response.headers["Retry-After"]) > 0
    headers = {"Authorization": f"Bearer {ADA}"}
    async with httpx.AsyncClient(base_url=server.address, headers=headers) as http:
        large = b"x" * int(server.bot.config.control_images.max_megabytes * 2e6)
        answers = [
            await http.get("/v1/nothing"),
            await http.get("/v1/images/generations"),
            await http.post("/v1/images/generations", content=b"{"),
            await http.post("/v1/images/edits", json={"prompt": "a fox"}),
            await http.post("/v1/images/generations", content=large),
            await http.get("/v1/models", headers={"Origin": "https://evil.example"}),
            await http.get("/api/nothing"),
        ]

    *theirs, ours = answers
    assert [each.status_code for each in theirs] == [404, 405, 400, 400, 413, 403]
    for answer in theirs:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "multipart/form-data" in theirs[3].json()["error"]["message"]
    assert set(ours.json()["error"]) == {"code", "message", "field"}


WISH = {"prompt": "a fox", "size": "64x64", "steps": 2}
AGAIN = {"x-stainless-retry-count": "1"}


async def cut(http, gate, **request):
    """Ask for a picture, and hang up while it is drawn."""
    asking = asyncio.create_task(http.post("/v1/images/generations", **request))
    await until(lambda: gate.drawn)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_an_answer_that_is_late_is_not_drawn_twice(server, gate, monkeypatch):
    """OpenAI's client gives up, asks again by itself, and names no key."""
    monkeypatch.setattr(repeats, "GRACE", 60.0)  # however slow this machine is
    requests = []

    async def note(request):
        requests.append(request)
        if len(requests) == 2:
            gate.open()

    http = openai.DefaultAsyncHttpxClient(event_hooks={"request": [note]})
    async with client_of(server, max_retries=30, timeout=1, http_client=http) as client:
        answer = await client.images.generate(prompt="a fox", **SMALL)

    assert size_of(answer.data[0]) == (64, 64)
    assert len(requests) > 1
    assert [job.status for job in await jobs_of(server)] == [JobStatus.SUCCEEDED]


async def test_who_is_cut_off_may_come_back_and_who_does_not_wants_nothing(
    server, http, gate, monkeypatch
):
    monkeypatch.setattr(repeats, "GRACE", 60.0)
    await cut(http, gate, json=WISH)
    coming_back = asyncio.create_task(http.post("/v1/images/generations", json=WISH))
    gate.open()
    answer = await coming_back

    assert answer.status_code == 200
    assert len(await jobs_of(server)) == 1

    gate.drawn.clear()
    gate.close_again()
    monkeypatch.setattr(repeats, "GRACE", 0.01)
    await cut(http, gate, json={**WISH, "steps": 50})
    job = (await jobs_of(server))[0]
    while await server.bot.rows("SELECT * FROM idempotency_keys"):
        pass
    while not job.status.is_final:
        gate.allow()
        await server.bot.rows("SELECT 1")

    assert job.status is JobStatus.CANCELLED
    assert len(await jobs_of(server)) == 2


async def test_alike_is_not_the_same(server, http, gate):
    """Two who listen want two pictures; who asks for one that came wants another, unless their
    client says that it never came."""
    gate.open()
    post = "/v1/images/generations"
    first = await http.post(post, json=WISH)
    lost = await http.post(post, json=WISH, headers=AGAIN)
    assert first.json() == lost.json()
    assert len(await jobs_of(server)) == 1

    both = await asyncio.gather(*(http.post(post, json=WISH) for _ in range(2)))

    assert len({each.text for each in (first, *both)}) == 3
    assert len(await jobs_of(server)) == 3


async def test_with_a_key_a_job_outlives_its_client(server, http, gate, monkeypatch):
    monkeypatch.setattr(repeats, "GRACE", 0.0)
    key = {"Idempotency-Key": "of-my-own"}
    await cut(http, gate, json=WISH, headers=key)
    gate.open()

    answer = await http.post("/v1/images/generations", json=WISH, headers=key)
    other = await http.post("/v1/images/generations", json={**WISH, "n": 2}, headers=key)

    assert (answer.status_code, other.status_code) == (200, 400)
    assert other.json()["error"]["code"] == "key_reused"
    assert len(await jobs_of(server)) == 1


async def test_a_bot_that_was_killed_knows_what_it_was_asked(bot):
    asked = []
    for name in ("web:ada", "web:ada", "web:bob"):
        stopping = asyncio.Event()
        known = repeats.Repeats(bot.service, stopping)
        async with known.asking(Source(name), b"a fox") as found:
            asked.append(found.source.event_id)
            stopping.set()
        await bot.restart()

    assert asked[0] == asked[1] != asked[2]


async def test_a_bot_that_stops_says_so_and_cancels_nothing(server, http, gate):
    asking = asyncio.create_task(http.post("/v1/images/generations", json=WISH))
    await until(lambda: gate.drawn)
    [job] = await jobs_of(server)
    await server.close()
    answer = await asking

    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
    assert int(answer.headers["Retry-After"]) > 0
    assert not job.status.is_final
    gate.open()
