"""Tokens of a prompt, as the model counts them; without torch."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

#: What stands around a prompt where the tokenizer is one for chats, as Qwen3's template has it.
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


class TokenCounter:
    """Counts with the tokenizer that decides how much of a prompt FLUX reads: T5's for FLUX.1,
    whose CLIP reads 77 tokens at most and gives the general meaning alone, Qwen3's for FLUX.2.

    Args:
        model: Folder of a pipeline in diffusers' format.
    """

    def __init__(self, model: Path) -> None:
        file = model / "tokenizer_2" / "tokenizer.json"
        self._around = "{}" if file.is_file() else CHAT
        if not file.is_file():
            file = model / "tokenizer" / "tokenizer.json"
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, prompt: str) -> int:
        """Tokens of *prompt*, with those that stand around it."""
        return len(self._tokenizer.encode(self._around.replace("{}", prompt)).ids)


def cut_remark(counter: TokenCounter, prompt: str, max_sequence_length: int) -> str | None:
    """A remark for people whose *prompt* is longer than the model reads; None for others."""
    count = counter(prompt)
    if count <= max_sequence_length:
        return None
    return (
        f"The prompt has {count} tokens, of which the model reads the first"
        f" {max_sequence_length}: what comes after them is left out."
    )
