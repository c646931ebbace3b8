"""The libraries that models are made of, and what they say beside the log."""

from __future__ import annotations

import warnings

import diffusers
import transformers


def quieten_libraries() -> None:
    """Leave errors to the log, and the terminal to the bot: no bars, no advice."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    # diffusers' own ControlNet uses a class that diffusers deprecates.
    warnings.filterwarnings("ignore", ".FluxPosEmbed. is deprecated", FutureWarning)
    # Nothing is ever merged into quantized weights.
    warnings.filterwarnings("ignore", "TorchaoLoraLinear was instantiated", UserWarning)
