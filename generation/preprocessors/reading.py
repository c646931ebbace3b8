"""Models of preprocessors, read from their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from generation.errors import ModelUnavailable


def read_model(kind: Any, folder: Path) -> Any:
    """The model in *folder*, ready to infer on the CPU in float32.

    Raises:
        ModelUnavailable: It is missing, damaged or of another kind.
    """
    try:
        model = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except Exception as error:  # transformers raises a dozen types on damaged folders
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelUnavailable(
            f"the preprocessor in {folder} cannot be loaded: {reason}"
        ) from error
    return model.float().eval()


def read_side(folder: Path, default: int) -> int:
    """Pixels that the model in *folder* sees, as its ``preprocessor_config.json`` says."""
    try:
        config = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        return int(config["size"]["height"])
    except (OSError, ValueError, KeyError, TypeError):
        return default
