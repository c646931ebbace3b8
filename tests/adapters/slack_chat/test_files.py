"""Attached files, before they cost anything."""

import contextlib

import pytest
from aiohttp import web

from adapters.slack_chat.files import read
from bot.jobs import Job
from bot.provenance import Provenance
from bot.sections import Slack
from generation.errors import InvalidImage
from tests.adapters.slack_chat.conftest import SMALL, jobs
from tests.fakes.slack.world import shown_text
from tests.samples import picture, square

FILES = [
    ({"url": "http://evil.example/x.png"}, "the file is stored somewhere else"),
    ({"data": b"x" * 200_000}, "0.2 MB; at most 0.1 MB are allowed"),
    ({"data": b"<!DOCTYPE html><title>x</title>"}, "I need the files:read permission"),
    ({"data": b"%PDF-1.7"}, "PNG, JPEG or WebP"),
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


@pytest.mark.parametrize("fault", [503, 429])
async def test_a_file_that_slack_cannot_hand_out_just_now_is_fetched_again(
    chat, slack, ada, general, gate, fault
):
    """I8"""
    gate.open()
    slack.api.fault("file", fault, fault)

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    await general.said("canny", button="Again")


async def test_in_an_organisation_slack_leads_to_another_of_its_hosts_for_a_file(
    make_chat, slack, ada, general, gate
):
    """D11: which wants the token too."""
    slack.is_grid = True
    gate.open()
    await make_chat(slack_settings={"file_hosts": (slack.host, slack.origin_host)})

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    await general.said("canny", button="Again")
    hosts = [arguments["host"] for arguments in slack.api.called("file")]
    assert hosts == [slack.host, slack.origin_host]


async def test_a_file_that_slack_leads_to_in_circles_is_given_up(chat, slack, ada, general):
    """D11"""
    file = ada.file(picture())
    slack.api.fault("file", *[file.url] * 20)

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[file])

    await general.whispered(ada.id, "The file could not be fetched")
    assert len(slack.api.called("file")) == 4


async def test_a_file_for_which_slack_wants_a_signature_first_takes_a_permission(
    chat, slack, ada, general
):
    """D11"""
    slack.api.fault("file", "https://team.slack.com/?redir=%2Ffiles-pri%2Ffox.png")

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[ada.file(picture())])

    await general.whispered(ada.id, "I need the files:read permission")


@pytest.mark.parametrize("kind", ["text/html", "application/vnd.slack-docs"])
async def test_a_page_that_somebody_attaches_takes_no_permission(chat, ada, general, kind):
    page = ada.file(b"<!DOCTYPE html><p>hi", name="notes", mimetype=kind)

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=[page])

    await general.whispered(ada.id, "PNG, JPEG or WebP")


async def test_the_token_is_sent_to_slacks_hosts_alone_wherever_slack_leads(
    chat, slack, ada, general, caplog
):
    """D11"""
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
        await general.whispered(ada.id, "Slack leads elsewhere for this file")
    await runner.cleanup()

    assert hits == []
    assert "not among slack.file_hosts" in caplog.text
    assert len(general.whispers) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://files.slack.com/fox.png",
        "https://files.slack.com.evil.example/fox.png",
        "https://files.slack.com@evil.example/fox.png",
        "https://files.slack.com:8443/fox.png",
        "ftp://files.slack.com/fox.png",
        "files.slack.com/fox.png",
        "",
    ],
)
async def test_the_token_goes_by_tls_and_to_the_very_hosts_that_are_named(chat, url):
    """D11"""
    with pytest.raises(InvalidImage, match="stored somewhere else"):
        await read(chat.workspaces["T0123"], {"id": "F1", "url_private": url}, Slack(), 100)


async def test_of_several_files_none_is_guessed(chat, ada, general):
    """Two are a picture and its mask, where a preset takes one."""
    five = [ada.file(picture()) for _ in range(5)]

    await ada.mention(general, f"a fox --preset canny {SMALL}", files=five)
    await ada.mention(general, f"a fox --preset canny {SMALL}", files=five[:2])

    await general.whispered(ada.id, "5 files are attached, and 4 at most can be used: send fewer")
    await general.whispered(ada.id, "The preset canny takes one control image, not 2: send one")


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
