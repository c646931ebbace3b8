"""Sentences of the bot, in plain text for all platforms; a refusal brings its own.

Adapters add features of their platform (bold type, buttons, a picture), but no sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot import lineage
from bot.audit_log import Act
from bot.commands import (
    ADMIN_USAGES,
    DRAWING,
    EXAMPLE,
    VERBS,
    WORDS,
    ImagineCommand,
    render,
)
from bot.jobs import Job, JobStatus, Progress
from bot.languages import ENGLISH, Language, in_words
from bot.ledger import QuotaStatus
from bot.loras import asked_of
from bot.moderation import Asker
from bot.origins import kind_of_group
from bot.own_data import Deletion
from bot.reports import Reported
from bot.requests import keeps_seed, recipe
from bot.sections import Quota
from bot.sentences import Sentence
from bot.series import Shown
from bot.views import EngineView
from generation.checks import public_name
from generation.errors import FluxbotError
from generation.types import Preset


def progress_line(
    job: Job,
    progress: Progress,
    say: Language = ENGLISH,
    *,
    when: Callable[[float], str] | None = None,
) -> str:
    """Progress of *job* in one line, for a message that is edited.

    Args:
        when: Words for the start, from the seconds until then; by default "in about 3 minutes".
    """
    if progress.status is JobStatus.QUEUED:
        place = _place(progress, say, when)
        note = say(progress.note)
        return f"{place}: {note}" if note else place
    if progress.status is JobStatus.HELD:
        note = say(Sentence.HELD)
        return note[:1].upper() + note[1:]
    if progress.status is JobStatus.RUNNING:
        steps = job.request.steps_taken
        if progress.note:
            note = say(progress.note)
            return note[:1].upper() + note[1:]
        if progress.step >= steps and progress.picture >= job.images:
            return say("Almost done: saving the picture")
        if job.images > 1:
            return say(
                "Drawing picture {picture} of {images}, step {step} of {steps}",
                picture=progress.picture,
                images=job.images,
                step=progress.step,
                steps=steps,
            )
        return say("Drawing step {step} of {steps}", step=progress.step, steps=steps)
    if progress.status in (JobStatus.FAILED, JobStatus.CANCELLED) and job.error:
        return _and_pictures(say("Not drawn: {reason}", reason=say(job.error)), job, say)
    if progress.status is JobStatus.CANCELLED:
        if job.steps_drawn and job.refunded < job.cost:
            return _and_pictures(say("Cancelled: {kept}", kept=_kept(job, say)), job, say)
        return say("Cancelled; your credits were given back")
    return summary(job, say)


def _and_pictures(line: str, job: Job, say: Language) -> str:
    """*line*, on a job that ended early, and what it has to show all the same."""
    if not job.ready:
        return line
    stay = say(
        "{count} of {images} pictures are there to stay, and paid for",
        count=len(job.ready),
        images=job.images,
    )
    return f"{line}{say.full_stop} {stay}"


def _place(progress: Progress, say: Language, when: Callable[[float], str] | None) -> str:
    if progress.position == 0:
        return say("Next in the queue")
    if progress.wait is None:
        return say("Queued, {position} ahead of you", position=progress.position)
    if when is None:
        start = say("in about {time}", time=in_words(progress.wait, say))
    else:
        start = when(progress.wait)
    return say(
        "Queued, {position} ahead of you, starts {start}",
        position=progress.position,
        start=start,
    )


def summary(job: Job, say: Language = ENGLISH) -> str:
    """Facts of a picture: preset, steps, size, seed and drawing time."""
    request = job.request
    parts = [
        request.preset,
        say.counted(request.num_inference_steps, "1 step", "{count} steps"),
        f"{request.width}×{request.height}",
        say("seed {seed}", seed=request.seed),
        *map(str, asked_of(request) or ()),
    ]
    if job.images > 1:
        parts.insert(0, say.counted(job.images, "1 picture", "{count} pictures"))
    if request.is_draft:
        parts.insert(0, say("draft"))
    if job.seconds is not None:
        parts.append(f"{job.seconds:.1f} s")
    return " · ".join(parts)


def inherited(last: Job, changes: ImagineCommand, vary: bool = False) -> str:
    """A sentence on settings that a new picture takes from *last*, unless *changes* set them."""
    request, said = last.request, changes.options
    parts = [f"preset {request.preset}"] if "preset" not in said else []
    if not {"width", "height", "aspect_ratio"} & set(said):
        parts.append(f"{request.width}×{request.height}")
    if not vary and "seed" not in said and keeps_seed(last, changes):
        parts.append(f"seed {request.seed}")
    if "loras" not in said:
        parts += map(str, asked_of(request) or ())
    if request.control_image is not None and "preset" not in said:
        parts.append("its control image")
    return f"Builds on {last.id} and keeps {', '.join(parts) or 'its prompt'}."


def how(job: Job, say: Language = ENGLISH) -> str:
    """The recipe of a picture, with the words to type to have it again."""
    request = job.request
    command = recipe(request, job.images)
    lines = [render(command), f"{job.id} · {summary(job, say)} · {public_name(request.model)}"]
    if request.control_image is not None:
        lines.append(say("It also follows a control image."))
    if made := lineage.line(job.parent, job.relation, say):
        lines.append(made[:1].upper() + made[1:] + say.full_stop)
    return "\n".join((*lines, *map(say, job.remarks)))


def alternative(job: Job, say: Language = ENGLISH, *, is_unfinished: bool = False) -> str:
    """A picture of *job* in words, for people who do not see it; it says that AI has made it."""
    if is_unfinished:
        return say("Being made by AI: {prompt}", prompt=job.request.prompt)
    return say("Made by AI: {prompt}", prompt=job.request.prompt)


def bar(share: float, length: int = 12) -> str:
    """A bar of *length* characters, filled up to *share*, 0 to 1."""
    done = min(length, round(share * length))
    return "▰" * done + "▱" * (length - done)


def error_sentence(error: FluxbotError, say: Language = ENGLISH) -> str:
    """The error in the words that people type: "steps", not "num_inference_steps"."""
    sentence = say(str(error))
    if error.field in WORDS:
        sentence = sentence.replace(error.field, WORDS[error.field])
    stop = "" if sentence.endswith((".", "!", "?", "。", "？", "」")) else say.full_stop
    return sentence[:1].upper() + sentence[1:] + stop


def quota(status: QuotaStatus, say: Language = ENGLISH) -> str:
    """The credits of a person."""
    sentences = [
        say(
            "{left} credits left: {used} of {credits} used in {window}.",
            left=status.left,
            used=status.used,
            credits=status.credits,
            window=in_words(status.window_seconds, say),
        )
    ]
    if status.granted:
        sentences.append(say("{granted} were granted by an admin.", granted=status.granted))
    if status.resets_in is not None:
        time = in_words(status.resets_in, say)
        sentences.append(say("The first of them come back in {time}.", time=time))
    return " ".join(sentences)


def presets(by_name: Mapping[str, Preset], default: str, say: Language = ENGLISH) -> str:
    """The presets, a line each."""
    lines = []
    for preset in by_name.values():
        notes = []
        if preset.name == default:
            notes.append(say("the default"))
        if preset.needs_image:
            notes.append(say("attach a picture"))
        note = f" ({', '.join(notes)})" if notes else ""
        description = say(preset.description) if preset.description else say("no description")
        lines.append(f"{preset.name}{note}: {description}")
    return "\n".join(lines)


def presets_for_admins(
    by_name: Mapping[str, Preset],
    disabled: Collection[str],
    loaded: Mapping[str, int],
    models: Mapping[str, str],
) -> str:
    """The presets with their weights, and the bytes of these in memory; *models* has the repository
    of the model of each."""
    used = dict.fromkeys(models.values())
    lines = [f"{each}: {_in_memory(each, loaded)}" for each in used]
    for preset in by_name.values():
        parts = [name for name, _ in preset.kind.weights]
        parts += [preset.lora] if preset.lora else []
        parts += [preset.model] if preset.model else []
        made_with = [f"{part} ({_in_memory(part, loaded)})" for part in parts]
        off = " (switched off)" if preset.name in disabled else ""
        lines.append(f"{preset.name}{off}: {', '.join(made_with) or 'the model alone'}")
    return "\n".join(lines)


def _in_memory(repository: str, loaded: Mapping[str, int]) -> str:
    if repository not in loaded:
        return "not loaded"
    return f"{loaded[repository] / 1e9:.2f} GB in memory"


def group_quota(group: str, credits: int | None, configured: Quota) -> str:
    """The quota of a role or a server."""
    window = in_words(configured.window_hours * 3600)
    if kind_of_group(group) == "server":
        limit = "no limit of its own" if credits is None else f"{credits} credits for {window}"
        return f"{group}: all people there together have {limit}."
    if credits is None:
        return f"{group}: its members have the usual quota, {configured.credits} credits."
    return f"{group}: each of its members has {credits} credits for {window}."


def channels(platform: str, allowed: Iterable[str]) -> str:
    """The only channels of a server in which people may draw, as ``platform-channel:id``."""
    names = ", ".join(f"{platform}-channel:{id}" for id in allowed)
    if not names:
        return "I may be used in every channel of this server."
    return f"I may only be used in these channels: {names}"


def cancelled(job: Job, say: Language = ENGLISH) -> str:
    """The answer to the person who has cancelled *job*."""
    if job.steps_drawn and job.refunded < job.cost:
        return say("{id} is cancelled: {kept}.", id=job.id, kept=_kept(job, say))
    return say("{id} is cancelled; your credits were given back.", id=job.id)


def _kept(job: Job, say: Language) -> str:
    """The credits of a cancelled job, those of steps that were drawn and the others."""
    return say(
        "{drawn} of {steps} steps were drawn (credits: {kept} kept, {refunded} given back)",
        drawn=job.steps_drawn,
        steps=job.steps,
        kept=job.cost - job.refunded,
        refunded=job.refunded,
    )


def ask_to_delete(others: Sequence[str] = (), say: Language = ENGLISH) -> str:
    """The question before everything of a person is deleted; *others* are the accounts that are
    joined with theirs."""
    question = say(
        "This deletes your pictures, the pictures you attached, your prompts and your"
        " settings, for good. Jobs of yours that are not done are cancelled. Credits that"
        " you have spent stay spent."
    )
    if others:
        joined = ", ".join(others)
        question += " " + say("So it does for {accounts}, joined with this one.", accounts=joined)
    return "\n".join([question, say("To go on: {command}", command="mydata delete --yes")])


def deletion(deleted: Deletion, say: Language = ENGLISH) -> str:
    """The answer to a person who has deleted everything of theirs."""
    requests = say.counted(deleted.jobs, "1 request", "{count} requests")
    sentences = [
        say("Your data is deleted: {requests}, with words and pictures.", requests=requests)
    ]
    if deleted.messages_left:
        sentences.append(
            say.counted(
                deleted.messages_left,
                "1 message of mine is left, which I cannot delete here.",
                "{count} messages of mine are left, which I cannot delete here.",
            )
        )
    if day := deleted.last_day_in_backups:
        sentences.append(say("Backups that still have it are gone by {day}.", day=day))
    return " ".join(sentences)


def too_large_to_send(pictures: int, say: Language = ENGLISH) -> str:
    """A sentence on pictures that an export lacks."""
    return say.counted(
        pictures,
        "1 picture is too large, or one too many, to be sent here.",
        "{count} pictures are too large, or too many, to be sent here.",
    )


def audit(entries: Iterable[Act]) -> str:
    """The acts of admins, a line each, newest first."""
    lines = []
    for entry in entries:
        when = datetime.fromtimestamp(entry.made_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        what = " ".join(part for part in (entry.act, entry.subject, entry.detail) if part)
        lines.append(f"{when} · {entry.admin} · {what}")
    return "\n".join(lines) or "No admin has done anything yet."


def exported_acts(lines: str) -> str:
    """The sentence beside a file of acts, one a line."""
    count = lines.count("\n")
    return (
        f"Here are the latest {counted(count, 'act')} of admins as JSON lines, newest first; the"
        " operator has all of them with: python -m bot audit --json"
    )


def dead_letters(jobs: Iterable[Job]) -> str:
    """Jobs that were given up and can be replayed, a line each, oldest first."""
    lines = [
        f"{job.id} · {job.user} · {job.attempts} attempts, {job.engine_losses} times the engine"
        f" died · {short(job)}"
        for job in jobs
    ]
    return "\n".join(lines) or "No job was given up."


def held(jobs: Iterable[Job]) -> str:
    """Pictures that wait for moderators, a line each, oldest first."""
    lines = [f"{job.id} · {job.user} · {job.verdict or 'no note'} · {short(job)}" for job in jobs]
    return "\n".join(lines) or "No picture is held."


def strikes(user: str, times: Iterable[float]) -> str:
    """The strikes of *user*, newest first; *times* are unix seconds."""
    lines = [f"{datetime.fromtimestamp(each, UTC):%Y-%m-%d %H:%M UTC}" for each in times]
    return f"{user} has {counted(len(lines), 'strike')}{': ' if lines else ''}{', '.join(lines)}."


def queue(
    waiting: int,
    running: int,
    mine: Iterable[Job],
    why_not: str = "",
    say: Language = ENGLISH,
) -> str:
    """The queue as one person sees it; *why_not* says why nothing is drawn, if nothing
    is, in their language."""
    lines = [f"{job.id} · {progress_line(job, job.progress, say)} · {short(job)}" for job in mine]
    return "\n".join(
        [
            *(
                [say("No pictures are being drawn right now: {reason}.", reason=why_not)]
                if why_not
                else []
            ),
            say(
                "{pictures} being drawn, {waiting} waiting.",
                pictures=say.counted(running, "1 picture", "{count} pictures"),
                waiting=waiting,
            ),
            *(lines or [say("None of them is yours.")]),
        ]
    )


def history(
    jobs: list[Job],
    words: str,
    page: int,
    has_more: bool,
    say: Language = ENGLISH,
    *,
    is_filtered: bool = False,
) -> str:
    """A page of a person's pictures, a line each; *is_filtered* where *words* are more than words
    of prompts."""
    if not jobs:
        if page > 1:
            return say("There is no page {page}.", page=page)
        if is_filtered:
            return say("None of your pictures fits “{words}”.", words=words)
        if words:
            return say("None of your prompts has “{words}” in it.", words=words)
        return say("You have drawn nothing yet.")
    lines = [f"{job.id} · {say(str(job.status))} · {short(job)}" for job in jobs]
    if has_more:
        typed = f"history {words + ' ' if words else ''}--page {page + 1}"
        lines.append(say("More: {command}", command=typed))
    return "\n".join(lines)


def shared(job: Job, address: str, say: Language = ENGLISH) -> str:
    """A sentence about *job*, which is shared at *address*; with an empty one no longer."""
    if address:
        return say(
            "Whoever has this link sees {id}, its prompt and its settings: {address}",
            id=job.id,
            address=address,
        )
    return say("The link of {id} leads nobody but you anywhere now.", id=job.id)


def favourite(job: Job, is_on: bool, say: Language = ENGLISH) -> str:
    """A sentence about *job*, which has become a favourite, or is one no longer."""
    if is_on:
        return say("★ {id} is among your favourites now.", id=job.id)
    return say("☆ {id} is no favourite of yours any more.", id=job.id)


#: When people are told that a picture is done, in words.
NOTIFICATIONS: dict[str, str] = {
    "long": "after a long wait",
    "always": "always",
    "never": "never",
    "dm": "by direct message",
}


def done(job: Shown, say: Language = ENGLISH) -> str:
    """A sentence that calls somebody to *job*, which has ended."""
    if job.status is JobStatus.SUCCEEDED:
        return say.counted(job.images, "Your picture is ready.", "Your {count} pictures are ready.")
    return say("Your picture could not be drawn.")


def settings(user_defaults: Mapping[str, Any], say: Language = ENGLISH) -> str:
    """A person's own defaults."""
    if not user_defaults:
        typed = "settings --preset canny --steps 20"
        return say("You have no defaults of your own. Set some: {command}", command=typed)
    pairs = dict(user_defaults)
    if "width" in pairs and "height" in pairs:
        pairs["size"] = f"{pairs.pop('width')}x{pairs.pop('height')}"
    if "aspect_ratio" in pairs:
        pairs["aspect_ratio"] = ":".join(map(str, pairs["aspect_ratio"]))
    for name in {"private", "showcase", "remix"} & pairs.keys():
        pairs[name] = say("yes") if pairs[name] else say("no")
    if "notify" in pairs:
        pairs["notify"] = say(NOTIFICATIONS[pairs["notify"]])
    values = ", ".join(f"{WORDS.get(name, name)} {value}" for name, value in pairs.items())
    return say("Your defaults: {values}", values=values)


def short(job: Job, length: int = 80) -> str:
    """The prompt on one line."""
    prompt = " ".join(job.request.prompt.split())
    return prompt if len(prompt) <= length else prompt[: length - 1] + "…"


def counted(count: int, noun: str) -> str:
    """*count* with the noun, such as "1 picture" or "2 pictures"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def asker(found: Asker) -> str:
    """Who asked for a picture, for moderators."""
    job, parent = found.job, found.parent
    when = datetime.fromtimestamp(job.submitted_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    place = f" in {job.origin.server}" if job.origin.server else ""
    lines = [
        f"{job.user} asked for {job.id} on {when}{place}, with the preset {job.request.preset}:",
        job.request.prompt,
    ]
    if job.request.negative_prompt:
        lines.append(f"Without: {job.request.negative_prompt}")
    if parent is not None:
        lines.append(f"It was made from {parent.id} of {parent.user}: {short(parent)}")
    record = (
        f"They have {counted(found.pictures, 'picture')} and {counted(found.strikes, 'strike')}"
    )
    lines.append(f"{record}{', and are banned' if found.is_banned else ''}.")
    return "\n".join(lines)


def reported(jobs: Iterable[Reported]) -> str:
    """Reported pictures, a line each, the first reported first."""
    lines = []
    for each in jobs:
        reasons = f": {'; '.join(each.reasons)}" if each.reasons else ""
        lines.append(f"{each.job_id} · {counted(each.count, 'report')}{reasons}")
    return "\n".join(lines) or "No picture is reported."


def stats(day: Mapping[str, float], told: Mapping[str, int], days: int = 1) -> str:
    """Statistics of the last *days*, for admins; *told* are numbers of incidents by kind."""
    window = "24 hours" if days == 1 else f"{days} days"
    return (
        f"In the last {window}: {counted(int(day['jobs']), 'job')} of"
        f" {counted(int(day['people']), 'person').replace('persons', 'people')},"
        f" {day['succeeded']:g} drawn, {day['failed']:g} failed, {day['cancelled']:g} cancelled;"
        f" {day['credits']:g} credits and {in_words(day['seconds'])} of drawing;"
        f" {told['refused']} refused, {told['held']} held, {told['reported']} reported."
    )


def engines(views: Iterable[EngineView]) -> str:
    """What each engine does and has done, a line each, for admins."""
    lines = []
    for each in views:
        why = f", {each.error}" if each.error else ""
        lines.append(
            f"{each}: {each.status}{why}; {counted(each.succeeded, 'job')} drawn,"
            f" {each.failed} failed, {each.lost} lost since the bot started."
        )
    return "\n".join(lines) or "No engine is there."


def first_help(say: Language = ENGLISH) -> str:
    """The first that somebody needs to know, and the way to the rest."""
    example = say("Say what to draw, for example: {words}", words=EXAMPLE)
    return f"{example}\n{say('For everything else: {command}', command='help')}"


def help_text(topic: str | None, size: str, say: Language = ENGLISH) -> str:
    """Help in general, or on one of `bot.commands.TOPICS`; *size*, such as "1024x1024", is the
    model's usual one."""
    example_of = {each.name: each.example for each in DRAWING} | {"size": size}
    verb = next((each for each in VERBS if each.name == topic), None)
    option = next((each for each in DRAWING if each.name == topic and verb is None), None)
    if option is not None:
        names = ", ".join(f"--{name}" for name in (option.name, *option.aliases))
        example = f"{EXAMPLE.split(' --')[0]} --{option.name} {example_of[option.name]}".strip()
        values = f"{say(option.value)}{say.full_stop} " if option.value else ""
        return f"{names}: {values}{say(option.help)}\n" + say("For example: {words}", words=example)
    if topic == "admin":
        return "For admins:\n" + "\n".join(f"  {usage}" for usage in ADMIN_USAGES.values())
    if verb is not None:
        return f"{say(verb.usage)}: {say(verb.help)}"
    options = "\n".join(
        [say("Options, in any order:")]
        + [
            f"  {f'--{each.name} {example_of[each.name]}'.strip()}  {say(each.help)}"
            for each in DRAWING
        ]
    )
    if topic == "options":
        return options
    first = say("Say what to draw, for example: {words}", words=EXAMPLE)
    if topic == "imagine":
        return f"{first}\n{say('imagine in front draws any words.')}"
    verbs = "\n".join(
        [say("Other words to begin with:")]
        + [f"  {say(each.usage)}  {say(each.help)}" for each in VERBS if each.name != "admin"]
    )
    return f"{first}\n\n{options}\n\n{verbs}"
