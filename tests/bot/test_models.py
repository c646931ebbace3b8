"""The models that people draw with: presets that name one, from the configuration to the queue."""

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest

from bot import switches
from bot.changes import Changes
from bot.commands import ImagineCommand
from bot.config import Config, ConfigError, check_license, load_config
from bot.conversation import converse
from bot.engines import loading_time_of
from bot.jobs import Job, JobStatus, StepTimes
from bot.models import offered_models
from bot.quoting import quote
from bot.source import PictureOf, Source
from generation.errors import ModelUnavailable
from generation.kinds import ImageToImage
from generation.types import GenerationRequest, Preset
from tests.bot.conftest import left
from tests.conftest import ADA, ADMIN, BOB, PRESETS, Gate, finished

KLEIN = "lab/klein"
NUMBERS = {"num_inference_steps": 4, "guidance_scale": 1.0, "width": 128, "height": 64}
LOADING_KLEIN = loading_time_of(KLEIN)
FAST = Preset(name="fast", model=KLEIN)
WITH_KLEIN = {
    "presets": {**PRESETS, "fast": FAST},
    "models": {KLEIN: {**NUMBERS, "max_sequence_length": 512, "true_cfg_scale": 2.0}},
}


def offered(**model):
    config = Config(model=model, presets={"plain": {}, "ink": {"lora": "demo/lora-ink"}})
    return offered_models(config, config.presets.values())


@pytest.fixture
async def bot(make_bot, gate):
    gate.open()
    return await make_bot(**WITH_KLEIN)


async def drawn(bot, text, pictures=(), user=ADA):
    job = (await converse(bot.service, Source(user), text, pictures)).the_job()
    assert await finished(job) is JobStatus.SUCCEEDED
    return job


# What there is


def test_the_model_is_offered_with_the_presets_that_draw_with_it():
    (found,) = offered(repository="black-forest-labs/FLUX.1-schnell", revision="741f7c3")

    assert found.name == "black-forest-labs/FLUX.1-schnell@741f7c3"
    assert (found.presets, found.is_default) == (("plain", "ink"), True)


def test_no_folder_of_the_operators_disk_is_told():
    (found,) = offered(repository="/srv/secret/klein-4b")

    assert found.name == "klein-4b"


def test_each_model_is_offered_once_with_its_own_presets_and_numbers():
    presets = {"plain": {}, "fast": {"model": KLEIN}, "same": {"model": "demo"}}
    config = Config(models={KLEIN: NUMBERS}, presets={**presets, "last": {"model": KLEIN}})

    main, klein = offered_models(config, config.presets.values())

    assert (main.name, main.presets, main.is_default) == ("demo", ("plain", "same"), True)
    assert (klein.name, klein.presets, klein.is_default) == (KLEIN, ("fast", "last"), False)
    assert (klein.settings.num_inference_steps, klein.settings.width) == (4, 128)
    (alone,) = offered_models(config, [config.presets["fast"]])
    assert alone.name == KLEIN, "one whose presets are all switched off is not offered"


# In config.toml


SOME = """
[models.demo]
num_inference_steps = 12
[models.demo.loras.ink]
repository = "demo/lora-ink"
[models."lab/klein"]
license = "https://lab.example/licence"
num_inference_steps = 4
guidance_scale = 1.0
[models."lab/klein".loras.lines]
repository = "lab/lines"
[presets.plain]
"""


def loaded(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(SOME + text, encoding="utf-8")
    return load_config(path)


def test_a_folder_takes_the_numbers_and_the_licence_of_its_profile(tmp_path):
    folder = f'[models."{tmp_path}"]\nprofile = "lab/klein"\nguidance_scale = 2.0\n'
    config = loaded(tmp_path, f'{folder}[presets.fast]\nmodel = "{tmp_path}"\n')

    model = config.model_for(config.presets["fast"].model)

    assert (model.repository, model.num_inference_steps) == (str(tmp_path), 4)
    assert model.guidance_scale == 2.0
    with pytest.raises(ConfigError, match=r"has a licence with conditions .*lab.example/licence"):
        check_license(config)


def test_a_preset_may_pin_a_revision_of_its_model_and_nothing_else_of_the_main_one_holds(tmp_path):
    config = loaded(
        tmp_path, '[presets.fast]\nmodel = "lab/klein@abc"\n[model]\nquantization = "int8"\n'
        'transformer = "lab/other"\nrevision = "def"\naccept_license = true\n'
    )  # fmt: skip

    model = config.model_for(config.presets["fast"].model)

    assert (model.repository, model.revision, model.transformer) == ("lab/klein", "abc", None)
    assert (model.num_inference_steps, model.quantization) == (4, "int8")
    check_license(config)


def test_loras_belong_to_the_model_under_which_they_stand(tmp_path):
    config = loaded(tmp_path, '[presets.fast]\nmodel = "lab/klein"\n[loras.any]\nrepository="a/b"')

    assert {name: each.model for name, each in config.loras.items()} == {
        "ink": "demo",
        "lines": KLEIN,
        "any": None,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[presets.fast]\nmodel = "lab/klien"\n', "did you mean lab/klein?"),
        ('[presets.fast]\nmodel = ""\n', "presets.fast.model is '', which has no table"),
        ('[presets.fast]\nmodel = "./here"\n', "write [models.'./here'] with the most similar of"),
        ('[models.x]\nprofile = "y"\n', "models.'x'.profile is 'y', which has no table"),
        (
            '[presets.fast]\nmodel = "lab/klein"\n[models."lab/klein".loras.ink]\nrepository="a/b"',
            "both demo and lab/klein have a LoRA ink",
        ),
        (
            '[presets.fast]\nmodel = "lab/klein"\n[limits]\nnum_inference_steps = 3\n[model]\n'
            "num_inference_steps = 3",
            "num_inference_steps of [models.'lab/klein'] is above [limits]",
        ),
    ],
)
def test_a_mistake_is_pointed_at(tmp_path, text, words):
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text)

    assert words in str(raised.value)


# From a person to the engine


async def test_a_preset_draws_with_its_model_and_its_numbers(bot, gate):
    job = await drawn(bot, "a red circle --preset fast --no rain")

    (request,) = gate.drawn
    assert (request.model, job.request.model) == (KLEIN, KLEIN)
    assert (request.num_inference_steps, request.guidance_scale) == (4, 1.0)
    assert (request.width, request.height, request.true_cfg_scale) == (128, 64, 2.0)


async def test_drawn_again_it_is_the_same_model_and_another_preset_has_its_own(bot, gate):
    job = await drawn(bot, "a red circle --preset fast --no rain")

    again = await drawn(bot, f"again {job.id} --size 64x64")
    plain = await drawn(bot, f"again {job.id} --preset plain")
    back = await drawn(bot, f"again {plain.id} --preset fast --steps 7")

    assert again.request.model == KLEIN
    assert (again.request.num_inference_steps, again.request.true_cfg_scale) == (4, 2.0)
    main = bot.config.model
    assert (plain.request.model, plain.request.width) == ("demo", 128)
    assert plain.request.num_inference_steps == main.num_inference_steps
    assert plain.request.true_cfg_scale == main.true_cfg_scale
    assert (back.request.model, back.request.num_inference_steps) == (KLEIN, 7)


async def test_a_draft_of_one_model_becomes_one_of_another(bot):
    job = await drawn(bot, "a red circle --preset plain --draft")

    other = await drawn(bot, f"again {job.id} --preset fast")

    assert (other.request.num_inference_steps, other.request.final_num_inference_steps) == (4, 4)
    final = await drawn(bot, f"final {job.id}")
    assert final.request.num_inference_steps == bot.config.model.num_inference_steps


async def test_a_variation_keeps_its_model_and_a_larger_picture_where_it_can(make_bot, gate):
    gate.open()
    over = {
        "redraw": Preset(name="redraw", kind=ImageToImage(strength=0.5)),
        "larger": Preset(name="larger", kind=ImageToImage(strength=0.5, upscale=2)),
    }
    own = {
        "redraw-fast": Preset(name="redraw-fast", kind=over["redraw"].kind, model=KLEIN),
        "larger-fast": Preset(name="larger-fast", kind=over["larger"].kind, model=KLEIN),
    }
    presets = {"plain": Preset(name="plain"), "fast": FAST, **over}
    bot = await make_bot(**{**WITH_KLEIN, "presets": presets})
    job = await drawn(bot, "a red circle --preset fast")

    async def made(purpose):
        found = await bot.service.from_picture(Source(ADA), PictureOf(job.id, 1), purpose)
        await finished(found)
        return found.request.preset, found.request.model

    assert await made("vary") == ("fast", KLEIN), "a new seed, since none redraws with it"
    assert await made("upscale") == ("larger", "demo")
    await bot.restart(presets={**presets, **own})
    assert await made("vary") == ("redraw-fast", KLEIN)
    assert await made("upscale") == ("larger-fast", KLEIN)


async def test_a_job_that_waited_is_drawn_with_its_model_after_a_restart(make_bot, gate):
    bot = await make_bot(**WITH_KLEIN)
    job = await bot.service.submit(Source(ADA), ImagineCommand("a circle", preset="fast"))

    service = await bot.restart()
    gate.open()
    (waiting,) = service.queue(ADA).mine
    await finished(waiting)

    assert waiting.id == job.id
    assert gate.drawn[-1].model == KLEIN


async def test_a_model_that_is_gone_is_replaced_by_that_of_the_preset(make_bot, gate):
    gate.open()
    bot = await make_bot(**WITH_KLEIN)
    job = await drawn(bot, "a red circle --preset fast")

    await bot.restart(presets={**PRESETS, "fast": Preset(name="fast")})
    again = await drawn(bot, f"again {job.id}")

    assert again.request.model == "demo"
    assert again.remarks == ("That was drawn with lab/klein; demo draws it differently.",)


async def test_a_reload_that_needs_another_model_waits_for_a_restart(bot):
    bot.settings["presets"] = {**PRESETS, "new": Preset(name="new", model="lab/new")}

    reply = await converse(bot.service, Source(ADMIN), "admin presets reload")

    assert "presets.new draws with lab/new, which the engines were not started with" in reply.text
    assert "fast" in bot.service.presets


async def test_a_preset_that_was_taken_out_may_come_back_with_its_model(bot):
    presets = bot.settings["presets"]
    for now in (PRESETS, presets):
        bot.settings["presets"] = now
        reply = await converse(bot.service, Source(ADMIN), "admin presets reload")
        assert "The presets were read anew" in reply.text

    assert (await drawn(bot, "a red circle --preset fast")).request.model == KLEIN


LORAS = {
    "lines": {"repository": "lab/lines", "model": KLEIN},
    "ink": {"repository": "demo/lora-ink", "model": "demo"},
    "any": {"repository": "lab/any"},
}


async def test_a_lora_of_another_model_is_refused_before_the_charge(make_bot, gate):
    gate.open()
    bot = await make_bot(**WITH_KLEIN, loras=LORAS)
    before = await left(bot.service)

    refused = await converse(bot.service, Source(ADA), "a fox --preset fast --lora ink")

    assert refused.job is None
    assert refused.text == (
        "The LoRA ink was made for demo, and the preset fast draws with lab/klein: leave it out,"
        " or choose another preset."
    )
    assert await left(bot.service) == before
    job = await drawn(bot, "a fox --preset fast --lora lines --lora any")
    changed = await converse(bot.service, Source(ADA), f"again {job.id} --preset plain")
    assert "The LoRA lines was made for lab/klein" in changed.text


async def test_loras_are_listed_with_the_model_that_they_were_made_for(make_bot):
    bot = await make_bot(**WITH_KLEIN, loras=LORAS)

    several = await converse(bot.service, Source(ADA), "loras")

    assert [line.partition(", from -2 to 2")[2] for line in several.text.splitlines()[:3]] == [
        f", made for {KLEIN}): no description",
        ", made for demo): no description",
        "): no description",
    ]
    bot.service.offered.disabled = frozenset({"fast"})
    alone = await converse(bot.service, Source(ADA), "loras")
    assert "made for" not in alone.text


async def test_a_model_that_cannot_be_loaded_is_not_charged_and_the_others_draw_on(make_bot, gate):
    bot = await make_bot(**WITH_KLEIN)
    before = await left(bot.service)
    gate.fault = ModelUnavailable("the folder klein does not exist")
    job = await bot.service.submit(Source(ADA), ImagineCommand("a circle", preset="fast"))

    assert await finished(job) is JobStatus.FAILED
    assert (job.error, await left(bot.service)) == ("the folder klein does not exist", before)
    gate.fault = None
    gate.open()
    await drawn(bot, "a red circle")


# In the queue


async def test_an_engine_prefers_the_model_that_it_has_but_passes_nobody_over_for_ever(
    make_bot, gate
):
    bot = await make_bot(**WITH_KLEIN)
    people = [f"discord:{number}" for number in range(8)]
    first = await bot.service.submit(Source(ADA), ImagineCommand("a circle", preset="fast"))
    while not gate.is_busy:
        await asyncio.sleep(0)
    presets = ["plain", "fast", "fast", "fast", "fast", "fast", "fast", "plain"]
    jobs = [first] + [
        await bot.service.submit(Source(user), ImagineCommand(f"{number} circles", preset=preset))
        for number, (user, preset) in enumerate(zip(people, presets, strict=True))
    ]

    gate.open()
    for job in jobs:
        await finished(job)

    drawn = [each.preset for each in gate.drawn]
    assert drawn == ["fast"] * 5 + ["plain"] * 2 + ["fast"] * 2


async def test_of_two_idle_engines_the_one_with_the_model_draws_all_pictures_of_a_job(
    make_bot, gate
):
    third = {"third": Preset(name="third", model="lab/third")}
    bot = await make_bot(**{**WITH_KLEIN, "presets": {**WITH_KLEIN["presets"], **third}})
    other = Gate()
    bot.engines = [gate, other]
    service = await bot.restart()
    jobs = [
        await service.submit(Source(user), ImagineCommand("a circle", preset=preset))
        for user, preset in ((ADA, "fast"), (BOB, "plain"))
    ]
    while not (gate.is_busy and other.is_busy):
        await asyncio.sleep(0)
    for engine in bot.engines:
        engine.open()
    for each in jobs:
        await finished(each)
    has = {engine.drawn[-1].preset: engine for engine in bot.engines}

    for preset in ("fast", "fast", "plain", "plain"):
        command = ImagineCommand("two circles", preset=preset, images=2)
        await finished(await service.submit(Source(ADA), command))

    for preset, engine in has.items():
        assert [each.preset for each in engine.drawn] == [preset] * 5
    for engine in bot.engines:
        engine.close_again()
        engine.waits.clear()
    await converse(service, Source(ADMIN), "admin pause")
    for user, preset in (("discord:1", "fast"), ("discord:2", "third")):
        await service.submit(Source(user), ImagineCommand("a circle", preset=preset))
    await converse(service, Source(ADMIN), "admin resume")
    async with asyncio.timeout(20):  # what one leaves to the other does not keep it from the next
        while not (gate.is_busy and other.is_busy):
            await asyncio.sleep(0)
    assert (has["fast"].drawn[-1].preset, has["plain"].drawn[-1].preset) == ("fast", "third")
    for engine in bot.engines:
        engine.open()


@pytest.fixture
def changes(bot):
    return Changes(("demo", KLEIN, "c"), bot.database)


def job(model):
    size = {"num_inference_steps": 4, "guidance_scale": 1.0, "width": 64, "height": 64}
    return Job(user=ADA, request=GenerationRequest(prompt="x", seed=1, model=model, **size))


def seconds(changes, loaded, *models):
    changing = changes.counting(loaded)
    return [changing(job(each)) for each in models]


async def test_the_time_of_a_change_is_counted_once_for_jobs_among_which_an_engine_chooses(changes):
    for model, took in (("demo", 20.0), (KLEIN, 30.0)):
        changes.changed(model, took, {"demo"} - {model}, [model])

    assert seconds(changes, ["demo"], "demo", KLEIN, "demo", KLEIN) == [0, 30, 0, 0]
    turns = seconds(changes, ["demo"], *["demo", KLEIN] * 8)
    assert turns == [0, 30, *[0] * 6, 20, *[0] * 7]
    assert seconds(changes, [], "demo") == [0], "it is being loaded, which is told otherwise"
    assert seconds(changes, ["demo"], "c") == [0], "nobody has measured it"


async def test_models_that_were_seen_beside_each_other_need_no_change_back(changes):
    changes.changed("demo", 20.0, set(), ["demo"])
    changes.changed(KLEIN, 30.0, {"demo"}, ["demo", KLEIN])
    far = [KLEIN, *["demo"] * 7, "demo"]

    assert seconds(changes, ["demo"], *far) == [30, *[0] * 8]
    changes.changed(KLEIN, 30.0, {"demo"}, [KLEIN])
    assert seconds(changes, ["demo"], *far) == [30, *[0] * 7, 20]


async def test_a_quote_tells_the_time_that_loading_took_in_an_earlier_run(make_bot, gate):
    gate.open()
    gate.seconds = 1.0
    bot = await make_bot(**WITH_KLEIN)
    await bot.database.write(partial(switches.write, name=LOADING_KLEIN, value="40.0"))
    await bot.restart()
    await drawn(bot, "a red circle")
    asked = partial(quote, bot.service, Source(ADA), "a red circle")

    assert (await asked(ImagineCommand("", preset="fast"))).starts_in == 40
    assert (await asked(ImagineCommand("", preset="plain"))).starts_in == 0
    job = await bot.service.submit(Source(BOB), ImagineCommand("x", preset="fast"))
    await finished(job)
    assert (await asked(ImagineCommand("", preset="fast"))).starts_in == 0


async def test_waiting_people_are_told_of_changes_ahead_of_them(make_bot, gate):
    gate.open()
    gate.seconds = 1.0
    bot = await make_bot(**WITH_KLEIN)
    await bot.database.write(partial(switches.write, name=LOADING_KLEIN, value="40.0"))
    service = await bot.restart()
    for preset in ("fast", "plain"):
        await drawn(bot, f"a red circle --preset {preset}")
    gate.close_again()

    async def asked(user, preset):
        return await service.submit(Source(user), ImagineCommand("a red circle", preset=preset))

    await asked(ADA, "plain")
    while not gate.is_busy:
        await asyncio.sleep(0)
    first = await asked("discord:1", "fast")
    assert first.progress.wait == pytest.approx(1 + 40)
    await service.cancel(Source("discord:1"), first.id)
    before, behind = await asked(BOB, "plain"), await asked("discord:1", "fast")

    assert before.progress.wait == pytest.approx(1)
    assert behind.progress.wait == pytest.approx(2 + 40)
    price = await quote(service, Source("discord:2"), "a red circle", ImagineCommand(""))
    assert price.starts_in == pytest.approx(3 + 40)
    last = await asked("discord:3", "plain")
    await service.cancel(Source("discord:3"), last.id)  # all are told anew
    assert behind.progress.wait == pytest.approx(2 + 40)
    gate.open()


class Loading:
    """An executor with room for one model, which takes 50 s to load and 5 s to draw with."""

    def __init__(self):
        self.now = 0.0
        self.loaded = {"demo": 1}

    async def generate(self, request, on_step):
        if request.model not in self.loaded:
            self.loaded = {request.model: 1}
            self.now += 50.0
        self.now += 5.0
        return SimpleNamespace(seconds=5.0)


async def test_what_a_change_takes_is_measured_and_kept(bot):
    engine = Loading()
    changes = Changes(("demo", KLEIN), bot.database, lambda: engine.now)

    for model in (KLEIN, KLEIN):
        await changes.watching(engine).generate(job(model).request, None)

    assert seconds(changes, ["demo"], KLEIN, "demo") == [50, 0]
    while (kept := await bot.database.read(partial(switches.read, name=LOADING_KLEIN))) is None:
        await asyncio.sleep(0)
    assert kept == "50.0"


def test_a_step_of_one_model_tells_nothing_about_another():
    times = StepTimes()

    times.record(job("demo"), 10.0)

    assert times.estimate(job("demo")) == pytest.approx(10.0)
    assert times.estimate(job(KLEIN)) is None
