"""What the Slack adapter is made of: words, blocks, forms, pace. Without a Slack."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack_chat import blocks, forms, wording
from adapters.slack_chat.home import home
from adapters.slack_chat.pace import INTERVAL, PROGRESS_INTERVAL, Pace
from bot.commands import OPTIONS, ImagineCommand
from bot.jobs import Job, JobStatus, Progress
from bot.ledger import QuotaStatus
from bot.service import QueueView
from generation.types import GenerationRequest, Preset
from tests.conftest import Clock
from tests.fakes.slack import schema
from tests.fakes.slack.world import Time, loose, markup_problems

FOX = GenerationRequest(
    prompt="a fox in snow",
    num_inference_steps=3,
    guidance_scale=3.5,
    width=64,
    height=64,
    seed=7,
    preset="plain",
)
needs_types = pytest.mark.skipif(
    not schema.is_known(), reason="Slack's types are not at hand: set PROTOCOL_TRUTH"
)


def job(prompt="a fox in snow", images=1, status=JobStatus.SUCCEEDED, **more):
    return Job(
        user="slack:T0123-U1",
        id="k7m2p9qa",
        request=replace(FOX, prompt=prompt),
        images=images,
        reply_to={"files": ["F1"]},
        progress=Progress(status),
        **more,
    )


# Words


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<@UBOT> a fox", "a fox"),
        ("a <@UBOT> fox", "a  fox"),
        ("cats &amp; dogs &lt;3", "cats & dogs <3"),
        ("see <https://a.example/x|a.example>", "see a.example"),
        ("<https://a.example>", "https://a.example"),
        ("in <#C1|general>", "in #general"),
        ("<!here> and <!subteam^S1|@team>", "@here and @team"),
        ("<@U1|ada> smiles", "@ada smiles"),
    ],
)
def test_what_a_person_typed_is_read_as_they_saw_it(text, plain):
    assert wording.words(text, "UBOT", "T1") == plain


def test_admin_commands_name_people_as_the_bot_does():
    text = "<@UBOT> admin quota <@U1|ada>"

    assert wording.is_admin_command(text)
    assert not wording.is_admin_command("an admin at work")
    assert wording.words(text, "UBOT", "T1", names_people=True) == "admin quota slack:T1-U1"


@given(st.text(max_size=200))
def test_what_is_escaped_calls_nobody_and_reads_as_it_was(text):
    escaped = wording.escape(text)

    assert loose(escaped) == []
    assert wording.words(escaped, "UBOT", "T1") == wording.printable(text).strip()


@given(st.text(alphabet="ab \n", max_size=120), st.integers(4, 30))
def test_pieces_are_short_enough_and_lose_no_word(text, length):
    pieces = wording.pieces(text, length)

    assert all(0 < len(piece) <= length for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


# Blocks

PROMPTS = st.one_of(
    st.text(min_size=1, max_size=2000).filter(lambda text: bool(text.strip())),
    st.sampled_from(["<" * 2000, "&" * 2000, "😀" * 2000, "a\n" * 1000, "\u202e" + "x" * 1999]),
)


def sayable(prompt):
    try:
        return job(prompt)
    except Exception:  # no prompt that anybody could have sent
        return None


@needs_types
@settings(max_examples=60, deadline=None)
@given(PROMPTS, st.integers(1, 16), st.text(max_size=4000))
def test_messages_fit_whatever_the_prompt_is(prompt, images, text):
    asked = sayable(prompt)
    if asked is None:
        return
    asked.images, asked.remarks = images, (text,) * 9
    files = [f"F{number}" for number in range(images)]
    progress = Progress(JobStatus.RUNNING, picture=1, step=2)
    failed = replace(asked, progress=Progress(JobStatus.FAILED), error=text)

    for said, parts in (
        blocks.progress_message(asked, progress, text, "F1"),
        blocks.picture_message(asked, files, text, can_enlarge=True),
        blocks.ended_message(failed, text),
        blocks.text_message(text),
    ):
        assert schema.block_problems(parts) == []
        assert loose(said) + markup_problems(parts) == []
        assert said


@needs_types
@given(PROMPTS, st.text(max_size=300))
@settings(max_examples=40, deadline=None)
def test_forms_and_the_home_fit_whatever_is_in_them(prompt, text):
    asked = sayable(prompt)
    if asked is None:
        return
    presets = {f"p{number}": Preset(name=f"p{number}", description=text) for number in range(120)}
    for purpose in forms.TITLES:
        about = forms.Purposed(purpose, asked.id, "C1", "1.2")
        view = forms.form(about, presets, "p0", forms.values_of(asked))
        assert (
            schema.problems("ModalView", view) + schema.block_problems(view["blocks"], True) == []
        )
    view = home(
        QuotaStatus(100, 40, 0, 60, 86400.0, None),
        QueueView(30, 1, (asked,) * 30),
        [asked] * 30,
        {"preset": text},
        presets,
        "p0",
        why_not=text,
    )
    assert schema.problems("HomeView", view) + schema.block_problems(view["blocks"], True) == []
    assert len(view["blocks"]) <= 100


def test_a_form_says_again_what_it_was_told():
    command = ImagineCommand(
        prompt="a fox",
        preset="p1",
        num_inference_steps=3,
        width=64,
        height=128,
        guidance_scale=2.5,
        seed=7,
        images=2,
        negative_prompt="rain",
    )
    asked = job("a fox", images=2)
    asked.request = replace(FOX, prompt="a fox", preset="p1", height=128, guidance_scale=2.5)
    asked.request = replace(asked.request, negative_prompt="rain", true_cfg_scale=2.0)
    presets = {"p1": Preset(name="p1")}
    view = forms.form(forms.Purposed("edit"), presets, "p1", forms.values_of(asked))
    state = {
        block["block_id"]: {
            forms.VALUE: {
                "type": block["element"]["type"],
                "value": block["element"].get("initial_value"),
                "selected_option": block["element"].get("initial_option"),
            }
        }
        for block in view["blocks"]
    }

    filled = forms.filled({**view, "state": {"values": state}})

    assert filled.errors == {}
    assert filled.command == command
    assert forms.about_of(view) == forms.Purposed("edit")


def test_every_option_has_a_field_or_shares_one():
    view = forms.form(forms.Purposed("imagine"), {"plain": Preset(name="plain")}, "plain", {})

    ids = {block["block_id"] for block in view["blocks"]}
    assert ids >= {option.name for option in OPTIONS} - {"ar"}
    assert forms.block_of("aspect_ratio", view["blocks"]) == "size"
    assert forms.block_of(None, view["blocks"]) == "prompt"


# Pace


async def test_turns_in_a_channel_come_one_after_another_and_channels_do_not_wait_for_each_other():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)
    heard = []

    async def speak(channel):
        await pace.turn(channel)
        heard.append((channel, round(time(), 3)))

    await asyncio.gather(*(speak(channel) for channel in ("a", "a", "b", "a")))

    assert sorted(heard) == [("a", 0), ("a", INTERVAL), ("a", 2 * INTERVAL), ("b", 0)]


async def test_progress_waits_for_everybody_who_must_speak():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)
    order = []

    async def say(what, waiting):
        await waiting
        order.append((what, round(time(), 3)))

    await asyncio.gather(
        say("first", pace.turn("a")),
        say("progress", pace.spare("a")),
        say("second", pace.turn("a")),
        say("third", pace.turn("a")),
    )

    assert [what for what, _ in order] == ["first", "second", "third", "progress"]


async def test_progress_is_shown_no_more_often_than_slack_lets_anybody_edit():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)

    for channel in "abcd":
        await pace.spare(channel)

    assert time() == pytest.approx(3 * PROGRESS_INTERVAL)
    assert 60 / PROGRESS_INTERVAL < 50, "chat.update is of tier 3"


async def test_whoever_is_told_to_be_quiet_is_quiet():
    time = Time(Clock(0.0))
    pace = Pace(time, time.sleep)
    pace.hold("a", 30)

    await pace.turn("b")
    assert time() == 0
    await pace.turn("a")
    assert time() == 30


async def test_channels_where_nobody_speaks_any_more_are_forgotten():
    clock = Clock(0.0)
    pace = Pace(clock)
    for number in range(3000):
        clock.advance(2)
        await pace.turn(f"C{number}")

    assert len(pace._next) <= 1001
