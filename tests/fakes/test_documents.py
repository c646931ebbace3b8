"""The platforms' own documents judge what is said on the fakes. Skipped tests are documents that
are missing: then all tests of that platform pass without that judgement."""

import pytest

from tests.fakes import documents
from tests.fakes.discord import schema as discord_schema
from tests.fakes.documents import (
    DISCORD_GATEWAY,
    DISCORD_REST,
    DOCUMENTS,
    SLACK_MENTION,
    SLACK_TIERS,
    SLACK_TYPES,
    needs,
)
from tests.fakes.slack import schema as slack_schema

MESSAGES = "/channels/{channel_id}/messages"


@needs(DISCORD_REST, DISCORD_GATEWAY)
def test_discords_rest_calls_are_judged_by_discords_document():
    truth = discord_schema.protocol_truth()

    assert truth.knows("POST", MESSAGES)
    assert truth.faults_of_request("POST", MESSAGES, {"content": "a fox"}) == []
    assert truth.faults_of_request("POST", MESSAGES, {"content": "a fox", "tts": "loudly"})
    assert truth.faults_of_answer("GET", "/users/@me", 200, {"id": "1"})


@needs(DISCORD_REST, DISCORD_GATEWAY)
def test_discords_gateway_payloads_are_judged_by_discords_types():
    truth = discord_schema.protocol_truth()

    assert truth.faults_of_payload({"op": 1, "d": 7}, is_from_bot=True) == []
    assert truth.faults_of_payload({"op": 1, "d": "seven"}, is_from_bot=True)
    assert truth.faults_of_payload({"op": 10, "d": {}, "t": None, "s": None}, is_from_bot=False)


@needs(SLACK_TYPES)
def test_slacks_payloads_are_judged_by_slacks_types():
    said = {"type": "section", "text": {"type": "plain_text", "text": "a fox"}}

    assert slack_schema.block_problems([said]) == []
    assert slack_schema.block_problems([{**said, "text": "a fox"}])
    assert slack_schema.problems("ChatPostMessageArguments", {"channel": 5})


@needs(SLACK_MENTION)
def test_a_mention_in_slack_is_held_against_a_real_one():
    shape = slack_schema.mention()

    assert slack_schema.strangers({"type": "event_callback"}, shape) == []
    assert slack_schema.strangers({"fox": 1}, shape) == ["/fox"]


@needs(SLACK_TIERS)
def test_slacks_methods_may_be_called_as_often_as_slack_says():
    assert (slack_schema.tier("chat.update"), slack_schema.tier("files.info")) == (50, 100)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.file)
def test_who_lacks_a_document_reads_what_is_not_judged_and_how_to_get_it(
    monkeypatch, tmp_path, document
):
    monkeypatch.setattr(documents, "FOLDER", tmp_path)

    mark = needs(document)

    assert mark.args == (True,)
    for words in (document.what, document.file, document.source, "PROTOCOL_TRUTH"):
        assert words in mark.kwargs["reason"]
    assert document.read() is None
