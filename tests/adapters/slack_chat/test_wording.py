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
    ],
)
def test_what_a_person_typed_is_read_as_they_saw_it(text, plain):
    assert wording.words(text, "UBOT", "T1") == plain


def test_admin_commands_name_people_as_the_bot_does():
    text = "<@UBOT> admin quota <@U1|ada>"

    assert wording.is_admin_command(text)
    assert not wording.is_admin_command("an admin at work")
    assert wording.words(text, "UBOT", "T1", names_people=True) == "admin quota slack:T1-U1"


@given(st.text(max_size=200))
def test_what_is_escaped_calls_nobody_and_reads_as_it_was(text):
    escaped = wording.escape(text)

    assert loose(escaped) == []
    assert wording.words(escaped, "UBOT", "T1") == wording.printable(text).strip()


@given(st.text(alphabet="ab \n", max_size=120), st.integers(4, 30))
def test_pieces_are_short_enough_and_lose_no_word(text, length):
    pieces = wording.pieces(text, length)

    assert all(0 < len(piece) <= length for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
