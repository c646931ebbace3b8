"""A picture that costs far more than its size costs its sender, and nobody else."""

import asyncio
import sys

import pytest

from bot.refusals import TooOften
from bot.source import Source
from generation.decoders import Decoders, DecodingLimits, IsolatedControlImages
from generation.errors import DecodingUnavailable, InvalidImage
from tests.adapters.web_chat.api.conftest import CIRCLE
from tests.bombs import chunk, png
from tests.conftest import EVE, until
from tests.samples import data_url, picture

BOMB = png(64, 64, extra=chunk(b"tEXt", b"bomb\0"))
#: A decoder that never comes to an end with such a picture.
COMMAND = (
    sys.executable,
    "-c",
    "import time\n"
    "from generation import decoder_process as process\n"
    "clean = process.clean\n"
    "process.clean = lambda *given: time.sleep(600) if b'bomb' in given[0] else clean(*given)\n"
    "process.main()",
)


@pytest.fixture
async def make_besieged(make_bot, make_client):
    """Makes a bot, a client of it, and its decoders, whose clock only a test moves."""
    made = []

    async def make(**options):
        decoders = Decoders(2, command=COMMAND, **options)
        bot = await make_bot(control_images_by=IsolatedControlImages(decoders))
        client = make_client(bot)
        made.append((decoders, client))
        return bot, client, decoders

    yield make
    for decoders, client in made:
        decoders.close()
        await client.aclose()


async def test_while_bombs_are_in_the_air_others_have_their_pictures(make_besieged, gate):
    gate.open()
    bot, web, decoders = await make_besieged()
    id = (await web.post("/api/generate", json=CIRCLE)).json()["metadata"]["id"]
    ask = bot.service.previews.control_map
    bombs = [asyncio.create_task(ask(Source(EVE), [BOMB], "canny")) for _ in range(9)]
    await until(lambda: bot.service.attachments._decoding._running == {EVE: 1})

    thumbnail = await web.get(f"/api/jobs/{id}/thumbnail")
    body = {"image": data_url(picture()), "preset": "canny"}
    control_map = await web.post("/api/control-map", json=body)
    control = {"preset": "canny", "image": body["image"]}
    drawn = await web.post("/api/generate", json={**CIRCLE, "controlnet": control})
    with pytest.raises(TooOften, match="one person may have"):
        await ask(Source(EVE), [BOMB], "canny")

    assert (thumbnail.status_code, control_map.status_code, drawn.status_code) == (200,) * 3
    assert not any(bomb.done() for bomb in bombs)
    await until(lambda: len(decoders.pids) == 2)
    decoders.close()
    ends = await asyncio.gather(*bombs, return_exceptions=True)
    assert {type(end) for end in ends} == {InvalidImage, DecodingUnavailable}


async def test_a_bomb_is_ended_by_the_clock_and_its_sender_is_told(make_besieged):
    _, web, _ = await make_besieged(limits=DecodingLimits(seconds=0.05))

    response = await web.post("/api/quote", json={"image": data_url(BOMB), "preset": "canny"})

    assert response.status_code == 400
    assert "takes too long to decode" in response.json()["error"]["message"]


async def test_where_nothing_can_be_decoded_the_sender_is_told_and_nothing_is_opened(
    make_bot, make_client
):
    decoders = Decoders(1, command=("/nowhere/python",))
    bot = await make_bot(control_images_by=IsolatedControlImages(decoders))

    async with make_client(bot) as web:
        response = await web.post(
            "/api/jobs",
            json={**CIRCLE, "controlnet": {"preset": "canny", "image": data_url(picture())}},
        )

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "decoding_unavailable"
    assert await bot.rows("SELECT id FROM jobs") == []
