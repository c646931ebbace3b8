"""Messages, forms and the home are blocks that Slack takes, whatever stands in them."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack_chat import blocks, forms
from adapters.slack_chat.home import home
from bot.commands import OPTIONS, ImagineCommand
from bot.jobs import Job, JobStatus, Progress
from bot.ledger import QuotaStatus
from bot.lineage import Relation
from bot.sections import ListedLora
from bot.views import QueueView
from generation.kinds import Inpaint
from generation.types import GenerationRequest, Preset
from tests.conftest import examples
from tests.fakes.documents import SLACK_TYPES, needs
from tests.fakes.slack import schema
from tests.fakes.slack.world import loose, markup_problems

FOX = GenerationRequest(
    prompt="a fox in snow",
    num_inference_steps=3,
    guidance_scale=3.5,
    width=64,
    height=64,
    seed=7,
    preset="plain",
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


PROMPTS = st.one_of(
    st.text(min_size=1, max_size=2000).filter(lambda text: bool(text.strip())),
    st.sampled_from(["<" * 2000, "&" * 2000, "😀" * 2000, "a\n" * 1000, "\u202e" + "x" * 1999]),
)


def sayable(prompt):
    try:
        return job(prompt)
    except Exception:  # no prompt that anybody could have sent
        return None


@needs(SLACK_TYPES)
@settings(max_examples=examples(60), deadline=None)
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
        blocks.picture_message(asked, files, text, can_upscale=True),
        blocks.picture_message(asked, files, text, can_upscale=True, side_by_side=True),
        blocks.ended_message(failed, text),
        blocks.text_message(text),
    ):
        assert schema.block_problems(parts) == []
        assert loose(said) + markup_problems(parts) == []
        assert said


@needs(SLACK_TYPES)
def test_the_home_shows_no_picture_that_is_hidden():
    def shown(latest):
        quota, queue = QuotaStatus(100, 40, 0, 60, 86400.0, None), QueueView(0, 0, ())
        view = home(quota, queue, [latest], {}, {}, "")
        return [each["accessory"] for each in view["blocks"] if "accessory" in each]

    assert shown(job())
    assert not shown(job(is_spoiler=True))


@given(PROMPTS, st.text(max_size=300))
@settings(max_examples=examples(40), deadline=None)
def test_forms_and_the_home_fit_whatever_is_in_them(prompt, text):
    asked = sayable(prompt)
    if asked is None:
        return
    presets = {f"p{number}": Preset(name=f"p{number}", description=text) for number in range(120)}
    for purpose in forms.PURPOSES:
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

    filled = forms.filled({**view, "state": {"values": state}}, forms.about_of(view))

    assert filled.errors == {}
    assert filled.command == command
    assert forms.about_of(view) == forms.Purposed("edit")


def test_braces_of_a_prompt_stand_in_the_form_as_people_type_them():
    job = Job(user="slack:T1-U1", request=replace(FOX, prompt="a {red,blue} fox"))

    assert forms.values_of(job)["prompt"] == r"a \{red,blue\} fox"


@pytest.mark.parametrize(
    ("parent_user", "by"),
    [("slack:T1-U2", " by <@U2>"), ("slack:T1-U1", ""), ("slack:T2-U2", ""), ("discord:5", "")],
)
def test_whose_picture_it_came_of_is_said_where_somebody_of_the_workspace_asked(parent_user, by):
    job = Job(user="slack:T1-U1", request=FOX, parent="k7m2p9qa", relation=Relation.SUBTLE)
    job.parent_user = parent_user

    (line,) = blocks.head(job, "")[1]["elements"]

    assert line["text"] == f"<@U1> · {job.id} · varied a little from k7m2p9qa{by}"


def test_every_option_has_a_field_or_shares_one():
    presets = {"plain": Preset(name="plain"), "inpaint": Preset(name="inpaint", kind=Inpaint())}
    loras = {"ink": ListedLora(name="ink", repository="lab/ink")}
    view = forms.form(forms.Purposed("imagine"), presets, "plain", {}, loras=loras)

    ids = {block["block_id"] for block in view["blocks"]}
    assert ids >= {option.name for option in OPTIONS} - {"ar", "crop"}
    assert forms.block_of("aspect_ratio", view["blocks"]) == "size"
    assert forms.block_of(None, view["blocks"]) == "prompt"
