"""The fields of a picture that people choose by pressing them."""

from bot.fields import MOST_REMEMBERED, Chosen


def test_a_press_that_is_delivered_twice_is_one_and_none_of_a_quick_row_is_lost():
    chosen = Chosen()

    assert chosen.press("form", "", 2) == "2"
    assert chosen.press("form", "", 2) == "2"
    assert chosen.press("form", "", 1) == "12"
    assert chosen.press("form", "12", 2) == "1"
    assert chosen.of("form", "12") == "1"
    assert chosen.press("another", "9", 9) == ""


def test_what_was_pressed_long_ago_is_remembered_by_its_message_alone():
    chosen = Chosen()
    for number in range(MOST_REMEMBERED):
        chosen.press(str(number), "", 5)

    chosen.press("0", "5", 6)
    chosen.press("one more", "", 5)

    assert chosen.of("0", "") == "56"
    assert chosen.of("1", "8") == "8"
