"""What people say in a thread with the bot is meant for it, or for one another."""

import pytest

from bot.jobs import Job
from bot.overheard import is_meant

COMMANDS = [
    "again",
    "again --steps 30",
    "vary",
    "cancel",
    "show k7m2p9qa",
    "edit k7m2p9qa make it night",
]
TALK = [
    "what a nice fox",
    "same here",
    "again and again you do this",
    "cancel the meeting please",
    "history repeats itself",
    "show me the report",
    "how was lunch",
    "help",
    "hello",
    "queue up everyone",
    "edit the minutes please",
    "make it quick",
    "quota",
    "",
    "   ",
]
THANKS = ["thanks!", "nice", "thank you so much", "bye"]


@pytest.fixture
def last(fox):
    return Job(user="slack:T1-U1", request=fox)


@pytest.mark.parametrize("said", COMMANDS)
def test_commands_about_pictures_are_meant_whoever_says_them(last, said):
    assert is_meant(said, last, is_alone=False, is_theirs=False)


@pytest.mark.parametrize("said", [*TALK, *THANKS])
def test_people_who_talk_to_each_other_are_left_alone(last, said):
    assert not is_meant(said, last, is_alone=False, is_theirs=True)


@pytest.mark.parametrize("said", ["same, at night", "Same but in blue", "same --steps 40"])
def test_same_is_meant_by_the_person_of_the_picture_alone(last, said):
    """Others agree with one another in these words."""
    assert is_meant(said, last, is_alone=False, is_theirs=True)
    assert not is_meant(said, last, is_alone=False, is_theirs=False)


@pytest.mark.parametrize("said", ["a red house", "quota", "again --steps 999", "help", "hello"])
def test_who_is_alone_with_the_bot_talks_to_it(last, said):
    assert is_meant(said, last, is_alone=True, is_theirs=True)


@pytest.mark.parametrize("said", ["", *THANKS])
def test_thanks_are_no_reason_to_speak(last, said):
    assert not is_meant(said, last, is_alone=True, is_theirs=True)
