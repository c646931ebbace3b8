"""The Hugging Face Hub: downloads into the cache, and checks of the files there.

Importing this module imports huggingface_hub, which reads its variables once: call
`weights.prepare_environment` before.

In the cache a file is named by the etag that the Hub told: the sha256 of a large file, git's
sha1 of a small one. So it can be checked without asking the Hub again.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from huggingface_hub import (
    constants,
    errors,
    get_cached_repo_tree,
    get_token,
    hf_hub_download,
    scan_cache_dir,
    snapshot_download,
)
from tqdm import tqdm

from generation.errors import ModelUnavailable
from generation.wanted import OnProgress, Wanted

#: Bytes that stay free on the disk beside what is downloaded.
MARGIN = 500_000_000
CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is to be fetched.

    Attributes:
        name: In its repository.
        size: Bytes.
        commit: Of the repository.
    """

    name: str
    size: int
    commit: str


@dataclass(frozen=True, slots=True)
class Cached:
    """A repository in the cache.

    Attributes:
        name: "owner/name".
        revisions: Branches, tags and commits that are there.
        size: Bytes on the disk.
        folder: Where it lies.
    """

    name: str
    revisions: tuple[str, ...]
    size: int
    folder: Path


def cached(wanted: Wanted) -> Path | None:
    """The folder of all that is *wanted*; None unless the cache has it whole. Asks nobody."""
    try:
        # Without the list of the repository's files the client would take any folder for whole.
        get_cached_repo_tree(wanted.repository, revision=wanted.revision)
        folder = Path(_snapshot(wanted, None, local_files_only=True))
    except (
        errors.CachedRepoTreeNotFoundError,
        errors.LocalEntryNotFoundError,
        errors.IncompleteSnapshotError,
    ):
        return None
    except errors.HFValidationError:
        raise ModelUnavailable(_no_name(wanted.repository)) from None
    return None if wanted.file is not None and not (folder / wanted.file).exists() else folder


def missing(wanted: Wanted, token: str | None) -> list[Part]:
    """Files that have still to be fetched. Asks the Hub.

    Raises:
        ModelUnavailable: It cannot be asked, or will not tell; with the way out.
    """
    with _as_sentence(wanted, token):
        try:
            files = _snapshot(wanted, token, dry_run=True)
        except errors.DryRunError as error:
            # Why not is what the Hub said before.
            raise (error.__cause__ or error) from None
        if not files:
            raise ModelUnavailable(
                f"{wanted.repository} holds no {wanted.file or 'safetensors that can be used'}:"
                f" see {constants.ENDPOINT}/{wanted.repository}/tree/main"
            )
        return [
            Part(each.filename, each.file_size or 0, each.commit_hash)
            for each in files
            if each.will_download
        ]


def check_disk(parts: Iterable[Part], what: str) -> None:
    """Raise ModelUnavailable unless *parts* fit on the disk of the cache."""
    needed = sum(part.size for part in parts)
    folder = Path(constants.HF_HUB_CACHE)
    free = free_bytes(folder)
    if needed and needed + MARGIN > free:
        raise ModelUnavailable(
            f"{what} needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free:"
            f" make room for {(needed + MARGIN - free) / 1e9:.1f} GB more, or set"
            " storage.download_dir to another disk"
        )


def fetch(
    wanted: Wanted,
    token: str | None,
    on_progress: OnProgress | None = None,
    on_file: Callable[[Part, int], None] | None = None,
) -> Path:
    """Download the files of *wanted* that are missing; whole ones are not fetched again.

    Args:
        on_progress: Told how many bytes have come, and how many there are in all, of what
            was missing. What it raises ends the download.
        on_file: Likewise for each file: the file and its bytes that have come.

    Returns:
        The folder of all files.

    Raises:
        ModelUnavailable: It cannot be had; with the way out.
    """
    remove_orphans(repository_folder(wanted.repository))
    with _as_sentence(wanted, token):
        parts = missing(wanted, token)
        check_disk(parts, wanted.repository)
        total, before, told = sum(part.size for part in parts), 0, -1
        for part in parts:

            def come(count: int, part: Part = part, before: int = before) -> None:
                nonlocal told
                if on_file is not None:
                    on_file(part, count)
                share = 100 * (before + count) // max(total, 1)
                if on_progress is not None and share != told:
                    told = share
                    on_progress(before + count, total)

            come(0)
            hf_hub_download(
                wanted.repository,
                part.name,
                revision=part.commit,
                token=token,
                tqdm_class=_bar(come),
            )
            before += part.size
        return Path(_snapshot(wanted, token))


def list_cache() -> list[Cached]:
    """The repositories in the cache, by name."""
    folder = Path(constants.HF_HUB_CACHE)
    if not folder.is_dir():
        return []
    return sorted(
        (
            Cached(
                repository.repo_id,
                tuple(sorted({*repository.refs} or {r.commit_hash for r in repository.revisions})),
                repository.size_on_disk,
                repository.repo_path,
            )
            for repository in scan_cache_dir(folder).repos
        ),
        key=lambda each: each.name,
    )


def clear(name: str | None = None) -> int:
    """Bytes freed by deleting the repository *name*, or everything, from the cache."""
    gone = [each for each in list_cache() if name in (None, each.name)]
    for each in gone:
        shutil.rmtree(each.folder)
    return sum(each.size for each in gone)


def damaged(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and blob of every file in *folder* whose checksum is not the one that the Hub told.

    Args:
        folder: A snapshot in the cache. Of other folders nothing is known.
    """
    if folder.parent.name != "snapshots":
        return
    for file in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        blob = file.resolve()
        if blob == file or not blob.is_file():
            continue  # a system without links keeps no etags; a link without a file is missing
        if not _matches(blob):
            yield file.relative_to(folder).as_posix(), blob


def snapshots(repository: Path) -> list[Path]:
    """The snapshots of a repository's folder in the cache."""
    return sorted(path for path in (repository / "snapshots").glob("*") if path.is_dir())


def remove_damaged(folder: Path) -> list[str]:
    """Names of the files in the snapshot *folder* that were `damaged` and are deleted now."""
    names = []
    for name, blob in list(damaged(folder)):
        (folder / name).unlink()
        blob.unlink(missing_ok=True)
        names.append(name)
    return names


def restore(repository: str, commit: str, names: Iterable[str], token: str | None) -> None:
    """Fetch the files *names* of *repository* at *commit* again.

    Raises:
        ModelUnavailable: They cannot be had; with the way out.
    """
    with _as_sentence(Wanted(repository, "pipeline", commit), token):
        for name in names:
            hf_hub_download(
                repository,
                name,
                revision=commit,
                token=token,
                tqdm_class=_bar(lambda count: None),
            )


def remove_orphans(repository: Path) -> None:
    """Delete the leftovers of a killed download; the client starts such files again anyway."""
    for path in (repository / "blobs").glob("*.incomplete"):
        # Another process may be fetching it right now, which holds a lock meanwhile.
        lock = repository.parent / ".locks" / repository.name / f"{path.name.split('.')[0]}.lock"
        if not _is_locked(lock):
            path.unlink(missing_ok=True)


def repository_folder(name: str) -> Path:
    """The folder of the repository *name* in the cache."""
    return Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of *folder*, which need not exist yet."""
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def stored_token() -> str | None:
    """The token that ``hf auth login`` has stored, or that a variable of the client's holds."""
    return get_token()


def gated_sentence(repository: str) -> str:
    """A sentence for operators without a token, on a *repository* that asks for one."""
    return (
        f"{repository} is gated: accept its licence at {constants.ENDPOINT}/{repository}, then put"
        " a token of that account into HF_TOKEN"
    )


def _snapshot(wanted: Wanted, token: str | None, **how: Any) -> Any:
    return snapshot_download(
        wanted.repository,
        revision=wanted.revision,
        token=token,
        allow_patterns=wanted.patterns,
        ignore_patterns=wanted.left_out,
        tqdm_class=_bar(lambda count: None),
        **how,
    )


def _bar(come: Callable[[int], None]) -> type[tqdm]:
    """A progress bar that draws nothing and tells how many bytes have come."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})
            self.count = options.get("initial", 0)

        def update(self, n: float | None = 1) -> None:
            self.count += int(n or 0)
            come(self.count)

    return Bar


def _matches(blob: Path) -> bool:
    """Whether the contents of *blob* have the checksum that it is named by."""
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        digest = hashlib.sha256()
    elif re.fullmatch(r"[0-9a-f]{40}", blob.name):  # as git names a file
        digest = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return True  # named by another server, in a way that says nothing
    with blob.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == blob.name


def _is_locked(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


@contextlib.contextmanager
def _as_sentence(wanted: Wanted, token: str | None) -> Iterator[None]:
    """Raise `ModelUnavailable` with the way out for errors of the Hub's client in the block."""
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as error:  # of the hub, of its HTTP client, of the disk
        sentence = _way_out(error, wanted, token)
        if sentence is None:
            raise
        raise ModelUnavailable(sentence) from error


def _no_name(repository: str) -> str:
    return (
        f"{repository!r} is neither a folder nor a repository id such as"
        " black-forest-labs/FLUX.1-dev"
    )


def _way_out(error: Exception, wanted: Wanted, token: str | None) -> str | None:
    """A sentence for operators on a download that failed, with the way out; None where *error*
    is none of the Hub's business."""
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        # The hub's answer, after which the cache was looked into, in vain.
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    repository = wanted.repository
    hub, page = constants.ENDPOINT, f"{constants.ENDPOINT}/{repository}"
    if isinstance(error, errors.HFValidationError):
        return _no_name(repository)
    if isinstance(error, errors.GatedRepoError):
        gated = f"{repository} is gated"
        if token is None:
            return gated_sentence(repository)
        if error.response.status_code == 401:
            return f"{gated}, and the token in HF_TOKEN is not valid: make a new one"
        return (
            f"{gated}, and the account of the token in HF_TOKEN has no access: accept the"
            f" licence at {page} with that account"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {wanted.revision}: see {page}/commits"
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
        folder = Path(constants.HF_HUB_CACHE)
        return (
            f"{failed}: {error.strerror or error} in {folder}, where"
            f" {free_bytes(folder) / 1e9:.1f} GB are free; make room, or set"
            " storage.download_dir to another disk"
        )
    if type(error).__module__.split(".")[0] not in ("huggingface_hub", "httpx", "httpx2"):
        return None
    there = "only parts of it are" if snapshots(repository_folder(repository)) else "it is not"
    return (
        f"{failed}: {hub} cannot be reached, and {there} in the cache"
        f" ({constants.HF_HUB_CACHE}); check the network and HF_HUB_OFFLINE"
    )
