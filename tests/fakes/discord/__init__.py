"""Discord on loopback, as faithful as its rules and its own schemas, for the real discord.py.

    async with FakeDiscord() as fake:
        client = discord.AutoShardedClient(
            intents=..., connector=fake.connector(), guild_ready_timeout=0
        )
        running = asyncio.create_task(client.start(fake.token))
        await fake.connected()      # every shard is ready
        await fake.registered()     # the global commands are there

        ada = fake.person("ada")
        asked = await ada.command(
            fake.channel, "flux imagine", prompt="a fox", control_image=File(png)
        )
        answer = await asked.answered()             # .kind 4 to 9, .is_ephemeral, .seconds
        message = await asked.until(lambda message: message.attachments)
        message.content, message.text, message.attachments[0].data, message.buttons, message.edits
        pressed = await ada.press(message, "Edit")  # by label, emoji or custom id
        await pressed.answered()
        await ada.submit(pressed, {"prompt": "two foxes"})
        await fake.channel.until(lambda messages: len(messages) == 2)
    assert fake.violations == []

Nothing in discord.py is patched: `connector()` leads Discord's hosts to this server and trusts its
certificate. Whatever breaks a rule or a schema, of the bot or of the fake, is a sentence in
`fake.violations`; `fake.forgive(pattern)` takes back what a test provoked. Nobody waits for a
clock: `fake.clock.advance(seconds)` is how three seconds or fifteen minutes go by.

People act through `Person`: `command`, `autocomplete`, `press`, `select`, `submit`, `menu`, `say`.
They raise `RefusedByDiscord` where Discord's client would not let them. Faults come from
`fake.fail`, `fake.limit`, `fake.drop`, `fake.reconnect`, `fake.invalidate`, `fake.close`,
`fake.refuse_token`, `fake.copies`, `fake.blocked_words`, `fake.delete` and `channel.delete`.

`from tests.fakes.discord.fixtures import fake_discord` in a conftest.py brings a fixture that
asserts at its end that nothing was violated.

========================  ==================================================================
module                    what it holds
========================  ==================================================================
``server.py``             `FakeDiscord`: the server, and all by which a test drives it
``people.py``             `Person`: what people do, within what Discord's client allows
``interactions.py``       `Interaction`: the bot's answers to it, and waiting for them
``state.py``              servers, channels, messages, files, permissions, the clock
``payloads.py``           the state in Discord's JSON
``messages.py``           bodies and files become messages; addresses of the CDN
``rules.py``              limits of messages, modals and commands; how Discord says no
``gateway.py``            sessions, sockets and events
``rest.py``               requests and answers: tokens, rate limits, faults, schema checks
``calls.py``              what each REST call does
``faults.py``             injected faults and rate limits
``schema.py``             Discord's own documents as validators
``certificate.py``        TLS that only the tests trust
``transcript.py``         a channel, or a form, as plain text
``fixtures.py``           `fake_discord`, to import into a conftest.py
========================  ==================================================================
"""

from .interactions import Answer, Interaction, Modal
from .people import Person, RefusedByDiscord
from .server import FakeDiscord
from .state import Attachment, Channel, Clock, File, Guild, Message, Role
from .transcript import form, transcript

__all__ = [
    "Answer",
    "Attachment",
    "Channel",
    "Clock",
    "FakeDiscord",
    "File",
    "Guild",
    "Interaction",
    "Message",
    "Modal",
    "Person",
    "RefusedByDiscord",
    "Role",
    "form",
    "transcript",
]
