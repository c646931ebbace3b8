"""What is said while accounts are joined, to each side in its language."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from bot.commands import LinkCommand
from bot.invitations import PLATFORM, Invitations
from bot.languages import Language
from bot.linking import Joining, Linking, Stage
from bot.source import Source


@dataclass(frozen=True, slots=True)
class Said:
    """Words to one side.

    Attributes:
        joining: What they are about, and what `later` goes on with; None where it is over.
        asks: Whether they ask for a yes or a no.
        link: Address of the page that signs this side in; empty for none.
    """

    text: str
    joining: Joining | None = None
    asks: bool = False
    link: str = ""


async def answer(
    linking: Linking, invitations: Invitations, source: Source, command: LinkCommand
) -> Said:
    """The answer to *command*.

    Raises:
        Refused: See `bot.linking`.
    """
    say = source.language
    match command.action:
        case "offer":
            joining = linking.offer(source)
            text = _offered(joining, linking.known.of(source.user), source.user, say)
            link = "" if source.platform == PLATFORM else await invitations.link(source.user)
            if link:
                text += "\n" + say(
                    "With the link you sign in on the page as this account, once. Show it to"
                    " nobody."
                )
            return Said(text, joining, link=link)
        case "type":
            joining = linking.type(source, command.code)
            return Said(_question(linking, joining, source.user, say), joining, asks=True)
    is_first = linking.asked(source.user, command.code).stage is Stage.ASKED
    joining = await linking.answer(source.user, command.code, is_yes=command.action == "yes")
    if joining.stage is Stage.ASKED and not is_first:
        asked = str(joining.first)
        return Said(say("Now I ask {account}: say yes there.", account=asked), joining)
    return Said(_end(joining, joining.stage, source.user, say))


async def later(linking: Linking, source: Source, joining: Joining) -> AsyncIterator[Said]:
    """What *source* is to be told after a code, or after their yes, when it is time for that."""
    say, user = source.language, source.user
    is_first = user == joining.first.user
    stages = (Stage.OFFERED, Stage.TYPED) if is_first else (Stage.ASKED,)
    stage = await joining.past(*stages)
    if stage is Stage.ASKED:
        yield Said(_question(linking, joining, user, say), joining, asks=True)
    elif joining.second is not None:  # else nobody has typed the code
        yield Said(_end(joining, stage, user, say))


def parted(account: str, user: str, say: Language) -> str:
    """The answer to a person whose *account* is by itself again."""
    whose = say("This account") if account == user else account
    return say(
        "{account} is by itself again. Each side keeps the pictures that it made; what was spent"
        " before counts for both until the quota's time is over.",
        account=whose,
    )


def _offered(joining: Joining, known: Iterable[str], user: str, say: Language) -> str:
    code = joining.shown_code
    sentences = [
        say(
            "Your code is {code}. Within 10 minutes, write {command} as your other self: on"
            " Discord, in Slack or on the page. I ask both sides before anything is joined. Give"
            " the code to nobody else.",
            code=code,
            command=f"link {code}",
        )
    ]
    if others := _listed(known, user):
        sentences.append(
            say(
                "Joined with this account: {accounts}. To undo that: {command}",
                accounts=others,
                command="unlink",
            )
        )
    return "\n".join(sentences)


def _question(linking: Linking, joining: Joining, user: str, say: Language) -> str:
    other = joining.other(user)
    assert other is not None
    if user == joining.first.user:
        first = say("{account} has typed your code, to be joined with you.", account=str(other))
    else:
        first = say("This code joins your account here with {account}.", account=str(other))
    sentences = [first]
    if further := _listed(linking.known.of(other.user), other.user):
        sentences.append(say("That one is joined with {accounts} already.", accounts=further))
    sentences += [
        say(
            "Both are one person for me then: each sees and deletes the pictures of the other, and"
            " settings, favourites, credits, strikes and bans are shared."
        ),
        say(
            "Say yes only if that account is yours. If somebody else has asked you to do this, say"
            " no."
        ),
        say("To go on: {command}", command="link yes")
        + " · "
        + say("To refuse: {command}", command="link no"),
    ]
    return "\n".join(sentences)


def _end(joining: Joining, stage: Stage, user: str, say: Language) -> str:
    other = joining.other(user)
    if stage is Stage.JOINED and other is not None:
        return say(
            "Joined: this account and {account} are one person for me now. To undo that: {command}",
            account=str(other),
            command="unlink",
        )
    if stage is Stage.EXPIRED:
        return say("The code has expired, and nothing was joined.")
    return say("Nothing was joined.")


def _listed(accounts: Iterable[str], user: str) -> str:
    return ", ".join(sorted(set(accounts) - {user}))
