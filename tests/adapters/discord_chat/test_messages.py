"""Whatever people write, what we send fits Discord's limits, pings nobody and links nowhere."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.discord_chat.messages import (
    PREVIEW_SIDE,
    code,
    ended_post,
    history_post,
    inert,
    progress_post,
    text_post,
)
from bot.jobs import Job, JobStatus, Progress
from bot.languages import ENGLISH, LANGUAGES, language_of
from bot.provenance import enlarged_preview
from generation.types import GenerationRequest
from tests.conftest import examples
from tests.samples import opened, picture

NASTY = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                "`",
                "```",
                "@everyone",
                "<@1234567>",
                "<@&1234567>",
                "https://evil.example",
                "discord.gg/abc",
                "\n",
                "\u202e",
                "\u200b",
                "**",
                "](",
                "||",
                "> ",
                "# ",
                "x" * 500,
            ]
        ),
    ),
    min_size=1,
    max_size=12,
).map("".join)


def a_job(prompt="a fox", images=1, status=JobStatus.SUCCEEDED, remarks=(), negative=""):
    request = GenerationRequest(
        prompt=prompt[:2000] if prompt.strip() else "a fox",
        negative_prompt=negative[:2000],
        num_inference_steps=3,
        guidance_scale=3.5,
        width=64,
        height=64,
        seed=7,
        preset="plain",
        model="demo",
    )
    job = Job(user="discord:1234567", request=request, images=images, remarks=remarks)
    return job if status is JobStatus.QUEUED else at(job, status)


def at(job, status):
    job.progress = Progress(status)
    return job


def fits(post):
    """Raises where the fake, and Discord, would refuse a post."""
    texts = [embed.description or "" for embed in post.embeds]
    footers = [embed.footer.text or "" for embed in post.embeds]
    assert len(post.embeds) <= 10
    assert all(len(text) <= 4096 for text in texts)
    assert all(len(text) <= 2048 for text in footers)
    assert sum(map(len, texts + footers)) <= 6000
    assert all(len(item.custom_id) <= 100 for item in post.items)
    return True


@settings(max_examples=examples(150), deadline=None)
@given(prompt=NASTY, negative=NASTY, remark=NASTY)
async def test_a_post_fits_whatever_the_prompt_is(prompt, negative, remark):
    job = a_job_or_none(prompt, negative, remark)
    if job is None:
        return
    for status in (JobStatus.QUEUED, JobStatus.RUNNING):
        assert fits(progress_post(job, Progress(status, position=2, wait=5.0), ENGLISH, 0.0))
    ended = ended_post(at(job, JobStatus.SUCCEEDED), ENGLISH, None, can_upscale=True)
    assert fits(ended)
    assert fits(history_post([job] * 10, {}, ENGLISH, words=prompt, page=2, has_more=True))


def a_job_or_none(prompt, negative, remark):
    try:
        return a_job(prompt, negative=negative, remarks=(remark,))
    except ValueError:  # NUL and the like, which no request has
        return None


@settings(max_examples=examples(300), deadline=None)
@given(text=NASTY)
def test_nothing_escapes_from_a_code_span(text):
    shown = code(text)

    fence = "```" if "\n" in shown else "`"
    inside = shown.removeprefix(fence).removesuffix(fence)
    assert "`" not in inside
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", inside)


@settings(max_examples=examples(300), deadline=None)
@given(text=NASTY)
def test_nothing_in_a_sentence_pings_or_links(text):
    shown = inert(text)

    assert not re.search(r"@everyone|@here|<@&?\d|<#\d", shown)
    assert "://" not in shown
    assert "discord.gg/" not in shown


def test_ids_in_our_own_sentences_become_names():
    text = "discord:1234567, discord-role:2345678 and discord-channel:3456789"

    (embed,) = text_post(text).embeds

    assert embed.description == "<@1234567>, <@&2345678> and <#3456789>"


def test_a_preview_is_enlarged_in_its_shape():
    with opened(enlarged_preview(picture(16, 8, format="JPEG"), PREVIEW_SIDE)) as image:
        assert (image.size, image.format) == ((384, 192), "JPEG")


async def test_each_preview_has_a_name_of_its_own():
    job = a_job(status=JobStatus.QUEUED)
    preview = picture(16, 16, format="JPEG")

    names = [
        progress_post(
            job, Progress(JobStatus.RUNNING, step=step, preview=preview), ENGLISH, 0.0
        ).files[0][0]
        for step in (1, 2)
    ]

    assert len(set(names)) == 2


async def test_a_grid_of_more_than_four_has_buttons_for_the_first_four():
    post = ended_post(a_job(images=6), ENGLISH, ("x.png", b""), can_upscale=False)

    labels = [item.item.label for item in post.items[:8]]
    assert labels[:8] == ["U1", "U2", "U3", "U4", "V1", "V2", "V3", "V4"]


async def test_every_language_says_how_a_job_goes():
    for code_of_language in LANGUAGES:
        say = language_of(code_of_language)
        job = a_job(images=2, status=JobStatus.QUEUED)
        for progress in (
            Progress(JobStatus.QUEUED, position=2, wait=61.0),
            Progress(JobStatus.RUNNING, picture=1, step=2),
            Progress(JobStatus.CANCELLED),
        ):
            post = progress_post(job, progress, say, 0.0)
            english = progress_post(job, progress, ENGLISH, 0.0)
            assert post.embeds[0].description != english.embeds[0].description


async def test_what_did_not_succeed_says_why_and_offers_to_try_again(fox):
    job = at(Job(user="discord:1", request=fox), JobStatus.FAILED)
    job.error = "it did not work"

    post = ended_post(job, ENGLISH, None, can_upscale=True)

    assert "it did not work" in post.embeds[0].description
    assert [item.item.label for item in post.items] == ["Again", "Edit prompt", "Delete"]


def test_an_indented_dash_is_escaped_where_discord_takes_it_for_a_list():
    assert inert("  --steps 20\n- one") == "  \\--steps 20\n\\- one"
