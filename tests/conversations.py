"""docs/conversations.md, written by the tests from what the fakes and the page show.

A test hands over what a conversation looks like, and `hold` compares it with the document, so that
it cannot rot. To write it anew, after looking at what has changed:

    WRITE_CONVERSATIONS=yes python -m pytest -k conversations
"""

import os
import re
from pathlib import Path

from generation.types import Preset
from tests.conftest import PRESETS

#: Settings of a bot that draws with two models.
TWO_MODELS = {
    "presets": {**PRESETS, "fast": Preset(name="fast", model="lab/klein")},
    "models": {
        "demo": {"description": "Simple shapes", "license_name": "MIT"},
        "lab/klein": {
            "description": "Draws fast",
            "license_name": "Apache 2.0",
            "num_inference_steps": 4,
            "width": 1024,
            "height": 1024,
        },
    },
}

PAGE = Path(__file__).parent.parent / "docs" / "conversations.md"
VARIABLE = "WRITE_CONVERSATIONS"


def hold(platform, title, text):
    """Compare the conversation *title* on *platform* with *text*, or write it down."""
    text = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    block = f"### {title}\n\n```text\n{text}\n```\n"
    page = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## {platform}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section, f"there is no section {platform}"
    known = re.search(
        rf"^### {re.escape(title)}\n\n```text\n.*?^```\n", section[1], re.DOTALL | re.MULTILINE
    )
    if os.environ.get(VARIABLE):
        parts = [section[1].strip("\n"), block.strip("\n")]
        body = "\n\n".join(filter(None, parts))
        if known:
            body = section[1].replace(known[0], block).strip("\n")
        body = f"\n{body}\n\n"
        page = page[: section.start(1)] + body + page[section.end(1) :]
        PAGE.write_text(page.rstrip("\n") + "\n", encoding="utf-8")
        return
    assert known, f"write it down: {VARIABLE}=yes"
    assert known[0] == block
