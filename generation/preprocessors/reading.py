"""Reading a preprocessor's model, and saying so where it cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from generation.types import ModelUnavailable


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
