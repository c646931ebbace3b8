"""Which executor a device gets."""

from typing import get_args

import pytest

from bot.assembly.engine import EXECUTORS, devices, executor_word, executors
from bot.config import Config, Secrets
from bot.sections import Engine
from generation.errors import ModelUnavailable
from generation.executor import ThreadExecutor
from generation.preprocessors import Preprocessors
from generation.resting_executor import RestingExecutor


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
    monkeypatch.setattr("bot.assembly.engine.has_card", lambda: has_gpu)
    config = Config(engine={"process": process}, model={"device": device})

    assert (executor_word(config, device) == "child") is needs_child


def test_every_word_for_the_engine_has_an_executor():
    words = get_args(Engine.model_fields["process"].annotation)

    assert {*words, "ray"} == {"auto", *EXECUTORS}


@pytest.mark.parametrize("word", EXECUTORS)
async def test_each_device_has_an_executor_that_has_not_loaded_anything(word, tmp_path):
    engine = {"ray": "127.0.0.1:6379", "workers": 1} if word == "ray" else {"process": word}
    config = Config(engine=engine, storage={"download_dir": tmp_path})

    made = executors(config, Secrets(), Preprocessors(download_dir=tmp_path))

    assert len(made) == len(devices(config)) == 1
    assert [executor.loaded for executor in made] == [{}]
    for executor in made:
        await executor.close()


@pytest.mark.parametrize(
    ("named", "found", "drawing"),
    [
        ([], ("cuda:0", "cuda:1"), ("auto",)),
        ("auto", ("cuda:0", "cuda:1"), ("cuda:0", "cuda:1")),
        ("auto", (), ("auto",)),
        ("cuda:1, cuda:3", (), ("cuda:1", "cuda:3")),
    ],
)
def test_as_many_cards_draw_as_are_named(monkeypatch, named, found, drawing):
    monkeypatch.setattr("bot.assembly.engine.cards", lambda environment: found)

    assert devices(Config(engine={"devices": named})) == drawing


@pytest.mark.parametrize("wrong", ["cpu", "cuda", ["auto", "cuda:0"], ["cuda:0", "cuda:0"]])
def test_devices_that_are_no_different_cards_are_refused(wrong):
    with pytest.raises(ValueError, match="different cards"):
        Config(engine={"devices": wrong})


async def test_each_card_has_a_child_that_sees_no_other(monkeypatch, tmp_path):
    made = []

    def child(kind, arguments, *, environment, **options):
        made.append((arguments["device"], environment))
        raise ModelUnavailable("enough is seen")

    monkeypatch.setattr("bot.assembly.engine.ChildEngine", child)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    config = Config(engine={"devices": "auto"}, storage={"download_dir": tmp_path})

    for executor in executors(config, Secrets(), Preprocessors(download_dir=tmp_path)):
        with pytest.raises(ModelUnavailable):
            await executor.start()
        await executor.close()

    assert made == [
        ("cuda:0", {"CUDA_VISIBLE_DEVICES": "GPU-a"}),
        ("cuda:0", {"CUDA_VISIBLE_DEVICES": "GPU-b"}),
    ]


@pytest.mark.parametrize(("wanted", "made"), [("auto", 0), (2, 2)])
def test_a_cluster_has_as_many_workers_as_are_wanted_or_is_followed(wanted, made):
    assert len(devices(Config(engine={"ray": "10.0.0.1:6379", "workers": wanted}))) == made


@pytest.mark.parametrize("engine", [{"ray": "http://head:6379"}, {"ray": "head"}, {"workers": 0}])
def test_an_address_without_a_port_and_no_workers_are_refused(engine):
    with pytest.raises(ValueError, match="engine"):
        Config(engine=engine)


def test_a_card_of_a_node_is_the_only_one_that_its_engine_sees(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr("bot.assembly.engine.RayExecutor", lambda *args, **_: made.append(args))
    config = Config(
        engine={"ray": "10.0.0.1:6379", "workers": 2},
        model={"device": "cuda:1"},
        storage={"download_dir": tmp_path},
    )

    executors(config, Secrets(), Preprocessors(download_dir=tmp_path))

    assert [arguments[:2] for arguments in made] == [
        ("10.0.0.1:6379", "engine-1"),
        ("10.0.0.1:6379", "engine-2"),
    ]
    assert [arguments[3]["device"] for arguments in made] == ["cuda", "cuda"]


async def test_an_engine_on_a_shared_card_rests_and_any_other_stays(tmp_path):
    def made(**engine):
        config = Config(engine={"process": "thread", **engine})
        (executor,) = executors(config, Secrets(), Preprocessors(download_dir=tmp_path))
        return executor

    assert isinstance(made(unload_after=10), RestingExecutor)
    assert isinstance(made(before_loading=["true"]), RestingExecutor)
    assert isinstance(made(), ThreadExecutor)
