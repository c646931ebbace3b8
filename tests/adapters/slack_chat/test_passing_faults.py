"""Faults of Slack's own, which only delay; and final ones, which are said and cost nothing."""

import pytest

from adapters.slack_chat.errors import GONE, is_about_content, is_limit, is_passing
from bot.jobs import Delivery
from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs, ours
from tests.adapters.slack_chat.test_places import passing, without_progress
from tests.conftest import stepping
from tests.fakes.slack.world import buttons, images, shown_text
from tests.samples import picture

#: Slack's words for faults of its own, as the pages of its methods have them.
PASSING = [
    "external_channel_migrating",
    "fatal_error",
    "file_update_failed",
    "hash_conflict",
    "internal_error",
    "org_login_required",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
    "timezone_count_failed",
    "update_failed",
]
#: Those for messages that no place would take.
CONTENT = [
    "blocked_file_type",
    "file_upload_size_restricted",
    "invalid_arguments",
    "invalid_blocks",
    "metadata_too_large",
    "missing_scope",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "slack_connect_blocked_file_type",
    "storage_limit_reached",
    "too_many_attachments",
]
#: And those for one place.
PLACE = [
    "access_denied",
    "as_user_not_supported",
    "cannot_dm_bot",
    "channel_not_found",
    "ekm_access_denied",
    "invalid_channel",
    "is_archived",
    "messages_tab_disabled",
    "no_permission",
    "not_in_channel",
    "posting_to_channel_denied",
    "restricted_action_read_only_channel",
    "thread_locked",
]


def test_the_word_for_a_fault_says_what_it_is_about():
    """I8: a rule over Slack's words, since no list of them stays complete."""
    words = [*PASSING, *CONTENT, *PLACE, *GONE]

    assert [word for word in words if is_passing(word)] == PASSING
    final = [word for word in (*PASSING, *CONTENT, *PLACE) if not is_passing(word)]
    assert [word for word in final if is_about_content(word)] == CONTENT
    assert is_passing("whatever", status=503)
    limits = ["ratelimited", "rate_limited", "message_limit_exceeded"]
    assert [word for word in (*words, *limits) if is_limit(word)] == limits
    assert is_limit("whatever", status=429)


METHODS = [
    "chat.postMessage",
    "chat.update",
    "files.getUploadURLExternal",
    "files.completeUploadExternal",
    "files.info",
]


@pytest.mark.parametrize("method", METHODS)
async def test_a_passing_fault_of_any_method_only_delays_the_picture(
    chat, slack, ada, general, gate, method
):
    """I8"""
    slack.api.fault(method, "update_failed", 502, "team_added_to_org", "lost", ("ratelimited", 0))
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")
    await general.said("seed", button="Again")
    await delivered(chat)

    assert len(ours(general)) == 1
    (job,) = await jobs(chat)
    assert job.delivery is Delivery.DELIVERED


async def test_an_answer_is_told_again_until_slack_takes_it(chat, slack, ada, general):
    """I8"""
    slack.api.fault("chat.postEphemeral", "internal_error", 503, ("ratelimited", 0), "lost")

    await ada.mention(general, "quota")

    await general.whispered(ada.id, "credits left")


async def test_an_attached_picture_is_looked_up_again_where_slack_fails(
    chat, slack, ada, general, gate
):
    """I8: it is not taken for gone."""
    gate.open()
    file = ada.file(picture())
    shown = {"id": file.id, "mode": "file_access", "file_access": "check_file_info"}
    slack.api.fault("files.info", "fatal_error", "internal_error")

    text = f"<@UBOT1> a fox --preset canny {SMALL}"
    await ada.acked(await ada.event(ada.mention_event(general, text) | {"files": [shown]}))

    await general.said("canny", button="Again")


@pytest.mark.parametrize("method", ["chat.delete", "files.delete"])
async def test_a_deleted_picture_goes_from_slack_though_slack_fails_once(
    chat, slack, ada, general, gate, method
):
    """I8"""
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Again")
    await delivered(chat)
    slack.api.fault(method, "internal_error")

    await ada.press(message, "Delete", general)
    await general.until(lambda _: not ours(general) and not slack.files)


async def test_a_form_is_opened_again_where_slack_fails(chat, slack, ada, general):
    """I8"""
    slack.api.fault("views.open", "internal_error", 503)

    await ada.slash(general)

    assert (await ada.form())["callback_id"] == "flux_form"


async def test_a_form_that_opened_though_slack_says_otherwise_is_not_complained_about(
    chat, slack, ada, general
):
    """I8"""
    slack.api.fault("views.open", "drop")

    await ada.slash(general)
    await ada.form()
    await chat.close()

    assert general.whispers == []


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr("bot.following.LONGEST_PAUSE", 0.01)


async def test_a_channel_in_which_slack_fails_for_good_is_left_for_a_direct_message(
    chat, slack, ada, general, gate, hurried
):
    """I8: on this way with patience, and then on the next."""
    general.broken["chat.postMessage"] = "internal_error"
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    message = await ada.direct.said("seed", button="Again")
    assert "Slack did not take the message there" in shown_text(message)


async def test_a_message_at_which_every_edit_fails_is_not_left_as_if_it_were_drawn(
    chat, slack, ada, general, gate, hurried
):
    """I8"""
    await without_progress(chat, slack, ada, general)
    general.broken["chat.update"] = "internal_error"
    gate.open()

    await passing(slack, lambda: ours(general) == [])

    assert any(images(each) for each in ours(ada.direct))


# Final faults


@pytest.mark.parametrize("error", ["messages_tab_disabled", "any_new_word"])
async def test_a_place_that_refuses_for_any_reason_is_left_for_a_direct_message(
    chat, slack, ada, general, gate, error
):
    """D9: Slack has many words for it."""
    slack.api.fault("chat.postMessage", error)
    gate.open()

    await ada.mention(general, f"a fox {SMALL}")

    message = await ada.direct.said("seed", button="Again")
    assert "I could not answer where you asked" in shown_text(message)


async def test_a_picture_that_no_place_takes_is_refunded_and_the_person_told(
    chat, slack, ada, general, gate
):
    """I8: nothing was ever posted, so that no message could say it."""
    slack.api.fault("chat.postMessage", "msg_blocks_too_long")

    await ada.mention(general, f"a fox {SMALL}")
    await stepping(gate, delivered(chat))

    told = shown_text(await general.whispered(ada.id, "Not delivered"))
    assert "Slack refused the picture (msg_blocks_too_long)" in told
    assert "Your credits were given back" in told
    assert (await chat.bot.service.quota(ada.key)).used == 0


async def test_a_message_that_is_gone_as_its_picture_is_refused_does_not_keep_it_secret(
    chat, slack, ada, general, gate
):
    """I8"""
    await without_progress(chat, slack, ada, general)
    slack.api.fault("chat.update", "msg_too_long", "message_not_found")
    gate.open()

    await passing(slack, lambda: general.whispers)

    ((to, told),) = general.whispers
    assert to == ada.id
    assert "Not delivered: Slack refused the picture" in shown_text(told)


# Conversations without the bot


@pytest.fixture
def between(slack):
    """A conversation of ada's with somebody else."""
    return slack.conversation_of_two()


async def test_a_command_among_two_people_is_answered_directly_and_they_are_told_so(
    chat, slack, ada, between, gate
):
    """D13"""
    gate.open()

    await ada.slash(between, f"a fox {SMALL}")

    assert images(await ada.direct.said("seed", button="Again"))
    await between.whispered(ada.id, "Answered in a direct message.")
    assert (ours(between), between.messages) == ([], {})


async def test_a_question_among_two_people_is_answered_there(chat, ada, between):
    """D13"""
    await ada.slash(between, "quota")

    await between.whispered(ada.id, "credits left")


async def test_a_form_among_two_people_is_answered_to_the_person(chat, slack, ada, between, gate):
    """D13"""
    gate.open()
    await ada.slash(between)

    filled = {"prompt": "a fox", "size": "64x64", "steps": "3"}
    assert await ada.submit(await ada.form(), **filled) is None

    await between.whispered(ada.id, "Answered in a direct message.")
    await ada.direct.said("seed", button="Again")


async def test_where_direct_messages_are_off_too_the_picture_is_shown_to_the_person_alone(
    chat, slack, ada, between, gate
):
    """D13"""
    ada.direct.is_archived = True
    gate.open()

    await ada.slash(between, f"a fox {SMALL}")
    await delivered(chat)

    (_, first), (to, last) = between.whispers
    assert "shown to you alone" in shown_text(first)
    assert (to, len(images(last)), "Again" in buttons(last)) == (ada.id, 1, True)
    assert (await chat.bot.service.quota(ada.key)).used > 0


async def test_a_message_whose_picture_came_by_the_hook_is_not_left_as_if_it_were_drawn(
    chat, slack, ada, general, gate
):
    """I8"""
    await ada.slash(general, f"a fox {SMALL}")
    await general.said("Drawing step 0", button="Cancel")
    general.broken["chat.update"] = "restricted_action"
    ada.direct.is_archived = True

    await stepping(gate, general.until(lambda _: ours(general) == []))
    await chat.close()

    ((to, shown),) = general.whispers
    assert (to, len(images(shown))) == (ada.id, 1)


async def test_a_picture_that_is_refused_is_not_left_at_slack(chat, slack, ada, general, gate):
    await without_progress(chat, slack, ada, general)
    general.broken["chat.update"] = "msg_too_long"
    gate.open()

    await passing(slack, lambda: ours(general) == [])
    await passing(slack, lambda: not slack.files)
    slack.time.release()
    await chat.close()

    (job,) = await jobs(chat)
    assert job.reply_to["files"] == []


async def test_a_hook_that_serves_no_more_costs_nothing(chat, slack, ada, between, gate):
    """D13"""
    ada.direct.is_archived = True
    await ada.slash(between, f"a fox {SMALL}")
    await between.whispered(ada.id, "shown to you alone")
    await slack.advance(1801)

    await stepping(gate, delivered(chat))

    assert (await chat.bot.service.quota(ada.key)).used == 0


# Acknowledged in time


@pytest.mark.parametrize("how", ["command", "shortcut", "button"])
async def test_a_form_that_slack_is_slow_to_open_is_acknowledged_all_the_same(
    make_chat, slack, ada, general, gate, how
):
    """D16"""
    await make_chat(patience=0.01)
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Edit prompt")
    opens = slack.hold_up("views.open")

    match how:
        case "command":
            await ada.slash(general)
        case "shortcut":
            await ada.shortcut("flux_control_image", message, general)
        case "button":
            await ada.press(message, "Edit prompt", general)

    assert ada.view is None
    opens.set()
    await ada.form()


async def test_a_shortcut_is_acknowledged_before_slack_says_who_the_person_is(
    chat, slack, ada, general, gate
):
    """D16"""
    gate.open()
    await ada.mention(general, f"a fox {SMALL}")
    message = await general.said("seed", button="Again")
    told = slack.hold_up("users.info")

    await ada.shortcut("flux_who", message, general)

    told.set()
    await general.whispered(ada.id, "Only admins may do that")
