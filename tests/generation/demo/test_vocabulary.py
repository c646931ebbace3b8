from random import Random

from generation.demo import drawings
from generation.demo.vocabulary import EXAMPLE_PROMPTS, KNOWN_WORDS, unknown_words, words_of


def test_unknown_words_are_told_once_each_and_in_order():
    told = unknown_words("A Red elephant, 3 grey elephants and an ELEPHANT's hat on blue")

    assert told == ["elephant", "grey", "elephants", "elephant's", "hat"]


def test_case_digits_and_punctuation_do_not_make_a_word_unknown():
    assert unknown_words("DRAW 2: a Red circle (please!), on BLUE.") == []


def test_every_example_prompt_is_made_of_known_words_only():
    assert [word for prompt in EXAMPLE_PROMPTS for word in unknown_words(prompt)] == []


def test_every_known_word_is_taught():
    """A word that no caption contains would be drawn as noise, without a warning."""
    random = Random(0)
    taught = set()
    for _ in range(20_000):
        taught.update(words_of(drawings.sample(random).caption))

    assert taught >= KNOWN_WORDS
