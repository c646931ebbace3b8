"""Commands of admins, carried out and answered."""

from __future__ import annotations

from bot import invitations, replies
from bot.audit_log import as_lines
from bot.commands import (
    AdminAudit,
    AdminBan,
    AdminBans,
    AdminChannels,
    AdminCommand,
    AdminDrain,
    AdminErase,
    AdminLog,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminReports,
    AdminResume,
    AdminReview,
    AdminRoles,
    AdminShowcase,
    AdminStats,
    AdminStrikes,
    AdminUnban,
    AdminWho,
    AdminWords,
)
from bot.config import ConfigError
from bot.origins import kind_of_group
from bot.sentences import not_in_a_server
from bot.service import Service
from bot.source import Source
from generation.errors import InvalidRequest

#: Acts on a page of the audit log, and most of them in a file, which is to fit in a message.
PAGE_OF_ACTS = 20
MOST_ACTS_IN_A_FILE = 20_000
MOST_BYTES_IN_A_FILE = 8_000_000


async def carry_out(service: Service, source: Source, command: AdminCommand) -> str:
    """The answer to *command* of *source*, once it is carried out.

    Raises:
        NotAllowed: *source* may not give that command.
        FluxbotError: The command cannot be carried out.
    """
    user, admin = source.user, service.admin
    match command:
        case AdminPresets():
            return await _presets(service, user, command)
        case AdminQuota():
            return await _quota(service, source, command)
        case AdminQueue():
            return await _queue(service, user, command)
        case AdminChannels():
            return await _channels(service, source, command)
        case AdminReview():
            return await _review(service, source, command)
        case AdminStrikes(subject, is_lifted):
            if is_lifted:
                count = await service.review.lift(user, subject)
                return f"{subject}: {count} lifted, and they may draw again."
            return replies.strikes(subject, await service.review.strikes(user, subject))
        case AdminWords():
            return await _words(service, source, command)
        case AdminWho(job_id):
            return replies.asker(await service.moderation.who(user, job_id))
        case AdminReports() | AdminErase() | AdminLog() | AdminShowcase():
            return await _moderate(service, source, command)
        case AdminPause():
            await admin.pause(user)
            return "Drawing is paused; waiting jobs are kept."
        case AdminDrain():
            await admin.drain(user)
            return "No new jobs are accepted; waiting jobs are still drawn. To go on: admin resume"
        case AdminResume():
            await admin.resume(user)
            return "Drawing goes on."
        case AdminRoles():
            return await _roles(service, source, command)
        case AdminBan() | AdminUnban() | AdminBans():
            return await _bans(service, source, command)
        case AdminStats(days):
            scope = _scope(service, source)
            figures = await service.moderation.figures(user, days, scope)
            said = replies.stats(await admin.stats(user, scope, days=days), figures, days)
            if scope is not None:  # engines are nothing of a server's
                return said
            return f"{said}\n{replies.engines(service.engines())}"
        case AdminAudit(words, page):
            acts = await admin.audit(
                user,
                limit=PAGE_OF_ACTS,
                server=_scope(service, source),
                words=words,
                skip=(page - 1) * PAGE_OF_ACTS,
            )
            return replies.audit(acts)
        case _:
            raise NotImplementedError(f"no answer to {command}")


async def audit_file(service: Service, source: Source, words: str) -> str:
    """The acts that have *words* in them, newest first, as JSON lines; for people who manage one
    server, the acts there.

    Raises:
        NotAllowed: *source* may not see them.
    """
    acts = await service.admin.audit(
        source.user, limit=MOST_ACTS_IN_A_FILE, server=_scope(service, source), words=words
    )
    return as_lines(acts, MOST_BYTES_IN_A_FILE)


async def invite(service: Service, source: Source, name: str) -> tuple[str, str]:
    """The answer to an admin who invites *name*, and the link that signs them in on the page.

    Raises:
        NotAllowed: *source* is no admin.
        InvalidRequest: Nobody can have that name.
        Conflict: The page has no address for others.
    """
    service.admin.check(source.user)
    user = invitations.user_named(name)
    make = service.invitations.inviting(user)
    link = await service.admin.do(source.user, "invite", user, None, make)
    return f"{user} signs in on the page with this link, once, within 7 days:", link


def _scope(service: Service, source: Source) -> str | None:
    """The server to which the command is limited; None for an admin of the whole bot."""
    return None if service.admin.is_admin(source.user) else source.origin.server


async def _presets(service: Service, user: str, command: AdminPresets) -> str:
    admin = service.admin
    match command:
        case AdminPresets("reload"):
            try:
                await admin.reload_presets(user)
            except ConfigError as error:
                raise InvalidRequest(f"the presets stay as they were: {error}") from error
            listed = service.offered.loras
            of_loras = f" So were the LoRAs: {', '.join(listed)}." if listed else ""
            return f"The presets were read anew: {', '.join(service.presets)}.{of_loras}"
        case AdminPresets("list"):
            presets, disabled, loaded = admin.presets(user)
            models = {each: service.config.model_for(presets[each].model) for each in presets}
            own = {each: model.repository for each, model in models.items()}
            return replies.presets_for_admins(presets, disabled, loaded, own)
        case AdminPresets(action, name):
            await admin.enable_preset(user, name, is_enabled=action == "enable")
            can = "can be chosen again" if action == "enable" else "can no longer be chosen"
            return f"The preset {name} {can}."


async def _bans(
    service: Service, source: Source, command: AdminBan | AdminUnban | AdminBans
) -> str:
    """Managers ban people in their own server alone, the bot's admins everywhere."""
    user, server = source.user, _scope(service, source)
    match command:
        case AdminBan(subject, reason) if server is not None:
            await service.servers.ban(user, server, subject, reason)
            return f"{subject} is banned in this server, and their jobs here are cancelled."
        case AdminBan(subject, reason):
            await service.admin.ban(user, subject, reason)
            return f"{subject} is banned, and their waiting jobs are cancelled."
        case AdminUnban(subject) if server is not None:
            await service.servers.unban(user, server, subject)
            return f"{subject} may draw in this server again."
        case AdminUnban(subject):
            await service.admin.unban(user, subject)
            return f"{subject} may draw again."
        case AdminBans():
            here = source.origin.server
            if here is None:
                service.admin.check(user)
                raise not_in_a_server()
            names = ", ".join(await service.servers.banned(user, here))
            return f"Banned in this server: {names}." if names else "Nobody is banned here."


async def _quota(service: Service, source: Source, command: AdminQuota) -> str:
    admin, user, subject, credits = service.admin, source.user, command.user, command.credits
    server = _scope(service, source)
    if server is not None and kind_of_group(subject) is None:
        return await _quota_here(service, user, server, command)
    if command.action in ("show", "set") and kind_of_group(subject):
        if command.action == "set":
            await admin.set_group_quota(user, subject, credits)
        quota = await admin.group_quota(user, subject)
        return replies.group_quota(subject, quota, service.config.quota)
    if command.action == "grant" and credits is not None:
        await admin.grant(user, subject, credits)
    elif command.action == "set":
        await admin.set_quota(user, subject, credits)
    elif command.action == "reset":
        await admin.reset_quota(user, subject)
    return f"{subject}: {replies.quota(await admin.quota(user, subject, command.roles))}"


async def _quota_here(service: Service, manager: str, server: str, command: AdminQuota) -> str:
    """A manager's word on the credits of a person in their own server."""
    if command.action not in ("show", "set"):
        service.admin.check(manager)
    if command.action == "set":
        await service.servers.set_quota(manager, server, command.user, command.credits)
    credits = await service.servers.quota(manager, server, command.user)
    window = service.config.quota.window_hours
    if credits is None:
        return f"{command.user} has no limit of their own in this server."
    return f"{command.user} may spend {credits} credits here in {window:g} hours, and no more."


async def _queue(service: Service, user: str, command: AdminQueue) -> str:
    admin = service.admin
    match command:
        case AdminQueue("first" | "last" as where, job_id):
            await admin.move(user, job_id, to_front=where == "first")
            return f"{job_id} is now the {'next' if where == 'first' else 'last'} one."
        case AdminQueue("cancel", job_id):
            job = await admin.cancel(user, job_id)
            return f"{job_id} is cancelled; {job.user} has the credits back."
        case AdminQueue("refund", job_id):
            job = await admin.refund(user, job_id)
            return f"{job.user} has the {job.cost} credits of {job_id} back."
        case AdminQueue("failed"):
            return replies.dead_letters(await admin.dead_letters(user))
        case AdminQueue("replay", job_id):
            job = await admin.replay(user, job_id)
            return f"{job_id} is drawn again as {job.id}; it costs {job.user} nothing."
        case AdminQueue():
            lines = [
                f"{job.id} · {job.user} · {replies.progress_line(job, job.progress)}"
                f" · {replies.short(job)}"
                for job in admin.queue(user)
            ]
            return "\n".join(lines) or "The queue is empty."


async def _review(service: Service, source: Source, command: AdminReview) -> str:
    review, user = service.review, source.user
    match command:
        case AdminReview("release", job_id):
            job = await review.release(user, job_id)
            return f"{job_id} goes to {job.user} now."
        case AdminReview("reject", job_id, reason):
            job = await review.reject(user, job_id, reason)
            return f"{job_id} is deleted, and {job.user} is told."
        case AdminReview("reveal", job_id):
            await review.reveal(user, job_id)
            return f"{job_id} is no longer hidden where it is shown from now on."
        case AdminReview():
            return replies.held(await review.held(user, _scope(service, source)))


async def _moderate(
    service: Service,
    source: Source,
    command: AdminReports | AdminErase | AdminLog | AdminShowcase,
) -> str:
    moderation, user, server = service.moderation, source.user, source.origin.server
    match command:
        case AdminReports("dismiss", job_id):
            count = await moderation.dismiss(user, job_id)
            return f"Reports about {job_id} dismissed: {count}."
        case AdminReports("remove", job_id, reason):
            job, left = await moderation.remove(user, job_id, reason)
            more = " Its message could not be: delete that by hand." if left else ""
            return f"The picture {job_id} of {job.user} is deleted.{more}"
        case AdminReports():
            return replies.reported(await moderation.reported(user, _scope(service, source)))
    if server is None:
        service.admin.check(user)
        raise not_in_a_server()
    service.admin.check(user, server)
    match command:
        case AdminErase(subject, False):
            return (
                f"This deletes all pictures and prompts of {subject} in this server, and my"
                f" messages with them, for good. To go on: admin erase {subject} --yes"
            )
        case AdminErase(subject):
            count = await moderation.erase(user, subject, server)
            return f"Everything of {subject} in this server is deleted; jobs: {count}."
        case AdminLog("here"):
            if not source.origin.channels:
                raise not_in_a_server()
            await moderation.set_log_channel(user, server, source.origin.channels[0])
            return "Moderators are told here of everything that is refused, held or reported."
        case AdminLog("off"):
            await moderation.set_log_channel(user, server, None)
            return "Nothing is told here any more."
        case AdminLog():
            channel = await moderation.log_channel(server)
            if channel is None:
                return "No channel is told. Say admin log here in the one that should be."
            return f"Told is {source.platform}-channel:{channel}."
        case AdminShowcase("here"):
            if not source.origin.channels:
                raise not_in_a_server()
            await service.servers.set_showcase(user, server, source.origin.channels[0])
            votes = service.config.showcase.votes
            if not votes:
                return "The best are shown here, once the operator sets showcase.votes."
            return f"Pictures with {votes} vote{'' if votes == 1 else 's'} are shown here."
        case AdminShowcase("off"):
            await service.servers.set_showcase(user, server, None)
            return "The best are shown nowhere any more."
        case _:
            channel = await service.showcase.channel(server)
            if channel is None:
                return "The best are shown nowhere. Say admin showcase here where they should be."
            return f"The best are shown in {source.platform}-channel:{channel}."


async def _words(service: Service, source: Source, command: AdminWords) -> str:
    server = source.origin.server
    if server is None:
        service.admin.check(source.user)
        raise not_in_a_server()
    if command.action == "list":
        words = await service.review.words(source.user, server)
    else:
        words = await service.review.refuse_word(
            source.user, server, command.word, is_refused=command.action == "refuse"
        )
    listed = ", ".join(words)
    return (
        f"Refused here, beside the bot's own list: {listed}."
        if words
        else ("No further words are refused here.")
    )


async def _roles(service: Service, source: Source, command: AdminRoles) -> str:
    server = source.origin.server
    if server is None:
        service.admin.check(source.user)
        raise not_in_a_server()
    if command.action == "list":
        roles = await service.servers.roles(source.user, server)
    else:
        is_allowed = command.action == "allow"
        roles = await service.servers.set_role(
            source.user, server, command.role, is_allowed=is_allowed
        )
    if not roles:
        return "Everybody in this server may draw."
    return f"Only people with one of these roles may draw here: {', '.join(roles)}."


async def _channels(service: Service, source: Source, command: AdminChannels) -> str:
    servers, user, server = service.servers, source.user, source.origin.server
    if server is None:
        service.admin.check(user)
        raise not_in_a_server()
    if command.action == "list":
        allowed = await servers.channels(user, server)
    else:
        is_allowed = command.action == "allow"
        allowed = await servers.set_channel(user, server, command.channel, is_allowed=is_allowed)
    return replies.channels(source.platform, allowed)
