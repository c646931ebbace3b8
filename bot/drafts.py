"""Drafts: from the words of a person to a request that only has to be paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from bot import loras, people
from bot.attachments import Attachments
from bot.commands import ImagineCommand
from bot.config import Config
from bot.database import Database
from bot.examples import check_known
from bot.gallery import Gallery
from bot.jobs import Job
from bot.lineage import Relation
from bot.masking import OUTPAINT_STRENGTH, is_other_shape, placed, without_region
from bot.presets import Presets
from bot.refusals import NotFound
from bot.requests import (
    Attachment,
    change,
    check_about_picture,
    check_limits,
    check_picture_number,
    complete,
    is_changed,
    keeps_seed,
    picture_size,
)
from bot.views import About
from generation.checks import public_name
from generation.kinds import MASK_IMAGE
from generation.types import MIDDLE, Canvas, Centering, CleanImage, GenerationRequest, Preset

MAP_AS_IT_IS = "What you attached was followed as the control map that it is."
NO_PRESET = Preset(name="removed")


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
        about: The introduction of the model, which says what it knows.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        presets: Presets,
        gallery: Gallery,
        attachments: Attachments,
        new_seed: Callable[[], int],
        about: Callable[[], About],
    ) -> None:
        self._config = config
        self._database = database
        self._presets = presets
        self._gallery = gallery
        self._attachments = attachments
        self._new_seed = new_seed
        self._about = about

    async def draft(
        self,
        user: str,
        command: ImagineCommand,
        pictures: Sequence[bytes | ToBeAttached],
        *,
        is_price: bool = False,
    ) -> Draft:
        """The request that *command* means, given by *user* with *pictures* attached. With those
        that are to be attached it serves for a price alone.

        Args:
            is_price: Whether nothing but a price is asked for, which no words change.

        Raises:
            InvalidRequest: The request can never succeed as written.
            Refused: Too many pictures are being looked at.
        """
        command, of_tags = loras.without_tags(command)
        user_defaults = await self._database.read(partial(people.settings, user=user))
        if user_defaults.get("preset") not in self._presets.available:
            user_defaults.pop("preset", None)  # it was removed from config.toml since
        preset = self._presets[
            command.preset
            or self._inpainting(command, len(pictures))
            or user_defaults.get("preset")
            or self._config.model.default_preset
        ]
        self._presets.check_pictures(preset, len(pictures))
        attached: list[CleanImage] = []
        sizes: list[CleanImage | ToBeAttached] = []
        for picture in pictures:
            if isinstance(picture, ToBeAttached):
                sizes.append(picture)
            else:
                attached.append(await self._attachments.clean(user, picture))
                sizes.append(attached[-1])
        remarks = tuple(remark for clean in attached for remark in clean.remarks)
        if preset.kind.takes_mask:
            check_about_picture(command, preset.kind, preset.name)
            command = without_region(command, has_mask=len(pictures) > 1)
            command, canvas = self._placed(command, preset, sizes[0])
            sizes = [sizes[0], sizes[0]]
            if attached:
                attached = await self._masked(user, command, attached, canvas)
                remarks += attached[1].remarks
                sizes = list(attached)
        request, images = complete(
            command,
            user_defaults,
            preset,
            [self._attachment(each) for each in sizes],
            self._config,
            seed=self._new_seed(),
            listed=self._presets.loras,
        )
        if preset.kind.edits and (sizes[0].width, sizes[0].height) != (
            request.width,
            request.height,
        ):
            remarks += (
                f"Your picture has {sizes[0].width} × {sizes[0].height} pixels, the result"
                f" {request.width} × {request.height}.",
            )
        return Draft(
            request,
            images,
            remarks
            if is_price
            else (*of_tags, *remarks, *loras.remarks(request), *self._remarks_of(request)),
            tuple(attached),
            is_seed_given=command.seed is not None,
        )

    async def needs_a_picture(self, user: str, command: ImagineCommand) -> bool:
        """Whether the preset of *command*, given by *user*, draws from a picture of theirs."""
        user_defaults = await self._database.read(partial(people.settings, user=user))
        inpainting = self._inpainting(command, 0)
        names = (
            command.preset,
            inpainting,
            user_defaults.get("preset"),
            self._config.model.default_preset,
        )
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
        model = self._presets.model_of(request)
        if request.model != model:
            was, now = public_name(request.model), public_name(model)
            remarks = (f"That was drawn with {was}; {now} draws it differently.",)
            request = replace(request, model=model)
        if number is not None:
            check_picture_number(original, number)
            request, images = list(original.requests)[number - 1], 1
            request = replace(request, model=model)
        attached: tuple[CleanImage, ...] = ()
        if changes is not None:
            changes, of_tags = loras.without_tags(changes)
            remarks = (*remarks, *of_tags)
            changes, attached = await self._masked_anew(original, changes)
            paths = [self._gallery.control_image_path(each.png) for each in attached]
            request, images = change(request, images, changes, self._presets, self._config, paths)
        said = {} if changes is None else changes.options
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
            (*remarks, *loras.remarks(request), *self._remarks_of(request)),
            attached,
            is_seed_given=is_seed_given,
            parent=original,
            relation=relation,
        )

    async def control_map(
        self,
        user: str,
        images: Sequence[bytes],
        preset: str,
        width: int | None,
        height: int | None,
        centering: Centering = MIDDLE,
        *,
        is_map: bool = False,
    ) -> tuple[bytes, tuple[str, ...]]:
        """The map that *preset* makes of *user*'s *images*, or that they are where *is_map*,
        cropped at *centering*, as a PNG, several side by side, and remarks about the pictures.

        Raises:
            InvalidRequest: One of *images* is not a picture, or *preset* takes none.
            Refused: Too many pictures are being looked at.
        """
        chosen = self._presets[preset]
        self._presets.check_pictures(chosen, len(images))
        clean = [await self._attachments.clean(user, image) for image in images]
        command = ImagineCommand(width=width, height=height)
        model = self._config.model_for(chosen.model)
        size = picture_size(command, {}, chosen, self._attachment(clean[0]), model)

        kind = chosen.kind.with_maps(preset) if is_map else chosen.kind
        preprocessors = kind.control_maps or ("none",)
        drawn = await self._attachments.control_map(user, clean, preprocessors, size, centering)
        return drawn, tuple(remark for each in clean for remark in each.remarks)

    def _remarks_of(self, request: GenerationRequest) -> tuple[str, ...]:
        """Sentences of the model about *request*.

        Raises:
            InvalidRequest: It knows nothing of the prompt.
        """
        about = self._about()
        check_known(about, request)
        maps = (MAP_AS_IT_IS,) if request.kind.shows_maps else ()
        return (*maps, *about.remarks(request))

    def _inpainting(self, command: ImagineCommand, pictures: int) -> str | None:
        """The name of the preset that is meant where none is said, but a mask."""
        preset = self._presets.inpainting()
        says_where = command.mask is not None or command.outpaint is not None or pictures == 2
        return preset.name if says_where and preset is not None else None

    def _attachment(self, picture: CleanImage | ToBeAttached) -> Attachment:
        if isinstance(picture, ToBeAttached):
            return Attachment(Path(), picture.width, picture.height)
        path = self._gallery.control_image_path(picture.png)
        return Attachment(path, picture.width, picture.height)

    def _placed(
        self, command: ImagineCommand, preset: Preset, picture: CleanImage | ToBeAttached
    ) -> tuple[ImagineCommand, Canvas | None]:
        """*command* with the size of what is drawn of *picture*, and where that lies in it."""
        model = self._config.model_for(preset.model)
        native = (preset.width or model.width) * (preset.height or model.height)
        size = placed(picture, command, native, self._config.limits)
        if size.canvas is not None and command.strength is None:
            command = replace(command, strength=OUTPAINT_STRENGTH)
        command = replace(command, width=size.width, height=size.height, aspect_ratio=None)
        return command, size.canvas

    async def _masked(
        self,
        user: str,
        command: ImagineCommand,
        pictures: Sequence[CleanImage],
        canvas: Canvas | None,
    ) -> list[CleanImage]:
        """The picture, and the mask of what *command* draws of it."""
        mask = pictures[1] if len(pictures) > 1 else None
        return list(await self._attachments.masked(user, pictures[0], mask, command.mask, canvas))

    async def _masked_anew(
        self, original: Job, changes: ImagineCommand
    ) -> tuple[ImagineCommand, tuple[CleanImage, ...]]:
        """*changes* of *original*, and the picture and the mask that come of them; none where the
        old ones do, or where its preset takes no mask."""
        request = original.request
        kind = self._presets[changes.preset].kind if changes.preset else request.kind
        path = request.control_image
        if not kind.takes_mask or path is None:
            return changes, ()
        check_about_picture(changes, kind, changes.preset or request.preset)
        old = [await asyncio.to_thread(_stored, path)]
        mask = request.pictures.get(MASK_IMAGE)
        is_other = is_other_shape(old[0], changes)
        if mask is not None and not (is_other or changes.mask or changes.outpaint):
            return changes, ()
        if mask is not None and changes.mask is None:
            kept = await asyncio.to_thread(_stored, mask)
            old.append(replace(kept, mask=kept.png))
        preset = self._presets.by_name.get(changes.preset or request.preset, NO_PRESET)
        changed, canvas = self._placed(changes, preset, old[0])
        return changed, tuple(await self._masked(original.user, changed, old, canvas))


def _stored(path: Path) -> CleanImage:
    """A picture that was kept for an earlier job."""
    with Image.open(path, formats=["PNG"]) as file:
        width, height = file.size
    return CleanImage(path.read_bytes(), width, height)
