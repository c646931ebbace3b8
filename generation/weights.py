"""Folders that hold weights, and the ways into them."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from generation.cards import cards
from generation.errors import ModelUnavailable
from generation.wanted import WORDS, OnProgress, Wanted, WeightsRole

log = logging.getLogger(__name__)

DEMO = "demo"
DEMO_WEIGHTS = Path(__file__).parent / "demo" / "weights"
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGINGFACE_TOKEN")

#: Where torch's allocator for CUDA takes its settings from; the first is read by all versions.
ALLOCATOR_VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
#: Segments that grow, so that no gaps are left between them; and pinned memory of the very size
#: that was asked for, where by itself torch rounds it up to a power of two (pytorch's
#: CachingHostAllocator.h; torch 2.13 has the setting).
GROWING_SEGMENTS, EXACT_PINS = "expandable_segments:True", "pinned_max_cached_size_mb:1"

REPOSITORY_ID = re.compile(r"[\w.-]+/[\w.-]+")


def prepare_environment(
    download_dir: Path, environ: MutableMapping[str, str], devices: Path = Path("/dev")
) -> None:
    """Point the caches of the model libraries under *download_dir*, quiet the advice that
    they give while being imported, and let torch's threads wait without spinning.

    To be called before any of those libraries is imported: they read their variables
    once. A variable that the operator set stays, and those that depend on it follow.
    """
    download_dir = download_dir.absolute()

    def default(name: str, value: str) -> str:
        if not environ.get(name):  # an empty one would mean the current folder
            environ[name] = value
        return environ[name]

    home = default("HF_HOME", str(download_dir / "hf-cache"))
    old_and_new = (environ.get("HF_HUB_CACHE"), environ.get("HUGGINGFACE_HUB_CACHE"))
    hub = next(filter(None, old_and_new), str(Path(home) / "hub"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "DIFFUSERS_CACHE"):
        default(name, hub)
    torch = Path(default("TORCH_HOME", str(download_dir / "torch-cache")))
    # Compiled code, which takes most of a start to make and would otherwise lie in /tmp.
    default("TORCHINDUCTOR_CACHE_DIR", str(torch / "inductor"))
    default("TRITON_CACHE_DIR", str(torch / "triton"))
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        default(name, "error")
    # torch's threads wait for each other by spinning, unless told otherwise. On two busy
    # cores that made a picture of the demo take 24 s instead of 2.3; on idle ones it
    # gains nothing.
    default("OMP_WAIT_POLICY", "PASSIVE")
    # Blocks and pictures of several sizes leave gaps in CUDA's memory that nothing fits into:
    # group-offload had taken 7.4 GB for 2.8 that were in use on an H200 (November 2026).
    if not any(environ.get(name) for name in ALLOCATOR_VARIABLES) and cards({}, devices):
        version = tuple(int(part) for part in torch_version().split(".")[:2])
        settings = [GROWING_SEGMENTS, *([EXACT_PINS] if version >= (2, 13) else [])]
        environ[ALLOCATOR_VARIABLES[0]] = ",".join(settings)


def torch_version() -> str:
    """torch's version, which is not imported for it."""
    return importlib.metadata.version("torch")


def quieten_imports() -> None:
    """Have torchao and bitsandbytes, and torch because of them, say errors alone while they are
    imported: the rest is about kernels for other machines, and about their own code."""
    for name in ("torchao", "torch.utils._pytree", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)


def find_token(environ: Mapping[str, str]) -> str | None:
    """The token for the Hugging Face Hub, under any of the names in use; None without one."""
    return next((environ[name] for name in TOKEN_VARIABLES if environ.get(name)), None)


def has_trained_demo() -> bool:
    """Whether the weights that ship with the project are here."""
    return (DEMO_WEIGHTS / "flux").is_dir()


def resolve(
    repository: str,
    revision: str | None = None,
    *,
    role: WeightsRole,
    download_dir: Path,
    token: str | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """The folder that holds the weights of *repository*, downloaded if need be.

    A complete copy in the cache is used as it is, without asking the Hub: a model
    changes when the operator says so (``python -m bot download``), never by itself.

    Args:
        repository: "demo" for the model that ships with the project, "demo/NAME"
            for a part that belongs to it; an existing folder or file; or a repository id on the
            Hugging Face Hub, pinned if it reads "owner/name@revision".
        revision: Branch, tag or commit on the Hub.
        download_dir: Folder for weights that are built here; downloads follow the cache
            variables.
        token: For gated repositories; None looks in the environment.
        on_progress: Called during a download with bytes that have come, and bytes in all.

    Raises:
        ModelUnavailable: There is no such thing, or it cannot be downloaded. The
            sentence is for the operator and names the way out.
    """
    wanted = wanted_from_hub(repository, role, revision)
    if wanted is None:
        return _folder(repository, role) or _demo(repository, download_dir)
    from generation import hub  # and with it huggingface_hub, which reads the environment

    token = token or find_token(os.environ)
    folder = hub.cached(wanted)
    if folder is None:
        folder = hub.fetch(wanted, token, on_progress)
    return folder if wanted.file is None else folder / wanted.file


def is_demo(repository: str) -> bool:
    """Whether *repository* ships with the project."""
    return repository == DEMO or repository.startswith(DEMO + "/")


def wanted_from_hub(
    repository: str, role: WeightsRole, revision: str | None = None
) -> Wanted | None:
    """Weights of *repository* on the Hub; None for a folder or the demo.

    Asks nobody and builds nothing.

    Raises:
        ModelUnavailable: It can be nowhere: no folder, nothing of the demo's, no id.
    """
    if is_demo(repository):
        _check_demo(repository)
        return None
    if _folder(repository, role) is not None:
        return None
    wanted = Wanted.parse(repository, role, revision)
    if not REPOSITORY_ID.fullmatch(wanted.repository):
        raise ModelUnavailable(
            f"{repository!r} is neither a folder nor a repository id such as"
            " black-forest-labs/FLUX.1-dev"
        )
    if wanted.file is not None and role in ("pipeline", "base"):
        raise ModelUnavailable(_file_for_folder(repository, role))
    return wanted


def local_folder(
    repository: str, role: WeightsRole, download_dir: Path, revision: str | None = None
) -> Path | None:
    """The folder of *repository*, or the one file of it that is named, where it is complete and
    here; never downloads."""
    wanted = wanted_from_hub(repository, role, revision)
    if wanted is None:
        return resolve(repository, role=role, download_dir=download_dir)
    from generation import hub

    folder = hub.cached(wanted)
    return folder if folder is None or wanted.file is None else folder / wanted.file


def remove_damaged(folder: Path) -> list[str]:
    """Delete the files of *folder* whose checksums are not those that the Hub told.

    Returns:
        Their names; none where the folder did not come from the Hub.
    """
    from generation import hub

    return hub.remove_damaged(folder if folder.is_dir() else folder.parent)


def _folder(name: str, role: WeightsRole) -> Path | None:
    """The folder, or the file of a LoRA or a transformer, that *name* is; None where it is of the
    demo or an id.

    Raises:
        ModelUnavailable: It reads like one that is here, and there is none.
    """
    if is_demo(name):
        return None
    here = Path(name).expanduser()
    if here.is_dir() or (here.is_file() and role in ("lora", "transformer")):
        return here.absolute()
    if here.is_file():
        raise ModelUnavailable(_file_for_folder(name, role))
    if name.startswith((".", "/", "~")):
        what = "file" if name.endswith((".safetensors", ".gguf")) else "folder"
        raise ModelUnavailable(f"the {what} {name} does not exist")
    return None


def _file_for_folder(name: str, role: WeightsRole) -> str:
    """A sentence on the file *name* where *role* asks for a folder."""
    if role not in ("pipeline", "base"):
        return f"{name} is a file: a {WORDS[role]} is a folder"
    return (
        f"{name} is a file: name it as model.transformer, and a whole model, such as"
        " black-forest-labs/FLUX.1-dev, as model.repository"
    )


def _demo(repository: str, download_dir: Path) -> Path:
    name = _demo_name(repository)
    trained = DEMO_WEIGHTS / name
    if trained.is_dir():
        return trained
    tiny = _tiny(download_dir.absolute() / "demo-tiny")
    return tiny / ("flux" if name == "flux" else "controlnet")


def _demo_name(repository: str) -> str:
    return repository.partition("/")[2] or "flux"


def _check_demo(repository: str) -> None:
    """Raise ModelUnavailable unless *repository* ships with the project, or can be built."""
    name = _demo_name(repository)
    if (DEMO_WEIGHTS / name).is_dir():
        return
    if has_trained_demo():
        names = sorted(path.name for path in DEMO_WEIGHTS.iterdir() if path.is_dir())
        raise ModelUnavailable(
            f"demo/{name} does not exist: there are {', '.join(f'demo/{n}' for n in names)}"
        )
    if name != "flux" and not name.startswith("controlnet"):
        raise ModelUnavailable(
            f"demo/{name} belongs to the trained demo weights, which are not in {DEMO_WEIGHTS}"
        )


def _tiny(folder: Path) -> Path:
    """The random model, built where it is missing."""
    log.warning(
        "the trained demo weights are not here (%s): using a random model, which draws noise",
        DEMO_WEIGHTS,
    )
    if folder.is_dir():
        return folder
    from generation.demo import tiny

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Built aside and renamed, so that nobody ever reads half of it.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name) as aside:
        built = Path(aside) / folder.name
        tiny.build(built)
        try:
            built.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
    return folder
