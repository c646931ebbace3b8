"""Drafts, and the final pictures that come of them."""

import pytest

from bot import replies
from bot.conversation import converse
from bot.lineage import Relation
from bot.source import Source
from generation.kinds import Upscale
from generation.types import Preset
from tests.bot.conftest import left
from tests.conftest import ADA, PRESETS, finished
from tests.samples import picture

ASKED = "a fox --steps 20 --size 512x256 --seed 7 --draft"


@pytest.fixture
def said(service, gate):
    gate.open()

    async def say(text, *pictures):
        reply = await converse(service, Source(ADA), text, pictures)
        if reply.is_new:
            await finished(reply.job)
        return reply

    return say


def facts(job):
    request = job.request
    return request.num_inference_steps, request.width, request.height, request.seed


async def test_a_draft_is_cheap_and_its_final_picture_is_what_was_asked_for(said, service):
    draft = (await said(ASKED)).job
    final = (await said(f"final #{draft.id}")).job

    assert facts(draft) == (8, 256, 128, 7)
    assert draft.request.is_draft
    assert "--steps 20 --size 512x256 --guidance 3.5 --seed 7 --draft" in replies.how(draft)
    assert replies.summary(draft).startswith("draft · ")
    assert facts(final) == (20, 512, 256, 7)
    assert not final.request.is_draft
    assert (final.parent, final.relation) == (draft.id, Relation.FINAL)
    assert f"Finished from the draft {draft.id}." in replies.how(final)
    assert draft.cost * 4 < final.cost
    assert draft.request.step_cache_tolerance == service.config.draft.step_cache_tolerance > 0
    assert final.request.step_cache_tolerance == service.config.model.step_cache_tolerance == 0


@pytest.mark.parametrize("preset", ["redraw", "canny"])
async def test_a_draft_that_follows_a_picture_faintly_has_no_more_steps(said, preset):
    asked = f"a fox --steps 20 --size 128x128 --draft --preset {preset} --strength 0.05"

    draft = (await said(asked, picture())).job

    assert draft.request.num_inference_steps == 8
    assert draft.request.steps_taken >= 1


async def test_the_latest_draft_is_finished_or_one_of_its_pictures(said):
    draft = (await said(f"{ASKED} --images 2")).job

    assert facts((await said(f"final #{draft.id} 2")).job) == (20, 512, 256, 8)
    second = (await said(f"{ASKED} --images 2")).job
    final = (await said("final")).job
    assert (final.parent, final.images) == (second.id, 2)


async def test_a_draft_that_is_drawn_again_stays_one_until_its_size_is_changed(said):
    draft = (await said(ASKED)).job

    again = (await said(f"again {draft.id} --steps 4")).job
    larger = (await said(f"again {draft.id} --size 320x320")).job
    turned = (await said(f"again {draft.id} --ar 1:1")).job
    anew = (await said(f"again {larger.id} --draft")).job
    other = (await said(f"again {draft.id} --draft --size 256x256")).job

    assert facts(again) == (4, 256, 128, 7)
    assert again.request.final_size == (512, 256)
    assert not larger.request.is_draft
    assert not turned.request.is_draft
    assert (anew.request.final_size, facts(anew)) == ((320, 320), (8, 160, 160, 7))
    assert (other.request.final_size, facts(other)) == ((256, 256), (8, 128, 128, 7))


async def test_a_picture_with_few_steps_and_pixels_can_be_finished_too(said, service):
    model = service.config.model
    small = (await said("a fox --size 128x64 --steps 2")).job
    final = (await said(f"final #{small.id}")).job

    assert final.request.num_inference_steps == model.num_inference_steps
    assert final.request.width == 2 * final.request.height
    assert final.request.width * final.request.height > 0.9 * model.width * model.height


async def test_what_cannot_be_finished_is_refused_and_costs_nothing(said, service, make_bot):
    whole = (await said("a fox")).job
    before = await left(service)

    assert "all its steps and pixels already" in (await said(f"final #{whole.id}")).text
    assert (await said("final 22222222")).error is not None
    assert await left(service) == before


async def test_there_are_no_drafts_of_larger_pictures(make_bot):
    upscale = Preset(name="upscale", kind=Upscale())
    bot = await make_bot(presets={**PRESETS, "upscale": upscale})

    reply = await converse(
        bot.service, Source(ADA), "a fox --preset upscale --draft", (picture(64, 64),)
    )

    assert "there are no drafts of that: leave --draft out" in reply.text
