"""The commands of admins, read."""

from __future__ import annotations

import re

from bot.commands.admin_vocabulary import (
    AdminAudit,
    AdminBan,
    AdminBans,
    AdminChannels,
    AdminCommand,
    AdminDrain,
    AdminErase,
    AdminInvite,
    AdminLog,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminReports,
    AdminResume,
    AdminReview,
    AdminRoles,
    AdminSample,
    AdminShowcase,
    AdminStats,
    AdminStrikes,
    AdminUnban,
    AdminWho,
    AdminWords,
)
from bot.commands.message import Message, as_id
from bot.commands.options import HISTORY
from bot.commands.parts import take_apart
from bot.commands.values import Number, WrongValue
from bot.commands.verbs import ADMIN_USAGES
from bot.commands.vocabulary import MAX_CREDITS
from bot.commands.words import GAPS, INK, Word, error_at, shown, suggestion

_USER = re.compile(f"[A-Za-z]+(-role|-server)?:{INK}+", re.IGNORECASE)


_ADMIN_ALONE: dict[str, AdminCommand] = {
    "presets": AdminPresets(),
    "pause": AdminPause(),
    "drain": AdminDrain(),
    "resume": AdminResume(),
    "queue": AdminQueue(),
    "bans": AdminBans(),
    "channels": AdminChannels(),
    "roles": AdminRoles(),
    "held": AdminReview(),
    "reports": AdminReports(),
    "log": AdminLog(),
    "showcase": AdminShowcase(),
    "words": AdminWords(),
    "stats": AdminStats(),
    "audit": AdminAudit(),
}


def read_admin(message: Message) -> AdminCommand:
    words = message.words
    if not words:
        raise error_at(message.first, f"admin what? {suggestion('', ADMIN_USAGES)}")
    act = words[0].text.lower()
    if act not in ADMIN_USAGES:
        hint = suggestion(act, ADMIN_USAGES)
        raise message.error(words[0], f"{shown(words[0].text)} is not an admin command ({hint})")
    match [word.text.lower() for word in words]:
        case [alone] if alone in _ADMIN_ALONE:
            return _ADMIN_ALONE[alone]
        case ["presets", "reload"]:
            return AdminPresets("reload")
        case ["presets", "enable" | "disable" as action, name]:
            return AdminPresets(action, name)
        case ["presets", "sample", name, *_]:
            return AdminSample(name, message.text[words[2].end :].strip(GAPS))
        case ["queue", "failed"]:
            return AdminQueue("failed")
        case ["queue", "first" | "last" | "cancel" | "refund" | "replay" as action, _]:
            return AdminQueue(action, read_job(words[2]))
        case ["release" | "reveal" as decision, _]:
            return AdminReview(decision, read_job(words[1]))
        case ["reject", _, *_]:
            reason = message.text[words[1].end :].strip(GAPS)
            return AdminReview("reject", read_job(words[1]), reason)
        case ["who", _]:
            return AdminWho(read_job(words[1]))
        case ["dismiss", _]:
            return AdminReports("dismiss", read_job(words[1]))
        case ["remove", _, *_]:
            reason = message.text[words[1].end :].strip(GAPS)
            return AdminReports("remove", read_job(words[1]), reason)
        case ["erase", _]:
            return AdminErase(read_user(words[1]))
        case ["erase", _, "--yes" | "—yes" | "–yes"]:
            return AdminErase(read_user(words[1]), is_sure=True)
        case ["invite", _]:
            return AdminInvite(words[1].text)
        case ["log", "here" | "off" as action]:
            return AdminLog(action)
        case ["showcase", "here" | "off" as action]:
            return AdminShowcase(action)
        case ["audit", "export", *_]:
            return AdminAudit(message.text[words[1].end :].strip(GAPS), is_export=True)
        case ["audit", *_]:
            parts = take_apart(message.text, words[0].end, HISTORY)
            return AdminAudit(parts.prose, **parts.values)
        case ["stats", days] if days.isdecimal() and 1 <= int(days) <= 366:
            return AdminStats(int(days))
        case ["strikes", "lift", _]:
            return AdminStrikes(read_user(words[2]), is_lifted=True)
        case ["strikes", _]:
            return AdminStrikes(read_user(words[1]))
        case ["words", "refuse" | "allow" as change, _, *_]:
            return AdminWords(change, message.text[words[1].end :].strip(GAPS))
        case ["quota", user] if user not in ("grant", "set", "reset"):
            return AdminQuota("show", read_user(words[1]))
        case ["quota", "reset", _]:
            return AdminQuota("reset", read_user(words[2]))
        case ["quota", "grant", _, _]:
            return AdminQuota("grant", read_user(words[2]), _read_credits(words[3], 1))
        case ["quota", "set", _, "default"]:
            return AdminQuota("set", read_user(words[2]))
        case ["quota", "set", _, _]:
            return AdminQuota("set", read_user(words[2]), _read_credits(words[3], 0))
        case ["ban", _, *_]:
            reason = message.text[words[1].end :].strip(GAPS)
            return AdminBan(read_user(words[1]), reason)
        case ["channels", "allow" | "remove" as change, _]:
            return AdminChannels(change, _read_channel(words[2]))
        case ["roles", "allow" | "remove" as change, _]:
            return AdminRoles(change, read_user(words[2]))
        case ["unban", _]:
            return AdminUnban(read_user(words[1]))
    wrong = words[:2][-1] if act in _ADMIN_ALONE else words[-1]
    raise error_at(wrong, f"{shown(wrong.text)} does not fit: write {ADMIN_USAGES[act]}")


def _read_channel(word: Word) -> str:
    """The platform's own id of a channel, which may be written ``platform-channel:id``."""
    id = word.text.rpartition(":")[2]
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", id):
        raise error_at(word, f"{shown(word.text)} is not a channel")
    return id


def read_job(word: Word) -> str:
    job_id = as_id(word)
    if job_id is None:
        raise error_at(word, f"{shown(word.text)} is not a job id; admin queue lists them")
    return job_id


def read_user(word: Word) -> str:
    """``platform:id``, the platform in lower case."""
    if not _USER.fullmatch(word.text):
        raise error_at(word, f"{shown(word.text)} is not a user: users look like discord:1234")
    platform, _, name = word.text.partition(":")
    return f"{platform.lower()}:{name}"


def _read_credits(word: Word, lowest: int) -> int:
    try:
        credits: int = Number(lowest, MAX_CREDITS, is_whole=True).read(word.text, "")[""]
    except WrongValue as wrong:
        raise error_at(word, f"credits {wrong}") from None
    return credits
