"""Picture files on disk: written aside, synced, renamed, and deleted when they are old."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from bot.commands.vocabulary import MAX_IMAGES
from bot.jobs import Job
from bot.permissions import make_folder
from bot.provenance import MAP, Facts, Provenance, unfinished
from bot.refusals import NotFound
from bot.syncs import sync
from generation.results import Files, thumbnail_of
from generation.types import GenerationRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

GRID_GAP = 4
#: The colour of places whose picture is not there yet.
UNFINISHED = "#2b2d31"

#: Ends the name of a file that is still being written.
PART = ".part"

Kind = Literal["grid", "thumbnail", "map"]
SUFFIXES: dict[Kind, str] = {"grid": "grid.png", "thumbnail": "thumbnail.webp", "map": "map.png"}


class Gallery:
    """The folder of finished pictures, and of the attached pictures behind them.

    All methods block; call them off the event loop. Attached pictures are named by
    their content, so that one sent ten times is kept once.

    Args:
        provenance: Encodes pictures, with the marks that they carry.
    """

    def __init__(self, folder: Path, provenance: Provenance | None = None) -> None:
        self.provenance = provenance or Provenance()
        self.images = folder / "images"
        self.control_images = folder / "control-images"
        for each in (self.images, self.control_images):
            make_folder(each)
            for half_written in each.glob(f".*{PART}"):  # by a process that was killed
                half_written.unlink()

    def control_image_path(self, png: bytes) -> Path:
        """Path of the attached picture *png*, stored or not."""
        return self.control_images / f"{hashlib.sha256(png).hexdigest()}.png"

    def keep_control_image(self, png: bytes) -> Path:
        """Path of the clean picture *png*, which is stored unless it is there already.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        path = self.control_image_path(png)
        if self.still_keeps(path):
            sync(path.parent)  # whoever has put it there may not have come to that
        else:
            write_aside(path, lambda file: file.write(png))
        return path

    def still_keeps(self, control_image: Path) -> bool:
        """Whether the file is still here; if so, pruning takes it for new."""
        try:
            os.utime(control_image)
        except FileNotFoundError:
            return False
        return True

    def still_keeps_pictures_of(self, request: GenerationRequest) -> bool:
        """Whether all pictures that *request* draws from are still here; see `still_keeps`."""
        return all(self.still_keeps(path) for path in request.pictures.values())

    def picture_path(self, job_id: str, number: int) -> Path:
        return self.images / f"{job_id}-{number}.png"

    def path(self, job_id: str, kind: Kind) -> Path:
        return self.images / f"{job_id}-{SUFFIXES[kind]}"

    def save(
        self,
        job: Job,
        number: int,
        request: GenerationRequest,
        files: Files,
    ) -> None:
        """Store the *files* of picture *number* (from 1) of *job*, and the control map with the
        first. Of several pictures, `finish` stores what they have in common.

        Raises:
            OSError: The disk is full or cannot be written, or the picture cannot be signed.
        """
        facts = self.provenance.of(job, request)
        if files.drawn_with:
            facts = replace(facts, request={**facts.request, "drawn_with": dict(files.drawn_with)})
        marked = self.provenance.marked
        self._save(self.picture_path(job.id, number), marked(files.png, facts))
        if number == 1 and files.control_map is not None:
            self._save(self.path(job.id, "map"), marked(files.control_map, MAP))
        if job.images == 1:
            self._save_thumbnail(job.id, files.thumbnail, facts)

    def finish(self, job: Job, numbers: Collection[int]) -> None:
        """Delete all pictures of *job* but those of *numbers* (from 1), of which it stores one file
        of all, where it has several, and a thumbnail.

        Raises:
            OSError: The disk is full or cannot be written, or the picture cannot be signed.
        """
        if not numbers:
            self.delete(job.id)
            return
        if job.images == 1:
            return
        for number in set(range(1, job.images + 1)).difference(numbers):
            self.picture_path(job.id, number).unlink(missing_ok=True)
        grid = tiled([self._open(job.id, each) for each in sorted(numbers)])
        facts = self.provenance.of(job, job.request)
        self._save(self.path(job.id, "grid"), self.provenance.png(grid, facts))
        self._save_thumbnail(job.id, thumbnail_of(grid), facts)

    def sheet(self, job: Job, preview: bytes | None) -> bytes:
        """A JPEG of the pictures of *job* in the size of thumbnails: of those that are ready, each
        at its place among all, and of *preview* at the next place.

        Raises:
            OSError: A picture is not there.
        """
        small = {each: _small(self.picture_path(job.id, each)) for each in job.ready}
        size = next(iter(small.values())).size
        empty = Image.new("RGB", size, UNFINISHED)
        if preview is not None:
            with Image.open(io.BytesIO(preview)) as image:
                place = next(n for n in range(1, job.images + 2) if n not in small)
                small[place] = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        sheet = tiled([small.get(each, empty) for each in range(1, job.images + 1)])
        return unfinished(sheet)

    def stored(self, job: Job) -> tuple[int, ...]:
        """Those of `job.ready` whose files are here."""
        return tuple(each for each in job.ready if self.picture_path(job.id, each).exists())

    def delete(self, job_id: str) -> None:
        """Delete all pictures of a job, if there are any."""
        self.prune_pictures([job_id])

    def has_files_of(self, job_id: str) -> bool:
        """Whether there is any file of a job of that id."""
        return any(path.exists() for path in self._paths(job_id))

    def job_ids(self) -> set[str]:
        """Ids of all jobs that have a file here."""
        return {path.name.partition("-")[0] for path in self.images.glob("*-*")}

    def prune_pictures(self, job_ids: list[str]) -> None:
        """Delete the pictures of *job_ids*. No power loss brings them back."""
        for path in (path for job_id in job_ids for path in self._paths(job_id)):
            path.unlink(missing_ok=True)
        if job_ids:
            with suppress(FileNotFoundError):  # the whole folder is gone
                sync(self.images)

    def prune_control_images(self, kept: set[str], before: float) -> None:
        """Delete attached pictures that are older than *before* (unix seconds) and whose file
        names are not among *kept*.

        The age matters, since the row of a new file's job may not be written yet.
        """
        for path in self.control_images.glob("*.png"):
            with suppress(FileNotFoundError):  # somebody's deletion was quicker
                if path.name not in kept and path.stat().st_mtime < before:
                    path.unlink()

    def _paths(self, job_id: str) -> Iterator[Path]:
        for number in range(1, MAX_IMAGES + 1):
            yield self.picture_path(job_id, number)
        for kind in SUFFIXES:
            yield self.path(job_id, kind)

    def _open(self, job_id: str, number: int) -> Image.Image:
        with Image.open(self.picture_path(job_id, number)) as image:
            return image.convert("RGB")

    def _save(self, path: Path, data: bytes) -> None:
        write_aside(path, lambda file: file.write(data))

    def _save_thumbnail(self, job_id: str, thumbnail: Image.Image, facts: Facts) -> None:
        webp = self.provenance.webp(thumbnail, facts, quality=80, method=0)
        self._save(self.path(job_id, "thumbnail"), webp)


@functools.lru_cache(maxsize=64)
def _small(path: Path) -> Image.Image:
    """The picture in *path*, which never changes, as small as a thumbnail."""
    with Image.open(path) as image:
        return thumbnail_of(image.convert("RGB"))


def tiled(images: list[Image.Image]) -> Image.Image:
    """A grid of *images*, all of one size, in near-square rows."""
    width, height = images[0].size
    columns = 1
    while columns * columns < len(images):
        columns += 1
    rows = -(-len(images) // columns)
    grid = Image.new(
        "RGB",
        (columns * (width + GRID_GAP) - GRID_GAP, rows * (height + GRID_GAP) - GRID_GAP),
        "white",
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        grid.paste(image, (column * (width + GRID_GAP), row * (height + GRID_GAP)))
    return grid


def write_aside(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file so that *path* is whole or absent, whatever happens in between."""
    if path.parent.parent.is_dir():  # else the whole data folder is away, perhaps with its disk
        make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        sync(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def existing(path: Path, job: Job) -> Path:
    """*path*, a file of *job*.

    Raises:
        NotFound: It was deleted, or never was.
    """
    if not path.exists():
        raise NotFound(
            f"the picture of {job.id} was deleted; `again {job.id}` draws it again"
            if job.is_pruned
            else f"there is no such picture of {job.id}"
        )
    return path
