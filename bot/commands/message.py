"""A text that begins with a verb, taken apart."""

from __future__ import annotations

from dataclasses import dataclass

from bot.commands.verbs import VERBS
from bot.commands.vocabulary import EXAMPLE_ID, CommandError
from bot.commands.words import Word, error_at, printable, shown
from bot.jobs import ID_ALPHABET, ID_LENGTH

USAGES = {verb.name: verb.usage for verb in VERBS}


@dataclass(frozen=True, slots=True)
class Message:
    """A text whose first word is a verb.

    Attributes:
        verb: In lower case.
        first: The verb as typed.
        words: All words after it.
    """

    text: str
    verb: str
    first: Word
    words: list[Word]

    def error(self, word: Word, sentence: str) -> CommandError:
        """An error that also says how to have the words drawn."""
        first, *others = self.words
        words = f"{self.verb} {printable(first.text)}{' …' if others else ''}"
        return error_at(word, f"{sentence}. To draw these words, write imagine {words}")

    def refuse(self, words: list[Word]) -> None:
        for word in words:
            raise self.error(
                word, f"{shown(word.text)} does not fit: the command is {USAGES[self.verb]}"
            )

    def read_id(self, words: list[Word]) -> str | None:
        """The job id in *words*; None without words."""
        job_id = as_id(words[0]) if words else None
        if words and job_id is None:
            raise self.error(
                words[0],
                f"{shown(words[0].text)} is not a job id: an id has {ID_LENGTH} letters and"
                f" digits, for example {self.verb} {EXAMPLE_ID}; history lists yours",
            )
        self.refuse(words[1:])
        return job_id


def as_id(word: Word) -> str | None:
    """The job id in *word*, without the # or marks that people add; None without one."""
    bare = word.text.strip("#`.,!?").lower()
    return bare if len(bare) == ID_LENGTH and set(bare) <= set(ID_ALPHABET) else None
