"""Conversations in the fake Slack can be read as plain text, and alike in every run."""

import re

from tests.adapters.slack_chat.conftest import SMALL
from tests.samples import picture

CONVERSATION = """\
#general

ada:
  @flux a fox & a cat --preset canny --seed 7 --size 64x64 --steps 3
  [picture 96×96]

    flux:
      a fox & a cat
      @ada · picture1
      [picture 64×64: Made by AI: a fox & a cat]
      canny · 3 steps · 64×64 · seed 7
      [Again] …

    ada:
      @flux show abc23def

    flux (to ada alone):
      There is no picture 'abc23def' of yours.

    (ada presses [Vary strong])

    flux:
      a fox & a cat
      @ada · picture2 · varied a lot from picture1
      [picture 64×64: Made by AI: a fox & a cat]
      redraw · 3 steps · 64×64 · seed (random)
      [Again] …"""


async def test_a_conversation_reads_as_people_see_it(chat, slack, ada, general, gate):
    gate.open()
    asked = f"a fox &amp; a cat --preset canny --seed 7 {SMALL}"
    await ada.mention(general, asked, files=[ada.file(picture())])
    fox = await general.said("seed 7", button="Again")
    await ada.mention(general, "show abc23def", thread=fox["thread_ts"])
    await general.whispered(ada.id, "There is no picture")
    await ada.press(fox, "Vary strong", general)
    await general.until(lambda found: sum("Again" in str(each) for each in found) == 2)

    assert re.sub(r"(\[Again\]) .*", r"\1 …", slack.transcript(general)) == CONVERSATION


async def test_one_thread_can_be_read_alone(chat, slack, ada, general, gate):
    gate.open()
    ada.write(general, "something else")
    await ada.mention(general, f"a fox {SMALL} --seed 7")
    fox = await general.said("seed 7", button="Again")

    text = slack.transcript(general, fox["thread_ts"])

    assert "something else" not in text
    assert text.startswith("(thread)\n\nada:\n  @flux a fox")
    assert "    flux:\n      a fox\n" in text


async def test_a_form_and_the_home_can_be_read(chat, slack, ada, general):
    await ada.slash(general)
    form = await ada.form()
    await ada.open_home()

    lines = slack.form(form).splitlines()
    assert lines[:2] == ["── New picture ──", "What to draw: ‹›"]
    assert lines[-1] == "[Draw] [Cancel]"
    home = slack.form(await ada.sees(lambda ada: ada.home))
    assert home.startswith("── Home ──\n\nCredits\n")
    assert slack.transcript(general) == "#general\n\n(ada types /flux)"
