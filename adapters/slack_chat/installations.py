"""Whose a payload is: the installation that it came to, and the person's own workspace. Pure.

A payload names several workspaces, and leaves out any of them: in a channel that organisations
share (Slack Connect) the outer one may be the other organisation's; where the app is installed for
a whole organisation (Enterprise Grid) there may be none but the organisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.slack_chat.workspaces import Workspace

#: Events that people cause by turning to the bot.
TO_US = frozenset({"app_mention", "app_home_opened"})


def installation(workspaces: Mapping[str, Workspace], body: Mapping[str, Any]) -> Workspace | None:
    """The workspace among *workspaces*, by their ids, that Slack sent *body* to; None for one that
    the bot has no token for."""
    message = _part(body, "message")
    for workspace in workspaces.values():
        if workspace.bot_id and message.get("bot_id") == workspace.bot_id:
            return workspace  # its own message, whoever presses a button there
    named = [str(id) for id in _named(body) if id]
    found = next((workspaces[id] for id in named if id in workspaces), None)
    if found is None and not named and len(workspaces) == 1:
        return next(iter(workspaces.values()))
    return found


def team_of_person(body: Mapping[str, Any]) -> str:
    """Id of the workspace that the person behind *body* belongs to, where Slack tells it; empty
    where it does not, as outside of shared channels."""
    event = _part(body, "event")
    team = event.get("user_team") or event.get("source_team")
    return str(team or _part(body, "user").get("team_id") or "")


def person_of(body: Mapping[str, Any]) -> str:
    """Slack's id of the person who has written to the bot, pressed or chosen something of its, or
    opened its home; empty for all else, such as what people write to each other."""
    event = _part(body, "event")
    if not event:
        return str(body.get("user_id") or _part(body, "user").get("id") or "")
    is_to_us = event.get("type") in TO_US or event.get("channel_type") == "im"
    user = event.get("user") or _part(event, "message").get("user")
    return user if is_to_us and not event.get("bot_id") and isinstance(user, str) else ""


def is_shared(body: Mapping[str, Any], workspace: Workspace) -> bool:
    """Whether *body*, for *workspace*, may come from a channel that organisations share."""
    others = {body.get("team_id"), _part(body, "team").get("id")} - {None, "", workspace.team}
    return bool(body.get("is_ext_shared_channel")) or (bool(others) and not workspace.is_org)


def is_member(member: Mapping[str, Any], workspace: Workspace) -> bool:
    """Whether *member*, as ``users.info`` tells it, belongs to *workspace*: alone, or as one of an
    organisation."""
    if member.get("is_stranger"):
        return False
    organisation = member.get("enterprise_user") or {}
    if workspace.is_org:
        return bool(organisation.get("enterprise_id") == workspace.team)
    return workspace.team in (member.get("team_id"), *(organisation.get("teams") or ()))


def is_admin(member: Mapping[str, Any], workspace: Workspace) -> bool:
    """Whether *member* is an admin of *workspace*; of all of it, where it is an organisation."""
    if not is_member(member, workspace):
        return False
    ranks = member.get("enterprise_user") or {} if workspace.is_org else member
    return bool(ranks.get("is_admin") or ranks.get("is_owner"))


def _named(body: Mapping[str, Any]) -> Iterator[str | None]:
    """Ids in *body*, those first that are surest to be of the installation."""
    for each in body.get("authorizations") or ():
        yield each.get("team_id")
        yield each.get("enterprise_id")
    view, team = _part(body, "view"), body.get("team")
    yield view.get("app_installed_team_id")
    yield body.get("team_id")
    yield team if isinstance(team, str) else _part(body, "team").get("id")
    yield _part(body, "enterprise").get("id")
    yield body.get("enterprise_id")
    yield _part(body, "team").get("enterprise_id")
    yield _part(body, "message").get("team")
    yield view.get("team_id")
    yield body.get("context_team_id")
    yield _part(body, "user").get("team_id")


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = body.get(name)
    return part if isinstance(part, Mapping) else {}
