"""Words as people write them on Discord, before they become a prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord_chat.wording import words
from tests.adapters.discord_chat.conftest import SMALL, drawn


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a **red** fox in __deep__ ~~water~~ snow", "a red fox in deep water snow"),
        ("a ***very*** ||hidden|| *fox* and _hen_", "a very hidden fox and hen"),
        ("`a fox` and ```py\na hen\non a roof```", "a fox and a hen\non a roof"),
        ("a <:red_fox:123456> and <a:wave:98>", "a red fox and wave"),
        ("<@123> <@!5> <@&7> a fox", "a fox"),
        ("a fox in <#99> at <t:1700000000:R>", "a fox in  at"),
        ("2*3*4 pixels, snake_case_name, a || b, 1 ~ 2 and <3", None),
        ("a * b * c _ d", None),
    ],
)
def test_what_a_person_typed_is_read_as_they_saw_it(text, plain):
    assert words(text) == (text if plain is None else plain)


@given(st.text(alphabet="ab *_~`|\n", max_size=60))
def test_no_mark_takes_a_word_away(text):
    assert [each for each in words(text) if each in "ab"] == [e for e in text if e in "ab"]


async def test_marks_do_not_reach_the_prompt(fake, make_presence, gate):
    gate.open()
    presence = await make_presence()
    ada = fake.person("ada")

    asked = await ada.command(
        fake.channel, "flux imagine", prompt="a **red** <:fox:12>", negative="*blur*", **SMALL
    )

    await asked.until(drawn)
    (job,) = (await presence.bot.service.lookups.history(f"discord:{ada.id}")).jobs
    assert job.request.prompt == "a red fox"
    assert job.request.negative_prompt == "blur"
