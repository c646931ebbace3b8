"""The fake Discord and the real discord.py agree, and the fake enforces Discord's rules."""

import asyncio
import io

import aiohttp
import discord
import pytest
from discord import app_commands

from tests.fakes.discord import FakeDiscord, File, RefusedByDiscord


class Again(discord.ui.DynamicItem[discord.ui.Button], template=r"again:(?P<job>\d+)"):
    """A button that works without any view in memory."""

    def __init__(self, job):
        super().__init__(discord.ui.Button(label="Again", custom_id=f"again:{job}"))
        self.job = job

    @classmethod
    async def from_custom_id(cls, interaction, item, match):
        return cls(int(match["job"]))

    async def callback(self, interaction):
        await interaction.response.send_modal(Prompt(str(self.job)))


class Prompt(discord.ui.Modal, title="Edit the prompt"):
    def __init__(self, old):
        super().__init__(custom_id="prompt")
        self.text = discord.ui.TextInput(default=old, custom_id="text")
        self.picture = discord.ui.FileUpload(custom_id="picture", required=False)
        self.preset = discord.ui.Select(
            custom_id="preset", options=[discord.SelectOption(label="Canny", value="canny")]
        )
        self.add_item(discord.ui.Label(text="Prompt", component=self.text))
        self.add_item(discord.ui.Label(text="Picture", component=self.picture))
        self.add_item(discord.ui.Label(text="Preset", component=self.preset))

    async def on_submit(self, interaction):
        files = [await upload.read() for upload in self.picture.values]
        await interaction.response.send_message(
            f"{self.text.value} {self.preset.values} {files}", ephemeral=True
        )


class Client(discord.AutoShardedClient):
    """The smallest bot with one of everything."""

    def __init__(self, fake, intents=None):
        super().__init__(
            intents=intents or discord.Intents.default(),
            connector=fake.connector(),
            guild_ready_timeout=0,
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.seen = []
        self.tree = app_commands.CommandTree(self)
        self.add_dynamic_items(Again)
        self.tree.add_command(Flux())
        self.tree.add_command(app_commands.ContextMenu(name="Use", callback=use))
        self.tree.add_command(app_commands.Command(name="admin", description="Rule", callback=rule))

    async def setup_hook(self):
        await self.tree.sync()

    async def before_identify_hook(self, shard_id, *, initial=False):
        """The library waits five seconds here, which the fake does not ask for."""

    async def on_socket_event_type(self, event):
        self.seen.append(event)


@app_commands.allowed_installs(guilds=True, users=True)
@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
class Flux(app_commands.Group, name="flux", description="Draw"):
    @app_commands.command(description="Draw a picture")
    async def imagine(
        self,
        interaction: discord.Interaction,
        prompt: str,
        steps: app_commands.Range[int, 1, 50] = 20,
        preset: str = "plain",
        picture: discord.Attachment | None = None,
    ):
        await interaction.response.defer()
        seen = b"" if picture is None else await picture.read()
        embed = discord.Embed(title=prompt, description=f"{steps} steps, {preset}, {len(seen)} B")
        view = discord.ui.View(timeout=None)
        view.add_item(Again(7))
        await interaction.edit_original_response(content="Drawing ...")
        await interaction.edit_original_response(
            content=interaction.user.mention,
            embed=embed,
            view=view,
            attachments=[discord.File(io.BytesIO(b"a picture"), "picture.png")],
            allowed_mentions=discord.AllowedMentions(users=[interaction.user]),
        )
        await interaction.followup.send("Done.", ephemeral=True)

    @imagine.autocomplete("preset")
    async def complete(self, interaction: discord.Interaction, text: str):
        names = [name for name in ("plain", "canny", "depth") if text in name]
        return [app_commands.Choice(name=name.title(), value=name) for name in names]

    @app_commands.command(description="Choose a preset")
    async def choose(self, interaction: discord.Interaction):
        view = discord.ui.View()
        menu = discord.ui.Select(placeholder="Preset", custom_id="preset", max_values=2)
        for name in ("plain", "canny", "depth"):
            menu.add_option(label=name.title(), value=name)

        async def chosen(interaction):
            await interaction.response.edit_message(content=str(menu.values), view=None)

        menu.callback = chosen
        view.add_item(menu)
        await interaction.response.send_message("Which?", view=view, ephemeral=True)

    @app_commands.command(description="Say where we are")
    async def where(self, interaction: discord.Interaction):
        await interaction.response.send_message(
            f"{interaction.context.guild} {interaction.context.dm_channel} "
            f"{interaction.is_guild_integration()} {interaction.is_user_integration()} "
            f"{type(interaction.channel).__name__} {interaction.filesize_limit} "
            f"{interaction.app_permissions.attach_files} {interaction.locale}"
        )


@app_commands.guild_only
@app_commands.default_permissions(manage_guild=True)
async def rule(interaction: discord.Interaction):
    await interaction.response.send_message("Yes?", ephemeral=True)


async def use(interaction: discord.Interaction, message: discord.Message):
    await interaction.response.send_message(message.attachments[0].filename, ephemeral=True)


@pytest.fixture
async def start(fake):
    """Starts a client, and stops it when the test is over."""
    running = []

    async def start(**options):
        client = Client(fake, **options)
        running.append((client, asyncio.create_task(client.start(fake.token))))
        await fake.connected()
        return client

    yield start
    for client, task in running:
        await client.close()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


@pytest.fixture
async def client(fake, start):
    return await start()


async def test_a_command_is_answered_deferred_edited_and_followed_up(fake, client):
    ada = fake.person("ada")

    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a fox", steps=4, picture=File(b"hello")
    )
    answer = await asked.answered()
    message = await asked.until(lambda message: message.attachments)
    done = await asked.followed_up()

    assert (answer.kind, answer.is_ephemeral) == (5, False)
    assert "4 steps, plain, 5 B" in message.text
    assert message.attachments[0].data == b"a picture"
    assert message.mentions == [ada]
    assert [edit.content for edit in message.edits] == ["", "Drawing ...", f"<@{ada.id}>"]
    assert (done.content, done.seen_by) == ("Done.", ada)
    assert fake.channel.messages == [message]


async def test_a_button_opens_a_form_that_is_filled_in(fake, client):
    ada = fake.person("ada")
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox")
    message = await asked.until(lambda message: message.buttons)

    pressed = await ada.press(message, "Again")
    await pressed.answered()
    sent = await ada.submit(pressed, {"picture": File(b"new"), "preset": "Canny"})
    answer = await sent.until(lambda message: True)

    assert answer.content == "7 ['canny'] [b'new']"
    assert answer.seen_by is ada


async def test_a_message_command_gets_the_message(fake, client):
    ada = fake.person("ada")
    message = await ada.say(fake.channel, "look", File(b"a fox", "fox.png"))

    used = await ada.menu("Use", message)

    assert (await used.until(lambda message: True)).content == "fox.png"


async def test_options_are_completed_as_one_types(fake, client):
    ada = fake.person("ada")

    offered = await ada.autocomplete(fake.channel, "flux imagine", "preset", "n", prompt="a fox")

    assert offered == [{"name": "Plain", "value": "plain"}, {"name": "Canny", "value": "canny"}]


async def test_a_menu_edits_its_own_message(fake, client):
    ada, bob = fake.person("ada"), fake.person("bob")
    asked = await ada.command(fake.channel, "flux choose")
    message = await asked.until(lambda message: message.controls)
    with pytest.raises(RefusedByDiscord):
        await bob.select(message, "Preset", "Canny")
    with pytest.raises(RefusedByDiscord):
        await ada.select(message, "Preset", "plain", "canny", "depth")

    chosen = await ada.select(message, "Preset", "Canny", "depth")
    answer = await chosen.answered()

    assert answer.kind == 7
    assert (message.content, message.controls) == ("['canny', 'depth']", [])
    assert chosen.message is message


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("server", "True False True False TextChannel 10485760 True de"),
        ("thread", "True False True False Thread 10485760 True de"),
        ("direct", "False True False False DMChannel 10485760 True de"),
        ("group", "False False False True GroupChannel 10485760 True de"),
        ("elsewhere", "True False False True TextChannel 52428800 True de"),
    ],
)
async def test_a_command_says_where_it_was_used(fake, client, place, expected):
    ada = fake.person("ada", locale="de", has_installed=place in ("group", "elsewhere"))
    elsewhere = fake.add_guild("Elsewhere", has_bot=False)
    elsewhere.attachment_size_limit = 50 << 20
    ada.join(elsewhere)
    channel = {
        "server": lambda: fake.channel,
        "thread": lambda: fake.channel.add_thread("aside"),
        "direct": lambda: ada.direct,
        "group": lambda: fake.group(ada, fake.person("bob"), fake.person("eve")),
        "elsewhere": lambda: elsewhere.add_channel("far"),
    }[place]()

    asked = await ada.command(channel, "flux where")

    assert (await asked.until(lambda message: True)).content == expected


async def test_a_command_is_offered_only_where_and_to_whom_it_is_meant(fake, client):
    stranger = fake.person("eve", has_installed=True)
    admin = fake.person("ada", permissions=discord.Permissions(manage_guild=True))

    for person, channel in ((stranger, fake.channel), (stranger, fake.group(stranger, admin))):
        with pytest.raises(RefusedByDiscord):
            await person.command(channel, "admin")
    with pytest.raises(RefusedByDiscord):
        await fake.person("bob").command(fake.group(stranger), "flux where")
    assert (await (await admin.command(fake.channel, "admin")).answered()).is_ephemeral


async def test_what_the_client_would_refuse_never_reaches_the_bot(fake, client):
    ada = fake.person("ada")

    for options in (
        {"prompt": "a", "picture": "a.png"},
        {},
        {"prompt": "a", "steps": 51},
        {"prompt": "a", "size": 1},
        {"prompt": 5},
    ):
        with pytest.raises(RefusedByDiscord):
            await ada.command(fake.channel, "flux imagine", **options)

    assert fake.interactions == {}


async def test_the_bot_writes_edits_replies_and_deletes_in_a_channel(fake, client):
    ada = fake.person("ada")
    channel = client.get_channel(fake.channel.id)
    look = await ada.say(fake.channel, "look")
    everyone = discord.AllowedMentions(users=True, everyone=False)

    sent = await channel.send(
        f"@everyone <@{ada.id}>",
        embed=discord.Embed(title="A fox").set_image(url="attachment://fox.png"),
        file=discord.File(io.BytesIO(b"fox"), "fox.png", description="red"),
        reference=await channel.fetch_message(look.id),
        nonce=5,
        allowed_mentions=everyone,
    )
    kept = fake.channel.messages[-1]
    shown = await client.http._HTTPClient__session.get(sent.embeds[0].image.url)
    picture = await shown.read()
    mentioned = (kept.mention_everyone, kept.mentions)
    await sent.edit(content="two", attachments=[discord.File(io.BytesIO(b"owl"), "owl.png")])
    await sent.delete()

    assert (picture, fake.downloads) == (b"fox", {"cdn.discordapp.com": 1})
    assert (sent.attachments, sent.reference.message_id) == ([], look.id)
    assert mentioned == (False, [ada])
    assert [[file.filename for file in edit.attachments] for edit in kept.edits] == [
        ["fox.png"],
        ["owl.png"],
    ]
    assert fake.channel.messages == [look]
    assert kept.is_deleted
    fake.forgive("attachment://fox.png, which is not attached")


async def test_the_bot_writes_to_a_person_who_lets_it(fake, client):
    ada, bob = fake.person("ada"), fake.person("bob")
    bob.accepts_direct_messages = False

    await (await client.fetch_user(ada.id)).send("psst")
    with pytest.raises(discord.Forbidden) as refused:
        await (await client.fetch_user(bob.id)).send("psst")

    assert [message.content for message in ada.direct.messages] == ["psst"]
    assert refused.value.code == 50007


async def test_an_address_of_a_file_expires(fake, client):
    message = await fake.person("ada").say(fake.channel, "", File(b"fox", "fox.png"))
    found = await client.get_channel(fake.channel.id).fetch_message(message.id)
    assert await found.attachments[0].read() == b"fox"

    fake.clock.advance(24 * 3600 + 1)

    with pytest.raises(discord.NotFound):
        await found.attachments[0].read()
    again = await client.get_channel(fake.channel.id).fetch_message(message.id)
    assert await again.attachments[0].read() == b"fox"


async def test_no_other_host_can_be_reached(fake, client):
    with pytest.raises(OSError, match="example"):
        await client.http._HTTPClient__session.get("https://example.com/")

    fake.forgive("wanted to reach example.com:443")


async def test_missed_events_are_replayed_when_a_session_resumes(fake, client):
    ada = fake.person("ada")

    await fake.drop()
    asked = await ada.command(fake.channel, "flux where")

    await asked.answered()
    assert [session.resumes for session in fake.gateway.sessions] == [1]
    assert len(fake.gateway.identifies) == 1
    assert "RESUMED" in client.seen


async def test_a_session_is_resumed_after_op_7_and_a_resumable_op_9(fake, client):
    ada = fake.person("ada")
    await fake.reconnect()
    await fake.connected()
    await fake.invalidate(resumable=True)
    await fake.connected()

    asked = await ada.command(fake.channel, "flux where")

    await asked.answered()
    assert [session.resumes for session in fake.gateway.sessions] == [2]
    assert len(fake.gateway.identifies) == 1


async def test_an_invalid_session_identifies_anew_and_has_lost_what_it_missed(fake, client):
    ada = fake.person("ada")
    await fake.invalidate()
    lost = await ada.command(fake.channel, "flux where")
    await fake.connected()

    asked = await ada.command(fake.channel, "flux where")

    await asked.answered()
    assert len(fake.gateway.identifies) == 2
    assert lost.answer is None
    fake.clock.advance(4)
    assert lost.is_lost


async def test_an_event_can_come_twice_or_never(fake, client):
    ada = fake.person("ada")
    fake.copies = 0
    lost = await ada.command(fake.channel, "flux where")
    fake.copies = 2
    asked = await ada.command(fake.channel, "flux where")

    await asked.answered()
    await fake.until(lambda: any(request.code == 40060 for request in fake.requests))

    assert lost.answer is None
    fake.forgive("40060")


async def test_each_shard_serves_its_own_servers():
    async with FakeDiscord(shards=3) as fake:
        guilds = [fake.guild, *(fake.add_guild(f"number {number}") for number in range(4))]
        client = Client(fake)
        running = asyncio.create_task(client.start(fake.token))
        await fake.connected()
        ada = fake.person("ada")
        for guild in guilds:
            ada.join(guild)
            asked = await ada.command(guild.add_channel("here"), "flux where")
            await asked.answered()

        shards = sorted(identify["shard"] for identify in fake.gateway.identifies)
        await client.close()
        await running

    assert shards == [[0, 3], [1, 3], [2, 3]]
    assert fake.violations == []


async def test_a_bad_token_ends_the_client(fake):
    async with Client(fake) as client:
        with pytest.raises(discord.LoginFailure):
            await client.start("a wrong token")

    assert fake.invalid_requests == 1


async def test_a_token_that_is_revoked_ends_the_client(fake):
    async with Client(fake) as client:
        running = asyncio.create_task(client.start(fake.token))
        await fake.connected()

        fake.refuse_token()
        await fake.drop()

        with pytest.raises(discord.ConnectionClosed) as closed:
            await running
    assert closed.value.code == 4004


async def test_an_intent_that_was_not_granted_ends_the_client(fake):
    async with Client(fake, intents=discord.Intents.all()) as client:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await client.start(fake.token)

    fake.forgive("closed with 4014")


async def test_content_of_others_needs_its_intent(fake, start):
    client = await start()
    heard = asyncio.get_running_loop().create_future()
    client.on_message = lambda message: _resolve(heard, message)

    await fake.person("ada").say(fake.channel, "secret", File(b"x"))

    message = await heard
    assert (message.content, message.attachments) == ("", [])


async def _resolve(future, value):
    future.set_result(value)


async def test_discord_py_waits_for_a_429_and_asks_again(fake, client):
    fault = fake.fail("POST", "/channels/", status=429)

    await client.get_channel(fake.channel.id).send("hello")

    assert fault.hits == 1
    assert [message.content for message in fake.channel.messages] == ["hello"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"status": 429, "headers": {"Via": ""}}, discord.HTTPException),
        ({"status": 429, "body": "<html>banned</html>"}, discord.HTTPException),
        ({"status": 503}, discord.DiscordServerError),
        ({"status": None}, aiohttp.ClientConnectionError),
    ],
)
async def test_what_discord_py_does_not_repeat_reaches_the_bot(fake, client, options, error):
    fake.fail("POST", "/channels/", **options)

    with pytest.raises(error):
        await client.get_channel(fake.channel.id).send("hello")

    assert fake.channel.messages == []


async def test_a_lost_answer_is_made_good_by_the_same_nonce(fake, client):
    fake.fail("POST", "/channels/", lose_answer=True)
    channel = client.get_channel(fake.channel.id)
    with pytest.raises(aiohttp.ClientConnectionError):
        await channel.send("hello", nonce="job-1")

    await channel.send("hello", nonce="job-1")
    assert len(fake.channel.messages) == 1
    fake.clock.advance(600)
    await channel.send("hello", nonce="job-1")

    assert len(fake.channel.messages) == 2


async def test_a_request_can_be_held_back(fake, client):
    gate = asyncio.Event()
    fault = fake.fail("POST", "/interactions/", gate=gate)
    asked = await fake.person("ada").command(fake.channel, "flux where")
    await fake.until(lambda: fault.hits)

    assert asked.answer is None
    gate.set()
    await asked.answered()


async def test_discord_py_keeps_to_the_limits_that_it_is_told(fake, client):
    fake.limit("POST", "/channels/", 2, seconds=0.3)
    channel = client.get_channel(fake.channel.id)

    for number in range(4):
        await channel.send(str(number))

    moments = [message.edits[0].seconds for message in fake.channel.messages]
    assert moments[2] - moments[0] >= 0.3
    assert fake.invalid_requests == 0


async def test_people_and_places_go_away(fake, client):
    channel, message = fake.channel, await fake.person("ada").say(fake.channel, "look")
    known = client.get_channel(channel.id).get_partial_message(message.id)
    fake.delete(message)

    with pytest.raises(discord.NotFound, match="10008"):
        await known.fetch()
    channel.overwrite(fake.bot, deny=discord.Permissions(send_messages=True))
    with pytest.raises(discord.Forbidden, match="50013"):
        await known.channel.send("hello")
    fake.blocked_words.add("naughty")
    channel.overwrite(fake.bot)
    with pytest.raises(discord.HTTPException, match="200000"):
        await known.channel.send("a naughty fox")
    channel.overwrite(fake.bot, deny=discord.Permissions(view_channel=True))
    with pytest.raises(discord.Forbidden, match="50001"):
        await known.channel.send("hello")
    channel.delete()
    with pytest.raises(discord.NotFound, match="10003"):
        await known.channel.send("hello")
    fake.remove_guild(fake.guild)
    with pytest.raises(discord.NotFound, match="10004"):
        await client.fetch_guild(fake.guild.id)
    await fake.until(lambda: "GUILD_DELETE" in client.seen)
    assert list(client.guilds) == []
