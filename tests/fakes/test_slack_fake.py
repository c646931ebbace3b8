"""The fake Slack keeps Slack's rules, and the real slack_sdk agrees with it."""

import asyncio
import json

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.documents import SLACK_TYPES, needs
from tests.fakes.slack import FakeSlack, schema
from tests.fakes.slack.world import Time

QUIET = {"unfurl_links": False, "unfurl_media": False}


@pytest.fixture
async def slack(clock):
    fake = await FakeSlack(clock).start()
    yield fake
    await fake.close()


@pytest.fixture
def client(slack):
    return AsyncWebClient(slack.team.token, base_url=slack.api_base)


async def refused(asking):
    """The error's name, and the answer's headers."""
    with pytest.raises(SlackApiError) as raised:
        await asking
    return raised.value.response["error"], raised.value.response.headers


def section(text):
    return {"type": "section", "text": {"type": "plain_text", "text": text}}


async def test_a_sound_message_is_posted_and_no_fault_found(slack, client):
    general = slack.channel()

    answer = await client.chat_postMessage(
        channel=general.id, text="a fox", blocks=[section("a fox")], **QUIET
    )

    assert general.messages[answer["ts"]]["text"] == "a fox"
    assert slack.violations == []


BAD_BLOCKS = [
    [section("x" * 3001)],
    [section("")],
    [{"type": "section"}],
    [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
    [{"type": "context", "elements": [{"type": "plain_text", "text": "x"}] * 11}],
    [{**section("a"), "block_id": "same"}, {**section("b"), "block_id": "same"}],
    [section("x")] * 51,
    [{"type": "image", "slack_file": {"id": "F1"}}],
    [{"type": "fox"}],
]


@needs(SLACK_TYPES)
@pytest.mark.parametrize("blocks", BAD_BLOCKS)
async def test_blocks_that_slack_would_refuse_are_found(blocks):
    assert schema.block_problems(blocks)


@needs(SLACK_TYPES)
def test_buttons_are_held_against_the_limits_of_slacks_descriptions():
    button = {"type": "button", "text": {"type": "plain_text", "text": "x" * 76}}
    value = {"type": "button", "text": {"type": "plain_text", "text": "x"}, "value": "v" * 2001}
    good = {"type": "button", "text": {"type": "plain_text", "text": "x"}, "action_id": "a"}

    for element in (button, value):
        assert schema.block_problems([{"type": "actions", "elements": [element]}])
    assert schema.block_problems([{"type": "actions", "elements": [good]}]) == []
    assert schema.block_problems([{"type": "actions", "elements": [good, good]}])


@pytest.mark.parametrize(
    "text", ["a < b", "<!channel> look", "fish & chips", "<https://evil.example|x>"]
)
async def test_text_that_is_not_escaped_is_found(slack, client, text):
    await client.chat_postMessage(channel=slack.channel().id, text=text, **QUIET)

    assert any("not escaped" in each for each in slack.violations)


async def test_a_message_that_could_unfurl_is_found(slack, client):
    await client.chat_postMessage(channel=slack.channel().id, text="x")

    assert slack.violations == ["a message could unfurl: 'x'"]


async def test_errors_of_channels_and_tokens_are_slacks_own(slack, client):
    archived, private = slack.channel(), slack.channel(is_private=True)
    archived.is_archived, private.has_bot = True, False
    stranger = AsyncWebClient("xoxb-x", base_url=slack.api_base)

    async def post(client, channel):
        return (await refused(client.chat_postMessage(channel=channel, text="x", **QUIET)))[0]

    assert await post(client, archived.id) == "is_archived"
    assert await post(client, private.id) == "channel_not_found"
    assert await post(client, "C0") == "channel_not_found"
    assert await post(stranger, archived.id) == "invalid_auth"
    slack.scopes.clear()
    assert await post(client, archived.id) == "missing_scope"
    slack.team.error = "token_revoked"
    assert await post(client, archived.id) == "token_revoked"


async def test_a_channel_hears_about_one_message_a_second(slack, client):
    general = slack.channel()

    async def post():
        return await client.chat_postMessage(channel=general.id, text="x", **QUIET)

    for _ in range(4):  # a short burst is allowed
        await post()
    error, headers = await refused(post())
    assert error == "ratelimited"
    await slack.advance(int(headers["Retry-After"]))
    await post()

    assert slack.api.limited == ["chat.postMessage"]


async def test_a_trigger_serves_once_and_three_seconds(slack, client):
    ada = slack.person("ada")
    view = {"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": []}
    first, second = slack.new_trigger(ada), slack.new_trigger(ada)

    await client.views_open(trigger_id=first, view=view)
    again, _ = await refused(client.views_open(trigger_id=first, view=view))
    await slack.advance(3.5)
    late, _ = await refused(client.views_open(trigger_id=second, view=view))

    assert (again, late) == ("exchanged_trigger_id", "expired_trigger_id")


async def test_a_response_url_serves_five_times_within_half_an_hour(slack):
    ada, general = slack.person("ada"), slack.channel()
    first, second = (slack.new_hook(general, ada.id) for _ in range(2))
    async with aiohttp.ClientSession() as http:

        async def use(url):
            async with http.post(url, json={"text": "x"}) as answer:
                return answer.status

        assert [await use(first) for _ in range(6)] == [200] * 5 + [404]
        await slack.advance(1801)
        assert await use(second) == 404
    assert len(general.whispers) == 5


async def test_files_want_the_token_and_show_others_the_door(slack):
    file = slack.person("ada").file(b"\x89PNG")
    async with aiohttp.ClientSession() as http:
        stranger = await http.get(file.url)
        friend = await http.get(file.url, headers={"Authorization": f"Bearer {slack.team.token}"})

        assert (stranger.status, stranger.content_type) == (200, "text/html")
        assert await friend.read() == b"\x89PNG"


async def test_an_upload_has_the_announced_length_and_is_completed_once(slack, client):
    place = await client.files_getUploadURLExternal(filename="fox.png", length=3)
    async with aiohttp.ClientSession() as http:
        assert (await http.post(place["upload_url"], data=b"four")).status == 400
        assert (await http.post(place["upload_url"], data=b"fox")).status == 200
    done = [{"id": place["file_id"], "title": "fox"}]

    await client.files_completeUploadExternal(files=done)
    again, _ = await refused(client.files_completeUploadExternal(files=done))

    assert again == "file_not_found"
    assert slack.files[place["file_id"]].data == b"fox"


async def test_a_picture_is_shown_only_once_slack_has_looked_at_it(slack, client):
    general = slack.channel()
    file = slack.new_file(slack.team, "fox.png", b"fox", slack.team.bot_user)
    block = {"type": "image", "slack_file": {"id": file.id}, "alt_text": "a fox"}
    message = {"channel": general.id, "text": "x", "blocks": [block], **QUIET}

    error, _ = await refused(client.chat_postMessage(**message))
    assert error == "invalid_blocks"
    while not (await client.files_info(file=file.id))["file"]["mimetype"]:
        pass
    await client.chat_postMessage(**message)


# Socket Mode


async def answering(slack, payload=None):
    """A socket that acknowledges everything, with *payload*."""
    async with aiohttp.ClientSession() as http:
        url = slack.sockets.ticket()["url"]
        async with http.ws_connect(url) as socket:
            async for message in socket:
                frame = json.loads(message.data)
                if "envelope_id" in frame:
                    answer = {"envelope_id": frame["envelope_id"]}
                    await socket.send_json(answer | ({"payload": payload} if payload else {}))


@pytest.fixture
async def answered(slack):
    tasks = []

    async def start(payload=None):
        tasks.append(asyncio.create_task(answering(slack, payload)))
        await slack.sockets.until(lambda sockets: sockets.open)

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_ticket_opens_one_socket(slack):
    url = slack.sockets.ticket()["url"]
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(url)

    assert slack.sockets.refused_tickets == 1


async def test_slacks_own_client_is_let_in_and_hears_events(slack, client):
    heard = asyncio.Queue()
    socket = SocketModeClient(slack.app_token, web_client=client)

    async def listen(_, request):
        await heard.put(request)
        await socket.send_socket_mode_response({"envelope_id": request.envelope_id})

    socket.socket_mode_request_listeners.append(listen)
    await socket.connect()
    ada, general = slack.person("ada"), slack.channel()

    await ada.mention(general, "a fox")
    request = await heard.get()
    await socket.close()

    assert (request.type, request.payload["event"]["type"]) == ("events_api", "app_mention")
    assert slack.violations == []


async def test_an_event_that_is_not_acknowledged_comes_again_three_times(slack):
    ada, general = slack.person("ada"), slack.channel()
    await ada.send_mention(general, "a fox")
    answer = slack.sockets.envelopes[0].payload["event_id"]

    for seconds in (3, 60, 300, 3000):
        await slack.advance(seconds)

    envelopes = slack.sockets.envelopes
    assert [envelope.attempt for envelope in envelopes] == [0, 1, 2, 3]
    assert {envelope.payload["event_id"] for envelope in envelopes} == {answer}


async def test_a_command_does_not_come_again(slack):
    ada, general = slack.person("ada"), slack.channel()
    typing = asyncio.create_task(ada.slash(general, "a fox"))
    while not slack.sockets.envelopes:
        await asyncio.sleep(0)

    await slack.advance(300)
    typing.cancel()

    assert len(slack.sockets.envelopes) == 1


async def test_a_late_acknowledgement_and_one_with_a_payload_are_found(slack, answered):
    ada, general = slack.person("ada"), slack.channel()
    envelope = await ada.send_mention(general, "a fox")
    await slack.time.advance(3.5)
    await answered({"text": "no"})

    await ada.acked(envelope)

    assert slack.violations[0] == "an event was acknowledged with a payload"
    assert slack.violations[1].startswith("acknowledged late")


async def test_what_was_sent_on_a_lost_socket_is_sent_on_the_next(slack, answered):
    ada, general = slack.person("ada"), slack.channel()
    envelope = await ada.send_mention(general, "a fox")

    await answered()

    await ada.acked(envelope)


async def test_sleepers_wake_in_the_order_of_their_deadlines(clock):
    time, woken = Time(clock), []
    begun = time()

    async def sleep(seconds):
        await time.sleep(seconds)
        woken.append((seconds, round(time() - begun, 3)))

    await asyncio.gather(*(sleep(seconds) for seconds in (30, 1, 600)))

    assert woken == [(1, 1), (30, 30), (600, 600)]
