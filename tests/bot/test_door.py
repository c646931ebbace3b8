"""The one door: who asks, where, and what the platform says of it."""

import json

import pytest

from bot.audit_log import Act, as_lines
from bot.commands import (
    AdminAudit,
    AdminChannels,
    AdminStats,
    AgainCommand,
    CancelCommand,
    DeleteCommand,
    HowCommand,
    ImagineCommand,
    PromptCommand,
    SettingsCommand,
    ShowCommand,
    UpscaleCommand,
    VaryCommand,
)
from bot.conversation import converse
from bot.jobs import JobStatus
from bot.languages import language_of
from bot.origins import Origin
from bot.refusals import NotAllowed, NotFound
from bot.source import PictureOf, Source
from generation.errors import InvalidImage
from tests.conftest import ADA, ADMIN, BOB, EVE, finished
from tests.samples import opened, picture

SMALL = "--size 64x64 --steps 3"
#: A thread of a channel, as the platform of EVE has it.
HERE = {"channel": "c1", "root": "t1"}
MAY = "discord:may"


def in_thread(user, **more):
    return Source(user, reply_to=dict(HERE), thread=HERE, **more)


@pytest.fixture
def draw(service, gate):
    """Has somebody draw *text*, and waits for the picture."""
    gate.open()

    async def draw(source, text=f"a fox {SMALL} --seed 7"):
        reply = await converse(service, source, text)
        assert await finished(reply.job) is JobStatus.SUCCEEDED
        return reply.job

    return draw


# What goes on from the last picture


async def test_in_a_thread_the_last_picture_is_whosever_it_is(service, draw):
    theirs = await draw(in_thread(EVE))
    await draw(Source(MAY), f"a cat {SMALL}")

    reply = await converse(service, in_thread(MAY), "same, at night")

    assert (reply.job.user, reply.job.parent) == (MAY, theirs.id)
    assert reply.job.request.prompt == "a fox, at night"
    taken = f"Builds on {theirs.id} and keeps preset plain, 64×64, seed 7."
    assert reply.job.remarks == (taken,)


async def test_where_nothing_was_drawn_it_is_the_latest_of_ones_own(service, draw):
    mine = await draw(Source(EVE))

    reply = await converse(service, in_thread(EVE), AgainCommand())

    assert reply.job.parent == mine.id


async def test_a_prompt_in_a_field_of_its_own_may_go_on_from_it_but_is_no_verb(service, draw):
    first = await draw(Source(ADA))

    night = await converse(service, Source(ADA), PromptCommand(ImagineCommand("same, at night")))
    verb = await converse(service, Source(ADA), PromptCommand(ImagineCommand("history of art")))
    literal = await converse(service, Source(ADA), ImagineCommand("same, at night"))

    assert (night.kind, night.job.request.prompt) == ("again", "a fox, at night")
    assert night.job.parent == first.id
    assert (verb.kind, verb.job.request.prompt) == ("imagine", "history of art")
    assert (literal.job.request.prompt, literal.job.parent) == ("same, at night", None)


async def test_a_prompt_in_a_field_brings_its_options_along(service, draw):
    await draw(Source(ADA))

    asked = PromptCommand(ImagineCommand("same", num_inference_steps=2))
    reply = await converse(service, Source(ADA), asked)

    assert (reply.job.request.prompt, reply.job.request.num_inference_steps) == ("a fox", 2)


# Pictures


async def test_a_picture_of_an_earlier_job_is_drawn_from_and_is_its_parent(service, draw):
    first = await draw(Source(ADA), f"a fox {SMALL} --images 2 --seed 7")

    command = ImagineCommand("a cat", preset="redraw")
    reply = await converse(service, Source(ADA), command, [PictureOf(first.id, 2)])

    assert reply.job.parent == first.id
    second = await service.lookups.picture(Source(ADA), first.id, 2)
    kept = reply.job.request.control_image
    assert opened(kept.read_bytes()).tobytes() == opened(second.read_bytes()).tobytes()


async def test_a_picture_of_somebody_elses_is_drawn_from_where_it_was_shown_alone(service, draw):
    theirs = await draw(Source(ADA))
    command = ImagineCommand("a cat", preset="redraw")

    hidden = await converse(service, Source(BOB), command, [PictureOf(theirs.id)])
    shown = await converse(service, Source(BOB, shown=theirs.id), command, [PictureOf(theirs.id)])

    assert isinstance(hidden.error, NotFound)
    assert shown.job.parent == theirs.id


async def test_a_picture_is_fetched_once_the_words_are_understood(service):
    fetched = []

    async def fetch():
        fetched.append(True)
        return picture()

    wrong = await converse(service, Source(ADA), "a fox --steps 80", [fetch])
    assert (wrong.error.field, fetched) == ("num_inference_steps", [])

    reply = await converse(service, Source(ADA), f"a fox --preset canny {SMALL}", [fetch])

    assert reply.job.request.control_image is not None


async def test_a_picture_that_cannot_be_fetched_is_a_refusal(service):
    async def fetch():
        raise InvalidImage("the file is gone: attach it again", field="control_image")

    reply = await converse(service, Source(ADA), "a fox --preset canny", [fetch])

    assert reply.text == "The file is gone: attach it again."
    assert reply.error.field == "control_image"


async def test_one_picture_of_a_job_is_varied_or_drawn_again_alone(service, draw):
    first = await draw(Source(ADA), f"a fox {SMALL} --images 2 --seed 7")

    varied = await converse(service, Source(ADA), VaryCommand(first.id, 2))
    again = await converse(service, Source(ADA), AgainCommand(first.id, number=2))
    none = await converse(service, Source(ADA), AgainCommand(first.id, number=3))
    larger = await converse(service, Source(ADA), UpscaleCommand(first.id))

    assert (varied.job.request.preset, varied.job.parent) == ("redraw", first.id)
    assert (again.job.request.seed, again.job.images) == (8, 1)
    assert none.text.endswith("has pictures 1 to 2, not 3.")
    assert larger.text == "No preset here makes pictures larger."


# Whose it is


@pytest.mark.parametrize("command", [CancelCommand, DeleteCommand])
async def test_what_was_shown_is_cancelled_and_deleted_by_its_owner_alone(service, draw, command):
    theirs = await draw(Source(ADA))

    hidden = await converse(service, Source(BOB), command(theirs.id))
    german = language_of("de")
    shown = await converse(
        service, Source(BOB, shown=theirs.id, language=german), command(theirs.id)
    )

    assert isinstance(hidden.error, NotFound)
    assert isinstance(shown.error, NotAllowed)
    assert shown.text == "Das darf nur, wer dieses Bild angefordert hat, oder ein Admin."
    assert (await service.lookups.picture(Source(ADA), theirs.id)).exists()


async def test_delete_takes_the_files_and_says_so(service, draw):
    mine = await draw(Source(ADA))

    reply = await converse(service, Source(ADA), DeleteCommand(mine.id))

    assert (reply.text, reply.job.is_pruned, reply.is_new) == (
        "The picture was deleted.",
        True,
        False,
    )


async def test_how_a_picture_was_made_is_told_to_whoever_was_shown_it(service, draw):
    theirs = await draw(Source(ADA))

    reply = await converse(service, Source(BOB, shown=theirs.id), HowCommand(theirs.id))

    assert "a fox --preset plain --steps 3" in reply.text
    assert isinstance((await converse(service, Source(BOB), HowCommand(theirs.id))).error, NotFound)


async def test_a_single_picture_is_shown_where_pictures_may_be(service, draw):
    mine = await draw(Source(EVE))
    server = Origin("discord-server:1", ("talk",))
    await service.servers.set_channel(ADMIN, "discord-server:1", "art", is_allowed=True)

    refused = await converse(service, Source(EVE, server), ShowCommand(mine.id, 1))
    shown = await converse(service, Source(EVE), ShowCommand(mine.id, 1))

    assert isinstance(refused.error, NotAllowed)
    assert shown.job.id == mine.id
    assert not shown.is_new


# Events


async def test_an_event_that_comes_twice_is_one_job_which_is_to_be_followed(service):
    source = Source(EVE, reply_to=HERE, event_id="discord:1")

    first, second = [await converse(service, source, f"a fox {SMALL}") for _ in range(2)]

    assert first.job is second.job
    assert (first.is_new, second.is_new) == (True, True)


# Own defaults


async def test_a_form_replaces_all_defaults_but_private_in_one_transaction(service):
    first = SettingsCommand(ImagineCommand(preset="plain", images=2), is_private=True)
    await converse(service, Source(ADA), first)

    form = SettingsCommand(ImagineCommand(num_inference_steps=5), is_complete=True)
    reply = await converse(service, Source(ADA), form)

    assert reply.text == "Your defaults: private yes, steps 5"
    assert await service.own_settings.of(ADA) == {"private": True, "num_inference_steps": 5}


async def test_a_form_that_is_refused_changes_nothing(service):
    await converse(service, Source(ADA), "settings --steps 20")

    form = SettingsCommand(ImagineCommand(width=2048, height=2048), is_complete=True)
    reply = await converse(service, Source(ADA), form)

    assert reply.error.field == "width"
    assert await service.own_settings.of(ADA) == {"num_inference_steps": 20}


async def test_private_alone_changes_nothing_else_and_reset_forgets_all(service):
    await converse(service, Source(ADA), "settings --steps 20")
    await converse(service, Source(ADA), SettingsCommand(is_private=True))
    assert await service.own_settings.of(ADA) == {"num_inference_steps": 20, "private": True}

    await converse(service, Source(ADA), SettingsCommand(is_reset=True))
    assert await service.own_settings.of(ADA) == {}


async def test_what_was_clicked_counts_where_the_words_leave_it_open(service):
    chosen = ImagineCommand(num_inference_steps=9, width=128, height=128, seed=5)

    typed = await converse(service, Source(ADA), "a fox --ar 1:1 --seed 7", options=chosen)
    plain = await converse(service, Source(ADA), "a fox", options=chosen)

    assert (typed.job.request.num_inference_steps, typed.job.request.seed) == (9, 7)
    assert typed.job.request.width != 128
    assert (plain.job.request.width, plain.job.request.seed) == (128, 5)


# Languages


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queue", "Von dir ist nichts dabei."),
        ("history", "Du hast noch nichts gezeichnet."),
        ("presets", "plain (die Voreinstellung)"),
        ("settings", "Du hast keine eigenen Voreinstellungen."),
        ("quota", "Noch 10000 Credits"),
    ],
)
async def test_an_answer_is_in_the_language_of_the_person(service, text, said):
    reply = await converse(service, Source(ADA, language=language_of("de")), text)

    assert said in reply.text


# Those who manage a server


async def test_who_manages_a_server_decides_and_sees_what_concerns_it_alone(service):
    server = "discord-server:1"
    source = Source(EVE, Origin(server, ("art",)))
    for command in (AdminChannels(), AdminStats(), AdminAudit()):
        assert isinstance((await converse(service, source, command)).error, NotAllowed)
    service.admin.recognise(EVE, manages=server)

    allowed = await converse(service, source, AdminChannels("allow", "art"))
    await converse(service, source, f"a fox {SMALL}")
    await converse(service, Source(ADA), f"a fox {SMALL}")

    assert allowed.text == "I may only be used in these channels: discord-channel:art"
    assert "1 job of 1 person" in (await converse(service, source, AdminStats())).text
    assert "allow channel art" in (await converse(service, source, AdminAudit())).text
    every = await converse(service, Source(ADMIN), AdminStats())
    assert "2 jobs of 2 people" in every.text
    removed = await converse(service, source, AdminChannels("remove", "art"))
    assert removed.text == "I may be used in every channel of this server."


async def test_the_audit_log_is_handed_out_as_a_file_as_far_as_somebody_may_see_it(service):
    server = "discord-server:1"
    source = Source(EVE, Origin(server, ("art",)))
    refused = await converse(service, source, AdminAudit(is_export=True))
    assert (type(refused.error), refused.file) == (NotAllowed, None)
    service.admin.recognise(EVE, manages=server)
    await converse(service, source, AdminChannels("allow", "art"))
    await converse(service, Source(ADMIN), "admin ban discord:5 spam")

    there = await converse(service, source, "admin audit export")
    every = await converse(service, Source(ADMIN), "admin audit export")
    about = await converse(service, Source(ADMIN), "admin audit export SPAM")

    assert acts(there) == ["allow channel"]
    assert acts(every) == ["ban", "allow channel"]
    assert acts(about) == ["ban"]
    assert "latest 2 acts" in every.text


def acts(reply):
    assert reply.has_files
    return [json.loads(line)["act"] for line in reply.file.text.splitlines()]


def test_a_file_of_acts_ends_where_a_message_would_be_too_large_for_it():
    acts = [Act(1.0, ADMIN, "ban", "discord:5", "ü" * 50)] * 9
    line = len(as_lines(acts[:1]).encode())

    assert as_lines(acts, 4 * line) == as_lines(acts[:4])
    assert len(as_lines(acts, 4 * line - 1).encode()) == 3 * line


async def test_channels_are_chosen_in_a_server(service):
    reply = await converse(service, Source(ADMIN), AdminChannels("allow", "art"))

    assert reply.text == "That can only be done in a server."
