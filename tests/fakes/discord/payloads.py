"""The state in Discord's own JSON, as REST and gateway both tell it."""

from datetime import UTC, datetime

from .state import Attachment, Channel, Guild, Member, Message, Role, User

JOINED = "2024-01-01T00:00:00+00:00"


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def user(who: User) -> dict:
    return {
        "id": str(who.id),
        "username": who.name,
        "discriminator": "0",
        "global_name": None if who.is_bot else who.name.title(),
        "avatar": None,
        "primary_guild": None,
        "public_flags": 0,
        "flags": 0,
        "bot": who.is_bot,
    }


def member(who: Member, *, with_user: bool = True) -> dict:
    payload = {
        "roles": [str(role.id) for role in who.roles],
        "nick": None,
        "avatar": None,
        "banner": None,
        "joined_at": JOINED,
        "premium_since": None,
        "communication_disabled_until": None,
        "pending": False,
        "deaf": False,
        "mute": False,
        "flags": 0,
    }
    return {**payload, "user": user(who.user)} if with_user else payload


def role(of: Role) -> dict:
    return {
        "id": str(of.id),
        "name": of.name,
        "permissions": str(of.permissions),
        "position": of.position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": True,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def channel(of: Channel) -> dict:
    last = max(of.stored, default=None)
    payload = {
        "id": str(of.id),
        "type": of.kind,
        "flags": 0,
        "last_message_id": None if last is None else str(last),
    }
    if of.guild is None:
        payload["recipients"] = [user(who) for who in of.recipients]
        if of.kind == 3:
            payload |= {"name": of.name, "icon": None, "owner_id": str(of.recipients[0].id)}
        return payload
    payload |= {"guild_id": str(of.guild.id), "name": of.name, "rate_limit_per_user": 0}
    if of.is_thread:
        return payload | {
            "parent_id": str(of.parent.id),
            "owner_id": str(of.guild.owner.id),
            "message_count": len(of.stored),
            "member_count": 1,
            "total_message_sent": len(of.stored),
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": JOINED,
                "locked": False,
                "create_timestamp": JOINED,
            },
        }
    return payload | {
        "position": 0,
        "parent_id": None,
        "topic": None,
        "nsfw": False,
        "permission_overwrites": [
            {"id": str(id), "type": int(is_member), "allow": str(allow), "deny": str(deny)}
            for id, (is_member, allow, deny) in of.overwrites.items()
        ],
    }


def channel_for_gateway(of: Channel) -> dict:
    """Gateway and interactions name direct messages, and say so with null."""
    payload = channel(of)
    return payload if of.guild or of.kind == 3 else {**payload, "name": None}


def guild(of: Guild) -> dict:
    return {
        "id": str(of.id),
        "name": of.name,
        "icon": None,
        "description": None,
        "home_header": None,
        "splash": None,
        "discovery_splash": None,
        "features": [],
        "banner": None,
        "owner_id": str(of.owner.id),
        "application_id": None,
        "region": "deprecated",
        "afk_channel_id": None,
        "afk_timeout": 300,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "widget_enabled": False,
        "widget_channel_id": None,
        "verification_level": 0,
        "roles": [role(one) for one in of.roles.values()],
        "default_message_notifications": 0,
        "mfa_level": 0,
        "explicit_content_filter": 0,
        "max_presences": None,
        "max_members": 500_000,
        "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25,
        "vanity_url_code": None,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "preferred_locale": "en-US",
        "rules_channel_id": None,
        "safety_alerts_channel_id": None,
        "public_updates_channel_id": None,
        "premium_progress_bar_enabled": False,
        "nsfw": False,
        "nsfw_level": 0,
        "emojis": [],
        "stickers": [],
        "incidents_data": None,
    }


def guild_create(of: Guild, bot: User) -> dict:
    """A server as it comes after READY. Members come with the bot alone in them, since
    the list of members needs a privileged intent."""
    channels = [one for one in of.channels.values() if not one.is_deleted]
    return {
        **guild(of),
        "hub_type": None,
        "joined_at": JOINED,
        "large": False,
        "unavailable": False,
        "member_count": len(of.members),
        "voice_states": [],
        "members": [member(of.members[bot.id])],
        "channels": [channel(one) for one in channels if not one.is_thread],
        "threads": [channel(one) for one in channels if one.is_thread],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


#: A flag of attachments.
IS_SPOILER = 1 << 5


def attachment(of: Attachment, url: str) -> dict:
    payload = {
        "id": str(of.id),
        "filename": of.filename,
        "size": len(of.data),
        "url": url,
        "proxy_url": url.replace("cdn.discordapp.com", "media.discordapp.net"),
    }
    if of.content_type:
        payload["content_type"] = of.content_type
    if of.description:
        payload["description"] = of.description
    if of.is_ephemeral:
        payload["ephemeral"] = True
    if of.is_spoiler:
        payload["flags"] = IS_SPOILER
    if of.size_in_pixels:
        payload["width"], payload["height"] = of.size_in_pixels
    return payload


def message(of: Message, attachments: list[dict], reference: Message | None) -> dict:
    """A message with its content; `attachments` carry fresh addresses."""
    payload = {
        "id": str(of.id),
        "type": 19 if of.reference else (0 if not of.interaction_metadata else 20),
        "channel_id": str(of.channel.id),
        "author": user(of.author),
        "content": of.content,
        "timestamp": moment(of.timestamp),
        "edited_timestamp": None if of.edited is None else moment(of.edited),
        "tts": False,
        "mention_everyone": of.mention_everyone,
        "mentions": [user(who) for who in of.mentions],
        "mention_roles": [str(id) for id in of.mention_roles],
        "attachments": attachments,
        "embeds": of.embeds,
        "components": of.components,
        "pinned": False,
        "flags": of.flags,
    }
    found = {emoji: who for emoji, who in of.reactions.items() if who}
    if found:
        payload["reactions"] = [
            {
                "emoji": {"id": None, "name": emoji},
                "count": len(who),
                "count_details": {"burst": 0, "normal": len(who)},
                "burst_colors": [],
                "me": False,
                "me_burst": False,
            }
            for emoji, who in found.items()
        ]
    if of.nonce is not None:
        payload["nonce"] = of.nonce
    if of.webhook_id is not None:
        payload |= {"webhook_id": str(of.webhook_id), "application_id": str(of.webhook_id)}
    if of.interaction_metadata is not None:
        payload["interaction_metadata"] = of.interaction_metadata
    if of.reference is not None:
        payload["message_reference"] = {
            "type": 0,
            "channel_id": str(of.channel.id),
            "message_id": str(of.reference),
            **({"guild_id": str(of.channel.guild.id)} if of.channel.guild else {}),
        }
        payload["referenced_message"] = None if reference is None else message(reference, [], None)
    return payload


def reaction(to: Message, who: User, emoji: str, *, is_added: bool) -> dict:
    """A reaction that somebody makes to a message, or takes back. Discord tells only of the first
    who has written the message, and which roles the person has there."""
    payload = {
        "user_id": str(who.id),
        "channel_id": str(to.channel.id),
        "message_id": str(to.id),
        "emoji": {"id": None, "name": emoji},
        "burst": False,
        "type": 0,
    }
    guild = to.channel.guild
    if guild is not None:
        payload["guild_id"] = str(guild.id)
    if is_added:
        payload["message_author_id"] = str(to.author.id)
        if guild is not None and who.id in guild.members:
            payload["member"] = member(guild.members[who.id])
    return payload
