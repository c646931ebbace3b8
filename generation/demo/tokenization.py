"""The two tokenizers of the demo model, built from its vocabulary: no download.

Both are the genuine classes that FLUX.1-dev's folders name, so `from_pretrained` rebuilds them.
"""

import json
from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, T5Tokenizer

PUNCTUATION = ",.!?;:'\"-()0123456789"
CLIP_LENGTH = 77
T5_LENGTH = 512


def clip_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """A byte-level BPE tokenizer which reads every one of `words` as a single token.

    Other words fall apart into bytes. CLIP's own normalizer writes everything in lower case.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    bpe.train_from_iterator(
        sorted(set(words)),
        trainers.BpeTrainer(
            vocab_size=20_000,
            min_frequency=1,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    learned = json.loads(bpe.to_str())["model"]["merges"]
    merges = [tuple(m if isinstance(m, list) else m.split(" ")) for m in learned]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *map("".join, merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        model_max_length=CLIP_LENGTH,
    )


def t5_tokenizer(words: Iterable[str]) -> T5Tokenizer:
    """A unigram tokenizer which reads every one of `words`, in any usual case, as one token.

    An unknown word becomes a single `<unk>`. T5 is cased and `from_pretrained` drops a custom
    normalizer, so "Red" and "RED" have rows of their own: see `copy_lower_case_rows`.
    """
    words = sorted({*words})
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0)]
    pieces += [("▁" + word, -3.0) for word in words]
    pieces += [(mark, -8.0) for mark in PUNCTUATION]
    pieces += [("▁" + word.capitalize(), -3.0) for word in words]
    pieces += [("▁" + word.upper(), -3.1) for word in words if len(word) > 1]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=T5_LENGTH)


def copy_lower_case_rows(embedding: torch.nn.Embedding, tokenizer: T5Tokenizer) -> None:
    """Give every capitalised word the embedding of its lower-case twin, in place.

    Training shows lower case only; this makes "A RED Circle" mean the same.
    """
    rows = tokenizer.get_vocab()
    with torch.no_grad():
        for piece, row in rows.items():
            twin = rows.get(piece.lower())
            if piece.startswith("▁") and twin is not None and twin != row:
                embedding.weight[row] = embedding.weight[twin]
