"""Sentences of refusals on a platform, before the bot knows the person's request.

Each constant is a key of the translations; `bot.replies.error_sentence` says it, as any other
error, in the language of the person who asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from bot import reasons
from bot.jobs import Job, JobStatus
from bot.languages import ENGLISH, Language
from bot.refusals import Conflict, NotAccepting, NotAllowed, NotFound, StorageTrouble, TooOften
from generation.errors import FluxbotError, GenerationError, InvalidImage, InvalidRequest
from generation.types import REGIONS


class Sentence(StrEnum):
    """A refusal without figures."""

    NOT_YOURS = "only the person who asked for this picture, or an admin, may do that"
    OUR_FAULT = "something went wrong on our side; nothing was charged"
    FILTERED = "the server's filter blocked my answer"
    BUSY = "the bot is busy; please try again"
    NO_PICTURE_THERE = "there is no picture in that message"
    NOTHING_ABOVE = "there is no picture further up in this conversation: attach one"
    NOT_OURS = "I did not draw that"
    NO_EDITOR = (
        "no preset here changes a picture by words: whoever runs me can add one with a model for"
        " that, such as FLUX.1-Kontext-dev"
    )
    NO_INPAINTER = (
        "no preset here draws a part of a picture anew: whoever runs me can add one that inpaints"
    )
    NO_FIELD = "press one of the nine fields at least, so that I know where to draw"
    NO_TAKER = "no preset here draws from a picture; an admin can add one"
    FORM_IS_LATE = "the form could not be opened in time; please try again"
    NOT_IN_A_SERVER = "that can only be done in a server"
    OTHER_SERVER = "I only draw in certain servers, and this is none of them"
    NO_DIRECT_MESSAGES = "I do not draw in direct messages: ask me in a server"
    NOT_INSTALLED_HERE = "I only draw in servers that have added me"
    NO_ROLE = "drawing needs a role that you do not have here"
    EXTERNAL = "I only draw for people of this workspace"
    EDITED = "you changed your message, and its new words are drawn instead"
    EDITED_TOO_LATE = (
        "this picture is drawn from the words as you first wrote them; write again for another one"
    )
    NO_PROMPT = "the prompt is empty: say what to draw"
    STORED_ELSEWHERE = "the file is stored somewhere else: attach it from your own device"
    FILE_IS_GONE = "the file is gone: attach it again"
    HELD = "a moderator looks at this picture before anybody sees it"
    NO_PAGE = "nothing can be shared, since the bot has no page that others can open"
    HIDDEN = "this picture is hidden, and cannot be shared"
    NOT_FETCHED = "the file could not be fetched: attach it again"
    LED_AWAY = "Slack leads elsewhere for this file, where I do not follow: attach another one"
    UNKNOWN_CODE = "there is no such code, or no longer: write link on the other side for a new one"
    OWN_CODE = "that is your own code: type it where I know you by another account"
    ONE_ALREADY = "these two accounts are joined already"
    NOTHING_ASKED = "there is nothing to say yes or no to, or no longer: write link for a new code"
    NOT_JOINED = "this account is joined with no other"
    NOT_YOUR_ACCOUNT = "that account is not joined with this one"
    ONE_IS_BANNED = "one of the two is banned from drawing, so they are not joined"
    ONE_IS_LEAVING = "the data of one of the two is being deleted: one moment, please"
    TOO_MANY_SELVES = "these would be too many accounts: 8 can be joined at most"
    NO_PROPOSAL = "there is nothing to say yes or no to, or no longer: ask for it again"
    MAY_NOT_SHOW = (
        "I need the files:write permission to show pictures: an admin of the workspace must"
        " install the app anew"
    )
    MAY_NOT_READ = (
        "I need the files:read permission to see your picture: an admin of the workspace must"
        " install the app anew"
    )
    NO_EXPANSION = "the operator has named no language model that could expand prompts here"
    EXPANSION_IS_SLOW = (
        "the language model took too long; nothing was drawn, and nothing charged: try again"
    )
    EXPANSION_FAILS = (
        "the language model does not answer as it should; nothing was drawn, and nothing charged"
    )
    EXPANSION_IS_NO_PROMPT = (
        "the language model gave no words that can be drawn; nothing was charged: try again"
    )
    RELAXED = "Relaxed: drawn when nobody else waits, at no charge."
    TOO_MANY_RELAXED = (
        "too many pictures wait to be drawn at no charge: try again in a little while, or once you"
        " have credits again"
    )


class Hint(StrEnum):
    """A sentence beside a button or a field."""

    DELETES = "This deletes the picture here and in the history; its credits are not given back."
    FOR_PRESETS = "For presets that need one."
    FURTHER = "Say in your words what to take of each."
    PRIVATE = "Show the picture only to you"
    SPOILER = "The filter took this for a picture that not everybody wants to see."
    PICK = "Pick one to go on with it."
    CHOOSE_A_TAKER = "Choose a preset that takes a picture."
    TOP_LEFT = "Top left corner"
    TOP = "Top half"
    TOP_RIGHT = "Top right corner"
    LEFT = "Left half"
    CENTER = "Center"
    RIGHT = "Right half"
    BOTTOM_LEFT = "Bottom left corner"
    BOTTOM = "Bottom half"
    BOTTOM_RIGHT = "Bottom right corner"
    IS_MAP = "The picture is a map already"
    FIELDS = "Press the fields that are to be drawn anew, one or several."
    SAME = "Exactly these pixels, free while they are there"


#: Labels of the parts of a picture, by the names that people type.
REGION_LABELS: dict[str, Hint] = {name: Hint[name.replace("-", "_").upper()] for name in REGIONS}


def our_fault() -> FluxbotError:
    """The error for a fault of the bot's own; the log has the details."""
    return FluxbotError(Sentence.OUR_FAULT)


def filtered() -> FluxbotError:
    """The error for an answer that a filter of the platform blocks."""
    return FluxbotError(Sentence.FILTERED)


def not_yours() -> NotAllowed:
    """The error for cancelling or deleting the picture of somebody else."""
    return NotAllowed(Sentence.NOT_YOURS)


def busy() -> StorageTrouble:
    """The error for a database that does not answer while a platform waits."""
    return StorageTrouble(Sentence.BUSY)


def no_picture_there() -> NotFound:
    return NotFound(Sentence.NO_PICTURE_THERE)


def not_ours() -> NotFound:
    return NotFound(Sentence.NOT_OURS)


def no_editor() -> NotFound:
    """The error for a picture to change by words, where no preset does that."""
    return NotFound(Sentence.NO_EDITOR, field="preset")


def no_inpainter() -> NotFound:
    """The error for a part of a picture to draw anew, where no preset does that."""
    return NotFound(Sentence.NO_INPAINTER, field="preset")


def no_field() -> FluxbotError:
    """The error for words without a field to draw them in."""
    return FluxbotError(Sentence.NO_FIELD)


def no_taker() -> FluxbotError:
    """The error for a picture to draw from, where no preset takes one."""
    return FluxbotError(Sentence.NO_TAKER)


def not_in_a_server() -> NotFound:
    """The error of what concerns a server, where there is none."""
    return NotFound(Sentence.NOT_IN_A_SERVER)


def other_server() -> NotAllowed:
    return NotAllowed(Sentence.OTHER_SERVER)


def no_direct_messages() -> NotAllowed:
    return NotAllowed(Sentence.NO_DIRECT_MESSAGES)


def not_installed_here() -> NotAllowed:
    return NotAllowed(Sentence.NOT_INSTALLED_HERE)


def no_role() -> NotAllowed:
    return NotAllowed(Sentence.NO_ROLE)


def external() -> NotAllowed:
    """The error for people of other organisations in a channel that is shared with them."""
    return NotAllowed(Sentence.EXTERNAL)


def may_not_show() -> NotAllowed:
    """The error for a workspace that has not given the permission to show pictures."""
    return NotAllowed(Sentence.MAY_NOT_SHOW)


def out_of_reach(platform: str, reason: str) -> NotAllowed:
    """The error for a person on *platform*, which no longer lets the bot in for *reason*."""
    return NotAllowed(reasons.unreachable(platform, reason, ENGLISH))


def installed(name: str, say: Language) -> str:
    """The end of installing the app in the workspace *name*."""
    return say(
        "{name} has the bot now. Invite it to a channel, and mention it with what you would like"
        " to see.",
        name=name,
    )


def not_installed(say: Language) -> str:
    """The end of an installation that went wrong."""
    return say("That did not work, and the bot is not installed. Please try again.")


def not_allowed_to_install(say: Language) -> str:
    """The end of an installation that somebody has refused."""
    return say("The bot was not allowed in, and is not installed.")


def installed_too_late(say: Language) -> str:
    """The end of an installation that another browser has begun, or long ago."""
    return say("That took too long, or was begun in another browser. Please try again.")


def uninvited(say: Language) -> str:
    """The end of an installation in a workspace that the operator does not want."""
    return say("This bot is for certain workspaces, and yours is none of them.")


def form_is_late() -> FluxbotError:
    return FluxbotError(Sentence.FORM_IS_LATE)


def edited_too_late() -> Conflict:
    """The error for new words of a message whose picture is drawn already."""
    return Conflict(Sentence.EDITED_TOO_LATE)


def no_prompt() -> FluxbotError:
    return FluxbotError(Sentence.NO_PROMPT, field="prompt")


def form_is_old(prompt: str, say: Language) -> FluxbotError:
    """The error for a form that comes after it was forgotten, by a restart or for its age. It has
    *prompt* in it, which would be lost otherwise."""
    sentence = say("this form is too old, or the bot was restarted meanwhile: please open it again")
    if prompt:
        sentence = say("{notice}. You had written: {prompt}", notice=sentence, prompt=prompt)
    return FluxbotError(sentence)


def more_presets(names: Sequence[str], say: Language) -> str:
    """A hint beside a menu of presets that has no room for *names*."""
    return say(
        "{count} more: name one under Options, as in --preset {name}",
        count=len(names),
        name=names[0],
    )


def cannot_post(permissions: Iterable[str], say: Language) -> NotAllowed:
    """The error for a place where the bot may not show pictures; *permissions* are the missing
    ones, in the platform's words."""
    return NotAllowed(
        say(
            "I could not post the picture here: I lack the permission {permissions} in this"
            " channel. An admin can give it to me; with private: True you alone see the picture",
            permissions=", ".join(permissions),
        )
    )


def unreadable(sentence: Sentence) -> InvalidImage:
    """The error for an attached file, for the reason *sentence*."""
    return InvalidImage(sentence, field="control_image")


def too_large(size: int, max_bytes: int) -> InvalidImage:
    """The error for an attached file of *size* bytes."""
    return InvalidImage(
        f"the file has {size / 1e6:.1f} MB; at most {max_bytes / 1e6:g} MB are allowed:"
        " send a smaller one",
        field="control_image",
    )


def wrong_kind(kind: str) -> InvalidImage:
    """The error for an attached file of the MIME type *kind*."""
    return InvalidImage(
        f"the attached file is {kind[:60]}; attach a PNG, JPEG or WebP", field="control_image"
    )


def too_many(count: int, most: int) -> InvalidImage:
    """The error for *count* attached files, of which *most* could be used."""
    return InvalidImage(
        f"{count} files are attached, and {most} at most can be used: send fewer",
        field="control_image",
    )


def not_handed_out(platform: str, status: int) -> InvalidImage:
    """The error for an attached file that *platform* answers with an HTTP *status*."""
    return InvalidImage(
        f"{platform} did not hand out the file (HTTP {status})", field="control_image"
    )


def no_longer_kept() -> NotFound:
    """The error for a picture that is deleted while it is fetched."""
    return NotFound("the picture was deleted for its age; `again` draws it again")


def nothing_above() -> NotFound:
    """The error for a picture above that is asked for, where there is none."""
    return NotFound(Sentence.NOTHING_ABOVE, field="control_image")


def too_much_to_look_for(length: int, most: int) -> InvalidRequest:
    """The error for a history by words and filters that have *length* characters together."""
    return InvalidRequest(
        f"words and filters have {length} characters together; at most {most} fit: use fewer words",
        field="words",
    )


def too_many_streams(most: int) -> TooOften:
    """The error of a person who follows jobs in more than *most* places at once."""
    return TooOften(f"you have {most} streams open: close a tab of the page", retry_in=30)


def restarting(job: Job) -> NotAccepting:
    """The error for a request that waits for *job* while the bot ends."""
    return NotAccepting(
        f"the bot is restarting; your picture is still being made: ask for job {job.id}"
    )


def not_drawn(job: Job) -> GenerationError:
    """The error for *job*, which has failed."""
    return GenerationError(job.error or "the picture could not be made")


def held(job: Job | None = None) -> Conflict:
    """The error for a picture that moderators have not decided about; *job* where a request has
    waited for it."""
    if job is None:
        return Conflict(Sentence.HELD)
    return Conflict(f"{Sentence.HELD}; ask for job {job.id} later")


def hidden() -> Conflict:
    """The error for sharing a picture that is hidden until somebody wants to see it."""
    return Conflict(Sentence.HIDDEN)


def no_page() -> Conflict:
    """The error for a link to a page that nobody could open."""
    return Conflict(Sentence.NO_PAGE)


def check_drawn(job: Job) -> None:
    """Raise the error for a request that waited for *job*, where it is held, or has ended without
    a picture."""
    if job.status is JobStatus.HELD:
        raise held(job)
    if job.status is JobStatus.FAILED:
        raise not_drawn(job)
    if job.status is not JobStatus.SUCCEEDED:
        raise was_cancelled(job)


def was_cancelled(job: Job) -> Conflict:
    """The error for a request that waited for *job*, which somebody has cancelled."""
    if job.refunded < job.cost:
        return Conflict(
            f"the job was cancelled; {job.refunded} of its {job.cost} credits were given back"
        )
    return Conflict("the job was cancelled; its credits were given back")
