"""``mydata`` in Slack."""

import io
import zipfile

from tests.adapters.slack_chat.conftest import SMALL, delivered, jobs
from tests.adapters.slack_chat.test_talk import drawn
from tests.conftest import until


async def test_a_person_is_sent_their_data_in_their_own_conversation(
    chat, slack, ada, general, gate
):
    gate.open()
    await drawn(ada, general, f"a fox {SMALL}")
    (job,) = await jobs(chat)

    await ada.mention(general, "mydata export")

    await until(lambda: [file for file in slack.files.values() if file.name.endswith(".zip")])
    await until(lambda: all(file.is_complete for file in slack.files.values()))
    (sent,) = [file for file in slack.files.values() if file.name.endswith(".zip")]
    assert sent.channel.startswith("D")
    with zipfile.ZipFile(io.BytesIO(sent.data)) as archive:
        assert f"pictures/{job.id}-1.png" in archive.namelist()


async def test_data_that_slack_takes_late_is_sent_all_the_same(chat, slack, ada, general):
    """I8"""
    slack.api.fault("chat.postMessage", "internal_error", 503)
    slack.api.fault("upload", 503)

    await ada.mention(general, "mydata export")

    await until(lambda: any(file.is_complete and file.channel for file in slack.files.values()))


async def test_data_that_slack_does_not_take_is_not_announced_as_if_it_came(
    chat, slack, ada, general
):
    """I8"""
    slack.api.fault("files.getUploadURLExternal", "file_uploads_disabled")

    await ada.mention(general, "mydata export")

    await ada.direct.said("Something went wrong on our side")


async def test_everything_is_deleted_once_the_person_has_said_yes(chat, slack, ada, general, gate):
    gate.open()
    message = await drawn(ada, general, f"a fox {SMALL}")
    await delivered(chat)
    await ada.mention(general, "mydata delete")
    assert (await chat.bot.service.lookups.history(ada.key)).jobs

    await ada.mention(general, "mydata delete --yes")

    await until(lambda: message["ts"] not in general.messages)
    await until(lambda: not slack.files)
    assert not (await chat.bot.service.lookups.history(ada.key)).jobs
