"""The commands, and the error of a text that is not one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from bot.commands.admin_vocabulary import AdminCommand
from generation.errors import InvalidRequest
from generation.kinds import Numbers

#: More pictures than this are never one request; the configured limit is lower.
MAX_IMAGES = 16
#: More jobs than this are never one series; likewise.
MAX_SERIES = 64
MAX_CREDITS = 10**9
#: When people are told that a picture is done: after a long wait, always, never, or after a long
#: wait by direct message.
Notify = Literal["long", "always", "never", "dm"]
EXAMPLE = "a red house under a yellow sun --steps 20"
EXAMPLE_ID = "k7m2p9qa"


class CommandError(InvalidRequest):
    """The text is not a command; the sentence points at the wrong word.

    Attributes:
        word: The word that is wrong, exactly as typed; empty where one is missing.
        position: Its offset in the text, in characters.
    """

    def __init__(
        self, sentence: str, *, word: str = "", position: int = 0, field: str | None = None
    ) -> None:
        super().__init__(sentence, field=field)
        self.word = word
        self.position = position


@dataclass(frozen=True, slots=True)
class AskedLora:
    """A LoRA that a person asked for.

    Attributes:
        name: In lower case, perhaps of none that is listed.
        lora_scale: Its weight, -2 to 2; None leaves that to whoever lists it.
    """

    name: str
    lora_scale: float | None = None

    def __str__(self) -> str:
        """As it is typed."""
        if self.lora_scale is None:
            return self.name
        short = f"{self.lora_scale:g}"
        return f"{self.name}:{short if float(short) == self.lora_scale else self.lora_scale}"


@dataclass(frozen=True, slots=True)
class ImagineCommand:
    """A picture as a person asked for it, before presets and defaults fill it in.

    None means that the person did not say. Among changes (`AgainCommand`, `SettingsCommand`)
    an empty prompt means the same.

    Attributes:
        prompt: Without outer white space.
        preset: Name in lower case, perhaps of no preset.
        num_inference_steps: 1 to 50.
        width: Pixels, a multiple of 16 from 64 to 2048; given together with `height`.
        height: Likewise.
        aspect_ratio: Width to height, such as (16, 9), instead of both; see `fit_size`.
        guidance_scale: 0 to 30.
        seed: 0 <= seed < 2**32.
        images: 1 to 16.
        strength: 0 to 1; of a preset with several ControlNets perhaps one for each.
        negative_prompt: Empty means that the person wants none.
        control_guidance_start: Share of the steps after which a ControlNet begins; likewise.
        control_guidance_end: Share of the steps after which it ends; likewise.
        crop_x: Which part of an attached picture that is wider is kept, from 0, the left, to 1;
            given together with `crop_y`.
        crop_y: Likewise, from 0, the top.
        mask: Part of the attached picture that is drawn anew: one of `generation.types.REGIONS`,
            or numbers of its nine fields, "1,2,5".
        outpaint: How far the attached picture is continued: "25%" on every side, or sides with a
            share each, "left:25%,top:10%"; shares are of the picture's width or height.
        loras: LoRAs beside that of the preset, each once; empty means that the person wants none.
        draft: Whether it is a draft: with few steps and pixels, from which `FinalCommand` makes a
            picture with those that are asked for here.
        is_map: Whether attached pictures are control maps themselves.
    """

    prompt: str = ""
    preset: str | None = None
    num_inference_steps: int | None = None
    width: int | None = None
    height: int | None = None
    aspect_ratio: tuple[int, int] | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    images: int | None = None
    strength: Numbers | None = None
    negative_prompt: str | None = None
    control_guidance_start: Numbers | None = None
    control_guidance_end: Numbers | None = None
    crop_x: float | None = None
    crop_y: float | None = None
    mask: str | None = None
    outpaint: str | None = None
    loras: tuple[AskedLora, ...] | None = None
    draft: bool | None = None
    is_map: bool | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options that the person gave: field to value, in the table's order."""
        values = {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PromptCommand:
    """A picture whose prompt was filled into a field of its own. There, too, "same, at night" goes
    on from the last picture, and braces have alternatives; no other word is a verb.

    Attributes:
        repeat: Times that each is drawn.
        presets: Presets that each is drawn with, in the place of that in `asked`.
    """

    asked: ImagineCommand
    repeat: int = 1
    presets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PresetsCommand:
    """List the presets."""


@dataclass(frozen=True, slots=True)
class LorasCommand:
    """List the LoRAs that may be asked for."""


@dataclass(frozen=True, slots=True)
class ModelsCommand:
    """List the models that pictures are drawn with."""


@dataclass(frozen=True, slots=True)
class HistoryCommand:
    """List the person's pictures, or only those that *words* ask for: words of the prompt, and
    filters (see `bot.commands.history`), or an id. Pages count from 1."""

    words: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class ShowCommand:
    """Show a job again; with a number one of its pictures, where others may see it too."""

    job_id: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class HowCommand:
    """Tell how a picture was made."""

    job_id: str


@dataclass(frozen=True, slots=True)
class InspectCommand:
    """Tell what a picture says about itself: the one that came along, or that of a job."""

    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class AgainCommand:
    """Draw a job again, perhaps with changes; without an id the latest.

    Attributes:
        vary: Whether with a new seed in any case.
        number: Number (from 1) of the only picture to draw; None for all.
        same: Whether exactly these pixels are wanted, which are shown again where they are still
            there.
    """

    job_id: str | None = None
    changes: ImagineCommand = field(default=ImagineCommand())
    vary: bool = False
    number: int | None = None
    same: bool = False


#: How far a variation goes from its picture.
Variation = Literal["subtle", "strong"]


@dataclass(frozen=True, slots=True)
class Member:
    """One job of a series.

    Attributes:
        repeat: Times that the same was drawn before it in the series.
    """

    command: ImagineCommand | AgainCommand
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class SeriesCommand:
    """Several jobs, which are asked for, paid for and shown together."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class AnswerCommand:
    """Say yes or no to what the bot has proposed.

    Attributes:
        code: Which proposal.
    """

    code: str
    is_yes: bool = True


@dataclass(frozen=True, slots=True)
class VaryCommand:
    """Draw a variation of one picture of a job; without an id of the latest.

    Attributes:
        number: Number (from 1) of the picture; without one the only picture, or all with new seeds.
        how: How far it goes; None leaves that to the preset.
    """

    job_id: str | None = None
    number: int | None = None
    how: Variation | None = None


@dataclass(frozen=True, slots=True)
class UpscaleCommand:
    """Draw a larger version of one picture (from 1) of a job."""

    job_id: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class EditCommand:
    """Change a picture as words say: the one that comes along, or one of an earlier job.

    Attributes:
        asked: Its prompt is what to change.
        job_id: None means the picture that comes along, or else the latest.
        number: Number (from 1) of the picture; needed where the job has several.
        repeat, presets: As in `PromptCommand`.
    """

    asked: ImagineCommand
    job_id: str | None = None
    number: int | None = None
    repeat: int = 1
    presets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FinalCommand:
    """Draw the final picture of a draft; without an id of the latest.

    Attributes:
        number: Number (from 1) of the only picture to draw; None for all.
    """

    job_id: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class OpinionCommand:
    """Call the pictures of a job good or bad; only numbers are kept of it."""

    job_id: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class VoteCommand:
    """Vote for one picture (from 1) of a job that somebody else asked for, or take that back."""

    job_id: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class QuotaCommand:
    """Show the person's credits."""


@dataclass(frozen=True, slots=True)
class QueueCommand:
    """Show the queue."""


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """Cancel a job; without an id the latest that has not ended.

    Attributes:
        is_whole: Whether with it all of its series that have not ended.
    """

    job_id: str | None = None
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class FavouriteCommand:
    """Make a picture a favourite of the person's, or no longer; without *is_on* the other of what
    it is."""

    job_id: str
    is_on: bool | None = True


@dataclass(frozen=True, slots=True)
class ShareCommand:
    """Let whoever has the link of a picture see it, or no longer."""

    job_id: str
    is_on: bool = True


@dataclass(frozen=True, slots=True)
class SendCommand:
    """Send the pictures of a job to the person directly, with seed and settings."""

    job_id: str


@dataclass(frozen=True, slots=True)
class DeleteCommand:
    """Delete the pictures of a job that has ended."""

    job_id: str


@dataclass(frozen=True, slots=True)
class SettingsCommand:
    """Show the person's defaults (without changes), change them, or forget them all.

    Attributes:
        is_reset: Whether all earlier defaults are forgotten.
        is_private: Whether only the person may see their pictures, on platforms that can do that.
        is_complete: Whether `changes` replace all earlier defaults but the settings below and
            `is_private`, as from a form that shows all others.
        notify: When to tell them that a picture is done.
        showcase: Whether others may vote for their pictures, which may be shown among the best.
        remix: Whether others may build on their pictures.
    """

    changes: ImagineCommand | None = None
    is_reset: bool = False
    is_private: bool | None = None
    is_complete: bool = False
    notify: Notify | None = None
    showcase: bool | None = None
    remix: bool | None = None

    @property
    def beside(self) -> dict[str, Any]:
        """The settings that are no defaults of a picture, as far as they are said."""
        values = {"notify": self.notify, "showcase": self.showcase, "remix": self.remix}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def is_question(self) -> bool:
        """Whether the command changes nothing."""
        return self == SettingsCommand()


@dataclass(frozen=True, slots=True)
class ExpandCommand:
    """Propose richer words for a prompt.

    Attributes:
        job_id: A picture whose words are meant, if it is one and `asked` are words too; or else
            `code`, of an earlier proposal, or `asked`.
        axes: What more is said about: ``camera``, ``light``, ``mood``, ``style``; all where empty.
    """

    job_id: str = ""
    code: str = ""
    asked: ImagineCommand = field(default=ImagineCommand())
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreferCommand:
    """List one's own words, keep some, or remove some.

    Attributes:
        name: ``suffix``, or the name of a shortcut in lower case.
        text: The words to keep.
    """

    action: Literal["list", "keep", "remove"] = "list"
    name: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class MyDataCommand:
    """Hand over, or delete, everything that is kept about the person.

    Attributes:
        is_confirmed: Whether they have said that it is to be deleted for good.
    """

    action: Literal["export", "delete"]
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class LinkCommand:
    """Join the person's accounts: have a code, type one, or say yes or no to being joined.

    Attributes:
        code: The code that is typed; where yes or no is said, the one of the question, or empty
            for the only question there is.
    """

    action: Literal["offer", "type", "yes", "no"] = "offer"
    code: str = ""


@dataclass(frozen=True, slots=True)
class UnlinkCommand:
    """Let an account (``platform:id``) be by itself again; the one that says it, where it is
    empty."""

    account: str = ""


@dataclass(frozen=True, slots=True)
class HelpCommand:
    """Show help, on one of `TOPICS` or in general; in a few words to somebody who *is_greeting*."""

    topic: str | None = None
    is_greeting: bool = False


@dataclass(frozen=True, slots=True)
class ThanksCommand:
    """Take thanks or praise, or with *is_farewell* a goodbye, and draw nothing."""

    is_farewell: bool = False


@dataclass(frozen=True, slots=True)
class ReportCommand:
    """Report a picture to moderators."""

    job_id: str
    reason: str = ""


#: Commands that a picture may come along with.
WITH_PICTURES = (ImagineCommand, SeriesCommand, InspectCommand, EditCommand)

Command = (
    (ImagineCommand | PromptCommand | AgainCommand | VaryCommand | UpscaleCommand | FinalCommand)
    | (SeriesCommand | AnswerCommand | PreferCommand | ExpandCommand | EditCommand)
    | (ShowCommand | HowCommand | HistoryCommand | CancelCommand | DeleteCommand)
    | (ReportCommand | ThanksCommand | OpinionCommand | FavouriteCommand)
    | (ShareCommand | VoteCommand | SendCommand)
    | (PresetsCommand | LorasCommand | ModelsCommand | QuotaCommand | QueueCommand)
    | (SettingsCommand | HelpCommand)
    | (InspectCommand | MyDataCommand | LinkCommand | UnlinkCommand | AdminCommand)
)
