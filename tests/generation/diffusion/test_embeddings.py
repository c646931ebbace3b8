"""Prompts are encoded once, and the tokens that do not fit are told."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from generation.diffusion.embeddings import Embeddings, PromptEncoder
from generation.tokens import TokenCounter, cut_remark
from tests.generation.engines import ignore, model, new_engine, same


@pytest.fixture
def engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    return engine


@pytest.fixture
def encoded(engine):
    """Every text that the text encoders were given."""
    texts = []
    pipe = model(engine).text_to_image
    encode = pipe.encode_prompt

    def encode_prompt(prompt=None, **arguments):
        if prompt is not None:
            texts.append(prompt)
        return encode(prompt=prompt, **arguments)

    pipe.encode_prompt = encode_prompt
    return texts


def test_further_pictures_of_a_prompt_do_not_wait_for_the_text_encoders(
    engine, encoded, fox, canny
):
    for seed in range(3):
        engine.generate(replace(fox, seed=seed), ignore)
    engine.generate(replace(canny, prompt=fox.prompt), ignore)

    assert encoded == ["a red fox"]


def test_a_negative_prompt_is_encoded_once_too(engine, encoded, fox):
    request = replace(fox, negative_prompt="blue", true_cfg_scale=3.0)

    first, second = engine.generate(request, ignore), engine.generate(request, ignore)

    assert encoded == ["a red fox", "blue"]
    assert same(first, second)


KILOBYTE = {"prompt_embeds": torch.zeros(1, 1, 240), "pooled_prompt_embeds": torch.zeros(1, 16)}


class Encoding:
    """Stands for a model: every text becomes a kilobyte."""

    def __init__(self):
        self.texts = []

    def encode(self, prompt):
        self.texts.append(prompt)
        return Embeddings(KILOBYTE)


@contextmanager
def onloaded():
    yield


def test_the_cache_is_bounded_in_bytes_and_forgets_what_was_used_longest_ago():
    encoding = Encoding()
    encoder = PromptEncoder(encoding.encode, torch.device("cpu"), max_bytes=3 * 1024)

    for text in ("a", "b", "c", "a", "d", "a", "b"):
        encoder.encode(text, "", onloaded())
        assert encoder.kept_bytes <= 3 * 1024

    assert encoding.texts == ["a", "b", "c", "d", "b"]


def test_one_prompt_is_kept_however_large():
    encoder = PromptEncoder(Encoding().encode, torch.device("cpu"), max_bytes=10)

    encoder.encode("a", "", onloaded())

    assert encoder.kept_bytes == Embeddings(KILOBYTE).bytes


def test_what_else_changes_the_embeddings_is_a_key_of_its_own():
    encoding = Encoding()
    encoder = PromptEncoder(encoding.encode, torch.device("cpu"))

    for variant in ("", "lora 1", "lora 0.5", ""):
        encoder.encode("a", variant, onloaded())

    assert len(encoding.texts) == 3


def test_tokens_are_counted_as_the_models_own_tokenizer_counts_them(tiny, engine):
    counter = TokenCounter(tiny / "flux")
    tokenizer = model(engine).text_to_image.tokenizer_2

    for text in ("a red fox", "", "red " * 600, "ein Füchslein – 🦊"):
        assert counter(text) == len(tokenizer(text).input_ids)


def test_a_prompt_that_is_longer_than_the_model_reads_is_reported(tiny):
    counter = TokenCounter(tiny / "flux")
    longest = "red " * 511  # and the end of the text is a token too

    assert cut_remark(counter, longest, 512) is None
    assert cut_remark(counter, longest + "red red", 512) == (
        "The prompt has 514 tokens, of which the model reads the first 512: what comes after"
        " them is left out."
    )
