"""The fake Discord enforces Discord's rules, shown by a bot without a library that breaks each."""

import asyncio
import io
import json

import aiohttp
import discord
import pytest

from tests.fakes.discord import FakeDiscord, RefusedByDiscord
from tests.fakes.documents import DISCORD_GATEWAY, DISCORD_REST, needs

PLAIN = {"type": 1, "name": "draw", "description": "Draw"}
BUTTON = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
INPUT = {"type": 4, "style": 1, "label": "Prompt", "custom_id": "prompt"}
MIB = 1 << 20


def row(*parts):
    return {"type": 1, "components": list(parts)}


def field(**changes):
    return {"title": "Edit", "custom_id": "edit", "components": [row(INPUT | changes)]}


def label(component, **changes):
    part = {"type": 18, "label": "Picture", "component": component} | changes
    return {"title": "Edit", "custom_id": "edit", "components": [part]}


def identify(**changes):
    data = {"token": "TOKEN", "intents": 0, "shard": [0, 2]}
    data["properties"] = {"os": "linux", "browser": "raw", "device": "raw"}
    return json.dumps({"op": 2, "d": data | changes})


class Raw:
    """A bot without a library, which can break every rule."""

    def __init__(self, fake, session):
        self.fake = fake
        self._session = session

    async def ask(self, method, path, body=None, *, files=(), token=None):
        """(status, JSON) of a call."""
        headers = {"Authorization": f"Bot {token or self.fake.token}"}
        options = {"json": body}
        if files:
            form = aiohttp.FormData(quote_fields=False)
            form.add_field("payload_json", json.dumps(body), content_type="application/json")
            for number, data in enumerate(files):
                form.add_field(f"files[{number}]", io.BytesIO(data), filename=f"{number}.png")
            options = {"data": form}
        url = f"https://discord.com/api/v10{path}"
        async with self._session.request(method, url, headers=headers, **options) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def write(self, body, **options):
        return await self.ask("POST", f"/channels/{self.fake.channel.id}/messages", body, **options)

    async def answer(self, interaction, kind, data=None, **options):
        path = f"/interactions/{interaction.id}/{interaction.token}/callback"
        body = {"type": kind} if data is None else {"type": kind, "data": data}
        return await self.ask("POST", path, body, **options)

    async def webhook(self, method, interaction, tail="", body=None, **options):
        path = f"/webhooks/{self.fake.application_id}/{interaction.token}{tail}"
        return await self.ask(method, path, body, **options)

    async def register(self, *commands):
        path = f"/applications/{self.fake.application_id}/commands"
        return await self.ask("PUT", path, list(commands))

    async def asked(self):
        """An interaction that waits for its first answer."""
        if None not in self.fake.commands:
            await self.register(PLAIN)
        return await self.fake.person("ada").command(self.fake.channel, "draw")


@pytest.fixture
async def raw(fake):
    async with aiohttp.ClientSession(connector=fake.connector()) as session:
        yield Raw(fake, session)


def refused(fake, answer, status, code):
    """Assert that an answer refuses, and that the rule stands among the violations."""
    assert (answer[0], answer[1]["code"]) == (status, code)
    fake.forgive(f"is refused: {status} {code}")
    fake.violations = [one for one in fake.violations if "breaks the schema" not in one]


EMBED = {"title": "A fox"}
OPTION = {"label": "Canny", "value": "canny"}
MENU = {"type": 3, "custom_id": "preset", "options": [OPTION]}


def parts(*components):
    return {"content": "x", "components": list(components)}


def layout(*components):
    return {"flags": 1 << 15, "components": list(components)}


BAD_MESSAGES = {
    "nothing": {},
    "long content": {"content": "x" * 2001},
    "long nonce": {"content": "x", "nonce": "x" * 26},
    "eleven embeds": {"embeds": [EMBED] * 11},
    "long title": {"embeds": [{"title": "x" * 257}]},
    "long description": {"embeds": [{"description": "x" * 4097}]},
    "long footer": {"embeds": [{"footer": {"text": "x" * 2049}}]},
    "many fields": {"embeds": [{"fields": [{"name": "a", "value": "b"}] * 26}]},
    "empty field": {"embeds": [{"fields": [{"name": "a", "value": ""}]}]},
    "long field": {"embeds": [{"fields": [{"name": "a", "value": "x" * 1025}]}]},
    "long embeds": {"embeds": [{"description": "x" * 3001}] * 2},
    "strange picture": {"embeds": [{"image": {"url": "file:///etc/passwd"}}]},
    "six rows": {
        "content": "x",
        "components": [row(BUTTON | {"custom_id": str(n)}) for n in range(6)],
    },
    "six buttons": {
        "content": "x",
        "components": [row(*[BUTTON | {"custom_id": str(n)} for n in range(6)])],
    },
    "bare button": {"content": "x", "components": [BUTTON]},
    "long label": {"content": "x", "components": [row(BUTTON | {"label": "x" * 81})]},
    "long custom id": {"content": "x", "components": [row(BUTTON | {"custom_id": "x" * 101})]},
    "same custom id": {"content": "x", "components": [row(BUTTON, BUTTON)]},
    "no label": {"content": "x", "components": [row(BUTTON | {"label": ""})]},
    "empty row": {"content": "x", "components": [row()]},
    "link with id": {
        "content": "x",
        "components": [row(BUTTON | {"style": 5, "url": "https://a.b"})],
    },
    "menu without options": {
        "content": "x",
        "components": [row({"type": 3, "custom_id": "a", "options": []})],
    },
    "content beside layout": {
        "content": "x",
        "flags": 1 << 15,
        "components": [{"type": 10, "content": "x"}],
    },
    "long layout": {"flags": 1 << 15, "components": [{"type": 10, "content": "x" * 2500}] * 2},
    "users twice": {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
    "101 users": {"content": "x", "allowed_mentions": {"users": [str(n) for n in range(101)]}},
    "no text": {"content": 5},
    "long author": {"embeds": [{"author": {"name": "x" * 257}}]},
    "long field name": {"embeds": [{"fields": [{"name": "x" * 257, "value": "b"}]}]},
    "field without value": {"embeds": [{"fields": [{"name": "x"}]}]},
    "menu beside button": parts(row(MENU, BUTTON)),
    "unknown style": parts(row(BUTTON | {"style": 9})),
    "link without address": parts(row({"type": 2, "style": 5, "label": "Go"})),
    "text input": parts(row(INPUT)),
    "long id of a menu": parts(row(MENU | {"custom_id": "x" * 101})),
    "long placeholder": parts(row(MENU | {"placeholder": "x" * 151})),
    "same option": parts(row(MENU | {"options": [OPTION, OPTION]})),
    "long option": parts(row(MENU | {"options": [OPTION | {"label": "x" * 101}]})),
    "too many choices": parts(row(MENU | {"max_values": 2})),
    "41 parts": layout(*[{"type": 10, "content": "x"}] * 41),
    "button without a row": layout(BUTTON),
    "twice in a layout": layout(row(BUTTON), row(BUTTON)),
    "missing file": {"content": "x", "attachments": [{"id": "0", "filename": "a.png"}]},
}
BAD_MODALS = {
    "long title": field() | {"title": "x" * 46},
    "no field": field() | {"components": []},
    "six fields": field() | {"components": [row(INPUT | {"custom_id": str(n)}) for n in range(6)]},
    "long custom id": field() | {"custom_id": "x" * 101},
    "long label": field(label="x" * 46),
    "long value": field(max_length=3, value="four"),
    "button": field() | {"components": [row(BUTTON)]},
    "long label of a label": label(INPUT, label="x" * 46),
    "eleven files": label({"type": 19, "custom_id": "a", "max_values": 11}),
    "two fields in a row": field() | {"components": [row(INPUT, INPUT | {"custom_id": "b"})]},
    "long description": label(INPUT, description="x" * 101),
    "same custom id": field() | {"components": [row(INPUT), row(INPUT)]},
    "long custom id of a field": field(custom_id="x" * 101),
    "long placeholder": field(placeholder="x" * 101),
    "endless text": field(max_length=4001),
    "bare input": field() | {"components": [INPUT]},
}
TEXT = {"type": 3, "name": "prompt", "description": "What"}
SUB = {"type": 1, "name": "sub", "description": "Sub"}
BAD_COMMANDS = {
    "capitals": [PLAIN | {"name": "Draw"}],
    "blank": [PLAIN | {"name": "draw me"}],
    "no description": [PLAIN | {"description": ""}],
    "long description": [PLAIN | {"description": "x" * 101}],
    "twice": [PLAIN, PLAIN],
    "101 commands": [PLAIN | {"name": f"draw{n}"} for n in range(101)],
    "26 options": [PLAIN | {"options": [TEXT | {"name": f"p{n}"} for n in range(26)]}],
    "required last": [PLAIN | {"options": [TEXT, TEXT | {"name": "b", "required": True}]}],
    "26 choices": [
        PLAIN
        | {"options": [TEXT | {"choices": [{"name": str(n), "value": str(n)} for n in range(26)]}]}
    ],
    "both completions": [
        PLAIN
        | {"options": [TEXT | {"autocomplete": True, "choices": [{"name": "a", "value": "a"}]}]}
    ],
    "mixed": [PLAIN | {"options": [SUB, TEXT]}],
    "deep": [PLAIN | {"options": [SUB | {"options": [SUB]}]}],
    "unknown locale": [PLAIN | {"name_localizations": {"xx": "male"}}],
    "bad translation": [PLAIN | {"name_localizations": {"de": "Male mir"}}],
    "long translation": [PLAIN | {"description_localizations": {"de": "x" * 101}}],
    "same option": [PLAIN | {"options": [TEXT, TEXT]}],
    "unknown type": [PLAIN | {"options": [TEXT | {"type": 12}]}],
    "long choice": [PLAIN | {"options": [TEXT | {"choices": [{"name": "x" * 101, "value": "a"}]}]}],
    "choice in a strange tongue": [
        PLAIN
        | {
            "options": [
                TEXT | {"choices": [{"name": "a", "value": "a", "name_localizations": {"xx": "b"}}]}
            ]
        }
    ],
    "long menu": [{"type": 3, "name": "x" * 33}],
    "described menu": [{"type": 3, "name": "Use", "description": "Use it"}],
    "menu in a strange tongue": [{"type": 3, "name": "Use", "name_localizations": {"xx": "a"}}],
    "unknown context": [PLAIN | {"contexts": [3]}],
    "too much": [
        PLAIN
        | {
            "options": [
                TEXT
                | {
                    "name": f"p{n}",
                    "choices": [
                        {"name": "x" * 90 + str(c), "value": "y" * 90 + str(c)} for c in range(25)
                    ],
                }
                for n in range(2)
            ]
        }
    ],
}


@pytest.mark.parametrize("body", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
async def test_a_message_that_breaks_a_rule_is_refused(fake, raw, body):
    asked = await raw.asked()

    code = 50006 if body == {} else 50035
    refused(fake, await raw.write(body), 400, code)
    refused(fake, await raw.answer(asked, 4, body), 400, code)

    assert fake.channel.messages == []
    assert asked.answer is None


@pytest.mark.parametrize("data", BAD_MODALS.values(), ids=BAD_MODALS)
async def test_a_form_that_breaks_a_rule_is_refused(fake, raw, data):
    asked = await raw.asked()

    refused(fake, await raw.answer(asked, 9, data), 400, 50035)

    assert asked.modal is None


@pytest.mark.parametrize("commands", BAD_COMMANDS.values(), ids=BAD_COMMANDS)
async def test_a_command_that_breaks_a_rule_is_not_registered(fake, raw, commands):
    refused(fake, await raw.register(*commands), 400, 50035)

    assert fake.commands == {}


async def test_the_first_answer_has_three_seconds(fake, raw):
    asked, in_time = await raw.asked(), await raw.asked()
    fake.clock.advance(3)
    assert (await raw.answer(in_time, 5))[0] == 204
    fake.clock.advance(0.1)

    refused(fake, await raw.answer(asked, 5), 404, 10062)

    assert asked.is_lost


async def test_an_interaction_is_answered_once_and_first_of_all(fake, raw):
    asked = await raw.asked()

    refused(fake, await raw.webhook("POST", asked, body={"content": "x"}), 404, 10015)
    await raw.answer(asked, 4, {"content": "x"})
    refused(fake, await raw.answer(asked, 4, {"content": "x"}), 400, 40060)
    refused(fake, await raw.answer(asked, 5), 400, 40060)


async def test_a_token_lives_fifteen_minutes(fake, raw):
    asked = await raw.asked()
    await raw.answer(asked, 4, {"content": "x"})
    fake.clock.advance(900)
    assert (await raw.webhook("PATCH", asked, "/messages/@original", {"content": "y"}))[0] == 200
    fake.clock.advance(1)

    for method, tail in (("PATCH", "/messages/@original"), ("POST", "")):
        status, body = await raw.webhook(method, asked, tail, {"content": "z"})
        assert (status, body["code"]) == (401, 50027)


async def test_each_kind_of_interaction_takes_its_own_answers(fake, raw):
    ada = fake.person("ada")
    await raw.register(PLAIN | {"options": [TEXT | {"autocomplete": True}]})
    command = await ada.command(fake.channel, "draw")
    completion = asyncio.create_task(ada.autocomplete(fake.channel, "draw", "prompt"))
    typed = await fake.until(
        lambda: next((i for i in fake.interactions.values() if i.kind == 4), None)
    )
    for interaction, kinds in ((command, (6, 7, 8)), (typed, (4, 5, 6, 7, 9))):
        for kind in kinds:
            data = {"content": "x", "choices": []} | field()
            refused(fake, await raw.answer(interaction, kind, data), 400, 50035)
    choices = [{"name": str(n), "value": str(n)} for n in range(26)]
    for bad in (
        choices,
        None,
        [{"name": "x" * 101, "value": "a"}],
        [{"name": "a", "value": "x" * 101}],
    ):
        refused(fake, await raw.answer(typed, 8, {"choices": bad}), 400, 50035)
    await raw.answer(typed, 8, {"choices": choices[:25]})
    assert len(await completion) == 25
    await raw.answer(command, 9, field())

    sent = await ada.submit(command, {"prompt": "a fox"})

    refused(fake, await raw.answer(sent, 9, field()), 400, 50035)
    refused(fake, await raw.answer(sent, 7, {"content": "x"}), 400, 50035)


async def test_a_form_under_a_message_may_edit_it(fake, raw):
    ada, asked = fake.person("bob"), await raw.asked()
    await raw.answer(asked, 4, {"content": "x", "components": [row(BUTTON)]})
    pressed = await ada.press(asked.message, "Go")
    await raw.answer(pressed, 9, field())
    sent = await ada.submit(pressed, {"prompt": "a fox"})

    await raw.answer(sent, 7, {"content": "y", "components": []})

    assert [edit.content for edit in asked.message.edits] == ["x", "y"]
    with pytest.raises(RefusedByDiscord):
        await ada.submit(pressed, {"prompt": "twice"})
    with pytest.raises(RefusedByDiscord):
        await ada.press(asked.message, "Go")


async def test_a_deferred_answer_carries_only_that_it_is_ephemeral(fake, raw):
    asked = await raw.asked()

    await raw.answer(asked, 5, {"content": "x", "flags": 64})

    assert (asked.message.content, asked.message.is_ephemeral) == ("", True)
    fake.forgive("carries only EPHEMERAL")


async def test_a_followup_takes_the_place_of_a_deferred_answer(fake, raw):
    asked = await raw.asked()
    await raw.answer(asked, 5, {"flags": 64})

    await raw.webhook("POST", asked, body={"content": "first"})
    await raw.webhook("POST", asked, body={"content": "second"})

    assert (asked.message.content, asked.message.is_ephemeral) == ("first", True)
    assert [(message.content, message.is_ephemeral) for message in asked.followups] == [
        ("second", False)
    ]


async def test_editing_drops_the_files_that_it_does_not_list(fake, raw):
    _, sent = await raw.write({"content": "x"}, files=(b"one", b"two"))
    path = f"/channels/{fake.channel.id}/messages/{sent['id']}"
    kept = {"id": sent["attachments"][1]["id"]}

    await raw.ask("PATCH", path, {"content": "y"})
    await raw.ask(
        "PATCH", path, {"attachments": [kept, {"id": 0, "filename": "new.png"}]}, files=(b"three",)
    )
    await raw.ask("PATCH", path, {"attachments": []})

    edits = fake.channel.messages[0].edits
    assert [[file.data for file in edit.attachments] for edit in edits] == [
        [b"one", b"two"],
        [b"one", b"two"],
        [b"two", b"three"],
        [],
    ]


async def test_a_message_holds_ten_files(fake, raw):
    assert (await raw.write({}, files=[b"x"] * 10))[0] == 200

    refused(fake, await raw.write({}, files=[b"x"] * 11), 400, 50035)


async def test_files_have_a_limit_each_and_a_request_has_one(fake, raw):
    fake.guild.attachment_size_limit = 20 * MIB
    asked = await raw.asked()

    refused(fake, await raw.write({}, files=[bytes(20 * MIB + 1)]), 413, 40005)
    refused(fake, await raw.answer(asked, 4, {}, files=[bytes(13 * MIB)] * 2), 413, 40005)
    assert (await raw.write({}, files=[bytes(20 * MIB)]))[0] == 200


async def test_a_guest_follows_up_five_times(fake, raw):
    ada = fake.person("ada", has_installed=True)
    elsewhere = fake.add_guild("Elsewhere", has_bot=False)
    ada.join(elsewhere)
    await raw.register(PLAIN | {"integration_types": [0, 1]})
    asked = await ada.command(elsewhere.add_channel("far"), "draw")
    await raw.answer(asked, 4, {"content": "0"})

    answers = [await raw.webhook("POST", asked, body={"content": str(n)}) for n in range(6)]

    assert [status for status, _ in answers] == [200] * 5 + [400]
    refused(fake, answers[5], 400, 40094)
    assert (await raw.ask("GET", f"/channels/{asked.channel.id}"))[1]["code"] == 50001


@pytest.mark.parametrize(
    ("lost", "body", "files"),
    [
        ({"send_messages": True}, {"content": "x"}, ()),
        ({"attach_files": True}, {"content": "x"}, (b"x",)),
        ({"embed_links": True}, {"embeds": [EMBED]}, ()),
        ({"send_messages_in_threads": True}, {"content": "x"}, ()),
    ],
)
async def test_the_bot_does_what_it_may(fake, raw, lost, body, files):
    channel = (
        fake.channel.add_thread("aside") if "send_messages_in_threads" in lost else fake.channel
    )
    path = f"/channels/{channel.id}/messages"
    assert (await raw.ask("POST", path, body, files=files))[0] == 200

    fake.channel.overwrite(fake.bot, deny=discord.Permissions(**lost))

    status, answer = await raw.ask("POST", path, body, files=files)
    assert (status, answer["code"]) == (403, 50013)


async def test_too_many_requests_in_a_second_are_too_fast(fake, raw):
    assert fake.pace.most == 50
    fake.pace.most = 3

    answers = [await raw.ask("GET", "/users/@me") for _ in range(5)]

    assert [status for status, _ in answers] == [200] * 3 + [429] * 2
    assert answers[4][1]["global"]
    assert fake.pace.busiest_second == 5


async def test_what_discord_does_not_document_is_noticed(fake, raw):
    assert (await raw.ask("GET", "/users/@me/secrets"))[0] == 404
    fake.forgive("knows no call GET /api/v10/users/@me/secrets")

    assert (await raw.ask("GET", "/users/@me", token="wrong"))[0] == 401
    assert (await raw.ask("GET", f"/users/{fake.snowflake()}"))[1]["code"] == 10013
    member = f"/guilds/{fake.guild.id}/members/{fake.snowflake()}"
    assert (await raw.ask("GET", member))[1]["code"] == 10007


@needs(DISCORD_REST, DISCORD_GATEWAY)
async def test_a_body_against_the_schema_is_noticed_on_both_sides(fake, raw):
    await raw.write({"content": "x", "tts": "loudly"})
    fake.forgive("body of POST .* breaks the schema: tts")
    fake.bot.name = None

    await raw.ask("GET", "/users/@me")

    fake.forgive("fake's answer 200 to GET /users/@me breaks the schema: username")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", 4002),
        ('{"op": 77, "d": null}', 4001),
        (
            '{"op": 3, "d": {"since": null, "activities": [], "status": "online", "afk": false}}',
            4003,
        ),
        ('{"op": 1, "d": "' + "x" * 4096 + '"}', 4002),
        (identify(shard=[2, 2]), 4010),
        (identify(shard=[0, 1]), 4011),
        (identify(intents=1 << 30), 4013),
        (identify(intents=1 << 15), 4014),
        (identify(token="wrong"), 4004),
    ],
)
async def test_a_bad_frame_closes_the_gateway_with_its_code(frame, code):
    async with FakeDiscord(shards=2) as fake:
        url = "wss://gateway.discord.gg/?v=10&encoding=json"
        session = aiohttp.ClientSession(connector=fake.connector())
        async with session, session.ws_connect(url) as socket:
            assert (await socket.receive_json())["op"] == 10
            await socket.send_str(frame.replace("TOKEN", fake.token))
            closed = await socket.receive()

    assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert fake.violations != [] or code == 4004
