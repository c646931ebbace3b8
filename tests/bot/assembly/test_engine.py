"""Which executor a device gets."""

from typing import get_args

import pytest

from bot.assembly.engine import EXECUTORS, devices, executor_word, executors
from bot.config import Config, Secrets
from bot.sections import Engine
from generation.preprocessors import Preprocessors


@pytest.mark.parametrize(
    ("process", "device", "has_gpu", "needs_child"),
    [
        ("auto", "auto", False, False),
        ("auto", "auto", True, True),
        ("auto", "cuda:1", False, True),
        ("auto", "cpu", True, False),
        ("thread", "cuda", True, False),
        ("child", "cpu", False, True),
    ],
)
def test_an_engine_on_a_gpu_has_a_process_of_its_own(
    monkeypatch, process, device, has_gpu, needs_child
):
    monkeypatch.setattr("bot.assembly.engine.has_gpu", lambda: has_gpu)
    config = Config(engine={"process": process}, model={"device": device})

    assert (executor_word(config, device) == "child") is needs_child


def test_every_word_for_the_engine_has_an_executor():
    words = get_args(Engine.model_fields["process"].annotation)

    assert set(words) == {"auto", *EXECUTORS}


@pytest.mark.parametrize("word", EXECUTORS)
async def test_each_device_has_an_executor_that_has_not_loaded_anything(word, tmp_path):
    config = Config(engine={"process": word}, storage={"download_dir": tmp_path})

    made = executors(config, Secrets(), Preprocessors(download_dir=tmp_path))

    assert len(made) == len(devices(config)) == 1
    assert [executor.loaded for executor in made] == [{}]
    for executor in made:
        await executor.close()
