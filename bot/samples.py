"""Samples: a picture for each preset, so that people see what it does before they choose it.

An admin has them drawn, one at a time; a model may bring its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from bot.administration import Administration
from bot.commands import EXAMPLE, ImagineCommand
from bot.gallery import Gallery, write_aside
from bot.jobs import Job, JobStatus
from bot.presets import Presets
from bot.refusals import NotFound
from bot.source import Picture, Source
from generation.checks import shortened

logger = logging.getLogger(__name__)

#: The longest side of a sample, in pixels.
LONGEST_SIDE = 512

Submit = Callable[[Source, ImagineCommand, Sequence[Picture]], Awaitable[Job]]


class Samples:
    """The samples of *presets* for one model.

    Args:
        data_dir: The data folder, in which samples have a folder for each model.
        model: The model's repository.
        shipped: Folder of those that come with the model.
        default_preset: Name of the preset whose sample presets start from that take a picture.
        submit: Accepts a job.
    """

    def __init__(
        self,
        data_dir: Path,
        model: str,
        shipped: Path | None,
        presets: Presets,
        default_preset: str,
        gallery: Gallery,
        admin: Administration,
        submit: Submit,
    ) -> None:
        digest = hashlib.sha256(model.encode("utf-8")).hexdigest()[:16]
        self._folder = data_dir / "samples" / digest
        self._shipped = shipped
        self._presets = presets
        self._default = default_preset
        self._gallery = gallery
        self._admin = admin
        self._submit = submit
        self._watching: set[asyncio.Task[None]] = set()

    def find(self, name: str) -> Path:
        """The WebP file of the sample of the preset *name*. Blocks.

        Raises:
            NotFound: There is none.
        """
        if name in self._presets.by_name:
            for folder in (self._folder, self._shipped):
                if folder is not None and (path := folder / f"{name}.webp").exists():
                    return path
        raise NotFound(f"there is no sample of the preset {shortened(name)}")

    def find_of_lora(self, name: str) -> Path:
        """The file of the sample of the LoRA *name*, a PNG, JPEG or WebP. Blocks.

        Raises:
            NotFound: There is none.
        """
        if (lora := self._presets.loras.get(name)) is not None:
            shipped = self._shipped and self._shipped / f"lora-{name}.webp"
            for path in (lora.sample, shipped):
                if path is not None and path.exists():
                    return path
        raise NotFound(f"there is no sample of the LoRA {shortened(name)}")

    def of_loras(self) -> dict[str, tuple[Path, int]]:
        """File and version of each sample of a LoRA that there is, by its name. Blocks."""
        return _versions(self._presets.loras, self.find_of_lora)

    def all(self) -> dict[str, tuple[Path, int]]:
        """File and version of each sample that there is, by preset. Blocks."""
        return _versions(self._presets.by_name, self.find)

    async def draw(self, source: Source, name: str, prompt: str = "") -> Job:
        """The job that draws the sample of the preset *name*, a picture of the admin's like any
        other. Once it is drawn, it is the sample.

        Raises:
            NotAllowed: The person is no admin.
            NotFound: There is no such preset, or no sample of the default preset that it could
                start from.
            FluxbotError: The job is not accepted.
        """
        self._admin.check(source.user)
        if name not in self._presets.by_name:
            known = ", ".join(self._presets.by_name)
            raise NotFound(f"there is no preset {shortened(name)}: there are {known}")
        pictures = await asyncio.to_thread(self._pictures, name)
        command = ImagineCommand(prompt or EXAMPLE.partition(" --")[0], preset=name, images=1)
        if self._presets.by_name[name].kind.takes_mask:
            command = replace(command, mask="center")
        # Nobody is owed an answer.
        quiet = replace(source, reply_to=None, event_id=None, webhook_url=None)
        job = await self._submit(quiet, command, pictures)
        await self._admin.do(source.user, "sample", name, job.id, lambda db: None)
        task = asyncio.create_task(self._keep(name, job), name=f"sample of {name}")
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        return job

    def close(self) -> None:
        """Wait for no sample any more."""
        for task in self._watching:
            task.cancel()

    def _pictures(self, name: str) -> list[Picture]:
        if not self._presets.by_name[name].needs_image:
            return []
        try:
            first = self.find(self._default).read_bytes()
        except NotFound:
            raise NotFound(
                f"{name} starts from a picture: have the sample of {self._default} drawn first"
            ) from None
        return [first]

    async def _keep(self, name: str, job: Job) -> None:
        progress = await job.finished()
        if progress.status is not JobStatus.SUCCEEDED or job.is_spoiler:
            return
        try:
            await asyncio.to_thread(self._write, name, job)
        except OSError as error:
            logger.warning("the sample of %s cannot be kept: %s", name, error)

    def _write(self, name: str, job: Job) -> None:
        provenance = self._gallery.provenance
        with Image.open(self._gallery.picture_path(job.id, 1)) as opened:
            image = opened.convert("RGB")
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC)
        facts = provenance.of(job, job.request)
        webp = provenance.webp(image, facts, quality=82, method=4)
        self._folder.parent.mkdir(mode=0o700, exist_ok=True)
        write_aside(self._folder / f"{name}.webp", lambda file: file.write(webp))


def _versions(names: Iterable[str], find: Callable[[str], Path]) -> dict[str, tuple[Path, int]]:
    found = {}
    for name in names:
        try:
            path = find(name)
            found[name] = (path, path.stat().st_mtime_ns)
        except (NotFound, FileNotFoundError):
            continue
    return found
