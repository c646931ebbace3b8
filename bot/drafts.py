"""Drafts: from the words of a person to a request that only has to be paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bot import people
from bot.attachments import Attachments
from bot.commands import ImagineCommand
from bot.config import Config
from bot.database import Database
from bot.gallery import Gallery
from bot.jobs import Job
from bot.lineage import Relation
from bot.presets import Presets
from bot.refusals import NotFound
from bot.requests import (
    Attachment,
    change,
    check_limits,
    check_picture_number,
    complete,
    is_changed,
    keeps_seed,
    model_name,
    picture_size,
)
from generation.types import MIDDLE, Centering, CleanImage, GenerationRequest


@dataclass(frozen=True, slots=True)
class Draft:
    """A complete request.

    Attributes:
        images: Number of pictures.
        remarks: Sentences about the request for the person.
        attached: The attached pictures, clean, in the order in which they came.
        is_seed_given: Whether a person gave the seed.
        parent: The job that it builds on.
        relation: How it does; None without one.
    """

    request: GenerationRequest
    images: int
    remarks: tuple[str, ...] = ()
    attached: tuple[CleanImage, ...] = ()
    is_seed_given: bool = False
    parent: Job | None = None
    relation: Relation | None = None


@dataclass(frozen=True, slots=True)
class ToBeAttached:
    """A picture that is not here yet: its size in pixels, which a price depends on."""

    width: int
    height: int


class Drafts:
    """The maker of drafts. It spends and keeps nothing.

    Args:
        new_seed: The dice, for requests without a seed.
        remarks_of: Sentences of the model about a request.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        presets: Presets,
        gallery: Gallery,
        attachments: Attachments,
        new_seed: Callable[[], int],
        remarks_of: Callable[[GenerationRequest], tuple[str, ...]],
    ) -> None:
        self._config = config
        self._database = database
        self._presets = presets
        self._gallery = gallery
        self._attachments = attachments
        self._new_seed = new_seed
        self._remarks_of = remarks_of

    async def draft(
        self, user: str, command: ImagineCommand, pictures: Sequence[bytes | ToBeAttached]
    ) -> Draft:
        """The request that *command* means, given by *user* with *pictures* attached. With those
        that are to be attached it serves for a price alone.

        Raises:
            InvalidRequest: The request can never succeed as written.
            Refused: Too many pictures are being looked at.
        """
        user_defaults = await self._database.read(partial(people.settings, user=user))
        if user_defaults.get("preset") not in self._presets.available:
            user_defaults.pop("preset", None)  # it was removed from config.toml since
        preset = self._presets[
            command.preset or user_defaults.get("preset") or self._config.model.default_preset
        ]
        self._presets.check_pictures(preset, len(pictures))
        attached: list[CleanImage] = []
        attachments: list[Attachment] = []
        for picture in pictures:
            if isinstance(picture, ToBeAttached):
                attachments.append(Attachment(Path(), picture.width, picture.height))
            else:
                clean, attachment = await self._clean(user, picture)
                attached.append(clean)
                attachments.append(attachment)
        request, images = complete(
            command, user_defaults, preset, attachments, self._config, seed=self._new_seed()
        )
        remarks = (remark for clean in attached for remark in clean.remarks)
        return Draft(
            request,
            images,
            (*remarks, *self._remarks_of(request)),
            tuple(attached),
            is_seed_given=command.seed is not None,
        )

    async def needs_a_picture(self, user: str, command: ImagineCommand) -> bool:
        """Whether the preset of *command*, given by *user*, draws from a picture of theirs."""
        user_defaults = await self._database.read(partial(people.settings, user=user))
        names = (command.preset, user_defaults.get("preset"), self._config.model.default_preset)
        name = next((each for each in names if each in self._presets.available), None)
        return name is not None and self._presets[name].needs_image

    async def again(
        self,
        original: Job,
        changes: ImagineCommand | None,
        *,
        vary: bool,
        same: bool = False,
        number: int | None = None,
    ) -> Draft:
        """The request of *original* with *changes*, of its picture *number* (from 1) alone or of
        all.

        It has a new seed, unless a person gave the old one, or something of what is drawn changes:
        then the seed stays, so that only that is different. A new one comes with *vary* in any
        case, and with *same* in none.

        Raises:
            NotFound: The control image was deleted for its age.
            InvalidRequest: The request can never succeed as it is now.
        """
        request, images = original.request, original.images
        if changes is None or changes.preset is None:
            self._presets.check_enabled(request.preset)
        if not await asyncio.to_thread(self._gallery.still_keeps_pictures_of, request):
            raise NotFound(
                "the control image of that picture was deleted for its age: attach it again",
                field="control_image",
            )
        remarks: tuple[str, ...] = ()
        model = model_name(self._config.model)
        if request.model != model:
            remarks = (f"That was drawn with {request.model}; {model} draws it differently.",)
            request = replace(request, model=model)
        if number is not None:
            check_picture_number(original, number)
            request, images = list(original.requests)[number - 1], 1
            request = replace(request, model=model)
        said = {} if changes is None else changes.options
        if changes is not None:
            request, images = change(request, images, changes, self._presets, self._config)
        is_seed_given = original.is_seed_given and not vary
        if "seed" in said:  # a form shows the seed of the picture, which nobody has given thereby
            is_seed_given = is_seed_given or said["seed"] != original.request.seed
        elif vary or not (same or keeps_seed(original, changes)):
            request = replace(request, seed=self._new_seed())
        relation = Relation.AGAIN
        if same:
            relation = Relation.SAME
        elif is_changed(changes):
            relation = Relation.CHANGED
        check_limits(request, images, self._config.limits)
        return Draft(
            request,
            images,
            (*remarks, *self._remarks_of(request)),
            is_seed_given=is_seed_given,
            parent=original,
            relation=relation,
        )

    async def control_map(
        self,
        user: str,
        image: bytes,
        preset: str,
        width: int | None,
        height: int | None,
        centering: Centering = MIDDLE,
    ) -> tuple[bytes, tuple[str, ...]]:
        """The map that *preset* makes of *user*'s *image*, cropped at *centering*, as a PNG, and
        remarks about the picture.

        Raises:
            InvalidRequest: *image* is not a picture, or *preset* takes none.
            Refused: Too many pictures are being looked at.
        """
        chosen = self._presets[preset]
        self._presets.check_pictures(chosen, 1)
        clean, attachment = await self._clean(user, image)
        command = ImagineCommand(width=width, height=height)
        size = picture_size(command, {}, chosen, attachment, self._config.model)

        preprocessor = chosen.kind.control_map or "none"
        drawn = await self._attachments.control_map(user, clean, preprocessor, size, centering)
        return drawn, clean.remarks

    async def _clean(self, user: str, image: bytes) -> tuple[CleanImage, Attachment]:
        clean = await self._attachments.clean(user, image)
        path = self._gallery.control_image_path(clean.png)
        return clean, Attachment(path, clean.width, clean.height)
