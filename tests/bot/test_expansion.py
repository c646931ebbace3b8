"""Richer words for a prompt, by a language model on loopback that speaks OpenAI's protocol."""

import asyncio
import json

import pytest

from bot.commands import CommandError, ExpandCommand, ImagineCommand, parse
from bot.conversation import converse
from bot.provenance import read_request
from bot.source import Source
from tests.bot.conftest import left
from tests.conftest import ADA, BOB, finished
from tests.judges import REFUSED, Judge

SMALL = "--size 64x64 --steps 3"
RICH = "a red fox in deep snow, low winter sun from the left"


class LanguageModel:
    """Chat completions on loopback."""

    def __init__(self):
        self.asked = []
        self.says = RICH
        self.raw = None
        self.status = "200 OK"
        self.extra = ""
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def _serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        self.asked.append((head, json.loads(await reader.readexactly(length))))
        await self.goes_on.wait()
        message = {"role": "assistant", "content": self.says}
        body = self.raw or json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
        writer.write(
            f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: application/json\r\n{self.extra}Connection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

    async def stop(self):
        self.goes_on.set()
        self._server.close()


@pytest.fixture
async def model():
    model = await LanguageModel().start()
    yield model
    await model.stop()


@pytest.fixture
async def bot(make_bot, model):
    bot = await make_bot(expansion={"url": model.url, "model": "small"})
    bot.service.expansion.key = "secret"
    return bot


@pytest.fixture
def say(bot):
    async def say(text, user=ADA):
        return await converse(bot.service, Source(user), text)

    return say


async def test_the_words_are_seen_before_they_are_drawn(bot, say, model, gate):
    gate.open()
    before = await left(bot.service)

    reply = await say(f"expand a fox {SMALL} --axes light,camera")

    assert reply.text == f"“a fox” could become:\n\n{RICH}"
    labels = [each.label for each in reply.choices]
    assert labels == ["Draw this", "Camera", "Light", "Mood", "Style", "No"]
    assert await left(bot.service) == before
    head, body = model.asked[0]
    assert head.startswith("POST /v1/chat/completions ")
    assert "Authorization: Bearer secret" in head
    assert (body["model"], body["messages"][1]["content"]) == ("small", "a fox")
    task = body["messages"][0]["content"]
    assert "light: its source" in task
    assert "mood" not in task
    assert ADA not in json.dumps(body)

    job = (await say(reply.choices[0].says)).job
    await finished(job)

    assert (job.request.prompt, job.request.num_inference_steps) == (RICH, 3)
    assert job.remarks == ("Expanded from: a fox",)
    png = (await bot.service.lookups.picture(Source(ADA), job.id)).read_bytes()
    assert read_request(png)["remarks"] == ["Expanded from: a fox"]


async def test_a_picture_is_drawn_again_with_richer_words(say, gate):
    gate.open()
    job = (await say(f"a fox {SMALL} --seed 7")).job
    await finished(job)

    reply = await say(f"expand {job.id}")
    again = (await say(reply.choices[0].says)).job

    assert (again.request.prompt, again.request.seed, again.parent) == (RICH, 7, job.id)


async def test_an_id_may_look_like_a_word_and_a_word_like_an_id(bot, say, model, gate):
    gate.open()
    bot.new_id = lambda: "pheasant"
    job = (await say(f"a fox {SMALL}")).job
    await finished(job)

    await say("expand pheasant")
    await say("expand darkness")

    assert [body["messages"][1]["content"] for _, body in model.asked] == ["a fox", "darkness"]


async def test_an_axis_is_chosen_of_the_persons_own_words(say, model):
    first = await say("expand a fox")
    model.says = "a fox, painted in oil"

    second = await say(first.choices[4].says)

    assert second.text.endswith("a fox, painted in oil")
    body = model.asked[1][1]
    assert body["messages"][1]["content"] == "a fox"
    assert "style: the medium" in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"status": "500 Oops"}, "The language model does not answer as it should"),
        ({"raw": b"no json"}, "The language model does not answer as it should"),
        ({"raw": b'{"choices": []}'}, "The language model does not answer as it should"),
        ({"raw": b" " * 200_000}, "The language model does not answer as it should"),
        ({"says": None}, "The language model does not answer as it should"),
        ({"says": "  "}, "The language model gave no words that can be drawn"),
        ({"says": "fox " * 1000}, "The language model gave no words that can be drawn"),
        ({"says": "a\x00b"}, "The language model gave no words that can be drawn"),
    ],
)
async def test_an_answer_that_cannot_be_used_ends_in_a_sentence(bot, say, model, change, sentence):
    for name, value in change.items():
        setattr(model, name, value)

    reply = await say("expand a fox")

    assert reply.text.startswith(sentence)
    assert reply.choices == ()
    assert await left(bot.service) == 10_000


async def test_no_redirect_leads_anywhere_else(say, model):
    other = await LanguageModel().start()
    model.status, model.extra = "307 Elsewhere", f"Location: {other.url}/chat/completions\r\n"

    reply = await say("expand a fox")
    await other.stop()

    assert "does not answer as it should" in reply.text
    assert other.asked == []


async def test_a_model_that_takes_too_long_is_waited_for_no_longer(make_bot, model):
    bot = await make_bot(expansion={"url": model.url, "model": "small", "seconds": 0.05})
    model.goes_on.clear()

    reply = await converse(bot.service, Source(ADA), "expand a fox")

    assert reply.text.startswith("The language model took too long")


async def test_quotes_and_thoughts_are_left_out(say, model):
    model.says = "<think>hm, a fox</think>\n“a fox\n at dawn”"

    assert (await say("expand a fox")).text.endswith("\n\na fox at dawn")


async def test_screens_judge_the_new_words(make_bot, model):
    bot = await make_bot(expansion={"url": model.url, "model": "small"})
    judge = Judge()
    judge.words = {"winter": REFUSED}
    bot.judges = {"judge": lambda: judge}
    service = await bot.restart()

    reply = await converse(service, Source(ADA), "expand a fox")

    assert [texts for texts, _ in judge.texts] == [("a fox",), (RICH,)]
    assert reply.error is not None
    assert RICH not in reply.text
    assert reply.choices == ()
    assert await left(service) == 10_000


async def test_it_is_off_without_a_model_and_rare_with_one(make_bot, model):
    off = await make_bot()
    told = await converse(off.service, Source(ADA), "expand a fox")
    assert told.text.startswith("The operator has named no language model")

    bot = await make_bot(expansion={"url": model.url, "model": "small", "per_minute": 1})
    await converse(bot.service, Source(ADA), "expand a fox")
    refused = await converse(bot.service, Source(ADA), "expand a fox")
    other = await converse(bot.service, Source(BOB), "expand a fox")

    assert "at most 1 expansions a minute" in refused.text.lower()
    assert other.error is None
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("expand k7m2p9qa", ExpandCommand("k7m2p9qa")),
        ("expand k7m2-p9qa light", ExpandCommand(code="k7m2-p9qa", axes=("light",))),
        ("expand a fox", ExpandCommand(asked=ImagineCommand("a fox"))),
        (
            "expand a fox --steps 3 --axes mood",
            ExpandCommand(asked=ImagineCommand("a fox", num_inference_steps=3), axes=("mood",)),
        ),
    ],
)
def test_words_an_id_or_a_proposal_are_expanded(text, command):
    assert parse(text) == command


@pytest.mark.parametrize("text", ["expand", "expand a fox --axes zoom"])
def test_what_cannot_be_expanded_is_an_error(text):
    with pytest.raises(CommandError):
        parse(text)
