"""A conversation on Discord as plain text, which is the same in every run."""

from tests.adapters.discord_chat.conftest import SMALL, drawn, ended
from tests.fakes.discord import File, form, transcript
from tests.samples import picture

TALK = """\
#general

ada:
  /flux imagine prompt: a fox seed: 7 size: 64x64 steps: 3

flux:
  a fox
  @ada
  plain · 3 steps · 64×64 · seed 7 · picture1
  [picture 64×64]
  [Again] [Vary subtle] [Vary strong] [Edit prompt]
  [Use as control image] [Favourite] [Report] [Delete]
  [More ▾]

ada:
  (presses) [Edit prompt]

ada:
  (sends) ── Edit prompt ── preset: canny picture: [holiday.png]

flux:
  a fox
  @ada
  canny · 3 steps · 64×64 · seed 7 · picture2
  [picture 64×64]
  [Again] [Vary subtle] [Vary strong] [Edit prompt]
  [Use as control image] [Favourite] [Report] [Delete]
  [More ▾]

bob:
  look

bob:
  /flux quota"""

FORM = """\
── Edit prompt ──
Prompt: a fox
What to avoid: …
Preset: (plain) canny redraw
Options: --steps 3 --size 64x64 --guidance 3.5 --seed 7
Control image (For presets that need one.): [attach a file]"""


async def test_a_channel_reads_as_people_see_it(fake, ada, bob, gate):
    gate.open()
    asked = await ada.command(fake.channel, "flux imagine", prompt="a fox", seed=7, **SMALL)
    message = await asked.until(drawn)
    opened = await ada.press(message, "Edit prompt")
    await opened.answered()
    attached = File(picture(), "holiday.png")
    sent = await ada.submit(opened, {"preset": "canny", "picture": attached})
    await sent.until(drawn)
    await bob.say(fake.channel, "look")
    told = await bob.command(fake.channel, "flux quota")
    await told.until(ended)

    assert form(opened) == FORM
    assert transcript(fake.channel) == TALK
    assert transcript(fake.channel, sees=bob).startswith(
        f"{TALK}\n\nflux (to bob alone):\n  10000 credits left"
    )
