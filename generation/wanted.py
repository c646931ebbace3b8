"""Weights on the Hub as presets and the configuration name them, and the files that they mean.

Free of huggingface_hub, which reads its environment while it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

WeightsRole = Literal[
    "pipeline", "base", "transformer", "controlnet", "lora", "prior", "preprocessor"
]

#: Words of people for the roles.
WORDS: dict[WeightsRole, str] = {
    "pipeline": "model",
    "base": "model",
    "transformer": "model",
    "controlnet": "ControlNet",
    "lora": "LoRA",
    "prior": "reference model",
    "preprocessor": "preprocessor",
}

#: Files of a pipeline; templates of chats (jinja) belong to tokenizers.
_OF_PIPELINE = (
    "model_index.json",
    "*/*.json",
    "*/*.txt",
    "*/*.model",
    "*/*.jinja",
    "*/*.safetensors",
)

#: Files that are downloaded. Safetensors only: pickles can run code. Of a pipeline's
#: repository only the folders that diffusers reads: FLUX.1-dev keeps the same
#: weights a second time, as one file of 24 GB, at the top.
PATTERNS: dict[WeightsRole, tuple[str, ...]] = {
    "pipeline": _OF_PIPELINE,
    # The same, whose transformer comes from elsewhere.
    "base": _OF_PIPELINE,
    # The others of its parts are those of the model in memory.
    "transformer": (
        "model_index.json",
        "transformer/*.json",
        "transformer/*.safetensors",
        "config.json",
        "diffusion_pytorch_model*.json",
        "diffusion_pytorch_model*.safetensors",
    ),
    "controlnet": ("config.json", "diffusion_pytorch_model*.json", "diffusion_*.safetensors"),
    "lora": ("*.safetensors",),
    # Its encoders of text are those of the model in memory.
    "prior": (
        "model_index.json",
        "feature_extractor/*.json",
        "image_encoder/*.json",
        "image_encoder/*.safetensors",
        "image_embedder/*.json",
        "image_embedder/*.safetensors",
    ),
    "preprocessor": ("*.json", "model*.safetensors"),
}

#: The same weights in another format, which only a `variant` reads.
NOT_WANTED = ("*.fp16.*", "*.fp32.*", "*.bf16.*", "*.non_ema.*")
#: What a pipeline can do without whose transformer comes from elsewhere.
OF_TRANSFORMER = ("transformer/*.safetensors",)

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Weights on the Hub, as a preset names them.

    Attributes:
        repository: "owner/name".
        role: Decides the files that are fetched.
        revision: Branch, tag or commit; None is the main branch.
        file: The one file that is meant, of a repository with several; None means all.
    """

    repository: str
    role: WeightsRole
    revision: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, name: str, role: WeightsRole, revision: str | None = None) -> Wanted:
        """Weights by *name*, which is "owner/name", "owner/name@revision" or "owner/name/FILE"."""
        if revision is None and "@" in name:
            name, _, revision = name.partition("@")
        owner, _, rest = name.partition("/")
        repository, _, file = rest.partition("/")
        return cls(f"{owner}/{repository}" if repository else owner, role, revision, file or None)

    @property
    def patterns(self) -> list[str]:
        """Patterns of the files to fetch, as `fnmatch` reads them."""
        return list(PATTERNS[self.role]) if self.file is None else [self.file]

    @property
    def left_out(self) -> list[str]:
        """Patterns of files that are not fetched all the same; a file that is named always is."""
        if self.file is not None:
            return []
        return [*NOT_WANTED, *(OF_TRANSFORMER if self.role == "base" else ())]


def progress_sentence(what: str, done: int, size: int) -> str:
    """A sentence on the progress of a download: "downloading canny's ControlNet, 43 %"."""
    return f"downloading {what}, {100 * done // max(size, 1)} %"
