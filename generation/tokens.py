"""Tokens of a prompt, as the model counts them; without torch."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer


class TokenCounter:
    """Counts with T5's tokenizer, which decides how much of a prompt FLUX reads.

    CLIP's reads 77 tokens at most, and gives the general meaning alone.

    Args:
        model: Folder of a pipeline in diffusers' format.
    """

    def __init__(self, model: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer_2" / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, prompt: str) -> int:
        """Tokens of *prompt*, the end of the text included."""
        return len(self._tokenizer.encode(prompt).ids)


def cut_remark(counter: TokenCounter, prompt: str, max_sequence_length: int) -> str | None:
    """A remark for people whose *prompt* is longer than the model reads; None for others."""
    count = counter(prompt)
    if count <= max_sequence_length:
        return None
    return (
        f"The prompt has {count} tokens, of which the model reads the first"
        f" {max_sequence_length}: what comes after them is left out."
    )
