"""Words that people write around a request, so that long prompts are understood as well.

A caption of `drawings` has about a dozen words; a prompt may have 64 tokens. What stands around
it here says nothing about the picture, but it must have been read to be passed over.
"""

from random import Random

MOST_TOKENS = 60
"""Of caption and elaboration together; T5's mark at the end and some punctuation come on top."""

_LITTLE_WORDS = """
a a an the the the and and of of to to in on at with is there by me please nice simple flat
minimalist picture image drawing painting photo draw paint show
"""
_LETTERS = "aeiounrstlbcdfghjkmpqvwxyz"


def elaborate(random: Random, caption: str) -> str:
    """The caption among words before and behind it, for up to `MOST_TOKENS` tokens of T5.

    The caption itself stays whole and in one piece.
    """
    room = MOST_TOKENS - len(caption.split()) - caption.count(",")
    tokens = random.randint(1, max(1, room))
    before = random.choice((0, tokens, random.randint(0, tokens)))
    parts = [_talk(random, before), caption, _talk(random, tokens - before)]
    return random.choice((" ", ", ", ". ")).join(part for part in parts if part)


def _talk(random: Random, tokens: int) -> str:
    """Some of the little words that requests are made of, some never heard of, two tokens each."""
    strangeness = random.random()
    words = []
    while tokens > 0:
        is_strange = tokens > 1 and random.random() < strangeness
        words.append(_unheard(random) if is_strange else random.choice(_LITTLE_WORDS.split()))
        tokens -= 2 if is_strange else 1
    return " ".join(words)


def _unheard(random: Random) -> str:
    return "".join(random.choices(_LETTERS, k=random.randint(2, 9)))
