"""Every typed text is answered in sentences."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import replies
from bot.commands import (
    OPTIONS,
    TOPICS,
    VERBS,
    AgainCommand,
    CommandError,
    ImagineCommand,
    VaryCommand,
    parse,
)
from bot.conversation import converse, understand
from bot.jobs import Job, JobStatus
from bot.refusals import NotAllowed
from bot.requests import command_of
from bot.source import Source
from generation.errors import FluxbotError, InvalidRequest
from generation.types import GenerationRequest, Preset, Step
from tests.bot.conftest import CIRCLE
from tests.conftest import ADA, ADMIN, BOB, PRESETS, at_step, examples, finished, until
from tests.samples import picture

SMALL = "--size 64x64 --steps 3"


@pytest.fixture
def say(service):
    async def say(text, user=ADA, image=None):
        return await converse(service, Source(user), text, () if image is None else (image,))

    return say


async def test_a_prompt_becomes_a_job_to_watch(say, gate):
    gate.open()

    reply = await say(f"a red circle {SMALL}")

    assert reply.text == ""
    assert await finished(reply.job) is JobStatus.SUCCEEDED


async def test_the_line_of_a_job_says_place_then_step_then_what_made_it(say, gate):
    first = (await say(f"a red circle {SMALL} --seed 7 --images 2")).job
    await at_step(first, 0, picture=1)
    second = (await say(f"a blue circle {SMALL}", BOB)).job

    assert replies.progress_line(second, second.progress) == "Queued, 1 ahead of you"

    gate.allow(4)
    progress = await at_step(first, 1, picture=2)
    assert replies.progress_line(first, progress) == "Drawing picture 2 of 2, step 1 of 3"

    gate.open()
    await finished(first)
    line = replies.progress_line(first, first.progress)
    assert line.startswith("2 pictures · plain · 3 steps · 64×64 · seed 7 · ")


async def test_what_holds_the_engine_up_is_said_instead_of_a_step(say, gate):
    job = (await say(f"a red circle {SMALL}")).job
    assert await asyncio.to_thread(gate.waits.wait, 20)
    gate.report(Step(0, note="downloading canny's ControlNet, 43 %"))

    async for progress in job.watch():
        if progress.note:
            break

    assert replies.progress_line(job, progress) == "Downloading canny's ControlNet, 43 %"


async def test_an_error_speaks_the_words_that_people_type(say):
    assert (await say("a fox --steps 80")).text.startswith("Steps must be")
    reply = await say("a fox --size 2048x2048")
    assert "at most 1048576 are drawn here: ask for a smaller size." in reply.text
    assert isinstance(reply.error, FluxbotError)
    low = await say("a fox --preset redraw --strength 0", image=picture())
    assert low.text == "Strength 0 leaves no step to take: use more than 0."


async def test_a_limit_of_the_operator_is_told_in_the_words_that_people_type(make_bot):
    bot = await make_bot(limits={"num_inference_steps": 20})

    reply = await converse(bot.service, Source(ADA), "a fox --steps 30")

    assert reply.text == "Steps must be a whole number between 1 and 20, not 30."


async def test_presets_say_which_is_the_default_and_which_want_a_picture(say):
    text = (await say("presets")).text

    assert "plain (the default): Your words alone" in text
    assert "canny (attach a picture):" in text


async def test_history_lists_searches_and_turns_its_pages(say, gate):
    gate.open()
    for number in range(12):
        await finished((await say(f"fox number {number} {SMALL}")).job)

    first, second = await say("history"), await say("history --page 2")
    found = await say("history number 7")

    assert len(first.jobs) == 10
    assert first.text.splitlines()[-1] == "More: history --page 2"
    assert [job.request.prompt for job in second.jobs] == ["fox number 1", "fox number 0"]
    assert [job.request.prompt for job in found.jobs] == ["fox number 7"]
    assert (await say("history --page 9")).text == "There is no page 9."
    assert (await say("history dragon")).text == "None of your prompts has “dragon” in it."
    assert (await say("history", BOB)).text == "You have drawn nothing yet."


async def test_show_again_and_vary_take_an_id(say, gate):
    gate.open()
    first = (await say(f"a fox {SMALL} --seed 7")).job
    await finished(first)

    assert (await say(f"show {first.id}")).job.id == first.id
    assert (await say(f"again {first.id}")).job.request == first.request
    assert (await say("vary")).job.request.seed != 7
    changed = (await say("again --steps 2")).job.request
    assert changed.num_inference_steps == 2
    assert (await say(f"show {first.id}", BOB)).text.startswith("There is no picture")


def test_a_long_prompt_is_cut_to_a_line_of_so_many_letters(fox):
    job = Job(user=ADA, request=replace(fox, prompt="a fox\n" * 4))

    assert replies.short(job, 23) == "a fox a fox a fox a fox"
    assert replies.short(job, 22) == "a fox a fox a fox a f…"


async def test_a_picture_of_ones_own_is_inspected_by_its_id(say, gate):
    gate.open()
    job = (await say(f"a red circle {SMALL}")).job
    await finished(job)

    told = await say(f"inspect {job.id}")
    nothing = await say("inspect")

    assert "It says of itself that it was made by AI." in told.text
    assert "a red circle" in told.text
    assert nothing.text.startswith("Inspect which picture?")


async def test_cancel_and_queue_speak_of_ones_own_jobs(say, gate):
    running = (await say(f"a fox {SMALL}")).job
    await at_step(running, 0, picture=1)
    waiting = (await say(f"a cat {SMALL}", BOB)).job

    queue = await say("queue", BOB)
    assert queue.text.splitlines() == [
        "1 picture being drawn, 1 waiting.",
        f"{waiting.id} · Queued, 1 ahead of you · a cat",
    ]
    assert (await say("queue", "web:eve")).text.endswith("None of them is yours.")

    reply = await say("cancel", BOB)
    assert reply.text == f"{waiting.id} is cancelled; your credits were given back."
    assert waiting.status is JobStatus.CANCELLED


async def test_the_queue_says_why_nothing_is_drawn(say):
    await say("admin pause", ADMIN)

    text = (await say("queue")).text

    assert text.startswith(
        "No pictures are being drawn right now: an admin has paused drawing; waiting jobs are kept."
    )


async def test_settings_are_shown_changed_and_forgotten(say):
    assert "no defaults of your own" in (await say("settings")).text
    changed = await say("settings --steps 20 --ar 16:9")
    assert changed.text == "Your defaults: steps 20, ar 16:9"
    assert "size 64x64" in (await say("settings --size 64x64")).text
    assert "no defaults of your own" in (await say("settings reset")).text
    assert "cannot be a default" in (await say("settings --seed 4")).text


async def test_quota_tells_what_is_left(say):
    await say("a fox")

    assert (await say("quota")).text == (
        "9988 credits left: 12 of 10000 used in 24 hours. The first of them come back in 24 hours."
    )


async def test_help_speaks_of_every_verb_and_option(say):
    general = (await say("help")).text

    assert general.startswith("A test.")
    for option in OPTIONS:
        assert f"--{option.name} " in general
    for verb in VERBS:
        assert verb.name == "admin" or verb.usage in general
    for topic in TOPICS:
        assert (await say(f"help {topic}")).error is None


async def test_a_picture_without_a_prompt_is_asked_for_one(say):
    reply = await say("quota", image=picture())

    assert reply.text == "A picture goes with a prompt: say what to draw from it."


async def test_the_same_request_again_keeps_its_words_about_unknown_things(make_bot, gate):
    gate.open()
    bot = await make_bot()
    bot.service.about = type(bot.about)("A test.", (), lambda request: (f"odd: {request.prompt}",))

    reply = await converse(bot.service, Source(ADA), f"a zebra {SMALL}")
    await finished(reply.job)
    again = await converse(bot.service, Source(ADA), "again")

    assert reply.job.remarks == again.job.remarks == ("odd: a zebra",)
    assert (await bot.service.lookups.job(Source(ADA), reply.job.id)).remarks == ("odd: a zebra",)


FOX = Job(
    user=ADA,
    id="k7m2p9qa",
    request=GenerationRequest(
        prompt="a fox in snow",
        num_inference_steps=3,
        guidance_scale=3.5,
        width=64,
        height=64,
        seed=7,
        preset="plain",
    ),
)


@pytest.mark.parametrize("text", ["same, at night", "Same but at night", "same: at night"])
def test_same_with_words_puts_them_behind_the_prompt_of_the_last_picture(text):
    command = understand(text, FOX)

    assert command == AgainCommand(FOX.id, ImagineCommand("a fox in snow, at night"))


def test_same_with_options_alone_keeps_the_prompt():
    assert understand("same --steps 40", FOX).changes == ImagineCommand(num_inference_steps=40)
    assert understand("same, at night —steps 40", FOX).changes.num_inference_steps == 40
    assert understand("same", FOX) == AgainCommand(FOX.id, same=True)


@pytest.mark.parametrize(
    "text", ["same sex couple", "the same, at night", "same old fox, at night"]
)
def test_same_at_the_beginning_of_a_prompt_is_a_word_of_it(text):
    assert understand(text, FOX) == ImagineCommand(text)


def test_again_without_an_id_means_the_last_picture_of_the_conversation():
    assert understand("again --steps 2", FOX).job_id == FOX.id
    assert understand("vary", FOX) == VaryCommand(FOX.id)
    assert understand("again b3c4d5e6", FOX).job_id == "b3c4d5e6"
    assert understand("again", None) == AgainCommand()
    assert understand("same, at night", None) == ImagineCommand("same, at night")


def test_a_mistake_behind_same_is_told_as_any_other():
    for text in ("same --steps 80", "same, at night --steps 80"):
        with pytest.raises(CommandError, match="steps must be a whole number"):
            understand(text, FOX)


def test_what_is_taken_over_is_what_was_not_said():
    kept = "Builds on k7m2p9qa and keeps preset plain, 64×64"
    assert replies.inherited(FOX, ImagineCommand()) == f"{kept}."
    given = replace(FOX, is_seed_given=True)
    assert replies.inherited(given, ImagineCommand()) == f"{kept}, seed 7."
    assert replies.inherited(FOX, ImagineCommand("at night")) == f"{kept}, seed 7."
    changed = ImagineCommand(preset="canny", aspect_ratio=(1, 2))
    assert replies.inherited(FOX, changed, vary=True) == "Builds on k7m2p9qa and keeps its prompt."


def test_how_a_picture_was_made_can_be_typed_again():
    first = replies.how(FOX).splitlines()[0]

    assert parse(first) == command_of(FOX.request, 1)


ADMIN_SENTENCES = [
    ("admin presets", "plain: the model alone"),
    ("admin presets reload", "The presets were read anew: plain, canny, redraw."),
    ("admin quota web:ada", "web:ada: 10000 credits left"),
    ("admin quota grant web:ada 50", "50 were granted by an admin"),
    ("admin quota set web:ada 70", "70 credits left"),
    ("admin quota set web:ada default", "10000 credits left"),
    ("admin quota reset web:ada", "10000 credits left"),
    ("admin pause", "Drawing is paused"),
    ("admin resume", "Drawing goes on."),
    ("admin ban web:eve spam and more", "web:eve is banned"),
    ("admin unban web:eve", "web:eve may draw again."),
    ("admin queue", "The queue is empty."),
    ("admin stats", "In the last 24 hours: 0 jobs of 0 people"),
]


async def test_admins_hear_what_each_engine_does(say, service, gate):
    gate.open()
    await finished(await service.submit(Source(ADA), CIRCLE))
    await until(lambda: service.engines()[0].status == "ready")

    _, line = (await say("admin stats", ADMIN)).text.splitlines()

    assert line == "engine-1 (cpu): ready; 1 job drawn, 0 failed, 0 lost since the bot started."


@pytest.mark.parametrize(("text", "sentence"), ADMIN_SENTENCES)
async def test_admins_are_obeyed_and_others_are_not(say, text, sentence):
    theirs = await say(text, ADA)
    assert isinstance(theirs.error, NotAllowed)
    assert theirs.text.startswith("Only admins may do that")

    assert sentence in (await say(text, ADMIN)).text


async def test_presets_that_cannot_be_read_leave_the_old_ones(bot):
    from bot.config import ConfigError

    def broken():
        raise ConfigError("presets.x.width = 100: must be a multiple of 16")

    bot.read_config = broken

    reply = await converse(bot.service, Source(ADMIN), "admin presets reload")

    assert "presets stay as they were: presets.x.width = 100" in reply.text
    assert set(bot.service.presets) == set(PRESETS)


async def test_a_preset_without_a_description_is_listed_too(make_bot):
    bot = await make_bot(presets={**PRESETS, "bare": Preset(name="bare")})

    assert "bare: no description" in (await converse(bot.service, Source(ADA), "presets")).text


@settings(
    max_examples=examples(150),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                ["fox", "--steps", "9", "--size", "64x64", "again", "cancel", "admin", "quota",
                 "show", "history", "--seed", "-1", "“", '"', "—", "reset", "web:ada", "\u200b"]
            ),
            max_size=6,
        ).map(" ".join),
    ),
    image=st.one_of(st.none(), st.binary(max_size=30)),
)  # fmt: skip
async def test_nothing_that_people_can_type_raises_or_goes_unanswered(say, gate, text, image):
    gate.open()

    reply = await say(text, ADMIN, image)

    assert reply.job is not None or reply.text
    if reply.job is not None and not reply.job.status.is_final:
        await finished(reply.job)


async def test_a_search_for_what_is_no_text_is_refused_in_one_that_is(service):
    reply = await converse(service, Source(ADA), "history again \ud800")

    assert isinstance(reply.error, InvalidRequest)
    assert reply.text.encode()


async def test_no_picture_of_a_banned_person_is_fetched_to_inspect_it(bot):
    async def fetched():
        raise AssertionError("the file was asked for")

    await bot.service.admin.ban(ADMIN, "discord:1")

    reply = await converse(bot.service, Source("discord:1"), "inspect", [fetched])

    assert "banned" in reply.text


async def test_pictures_go_with_prompts_and_inspections_alone(bot):
    inspected = await converse(bot.service, Source(ADMIN), "inspect", [picture()])
    other = await converse(bot.service, Source(ADMIN), "quota", [picture()])

    assert "says nothing about where it comes from" in inspected.text
    assert "a picture goes with a prompt" in other.text.lower()


async def test_the_same_again_costs_nothing_while_the_picture_is_there(say, service, gate):
    gate.open()
    first = (await say("a fox --steps 2")).job
    await finished(first)
    used = (await service.quota(ADA)).used

    reply = await say(f"again {first.id} --same")
    bare = await say("same")

    assert (reply.job.id, reply.is_new, bare.job.id) == (first.id, False, first.id)
    assert (await service.quota(ADA)).used == used
    await service.delete(Source(ADA), first.id)
    drawn = await say(f"again {first.id} --same")
    assert (drawn.is_new, drawn.job.request) == (True, first.request)


async def test_of_several_pictures_one_is_named_to_vary_it(say, gate):
    gate.open()
    first = (await say("a fox --steps 2 --images 2")).job
    await finished(first)

    which = await say(f"vary {first.id} --subtle")
    one = await say(f"vary {first.id} 2 --subtle")
    whole = await say(f"vary {first.id}")

    assert f"has pictures 1 to 2: say which, for example vary {first.id} 2 --subtle" in which.text
    assert (one.job.request.preset, one.job.images) == ("redraw", 1)
    assert (whole.job.request.preset, whole.job.images) == ("plain", 2)


async def test_a_variation_of_the_last_picture_may_start_from_somebody_elses(service, gate):
    gate.open()
    place = {"channel": "general", "root": "1"}
    asked = Source("slack:T1-ada", reply_to=dict(place), thread=place)
    first = (await converse(service, asked, "a fox --steps 2")).job
    await finished(first)

    varied = await converse(service, Source("slack:T1-bob", thread=place), "vary --subtle")

    assert (varied.job.parent, varied.job.parent_user) == (first.id, "slack:T1-ada")
