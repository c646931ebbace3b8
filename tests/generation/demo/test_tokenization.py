import pytest
from transformers import CLIPTokenizer, T5Tokenizer

from generation.demo.tokenization import clip_tokenizer, copy_lower_case_rows, t5_tokenizer
from generation.demo.vocabulary import TOKENIZED_WORDS

PROMPTS = [
    "a red circle on a blue background",
    "Draw two PURPLE squares, please! zzq",
    "ein rotes Krokodil 東京 😀",
    "",
]


@pytest.mark.parametrize(
    ("build", "kind"), [(clip_tokenizer, CLIPTokenizer), (t5_tokenizer, T5Tokenizer)]
)
def test_a_tokenizer_reads_the_same_after_it_was_saved_and_loaded(build, kind, tmp_path):
    """transformers rebuilds both from their vocabulary and drops what it does not know."""
    tokenizer = build(TOKENIZED_WORDS)
    tokenizer.save_pretrained(tmp_path)

    loaded = kind.from_pretrained(tmp_path)

    for prompt in PROMPTS:
        assert loaded(prompt).input_ids == tokenizer(prompt).input_ids
    assert loaded.model_max_length == tokenizer.model_max_length
    assert loaded.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("build", [clip_tokenizer, t5_tokenizer])
def test_every_word_is_one_token(build):
    tokenizer = build(TOKENIZED_WORDS)

    split = [word for word in TOKENIZED_WORDS if len(tokenizer.tokenize(word)) != 1]

    assert split == []


def test_capitals_mean_the_same():
    import torch

    tokenizer = t5_tokenizer(TOKENIZED_WORDS)
    embedding = torch.nn.Embedding(len(tokenizer), 8)
    copy_lower_case_rows(embedding, tokenizer)

    rows = [
        embedding(torch.tensor(tokenizer(prompt).input_ids))
        for prompt in ("a red circle", "A Red Circle", "A RED CIRCLE")
    ]

    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])
