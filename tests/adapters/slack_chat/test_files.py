"""Attached files, before they cost anything."""

import contextlib

import pytest
from aiohttp import web

from bot.jobs import Job
from bot.provenance import Provenance
from tests.adapters.slack_chat.conftest import SMALL, jobs
from tests.fakes.slack.world import shown_text
from tests.samples import picture, square

FILES = [
    ({"url": "http://evil.example/x.png"}, "the file is stored somewhere else"),
    ({"data": b"x" * 200_000}, "0.2 MB; at most 0.1 MB are allowed"),
    ({"data": b"<!DOCTYPE html><title>x</title>"}, "I need the files:read permission"),
    ({"data": b"GIF89a"}, "PNG, JPEG or WebP"),
]


@pytest.mark.parametrize(("file", "sentence"), FILES)
async def test_a_file_that_is_no_picture_for_us_is_refused_before_it_costs(
    make_chat, slack, ada, general, file, sentence
):
    chat = await make_chat(control_images={"max_megabytes": 0.1})
    attached = ada.file(**{"data": picture(), **file})

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[attached])

    await general.whispered(ada.id, sentence[:1].upper() + sentence[1:])
    assert await jobs(chat) == []


async def test_without_the_right_to_read_files_slacks_sign_in_page_is_recognised(
    chat, slack, ada, general
):
    slack.scopes.discard("files:read")

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    await general.whispered(ada.id, "I need the files:read permission")


async def test_a_file_that_is_gone_is_asked_for_again(chat, slack, ada, general):
    slack.api.fault("file", 404)

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    await general.whispered(ada.id, "The file is gone: attach it again")


async def test_the_token_is_sent_to_slacks_hosts_alone_and_no_redirect_is_followed(
    chat, slack, ada, general
):
    hits = []

    async def elsewhere(request):
        hits.append(request.headers.get("Authorization"))
        return web.Response(body=picture(), content_type="image/png")

    app = web.Application()
    app.router.add_get("/{path:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/x.png"
    with contextlib.suppress(TimeoutError):
        foreign = ada.file(picture(), url=url)
        await ada.mention(general, f"a fox --preset canny {SMALL}", files=[foreign])
        await general.whispered(ada.id, "The file is stored somewhere else")
        slack.api.fault("file", url)
        moved = ada.file(picture())
        await ada.mention(general, f"a fox --preset canny {SMALL}", files=[moved])
        await general.whispered(ada.id, "I need the files:read permission")
    await runner.cleanup()

    assert hits == []
    assert len(general.whispers) == 2


async def test_of_several_files_none_is_guessed(chat, ada, general):
    two = [ada.file(picture()), ada.file(picture())]

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=two)

    await general.whispered(ada.id, "2 files are attached")


async def test_a_file_of_a_shared_channel_is_looked_up(chat, slack, ada, general, gate):
    gate.open()
    file = ada.file(picture())
    shown = {"id": file.id, "mode": "file_access", "file_access": "check_file_info"}
    event = {
        "type": "app_mention",
        "user": ada.id,
        "text": f"<@UBOT1> a fox --preset canny {SMALL}",
        "channel": general.id,
        "team": "T0123",
        "files": [shown],
    }
    ts = ada.write(general, "a fox")["ts"]

    await ada.acked(await ada.event({**event, "ts": ts, "event_ts": ts}))

    await general.said("canny", button="Again")


async def test_a_file_is_inspected_by_mention_and_from_the_menu_of_a_message(
    chat, ada, general, fox
):
    marks = Provenance()
    data = marks.png(square(), marks.of(Job(user="ada", request=fox), fox))

    await ada.mention(general, "inspect", files=[ada.file(data)])
    by_mention = shown_text(await general.whispered(ada.id, "made by AI"))
    message = ada.write(general, "look", files=[ada.file(data)])
    await ada.shortcut("flux_inspect", message, general)
    await ada.shortcut("flux_inspect", ada.write(general, "hello"), general)
    await general.whispered(ada.id, "no picture in that message")

    assert "a fox in snow" in by_mention
    assert await jobs(chat) == []
