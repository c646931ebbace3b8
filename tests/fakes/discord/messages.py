"""Messages from bodies and files, and edits of them.

The state keeps ``attachment://`` in embeds as the bot wrote it; what goes out carries a
signed address of the CDN instead, new each time and good for a day.
"""

import copy
import hashlib
import hmac
import re
import urllib.parse
from dataclasses import replace
from itertools import count

from . import payloads, rules
from .rules import Form, Refusal
from .state import EPHEMERAL, LOADING, Attachment, Channel, File, Message, User, walk

CDN_SECONDS = 24 * 3600
KEY = b"only a fake"
USER_MENTION = re.compile(r"<@!?(\d+)>")
ROLE_MENTION = re.compile(r"<@&(\d+)>")


def address(discord, channel: Channel, attachment: Attachment) -> str:
    """Where the CDN serves a file, from now on for a day."""
    folder = "ephemeral-attachments" if attachment.is_ephemeral else "attachments"
    name = urllib.parse.quote(attachment.filename)
    path = f"/{folder}/{channel.id}/{attachment.id}/{name}"
    issued = int(discord.clock())
    expires = issued + CDN_SECONDS
    return (
        f"https://cdn.discordapp.com{path}?ex={expires:x}&is={issued:x}&hm={_sign(path, expires)}&"
    )


def is_valid_address(path: str, query, now: float) -> bool:
    """Whether an address was signed by us, and has not expired."""
    try:
        expires = int(query["ex"], 16)
    except (KeyError, ValueError):
        return False
    return now < expires and hmac.compare_digest(query.get("hm", ""), _sign(path, expires))


def _sign(path: str, expires: int) -> str:
    return hmac.new(KEY, f"{path} {expires}".encode(), hashlib.sha256).hexdigest()


def render(discord, message: Message) -> dict:
    """A message in Discord's JSON. A file that an embed shows is not listed beside it."""
    urls = {file.filename: address(discord, message.channel, file) for file in message.attachments}
    embeds, used = [], set()
    for embed in message.embeds:
        shown = {"type": "rich"} | copy.deepcopy(embed)
        for key in ("image", "thumbnail"):
            if key in shown:
                name = _attached(shown[key]["url"])
                used.add(name)
                url = urls.get(name, shown[key]["url"])
                shown[key] = {"proxy_url": url} | shown[key] | {"url": url}
        embeds.append(shown)
    listed = [
        payloads.attachment(file, urls[file.filename])
        for file in message.attachments
        if file.filename not in used
    ]
    reference = message.channel.stored.get(message.reference)
    if reference is not None and reference.is_deleted:
        reference = None
    shown = payloads.message(message, listed, reference) | {
        "embeds": embeds,
        "components": _shown_components(message.components, urls),
    }
    return shown if message.forwarded is None else shown | _forwarding(discord, message.forwarded)


#: All that a forwarded message keeps.
SNAPSHOT = (
    "type", "content", "mentions", "mention_roles", "attachments", "embeds", "timestamp",
    "edited_timestamp", "flags", "components",
)  # fmt: skip


def _forwarding(discord, message: Message) -> dict:
    """The parts of a message that forwards another, which stands in it without its author."""
    whole = render(discord, message)
    reference = {"type": 1, "channel_id": whole["channel_id"], "message_id": whole["id"]}
    if message.channel.guild is not None:
        reference["guild_id"] = str(message.channel.guild.id)
    return {
        "message_reference": reference,
        "message_snapshots": [{"message": {key: whole[key] for key in SNAPSHOT}}],
    }


def _attached(url: str) -> str:
    return url.removeprefix("attachment://") if url.startswith("attachment://") else ""


def _shown_components(components: list[dict], urls: dict[str, str]) -> list[dict]:
    shown = copy.deepcopy(components)
    for part in walk(shown):
        media = [part[key] for key in ("media", "file") if isinstance(part.get(key), dict)]
        for item in [*media, *(item["media"] for item in part.get("items", []))]:
            url = urls.get(_attached(item["url"]), item["url"])
            item |= {"url": url, "proxy_url": url}
    return shown


def compose(
    discord,
    channel: Channel,
    author: User,
    body: dict,
    files: dict[int, File],
    *,
    limit: int,
    flags: int = 0,
    seen_by: User | None = None,
    **more,
) -> Message:
    """A new message, stored and not yet told to anybody.

    Args:
        files: The uploads by the n of their ``files[n]``.
        limit: The most bytes of one file.

    Raises:
        Refusal: The body breaks a rule; nothing was stored.
    """
    message = Message(
        discord.snowflake(), channel, author, discord.clock(), seen_by=seen_by, **more
    )
    attachments = _attachments(discord, message, body, files, limit, flags=flags)
    rules.message(body, attachments=len(attachments)).insist()
    _put(discord, message, body, attachments)
    _mention(discord, message, body.get("allowed_mentions"))
    message.flags = flags | ((body.get("flags") or 0) & ~EPHEMERAL)
    message.keep()
    channel.stored[message.id] = message
    return message


def placeholder(discord, channel: Channel, *, flags: int, **more) -> Message:
    """The message that says that the bot is thinking."""
    message = Message(
        discord.snowflake(), channel, discord.bot, discord.clock(), flags=flags, **more
    )
    message.keep()
    channel.stored[message.id] = message
    return message


def edit(discord, message: Message, body: dict, files: dict[int, File], *, limit: int) -> None:
    """Change what the body names, and leave the rest.

    Raises:
        Refusal: The body breaks a rule; nothing was changed.
    """
    attachments = message.attachments
    if files or body.get("attachments") is not None:
        attachments = _attachments(discord, message, body, files, limit, flags=message.flags)
    whole = {
        "content": message.content,
        "embeds": message.embeds,
        "components": message.components,
        **body,
        "flags": message.flags | (body.get("flags") or 0),
    }
    rules.message(whole, attachments=len(attachments)).insist()
    _put(discord, message, whole, attachments)
    if body.get("content") is not None:
        _mention(discord, message, body.get("allowed_mentions"))
    message.flags = (message.flags | (body.get("flags") or 0) & ~EPHEMERAL) & ~LOADING
    message.edited = discord.clock()
    message.keep()


def _put(discord, message: Message, body: dict, attachments: list[Attachment]) -> None:
    embeds = [body["embed"]] if body.get("embed") else body.get("embeds") or []
    names = {attachment.filename for attachment in attachments}
    for index, embed in enumerate(embeds):
        for key in ("image", "thumbnail"):
            name = _attached((embed.get(key) or {}).get("url", ""))
            if name and name not in names:
                discord.violation(
                    f"Embed {index} shows attachment://{name}, which is not attached."
                )
    message.content = body.get("content") or ""
    message.embeds = copy.deepcopy(embeds)
    message.components = numbered(body.get("components") or [])
    message.attachments = attachments


def numbered(components: list[dict]) -> list[dict]:
    """Components as Discord keeps them: each with an id, selects with their defaults."""
    kept, ids = copy.deepcopy(components), count(1)
    for part in walk(kept):
        part.setdefault("id", next(ids))
        if (part.get("emoji") or {}).get("id", "") is None:
            del part["emoji"]["id"]  # which Discord leaves out for the emoji of all people
        if part["type"] in rules.SELECTS:
            part.setdefault("min_values", 1)
            part.setdefault("max_values", 1)
    return kept


def _attachments(
    discord, message: Message, body: dict, files: dict[int, File], limit: int, *, flags: int
) -> list[Attachment]:
    """The files that are to stand: old ones that the body lists, then the uploads."""
    form = Form()
    for number, file in files.items():
        if len(file.data) > limit:
            raise Refusal(413, 40005, "Request entity too large", is_violation=True)
        if not file.filename:
            form.add(["files", number], "This file has no name")
    old = {attachment.id: attachment for attachment in message.attachments}
    kept, described = [], {}
    for index, item in enumerate(body.get("attachments") or []):
        id = int(item["id"])
        form.length(["attachments", index, "description"], item.get("description"), 1024)
        if id in old:
            is_spoiler = item.get("is_spoiler", old[id].is_spoiler)
            description = item.get("description", old[id].description)
            kept.append(replace(old[id], is_spoiler=is_spoiler, description=description))
        elif id in files:
            described[id] = item
        else:
            form.add(["attachments", index, "id"], f"There is no file {id}")
    form.insist()
    for number, file in sorted(files.items()):
        item = described.get(number, {})
        named = File(file.data, item.get("filename") or file.filename, None)
        kept.append(
            Attachment.of(
                discord.snowflake(),
                named,
                item.get("description"),
                bool(flags & EPHEMERAL),
                bool(item.get("is_spoiler")),
            )
        )
    for attachment in kept:
        discord.files[attachment.id] = attachment
    return kept


def _mention(discord, message: Message, allowed: dict | None) -> None:
    """The people notified: those named in the content, as far as `allowed_mentions` lets it."""
    parse = {"users", "roles", "everyone"} if allowed is None else set(allowed.get("parse") or [])
    allowed = allowed or {}

    def named(pattern, kind):
        found = dict.fromkeys(int(id) for id in pattern.findall(message.content))
        listed = {int(id) for id in allowed.get(kind) or []}
        return [id for id in found if kind in parse or id in listed]

    message.mentions = [
        discord.users[id] for id in named(USER_MENTION, "users") if id in discord.users
    ]
    message.mention_roles = named(ROLE_MENTION, "roles")
    message.mention_everyone = "everyone" in parse and bool(
        re.search(r"@(everyone|here)\b", message.content)
    )
    replied = message.channel.stored.get(message.reference)
    is_told = replied is not None and allowed.get("replied_user", not allowed)
    if is_told and replied.author not in message.mentions:
        message.mentions.append(replied.author)
