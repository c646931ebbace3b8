"""The platforms' own documents, by which the fakes judge what is said to them and what they say.

They are others' work and no part of this project. Their folder stands in the environment variable
PROTOCOL_TRUTH, by default ``../shared/protocols`` beside the checkout. Without a document the fakes
keep the rules that are written into them, and judge no further; `LACKING` says which are missing,
and `needs` has tests skipped that would show nothing without.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("PROTOCOL_TRUTH", ROOT.parent / "shared" / "protocols"))


@dataclass(frozen=True)
class Document:
    """A file that a platform, or people who know it well, have published.

    Attributes:
        what: What it describes.
        file: Its name in the folder.
        source: Where it comes from.
    """

    what: str
    file: str
    source: str

    @property
    def is_at_hand(self):
        return (FOLDER / self.file).is_file()

    @property
    def how_to_get_it(self):
        """A sentence for the person who runs the tests without it."""
        return (
            f"{self.what}: not judged, since {self.file} is missing. It is {self.source}."
            " Put it into ../shared/protocols beside the checkout, or into the folder that"
            " PROTOCOL_TRUTH names"
        )

    def read(self):
        """What it says, as JSON is in Python; None where it is missing."""
        if not self.is_at_hand:
            return None
        return json.loads((FOLDER / self.file).read_text(encoding="utf-8"))


DISCORD_REST = Document(
    "Discord's REST calls",
    "discord-openapi.json",
    "specs/openapi.json of the repository discord/discord-api-spec",
)
DISCORD_GATEWAY = Document(
    "Discord's gateway payloads and interactions",
    "discord-gateway.schema.json",
    "a JSON Schema made from the types of the npm package discord-api-types, v10",
)
SLACK_TYPES = Document(
    "Slack's events, blocks, arguments and answers",
    "slack-types.schema.json",
    "a JSON Schema made from the types of the npm packages @slack/types, @slack/web-api and"
    " @slack/bolt",
)
SLACK_MENTION = Document(
    "the shape of a mention in Slack",
    "slack-samples/AppMentionPayload.json",
    "among the samples (json-logs) of the repository slackapi/java-slack-sdk",
)
SLACK_TIERS = Document(
    "how often each of Slack's methods may be called",
    "slack-samples/rate_limit_tiers.json",
    "among the metadata (web-api) of the repository slackapi/java-slack-sdk",
)
DOCUMENTS = (DISCORD_REST, DISCORD_GATEWAY, SLACK_TYPES, SLACK_MENTION, SLACK_TIERS)
LACKING = tuple(document for document in DOCUMENTS if not document.is_at_hand)


def needs(*documents):
    """A mark: skipped, with the way out, where one of *documents* is missing."""
    lacking = [document for document in documents if not document.is_at_hand]
    reason = "; ".join(document.how_to_get_it for document in lacking)
    return pytest.mark.skipif(bool(lacking), reason=reason)
