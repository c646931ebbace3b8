"""Errors as the web UI tells of them: ``{"error", "detail", "body", "errors"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.web_chat.envelopes import Envelope


def translated(status: int, error: Mapping[str, Any]) -> Envelope:
    """The web UI's envelope for *error*, ours."""
    sentence = error["message"]
    return Envelope(
        status, {"error": error["code"], "detail": sentence, "body": "", "errors": sentence}
    )
