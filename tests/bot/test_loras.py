"""LoRAs by request: from what people type to what the engine is given, and back."""

import pytest
from PIL import Image

from bot.commands import AgainCommand, HowCommand, ImagineCommand
from bot.conversation import converse
from bot.jobs import JobStatus
from bot.loras import MOST_NAMES
from bot.source import Source
from generation.errors import ModelUnavailable
from generation.kinds import ControlLora, ImageToImage, Upscale
from generation.types import Lora, Preset
from tests.bot.conftest import left
from tests.conftest import ADA, ADMIN, PRESETS, finished
from tests.samples import picture

LORAS = {
    "ink": {"repository": "lab/ink", "description": "Dark outlines", "lora_scale": 0.8},
    "slow": {
        "repository": "lab/slow.safetensors",
        "trigger_words": ["SLOWTOK", "long exposure"],
        "min_lora_scale": -1.5,
        "max_lora_scale": 0.5,
        "lora_scale": 0.5,
    },
}
SLOW = Lora(
    name="slow",
    lora="lab/slow.safetensors",
    lora_scale=-1.0,
    trigger_words=("SLOWTOK", "long exposure"),
)
INK = Lora(name="ink", lora="lab/ink", lora_scale=0.8)


@pytest.fixture
async def offering(make_bot, gate):
    gate.open()
    return await make_bot(loras=LORAS)


async def drawn(bot, text, pictures=()):
    job = (await converse(bot.service, Source(ADA), text, pictures)).the_job()
    assert await finished(job) is JobStatus.SUCCEEDED
    return job


async def test_the_engine_is_given_what_the_operator_lists_by_that_name(offering, gate):
    job = await drawn(offering, "a fox --lora ink --lora slow:-1")

    assert gate.drawn[-1].loras == (INK, SLOW)
    assert gate.drawn[-1].templated_prompt == "a fox, SLOWTOK, long exposure"
    assert job.request.prompt == "a fox"
    assert job.remarks == ("Trigger words were added to the prompt: “SLOWTOK”, “long exposure”.",)
    said = await drawn(offering, "slowtok, a long exposure --lora slow:-1")
    assert (said.remarks, gate.drawn[-1].templated_prompt) == ((), said.request.prompt)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("--lora ink --lora pale:1", "There is no LoRA 'pale': choose one of ink, slow."),
        ("--lora inc:1", "There is no LoRA 'inc'; did you mean ink? There are ink, slow."),
        ("--lora slow:1", "The LoRA slow takes weights from -1.5 to 0.5, not 1."),
        ("--lora ink:2 --preset bfl", "The preset bfl takes no LoRAs, since it is made with a Con"),
        ("<lora:slow>, <lora:slow:0.5>", "Lora has “slow” twice; keep one."),
        ("<lora:ink:7>", "Lora takes a weight between -2 and 2, not “7”."),
        (
            "--lora a --lora b --lora c --lora d --lora e",
            "There is no LoRA 'a': choose one of ink, slow.",
        ),
    ],
)
async def test_what_cannot_be_drawn_is_refused_in_a_sentence_and_costs_nothing(
    make_bot, typed, sentence
):
    bfl = Preset(name="bfl", kind=ControlLora(control_lora="a/b", preprocessor="none"))
    bot = await make_bot(loras=LORAS, presets={**PRESETS, "bfl": bfl})
    before = await left(bot.service)
    pictures = [picture()] if "bfl" in typed else []

    reply = await converse(bot.service, Source(ADA), f"a fox {typed}", pictures)

    assert reply.text.startswith(sentence)
    assert reply.error.field == "loras"
    assert await left(bot.service) == before


async def test_more_than_four_at_once_are_too_many(make_bot):
    bot = await make_bot(loras={name: {"repository": name} for name in "abcde"})

    reply = await converse(bot.service, Source(ADA), "a fox --lora a,b,c,d,e")

    assert reply.text == "A picture takes 4 LoRAs at most, not 5: leave some out."


async def test_without_any_or_with_many_the_refusal_is_short(make_bot):
    bot = await make_bot()
    reply = await converse(bot.service, Source(ADA), "a fox --lora ink")
    assert reply.text == "There are no LoRAs to choose from here: leave it out."

    many = [f"style-{number}" for number in range(MOST_NAMES + 1)]
    bot = await bot.restart(loras={name: {"repository": name} for name in many})
    reply = await converse(bot, Source(ADA), "a fox --lora ink")
    assert reply.text.endswith(f"choose one of {', '.join(many[:-1])}, ….")


async def test_tags_of_a1111_mean_the_same_and_are_told(offering, gate):
    typed = "a <LORA:ink:0.8> fox, at dusk <lora:Slow:-1:[free](http://a.test)> --steps 3"
    job = await drawn(offering, typed)

    assert job.request.prompt == "a fox, at dusk"
    assert job.request.loras == (INK, SLOW)
    assert job.remarks[0] == (
        "In the prompt, <lora:ink:0.8> <lora:slow:-1> was read as --lora ink:0.8,slow:-1."
    )
    again = await drawn(offering, AgainCommand(job.id, ImagineCommand("a hare <lora:ink>")))
    assert (again.request.prompt, again.request.loras) == ("a hare", (INK,))
    both = await drawn(offering, "a fox <lora:slow:-1> --lora ink")
    assert both.request.loras == (INK, SLOW)
    assert both.remarks[0] == "In the prompt, <lora:slow:-1> was read as --lora slow:-1."


async def test_a_history_again_and_a_recipe_have_them_too(offering, gate):
    job = await drawn(offering, "a fox --lora slow:-1 --seed 7")
    source = Source(ADA)

    how = (await converse(offering.service, source, HowCommand(job.id))).text
    assert "--lora slow:-1" in how
    again = await drawn(offering, f"again {job.id}")
    assert (again.request.loras, again.request) == ((SLOW,), job.request)
    other = await drawn(offering, f"again {job.id} --lora ink")
    assert (other.request.loras, other.request.seed) == ((INK,), 7)
    assert (await drawn(offering, f"again {job.id} --lora none")).request.loras == ()
    series = await converse(offering.service, source, "{red,blue} fox --lora slow:-1")
    members = (await converse(offering.service, source, "yes")).series.parts
    assert series.choices
    assert [each.request.loras for each in members] == [(SLOW,), (SLOW,)]


async def test_what_is_drawn_over_a_picture_keeps_its_loras(offering, gate):
    job = await drawn(offering, "a fox --lora ink")

    varied = await drawn(offering, f"vary {job.id} 1")
    draft = await drawn(offering, "a fox --lora ink --draft")
    final = await drawn(offering, f"final {draft.id}")

    assert [each.request.loras for each in (varied, draft, final)] == [(INK,)] * 3


async def test_a_job_keeps_its_loras_over_a_restart_and_after_they_are_taken_off_the_list(
    offering, gate
):
    gate.close_again()
    job = (await converse(offering.service, Source(ADA), "a fox --lora slow:-1")).the_job()

    service = await offering.restart(loras={})
    gate.open()
    (again,) = service.queue(ADA).mine
    assert await finished(again) is JobStatus.SUCCEEDED

    assert (again.id, gate.drawn[-1].loras) == (job.id, (SLOW,))
    reply = await converse(service, Source(ADA), "loras")
    assert reply.text == "There are no LoRAs to choose from here."


async def test_one_that_cannot_be_loaded_gives_the_credits_back(offering, gate):
    before = await left(offering.service)
    gate.fault = ModelUnavailable("bad.safetensors cannot be used: it is made for FLUX.2")

    job = (await converse(offering.service, Source(ADA), "a fox --lora ink")).the_job()

    assert await finished(job) is JobStatus.FAILED
    assert "made for FLUX.2" in job.error
    assert await left(offering.service) == before


async def test_the_picture_carries_them_as_a1111_does(offering):
    job = await drawn(offering, "a fox --lora ink --lora slow:-1")

    path = await offering.service.lookups.picture(Source(ADA), job.id)
    with Image.open(path) as image:
        parameters = image.text["parameters"]

    assert parameters.startswith("a fox <lora:ink:0.8> <lora:slow:-1>\nSteps: ")


async def test_they_are_listed_with_weights_and_trigger_words(offering):
    reply = await converse(offering.service, Source(ADA), "loras")

    assert reply.text.splitlines() == [
        "ink (weight 0.8, from -2 to 2): Dark outlines",
        "slow (weight 0.5, from -1.5 to 0.5): no description (trigger words: “SLOWTOK”, “long"
        " exposure”)",
        "Write --lora NAME:WEIGHT behind a prompt; several add up.",
    ]


async def test_a_reload_brings_new_ones(offering):
    offering.settings["loras"] = {"new": {"repository": "lab/new"}}

    reply = await converse(offering.service, Source(ADMIN), "admin presets reload")

    assert reply.text.endswith("redraw. So were the LoRAs: new.")
    assert [*offering.service.offered.loras] == ["new"]


@pytest.mark.parametrize("slow", [{}, {"slow": {**LORAS["slow"], "min_lora_scale": -0.5}}])
async def test_a_larger_picture_leaves_out_loras_that_are_offered_no_longer(make_bot, gate, slow):
    """Nobody could leave them out by words, since `upscale` takes no options."""
    gate.open()
    larger = Preset(name="larger", kind=ImageToImage(strength=0.5, upscale=2))
    bot = await make_bot(loras=LORAS, presets={**PRESETS, "larger": larger})
    job = await drawn(bot, "a fox --size 64x64 --lora ink --lora slow:-1")
    bot.settings["loras"] = {"ink": LORAS["ink"], **slow}
    await bot.service.admin.reload_presets(ADMIN)

    upscaled = await drawn(bot, f"upscale {job.id}")

    assert upscaled.request.loras == (INK,)
    assert "These LoRAs are no longer offered, and were left out: slow." in upscaled.remarks
    again = await drawn(bot, f"again {job.id}")
    assert again.request.loras == (INK, SLOW), "the very same picture can still be drawn"


async def test_trigger_words_that_no_tile_is_given_are_not_said_to_be_added(make_bot, gate):
    gate.open()
    tiles = Preset(name="tiles", kind=Upscale(tile_size=64, strength=0.5))
    bot = await make_bot(loras=LORAS, presets={**PRESETS, "tiles": tiles})
    job = await drawn(bot, "a fox --size 64x64 --lora slow:-1")

    upscaled = await drawn(bot, f"upscale {job.id}")

    assert (upscaled.request.loras, upscaled.request.templated_prompt) == ((SLOW,), "")
    assert upscaled.remarks == ()


async def test_a_lora_is_no_default(offering):
    reply = await converse(offering.service, Source(ADA), "settings --lora ink")

    assert reply.error.field == "loras"
    assert "belongs to one picture and cannot be a default" in reply.text
