"""Several models on one device: what fits stays, and what was used longest ago goes."""

import weakref
from dataclasses import replace

import pytest
import torch

from generation.child import ChildEngine
from generation.diffusion.device import Device
from generation.diffusion.main_memory import MainMemory
from generation.diffusion.memory import Plan
from generation.diffusion.others import has_room
from generation.diffusion.several_models import SeveralModels
from generation.errors import GenerationCancelled, ModelUnavailable, OutOfMemory
from tests.generation.engines import (
    SmallDevice,
    computing_on_its_device,
    ignore,
    model,
    new_engine,
    offloading,
    same,
)

#: Bytes of the device of which both random models, and a picture, take a part.
PLENTY = 10**10


class OnCard(SmallDevice):
    """One that gives pinned memory back as a card does."""

    def free_pinned(self):
        Device(torch.device("cuda", 0), self.dtype).free_pinned()


def several(folders, device=None, main_memory=lambda: None, **changes):
    """A loaded engine for the random models in *folders*, by their names."""
    if device is not None:
        changes["choose_device"] = lambda *asked: device

    def maker(folder):
        return lambda others: new_engine(
            folder, others=others, main_memory=main_memory(), **changes
        )

    engine = SeveralModels({name: maker(folder) for name, folder in folders.items()})
    engine.load()
    return engine


def kept(engine):
    """Names of the models in memory, the one used longest ago first."""
    return [*engine._in_memory]


def notes(engine, request):
    steps = []
    engine.generate(request, steps.append)
    return [step.note for step in steps if step.note]


def level(engine, name):
    return engine._engines[name].current_offload_level


@pytest.fixture
def folders(tiny, klein):
    return {"flux": tiny, "klein": klein}


@pytest.fixture
def by_flux(fox):
    return replace(fox, model="flux")


@pytest.fixture
def by_klein(fox):
    return replace(fox, model="klein")


@pytest.fixture(scope="module")
def alone(tiny, klein):
    """Engines of one model each."""
    made = {"flux": new_engine(tiny), "klein": new_engine(klein)}
    for each in made.values():
        each.load()
    return made


@pytest.fixture(scope="module")
def rest(tiny, klein):
    """Bytes of the device that each model takes for its weights."""
    folders = {"flux": tiny, "klein": klein}
    return {
        name: several({name: folders[name]}, SmallDevice())._engines[name].resting_bytes
        for name in folders
    }


@pytest.fixture(scope="module")
def need(tiny, klein):
    """Bytes that each model takes at its highest, resident."""
    planned = several({"flux": tiny, "klein": klein}, SmallDevice()).planned()
    return {name: plan.needs["resident"] for name, plan in planned.items()}


def test_pictures_are_those_of_an_engine_of_its_own_whatever_was_drawn_before(
    folders, by_flux, by_klein, alone, need
):
    for free in (PLENTY, need["klein"]):
        engine = several(folders, SmallDevice(free=free))

        for request in (by_flux, by_klein, by_flux, by_klein):
            drawn = engine.generate(request, ignore)
            assert same(drawn, alone[request.model].generate(request, ignore))


def test_what_names_no_model_is_drawn_with_the_main_one(folders, fox, by_flux):
    engine = several(folders)

    assert same(engine.generate(fox, ignore), engine.generate(by_flux, ignore))
    assert kept(engine) == ["flux"]


def test_what_fits_stays(folders, by_flux, by_klein):
    engine = several(folders, SmallDevice(free=PLENTY))

    assert notes(engine, by_klein) == ["loading klein"]
    assert notes(engine, by_flux) == []
    assert notes(engine, by_klein) == []
    assert {*engine.loaded} == {"flux", "klein"}


def test_models_of_one_repository_are_told_apart(tiny, by_klein):
    engine = several({"flux": tiny, "klein": tiny})

    assert {*engine.loaded} == {"flux"}
    engine.generate(by_klein, ignore)
    assert {*engine.loaded} == {"flux", "klein"}


def test_no_model_is_worse_off_for_another_that_lies_there(folders, by_flux, by_klein, need, rest):
    """Both alone are resident; together they do not fit, so they take turns."""
    device = SmallDevice(free=need["klein"])
    engine = several(folders, device)

    assert notes(engine, by_klein) == ["loading klein"]
    assert (kept(engine), level(engine, "klein")) == (["klein"], "resident")
    assert notes(engine, by_flux) == ["loading flux"]
    assert (kept(engine), level(engine, "flux")) == (["flux"], "resident")
    assert device.state["used"] == rest["flux"]


def test_both_stay_as_soon_as_there_is_room_for_both(folders, by_klein, need, rest):
    for free, stay in ((0, ["flux", "klein"]), (-1, ["klein"])):
        engine = several(folders, SmallDevice(free=need["klein"] + rest["flux"] + free))

        engine.generate(by_klein, ignore)

        assert kept(engine) == stay


def test_the_one_that_was_used_longest_ago_goes_first(folders, by_flux, by_klein, need, rest):
    folders["third"] = folders["flux"]
    engine = several(folders, SmallDevice(free=need["flux"] + rest["flux"] + rest["klein"] - 1))
    for request in (by_klein, by_flux):
        engine.generate(request, ignore)

    engine.generate(replace(by_flux, model="third"), ignore)

    assert kept(engine) == ["flux", "third"]


def test_a_model_that_fills_the_device_with_its_blocks_has_it_for_itself(
    folders, by_flux, by_klein
):
    engine = several(folders, SmallDevice(free=PLENTY), offload_level="group-offload")

    for request in (by_klein, by_flux):
        engine.generate(request, ignore)
        assert kept(engine) == [request.model]


def test_blocks_that_a_model_keeps_on_the_device_count_as_taken(tiny):
    device = SmallDevice(free=PLENTY)
    engine = several({"flux": tiny}, device, offload_level="group-offload")

    assert engine.resting_bytes("another") == device.state["used"] > 0


def test_a_controlnet_that_came_half_way_is_brought_once_another_model_has_made_room(
    folders, canny, by_klein
):
    device = SmallDevice()
    engine = several(folders, device)
    engine.generate(by_klein, ignore)
    flux = engine._engines["flux"]
    device.state["fails_next"] = True

    with computing_on_its_device(flux):
        engine.generate(replace(canny, model="flux"), ignore)

    assert (kept(engine), level(engine, "flux")) == (["flux"], "resident")


def test_a_picture_finds_the_room_that_was_planned_where_the_device_has_less_by_now(
    folders, by_flux, by_klein
):
    device = SmallDevice(free=PLENTY)
    engine = several(folders, device)
    engine.generate(by_klein, ignore)
    device.state["free"] = 10**9

    engine.generate(by_flux, ignore)

    assert (kept(engine), level(engine, "flux")) == (["flux"], "resident")


def test_others_go_before_a_model_is_loaded_onto_a_lower_level(folders, by_klein, rest):
    """A device that does not tell what is free: it is tried."""
    engine = several(folders, SmallDevice(budget=rest["klein"] + 1000))

    engine.generate(by_klein, ignore)

    assert (kept(engine), level(engine, "klein")) == (["klein"], "resident")


def test_others_go_before_a_picture_is_drawn_on_a_lower_level(folders, by_flux, by_klein, alone):
    engine = several(folders, SmallDevice())
    engine.generate(by_klein, ignore)
    calls = []

    def exhaust(module, args):
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    transformer = model(engine._engines["flux"]).text_to_image.transformer
    transformer.register_forward_pre_hook(exhaust)
    drawn = engine.generate(by_flux, ignore)

    assert (kept(engine), level(engine, "flux")) == (["flux"], "resident")
    assert same(drawn, alone["flux"].generate(by_flux, ignore))


def test_where_the_device_has_no_memory_of_its_own_the_main_memory_decides(
    folders, by_flux, by_klein, tmp_path, alone
):
    together = sum(each._current.plan.waiting["resident"] for each in alone.values())

    def turns(total):
        engine = several(folders, main_memory=lambda: MainMemory(tmp_path / "notes", total))
        engine.generate(by_klein, ignore)
        names = kept(engine)
        engine.generate(by_flux, ignore)
        engine.close()
        return names

    assert turns(together) == ["flux", "klein"]
    assert turns(together - 1) == ["klein"]


def test_a_model_that_cannot_be_loaded_fails_its_own_pictures_alone(folders, by_flux, tmp_path):
    engine = several(
        {**folders, "gone": tmp_path / "gone", str(tmp_path / "lost"): tmp_path / "lost"}
    )
    by_gone = replace(by_flux, model="gone")

    with pytest.raises(ModelUnavailable, match="the model gone cannot be loaded: the folder"):
        engine.generate(by_gone, ignore)
    by_path = replace(by_flux, model=str(tmp_path / "lost"))
    with pytest.raises(
        ModelUnavailable, match="the model lost cannot be loaded: the folder flux does not"
    ):
        engine.generate(by_path, ignore)

    assert notes(engine, by_flux) == []


def test_a_model_that_fits_nowhere_leaves_the_way_free_for_the_others(folders, by_flux, by_klein):
    device = SmallDevice()
    engine = several(folders, device)
    device.state["budget"] = 1000

    with pytest.raises(OutOfMemory, match="does not fit"):
        engine.generate(by_klein, ignore)
    assert engine.loaded == {}
    device.state["budget"] = None

    assert notes(engine, by_flux) == ["loading flux"]


def test_memory_that_runs_out_while_a_model_is_read_is_said_in_a_sentence(
    folders, by_flux, by_klein, monkeypatch
):
    engine = several(folders, SmallDevice())

    def read(files):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(engine._engines["klein"], "_read", read)
        with pytest.raises(OutOfMemory, match="the model klein cannot be loaded: there is no"):
            engine.generate(by_klein, ignore)

    assert notes(engine, by_flux) == ["loading flux"]
    assert notes(engine, by_klein) == ["loading klein"]


def test_a_person_who_cancels_ends_the_wait_for_a_model(folders, by_flux, by_klein):
    engine = several(folders)

    def cancel(step):
        raise GenerationCancelled

    with pytest.raises(GenerationCancelled):
        engine.generate(by_klein, cancel)

    assert kept(engine) == ["flux"]


def test_closed_it_holds_nothing_and_can_be_loaded_again(folders, by_flux, by_klein):
    device = SmallDevice()
    engine = several(folders, device)
    engine.generate(by_klein, ignore)

    engine.close()

    assert (engine.loaded, kept(engine), device.state["used"]) == ({}, [], 0)
    assert engine.current_offload_level is None
    engine.load()
    assert notes(engine, by_flux) == []


def test_main_memory_that_was_pinned_goes_with_its_model(tiny, monkeypatch):
    emptied = []
    monkeypatch.setattr(
        torch._C, "_host_emptyCache", lambda: emptied.append(bundle() is None), raising=False
    )
    engine = several({"flux": tiny}, OnCard(), offload_level="model-offload")
    bundle = weakref.ref(next(iter(offloading(engine._engines["flux"])._bundles.values())))

    engine.close()

    assert emptied == [True], "torch keeps pinned memory until it is told, and only what is unused"


def test_more_weights_beside_it_than_were_planned_leave_a_picture_its_room():
    plan = Plan("resident", {"resident": 10}, {}, None)

    assert has_room(plan, free=4, resting=6, reserve=3)
    assert not has_room(plan, free=3, resting=6, reserve=3)
    assert not has_room(plan, free=2, resting=9, reserve=3)


def test_in_a_child_process_it_is_the_same(folders, by_flux, by_klein, alone, tmp_path):
    models = {
        "flux": {"repository": str(folders["flux"] / "flux"), "max_sequence_length": 32},
        "klein": {"repository": str(folders["klein"]), "max_sequence_length": 32},
    }
    shared = {"device": "cpu", "threads": 1, "preprocessors": {}, "download_dir": tmp_path}
    engine = ChildEngine(
        "generation.diffusion.several_models:engine_of", {**shared, "models": models}
    )
    try:
        engine.load()
        steps = []
        for request in (by_flux, by_klein):
            drawn = engine.generate(request, steps.append).files().opened()
            expected = alone[request.model].generate(request, ignore)
            assert drawn.tobytes() == expected.image.tobytes()
        assert "loading klein" in [step.note for step in steps]
        assert {*engine.loaded} == {*models}
    finally:
        engine.close()
