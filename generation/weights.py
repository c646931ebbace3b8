"""Where weights live, and how they get there."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Literal

from generation.types import ModelUnavailable

log = logging.getLogger(__name__)

DEMO = "demo"
DEMO_WEIGHTS = Path(__file__).parent / "demo" / "weights"
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGINGFACE_TOKEN")

Kind = Literal["pipeline", "controlnet", "lora"]

#: What is downloaded. Safetensors only: pickles can run code. In a pipeline's
#: repository only the folders that diffusers reads: FLUX.1-dev keeps the same
#: weights a second time, as one file of 24 GB, at the top.
PATTERNS: dict[Kind, tuple[str, ...]] = {
    "pipeline": ("model_index.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.safetensors"),
    "controlnet": ("*.json", "*.safetensors"),
    "lora": ("*.json", "*.safetensors"),
}


def prepare_environment(download_dir: Path, environ: MutableMapping[str, str]) -> None:
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
    default("TORCH_HOME", str(download_dir / "torch-cache"))
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        default(name, "error")
    # torch's threads wait for each other by spinning, unless told otherwise. On two busy
    # cores that made a picture of the demo take 24 s instead of 2.3; on idle ones it
    # gains nothing.
    default("OMP_WAIT_POLICY", "PASSIVE")


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
    kind: Kind,
    download_dir: Path,
    token: str | None = None,
) -> Path:
    """The folder that holds the weights of *repository*, downloaded if need be.

    Args:
        repository: "demo" for the model that ships with the project and "demo/NAME"
            for what belongs to it; an existing folder; or a repository id on the
            Hugging Face Hub, pinned if it reads "owner/name@revision".
        revision: Branch, tag or commit on the Hub.
        download_dir: Where what has to be built is kept; downloads follow the cache
            variables.
        token: For gated repositories; None looks in the environment.

    Raises:
        ModelUnavailable: There is no such thing, or it cannot be downloaded. The
            sentence is for the operator and names the way out.
    """
    if repository == DEMO or repository.startswith(DEMO + "/"):
        return _demo(repository.partition("/")[2] or "flux", download_dir)
    folder = Path(repository).expanduser()
    if folder.is_dir():
        return folder.absolute()
    if repository.startswith((".", "/", "~")):
        raise ModelUnavailable(f"the folder {repository} does not exist")
    if revision is None and "@" in repository:
        repository, _, revision = repository.partition("@")
    return _download(repository, revision, kind, token or find_token(os.environ))


def _demo(name: str, download_dir: Path) -> Path:
    trained = DEMO_WEIGHTS / name
    if trained.is_dir():
        return trained
    if has_trained_demo():
        names = sorted(path.name for path in DEMO_WEIGHTS.iterdir() if path.is_dir())
        raise ModelUnavailable(
            f"demo/{name} does not exist: there are {', '.join(f'demo/{n}' for n in names)}"
        )
    if name != "flux" and not name.startswith("controlnet"):
        raise ModelUnavailable(
            f"demo/{name} belongs to the trained demo weights, which are not in {DEMO_WEIGHTS}"
        )
    tiny = _tiny(download_dir.absolute() / "demo-tiny")
    return tiny / ("flux" if name == "flux" else "controlnet")


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


def _download(repository: str, revision: str | None, kind: Kind, token: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=list(PATTERNS[kind]), token=token
            )
        )
    except Exception as error:  # of the hub, of its HTTP client, of the disk
        sentence = _way_out(error, repository, revision, token)
        raise ModelUnavailable(sentence) from error


def _way_out(error: Exception, repository: str, revision: str | None, token: str | None) -> str:
    """What went wrong with a download, and what the operator can do about it."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        # The hub's answer, after which the cache was looked into, in vain.
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    hub, page = constants.ENDPOINT, f"{constants.ENDPOINT}/{repository}"
    if isinstance(error, errors.HFValidationError):
        return (
            f"{repository!r} is neither a folder nor a repository id such as"
            " black-forest-labs/FLUX.1-dev"
        )
    if isinstance(error, errors.GatedRepoError):
        useless = " (the one that is set has no access)" if token else ""
        return (
            f"{repository} is gated: accept its licence at {page}, then put a token of that"
            f" account into HF_TOKEN{useless}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {revision}: see {page}/commits"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"there is no repository {repository} at {hub}, or it is private: check the name,"
            " and HF_TOKEN if it is private"
        )
    failed = f"{repository} cannot be downloaded"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status == 401:
            return f"{failed}: the token in HF_TOKEN is not valid; make a new one"
        if status == 403:
            return f"{failed}: the token in HF_TOKEN has no access to it; see {page}"
        return f"{failed}: {hub} answers {status}; try again later"
    if isinstance(error, OSError) and error.errno is not None:
        cache = Path(constants.HF_HUB_CACHE)
        free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free
        return (
            f"{failed}: {error.strerror or error} in {cache}, where {free / 1e9:.1f} GB are free;"
            " make room, or set storage.download_dir to another disk"
        )
    return (
        f"{failed}: {hub} cannot be reached, and it is not in the cache"
        f" ({constants.HF_HUB_CACHE}); check the network and HF_HUB_OFFLINE"
    )
