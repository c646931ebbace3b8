"""What people type, carried out: the same for every platform.

An adapter hands over the text and the attached picture and shows the `Reply`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from bot import replies
from bot.commands import (
    AdminAudit,
    AdminBan,
    AdminCommand,
    AdminDrain,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminResume,
    AdminStats,
    AdminUnban,
    AgainCommand,
    CancelCommand,
    Command,
    CommandError,
    HelpCommand,
    HistoryCommand,
    ImagineCommand,
    PresetsCommand,
    QueueCommand,
    QuotaCommand,
    SettingsCommand,
    ShowCommand,
    parse,
)
from bot.config import ConfigError
from bot.jobs import Job
from bot.origins import NOWHERE, Origin, kind_of_group
from bot.service import Service, Where
from generation.checks import check_text
from generation.errors import FluxbotError, InvalidRequest

PAGE_SIZE = 10

#: "same, at night", "same but in blue", "same --steps 40"; not "same sex couple".
_SAME = re.compile(r"\s*same\b(?:\s*[,;:.]|\s+but\b|(?=\s*$)|(?=\s+(?:--|[—–])))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bot answers.

    Attributes:
        text: Plain text, perhaps of several lines; empty where `job` says it all.
        job: The job to watch or to show.
        jobs: Jobs to show beside the text, newest first.
        has_more: Whether a further page follows that of `jobs`.
        error: Why it was refused; `text` is its sentence then.
    """

    text: str = ""
    job: Job | None = None
    jobs: tuple[Job, ...] = ()
    has_more: bool = False
    error: FluxbotError | None = None


def following(text: str, last: Job | None) -> Command:
    """The command that *text* is where *last* is the picture that was drawn just before.

    There ``again`` and ``vary`` without an id mean that picture, and ``same, at night`` is
    its prompt with these words behind it, everything else being as it was.

    Raises:
        CommandError: It is no command.
    """
    same = _SAME.match(text)
    if last is None or same is None:
        command = parse(text)
        if last is not None and isinstance(command, AgainCommand) and command.job_id is None:
            return replace(command, job_id=last.id)
        return command
    rest = text[same.end() :]
    try:
        options = parse(f"again {rest}")
    except CommandError as error:
        try:
            added = parse(f"imagine {rest}")
        except CommandError as another:
            raise (error if another.field == "prompt" else another) from None
        assert isinstance(added, ImagineCommand)
        return AgainCommand(
            last.id, replace(added, prompt=f"{last.request.prompt}, {added.prompt}")
        )
    assert isinstance(options, AgainCommand)
    return replace(options, job_id=last.id)


async def converse(
    service: Service,
    user: str,
    text: str,
    image: bytes | None = None,
    *,
    origin: Origin = NOWHERE,
    reply_to: dict[str, Any] | None = None,
    event_id: str | None = None,
) -> Reply:
    """Carry out what *user* typed. Nothing that a person can type makes it raise."""
    try:
        command = parse(text)
        return await answer(
            service,
            user,
            command,
            image,
            origin=origin,
            reply_to=reply_to,
            event_id=event_id,
        )
    except FluxbotError as error:
        return Reply(replies.error_sentence(error), error=error)


async def answer(
    service: Service,
    user: str,
    command: Command,
    image: bytes | None = None,
    *,
    origin: Origin = NOWHERE,
    reply_to: dict[str, Any] | None = None,
    event_id: str | None = None,
) -> Reply:
    """Carry out *command*.

    Raises:
        FluxbotError: It was refused.
    """
    if image is not None and not isinstance(command, ImagineCommand):
        raise InvalidRequest(
            "a picture goes with a prompt: say what to draw from it", field="control_image"
        )
    where: Where = {"origin": origin, "reply_to": reply_to, "event_id": event_id}
    match command:
        case ImagineCommand():
            job = await service.submit(user, command, image, **where)
            return Reply(job=job)
        case AgainCommand(job_id, changes, vary):
            job = await service.again(user, job_id, changes, vary=vary, **where)
            return Reply(job=job)
        case ShowCommand(job_id):
            return Reply(job=await service.job(user, job_id))
        case CancelCommand(job_id):
            job = await service.cancel(user, job_id)
            return Reply(f"{job.id} is cancelled; your credits were given back.")
        case HistoryCommand(words, page):
            return await _history(service, user, words, page)
        case PresetsCommand():
            default = service.config.model.default_preset
            return Reply(replies.presets(service.presets, default))
        case QuotaCommand():
            return Reply(replies.quota(await service.quota(user, origin)))
        case QueueCommand():
            view = service.queue(user)
            state = service.state
            why_not = "" if state.status == "draining" else state.message
            text = replies.queue(view.waiting, view.running, view.mine, why_not)
            return Reply(text, jobs=view.mine)
        case SettingsCommand(changes, is_reset):
            if changes is None and not is_reset:
                user_defaults = await service.settings(user)
            else:
                user_defaults = await service.change_settings(user, changes)
            return Reply(replies.settings(user_defaults))
        case HelpCommand(topic):
            model = service.config.model
            text = replies.help_text(topic, f"{model.width}x{model.height}")
            return Reply(text if topic else f"{service.about.text}\n\n{text}")
        case _:
            assert isinstance(command, AdminCommand)
            return await _administer(service, user, command)


async def _history(service: Service, user: str, words: str, page: int) -> Reply:
    check_text("text", words)
    before = None
    for _ in range(page - 1):
        skipped = await service.history(user, words, before=before, limit=PAGE_SIZE)
        before = skipped.next
        if before is None:
            return Reply(replies.history([], words, page, has_more=False))
    found = await service.history(user, words, before=before, limit=PAGE_SIZE)
    has_more = found.next is not None
    text = replies.history(found.jobs, words, page, has_more=has_more)
    return Reply(text, jobs=tuple(found.jobs), has_more=has_more)


async def _administer(service: Service, user: str, command: AdminCommand) -> Reply:
    admin = service.admin
    match command:
        case AdminPresets("reload"):
            try:
                await admin.reload_presets(user)
            except ConfigError as error:
                raise InvalidRequest(f"the presets stay as they were: {error}") from error
            names = ", ".join(service.presets)
            return Reply(f"The presets were read anew: {names}.")
        case AdminPresets("list"):
            presets, disabled, loaded = admin.presets(user)
            model = service.config.model.repository
            return Reply(replies.presets_for_admins(presets, disabled, loaded, model))
        case AdminPresets(action, name):
            await admin.enable_preset(user, name, is_enabled=action == "enable")
            can = "can be chosen again" if action == "enable" else "can no longer be chosen"
            return Reply(f"The preset {name} {can}.")
        case AdminQuota("show" | "set" as action, group, credits) if kind_of_group(group):
            if action == "set":
                await admin.set_group_quota(user, group, credits)
            quota = await admin.group_quota(user, group)
            return Reply(replies.group_quota(group, quota, service.config.quota))
        case AdminQuota(action, subject, credits, roles):
            if action == "grant":
                assert credits is not None
                await admin.grant(user, subject, credits)
            elif action == "set":
                await admin.set_quota(user, subject, credits)
            elif action == "reset":
                await admin.reset_quota(user, subject)
            status = await admin.quota(user, subject, roles)
            return Reply(f"{subject}: {replies.quota(status)}")
        case AdminPause():
            await admin.pause(user)
            return Reply("Drawing is paused; waiting jobs are kept.")
        case AdminDrain():
            await admin.drain(user)
            return Reply(
                "No new jobs are accepted; waiting jobs are still drawn. To go on: admin resume"
            )
        case AdminResume():
            await admin.resume(user)
            return Reply("Drawing goes on.")
        case AdminBan(subject, reason):
            await admin.ban(user, subject, reason)
            return Reply(f"{subject} is banned, and their waiting jobs are cancelled.")
        case AdminUnban(subject):
            await admin.unban(user, subject)
            return Reply(f"{subject} may draw again.")
        case AdminQueue("first" | "last" as where, job_id):
            await admin.move(user, job_id, to_front=where == "first")
            return Reply(f"{job_id} is now the {'next' if where == 'first' else 'last'} one.")
        case AdminQueue("cancel", job_id):
            job = await admin.cancel(user, job_id)
            return Reply(f"{job_id} is cancelled; {job.user} has the credits back.")
        case AdminQueue("refund", job_id):
            job = await admin.refund(user, job_id)
            return Reply(f"{job.user} has the {job.cost} credits of {job_id} back.")
        case AdminQueue("failed"):
            return Reply(replies.dead_letters(await admin.dead_letters(user)))
        case AdminQueue("replay", job_id):
            job = await admin.replay(user, job_id)
            return Reply(f"{job_id} is drawn again as {job.id}; {job.user} pays nothing for it.")
        case AdminQueue():
            jobs = admin.queue(user)
            lines = [
                f"{job.id} · {job.user} · {replies.progress_line(job, job.progress)}"
                f" · {replies.short(job)}"
                for job in jobs
            ]
            return Reply("\n".join(lines) or "Nothing waits.")
        case AdminStats():
            return Reply(replies.stats(await admin.stats(user)))
        case AdminAudit():
            return Reply(replies.audit(await admin.audit(user)))
        case _:
            raise AssertionError(f"no answer to {command}")
