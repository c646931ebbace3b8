"""The presets, and the LoRAs beside them, which change while the bot runs: admins reload them, and
switch presets off and on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bot.config import Config, ConfigError
from bot.models import model_name, model_of
from bot.sections import ListedLora
from generation.checks import shortened
from generation.errors import InvalidRequest
from generation.kinds import MASK_IMAGE
from generation.types import GenerationRequest, Preset


def inpainting(presets: Iterable[Preset]) -> Preset | None:
    """The first of *presets* that draws a part of a picture anew."""
    return next((each for each in presets if each.kind.takes_mask), None)


def most_pictures(presets: Iterable[Preset]) -> int:
    """The number of pictures, a mask among them, that one of *presets* takes at most; at least 1,
    since there is always room for one."""
    return max((1, *(each.kind.counts[-1] for each in presets)))


class Presets:
    """The presets of *config* by name; *read* reads the configuration anew.

    Attributes:
        by_name: All configured presets, in the order of the file.
        loras: The LoRAs that people may ask for, likewise.
        disabled: Names of presets that an admin has switched off, configured or not.
    """

    def __init__(self, config: Config, read: Callable[[], Config]) -> None:
        self.by_name: dict[str, Preset] = dict(config.presets)
        self.loras: dict[str, ListedLora] = dict(config.loras)
        self.disabled: frozenset[str] = frozenset()
        self._config = config
        #: Names of the models that the engines know.
        self._started = {model_name(each) for each in config.drawn_with}
        self._read = read

    @property
    def available(self) -> dict[str, Preset]:
        """The presets that people may choose."""
        return {name: each for name, each in self.by_name.items() if name not in self.disabled}

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Preset:
        """The preset called *name*.

        Raises:
            InvalidRequest: There is no such preset, or it is switched off; the message names
                the presets to choose from.
        """
        self.check_enabled(name)
        if name not in self.by_name:
            raise InvalidRequest(
                f"there is no preset {shortened(name)}: choose one of {', '.join(self.available)}",
                field="preset",
            )
        return self.by_name[name]

    def check_enabled(self, name: str) -> None:
        """Raise InvalidRequest where an admin has switched the preset *name* off."""
        if name in self.disabled:
            raise InvalidRequest(
                f"an admin has switched the preset {name} off: choose one of"
                f" {', '.join(self.available)}",
                field="preset",
            )

    def enlarging(self, model: str | None = None) -> Preset | None:
        """The first preset that makes a picture larger; with *model*, as requests name it, where
        one does."""
        found = [each for each in self.available.values() if each.kind.enlargement]
        same = [each for each in found if self._draws_with(each) == model]
        return next(iter((*same, *found)), None)

    def redrawing(self, model: str | None = None) -> Preset | None:
        """The first preset that draws over a picture and keeps its size; only of those that draw
        with *model*, as requests name it, unless that is None."""
        return next(
            (
                each
                for each in self.available.values()
                if model in (None, self._draws_with(each))
                and each.kind.begins_with_picture
                and not each.kind.edits
                and not each.kind.takes_mask
                and not each.kind.control_maps
                and each.kind.enlargement is None
            ),
            None,
        )

    def drawing_over(self, *, has_strength: bool) -> Preset | None:
        """The preset for words and a picture, where nobody names one: the first that edits, unless
        a strength is said, which those do not know, or else the first that redraws."""
        edits = None if has_strength else self.editing()
        return edits or self.redrawing()

    def editing(self) -> Preset | None:
        """The first preset that changes a picture as words say."""
        return next((each for each in self.available.values() if each.kind.edits), None)

    def inpainting(self) -> Preset | None:
        """The first preset that draws a part of a picture anew."""
        return inpainting(self.available.values())

    def reload(self) -> None:
        """Read presets and LoRAs anew. Blocks.

        Raises:
            ConfigError: The configuration cannot be used; the old presets stay.
        """
        config = self._read()
        for preset in config.presets.values():
            if (model := model_name(config.model_for(preset.model))) not in self._started:
                raise ConfigError(
                    f"presets.{preset.name} draws with {model}, which the engines were not started"
                    " with: restart the bot"
                )
        self._config = config.model_copy(update={"model": self._config.model})
        self.by_name, self.loras = dict(config.presets), dict(config.loras)

    def model_of(self, request: GenerationRequest) -> str:
        """The name of the model with which *request* is drawn now."""
        return model_name(model_of(request, self._config, self.by_name))

    def _draws_with(self, preset: Preset) -> str:
        """The name that requests have for the model of *preset*."""
        return model_name(self._config.model_for(preset.model))

    def check_pictures(self, preset: Preset, count: int) -> None:
        """Raise InvalidRequest where *preset* needs another number of pictures than *count*."""
        needed = len(preset.kind.pictures)
        if count and not needed:
            takers = [each.name for each in self.available.values() if each.needs_image]
            raise InvalidRequest(
                f"the preset {preset.name} takes no control image: leave the picture out, or choose"
                f" one of {', '.join(takers)}"
                if takers
                else f"the preset {preset.name} takes no control image: leave the picture out",
                field="control_image",
            )
        if preset.kind.takes_mask:
            # The mask may come otherwise.
            self._check_with_mask(preset, count)
            return
        if preset.kind.names_of(count) is not None:
            return
        if preset.kind.more_pictures:
            self._check_several(preset, count)
        if count > 1 and needed == 1 and (inpaints := self.inpainting()) is not None:
            raise InvalidRequest(
                f"the preset {preset.name} takes one picture and no mask: send one, or choose"
                f" {inpaints.name}",
                field=MASK_IMAGE,
            )
        if needed == 1:
            raise InvalidRequest(
                f"the preset {preset.name} needs a control image: attach a PNG, JPEG or WebP"
                if not count
                else f"the preset {preset.name} takes one control image, not {count}: send one",
                field="control_image",
            )
        raise InvalidRequest(
            f"the preset {preset.name} needs {needed} pictures, and {count} came: attach the"
            " others too",
            field="control_image",
        )

    def _check_several(self, preset: Preset, count: int) -> None:
        """Refuse *count* pictures, where there may be more than *preset* needs."""
        fewest, *others = preset.kind.counts
        most = others[-1]
        raise InvalidRequest(
            f"the preset {preset.name} takes {fewest} or {most} pictures, not {count}"
            if len(others) == 1
            else f"the preset {preset.name} takes {fewest} to {most} pictures, not {count}",
            field="control_image",
        )

    def _check_with_mask(self, preset: Preset, count: int) -> None:
        if not count:
            raise InvalidRequest(
                f"the preset {preset.name} needs the picture of which a part is drawn: attach a"
                " PNG, JPEG or WebP",
                field="control_image",
            )
        if count > 2:
            raise InvalidRequest(
                f"the preset {preset.name} takes a picture and a mask, not {count} pictures: send"
                " two",
                field=MASK_IMAGE,
            )
