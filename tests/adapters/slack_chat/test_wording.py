"""Words on their way between Slack and the bot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack_chat import wording
from tests.fakes.slack.world import loose


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<@UBOT> a fox", "a fox"),
        ("a <@UBOT> fox", "a  fox"),
        ("cats &amp; dogs &lt;3", "cats & dogs <3"),
        ("see <https://a.example/x|a.example>", "see a.example"),
        ("<https://a.example>", "https://a.example"),
        ("in <#C1|general>", "in #general"),
        ("<!here> and <!subteam^S1|@team>", "@here and @team"),
        ("<@U1|ada> smiles", "@ada smiles"),
        ("<@UBOT>, a fox", "a fox"),
        ("<@UBOT>: help", "help"),
        ("a *red* fox in _deep_ ~water~ snow", "a red fox in deep water snow"),
        ("`a fox` and ```a hen\non a roof```", "a fox and a hen\non a roof"),
        ("*a fox* --steps 4", "a fox --steps 4"),
        ("a :red_circle: under a :wave::skin-tone-3:", "a red circle under a wave"),
        ("2*3*4 pixels, snake_case_name, ~3 m, 10:30:45 and C: at 3:2", None),
        ("a * b * c _ d", None),
        ("--steps 4 a fox", None),
    ],
)
def test_what_a_person_typed_is_read_as_they_saw_it(text, plain):
    assert wording.words(text, "UBOT", "T1") == (text if plain is None else plain)


def test_admin_commands_name_people_as_the_bot_does():
    text = "<@UBOT> admin quota <@U1|ada>"

    assert wording.is_admin_command(text)
    assert not wording.is_admin_command("an admin at work")
    assert wording.words(text, "UBOT", "T1", names_people=True) == "admin quota slack:T1-U1"


@given(st.text(max_size=200))
def test_what_is_escaped_calls_nobody_and_reads_as_it_was(text):
    escaped = wording.escape(text)

    assert loose(escaped) == []
    if not set(text) & set("*_~`:,;"):  # marks, and what stands behind the bot's name
        assert wording.words(escaped, "UBOT", "T1") == wording.printable(text).strip()


@given(st.text(alphabet="ab *_~`:\n", max_size=60))
def test_no_mark_takes_a_word_away(text):
    kept = "".join(each for each in text if each in "ab")

    assert "".join(e for e in wording.words(text, "UBOT", "T1") if e in "ab") == kept


@given(st.text(alphabet="ab \n", max_size=120), st.integers(4, 30))
def test_pieces_are_short_enough_and_lose_no_word(text, length):
    pieces = wording.pieces(text, length)

    assert all(0 < len(piece) <= length for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
