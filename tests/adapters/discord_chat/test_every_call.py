"""Whatever call of the adapter meets whatever fault: one picture, one charge, and no message in a
state that is over. See `every_call` for the stage and its judge, and `scenarios` for the plays."""

import ast
import contextlib
import inspect
import sys
from dataclasses import replace
from pathlib import Path

import discord
import pytest

import adapters.discord_chat
from adapters.discord_chat.answers import PERHAPS_ANSWERED, Answers
from adapters.discord_chat.faults import judged
from adapters.discord_chat.first_answers import FirstAnswers, Unanswerable
from adapters.discord_chat.window import DiscordWindow
from bot.answers import Answers as Owed
from bot.following import Following
from bot.jobs import Delivery
from bot.windows import Meaning
from tests.adapters.discord_chat.every_call import calls_of, played, stage
from tests.adapters.discord_chat.every_fault import KINDS
from tests.adapters.discord_chat.scenarios import CALLS, FOUNDATIONS, SCENARIOS, plays

#: Classes of discord.py whose coroutines call Discord.
CLASSES = (
    discord.Client, discord.DMChannel, discord.Guild, discord.Interaction,
    discord.InteractionMessage, discord.InteractionResponse, discord.Member, discord.Message,
    discord.PartialMessage,
    discord.TextChannel, discord.Thread, discord.User, discord.Webhook, discord.WebhookMessage,
    discord.app_commands.CommandTree, discord.http.HTTPClient,
)  # fmt: skip
#: Words of discord.py that mean something else in the adapter, or call nobody.
OTHERS = {
    "autocomplete",
    "close",
    "follow",
    "get_guild",
    "join",
    "request",
    "set_translator",
    "start",
    "timeout",
}
#: Asked outside of the way of any picture.
APART = {("chat.py", "login")}


@pytest.fixture
def sites(monkeypatch):
    """Where the adapter's code calls Discord, by (file, first line, name), and whether it has done
    so while the fixture is in use."""
    written = {
        (file, line, name): lines[0] for file, lines, name in written_sites() for line in lines
    }
    found = {(file, lines[0], name): False for file, lines, name in written_sites()}

    def watched(name, function):
        def watching(*arguments, **more):
            code, line = sys._getframe(1).f_code, sys._getframe(1).f_lineno
            file = Path(code.co_filename).name
            if (file, line, name) in written:
                found[file, written[file, line, name], name] = True
            return function(*arguments, **more)

        return watching

    names = {name for *_, name in found}
    for kind in {each for known in CLASSES for each in known.__mro__}:
        for name, function in list(vars(kind).items()):
            if name in names and inspect.isfunction(function):
                monkeypatch.setattr(kind, name, watched(name, function))
    return found


def written_sites():
    """(file, lines, name) of every call of Discord in the adapter's code."""
    names = {
        name
        for known in CLASSES
        for kind in known.__mro__
        for name, function in vars(kind).items()
        if inspect.iscoroutinefunction(function)
        or (kind is discord.http.HTTPClient and inspect.isfunction(function))
    }
    for path in Path(adapters.discord_chat.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name = node.func.attr
            is_other = name.startswith("_") or name in OTHERS
            if name in names and not is_other and (path.name, name) not in APART:
                yield path.name, range(node.lineno, node.end_lineno + 1), name


async def test_every_call_of_the_adapter_is_known_and_played(sites):
    """A new call needs a scenario, and its line in `CALLS`, so that it meets every fault."""
    made, problems = {}, []
    async with stage() as found:
        for name, scenario in SCENARIOS.items():
            play = await found.play(scenario)
            made[name], problems = calls_of(play), problems + play.problems

    assert problems == []
    assert made == CALLS
    assert [site for site, was_reached in sites.items() if not was_reached] == []


LOST = "is carried out and cut off"
PROMISE = "POST /interactions/*/*/callback promise"
ACKNOWLEDGEMENT = "POST /interactions/*/*/callback acknowledgement"
FURTHER_WORDS = "POST /webhooks/*/* words"
#: Plays that would end badly without some line of the adapter.
MENDED = [
    ("a picture", PROMISE, "is stopped at the edge"),
    ("a picture after 15 minutes", PROMISE, "arrives after the next one"),
    ("words that a filter blocks", PROMISE, "hangs"),
    ("words that a filter blocks without a message", FURTHER_WORDS, "always meets a 503"),
    ("a refusal", "DELETE /webhooks/*/*/messages/@original", "is forbidden"),
    ("a refusal", FURTHER_WORDS, "is forbidden"),
    ("a refusal for which there is one way", "POST /users/@me/channels", "meets a 503"),
    ("words", PROMISE, "hangs"),
    ("a picture from an attached one", "GET /ephemeral-attachments/*", "meets a 503"),
    ("a picture that is deleted", ACKNOWLEDGEMENT, "hangs"),
    ("a picture that is reported", "POST /channels/*/messages words", LOST),
    ("a picture that is revealed", PROMISE, "hangs"),
    ("a picture that is revealed", "GET /channels/*/messages/*", "meets a 503"),
    ("one's own data", FURTHER_WORDS, "is cut off before it arrives"),
    ("the end of one's own data", "DELETE /channels/*/messages/*", "meets a 503"),
    (
        "a picture after 15 minutes whose message is closed",
        "DELETE /channels/*/messages/*",
        "meets a 503",
    ),
    ("a picture whose message is gone", "POST /channels/*/messages picture", LOST),
    ("a restart", "GET /users/@me", "hangs"),
]


def sample():
    """Those, and one play for each other call, so that each kind of fault has its turn."""
    yield from MENDED
    names = {call for calls in CALLS.values() for call in calls} - {call for _, call, _ in MENDED}
    kinds = [kind for kind in reversed(KINDS) if kind not in {kind for *_, kind in MENDED}]
    for number, name in enumerate(sorted(names, key=lambda name: (name not in FOUNDATIONS, name))):
        kind = kinds[number % len(kinds)]
        fitting = [play for play in plays() if play[1:] == (name, kind)]
        yield fitting[number % len(fitting)]


async def test_each_call_bears_a_fault_and_each_fault_is_borne():
    found = {}
    async with stage() as one:
        for scenario, call, kind in sample():
            play = await one.play(SCENARIOS[scenario], call, KINDS[kind])
            found[f"{scenario}; {call} {kind}"] = play.problems

    assert {play: problems for play, problems in found.items() if problems} == {}
    assert {call for _, call, _ in sample()} == {call for calls in CALLS.values() for call in calls}
    assert {kind for *_, kind in sample()} == set(KINDS)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", CALLS)
async def test_every_call_bears_every_fault_in(scenario):
    found = {
        f"{call} {kind}": await played(SCENARIOS[scenario], call, KINDS[kind])
        for each, call, kind in plays()
        if each == scenario
    }

    assert {play: problems for play, problems in found.items() if problems} == {}


# The judge sees what is wrong


def without_nonce(patch):
    """Sends new messages without what tells two of them apart."""
    send = discord.abc.Messageable.send

    async def sending(place, **more):
        return await send(place, **{**more, "nonce": None})

    patch.setattr(discord.abc.Messageable, "send", sending)


def without_looking(patch):
    """Asks nobody for the message of a first answer that was lost."""

    async def unknown(*_):
        return None

    patch.setattr(FirstAnswers, "message", unknown)
    patch.setattr(DiscordWindow, "_learn", unknown)


def without_patience(patch):
    """Gives a way up for the first 503."""

    def impatient(error):
        return Meaning.CLOSED if getattr(error, "status", 0) == 503 else judged(error)

    patch.setattr("adapters.discord_chat.faults.judged", impatient)


def without_refund(patch):
    """Gives an answer up and keeps the credits."""

    async def keeping(owed, job, reason):
        await owed._database.write(
            lambda db: db.execute("UPDATE jobs SET delivery = 'none' WHERE id = ?", (job.id,))
        )
        job.delivery, job.error = Delivery.NONE, reason

    patch.setattr(Owed, "undeliverable", keeping)


def without_words(patch):
    """Says nothing where no picture comes."""

    async def silent(*_):
        pass

    patch.setattr(DiscordWindow, "note", silent)


def without_second_end(patch):
    """Takes no care of progress that may arrive after the end."""
    show = Following._show_progress

    async def showing(following, followed):
        fault = await show(following, followed)
        followed.may_arrive = False
        return fault

    patch.setattr(Following, "_show_progress", showing)


def without_an_end_to_limits(patch):
    """Leaves a limit for all calls behind, as discord.py does."""
    patch.setattr("adapters.discord_chat.chat.let_all_calls_end", lambda http: None)


def without_an_end_to_answers(patch):
    """Leaves a limit for one message behind, as discord.py does."""
    patch.setattr("adapters.discord_chat.chat.let_answers_go_on", lambda: None)


def asking_twice(patch):
    """Asks once more for what may not have been understood."""
    draw = Answers.draw

    async def drawing(answers, interaction, ask, **more):
        async def twice(source):
            if PERHAPS_ANSWERED in interaction.extras:
                await ask(replace(source, event_id=f"{source.event_id}-again"))
            return await ask(source)

        await draw(answers, interaction, twice, **more)

    patch.setattr(Answers, "draw", drawing)


def giving_up_first_answers(patch):
    """Believes Discord that an answer was lost."""
    give = FirstAnswers.give

    async def giving(first, interaction, answer):
        given = await give(first, interaction, answer)
        if PERHAPS_ANSWERED in interaction.extras:
            raise Unanswerable
        return given

    patch.setattr(FirstAnswers, "give", giving)


def deleting_once(patch):
    """Does not insist on the end of a message."""

    async def removing(answers, interaction, message=None):
        await interaction.delete_original_response()

    patch.setattr(Answers, "remove", removing)


def saying_it_again(patch):
    """Says words twice."""
    finish = Answers.finish

    async def finishing(answers, interaction, post):
        await finish(answers, interaction, post)
        await interaction.followup.send(**post.for_send(), ephemeral=True)

    patch.setattr(Answers, "finish", finishing)


def without_end(patch):
    """Tries for ever."""

    async def trying(call, **_):
        while True:
            with contextlib.suppress(discord.HTTPException):
                return await call()

    patch.setattr("adapters.discord_chat.answers.patiently", trying)


PLANTED = {
    without_nonce: ("a picture whose message is gone", "POST /channels/*/messages picture", LOST,
                    "2 pictures in the place of 1"),
    without_looking: ("a picture after 15 minutes", "POST /interactions/*/*/callback promise", LOST,
                      "a message in a state that is over"),
    without_patience: ("a private picture after 15 minutes", "POST /users/@me/channels",
                       "meets a 503", "given up for a fault that passes"),
    without_refund: ("a picture for which no place is left", None, None, "credits are paid"),
    without_words: ("words that a filter blocks", None, None, "nobody says why"),
    without_second_end: ("a picture", "PATCH /webhooks/*/*/messages/* progress",
                         "arrives after the next one", "a message in a state that is over"),
    without_an_end_to_limits: ("a picture after 15 minutes",
                               "PATCH /channels/*/messages/* progress",
                               "comes too often, as all calls do", "come to an end"),
    without_an_end_to_answers: (
        "a picture that is cancelled",
        "PATCH /webhooks/*/*/messages/* progress",
        "is the last that the limit allows",
        "come to an end",
    ),
    asking_twice: ("a picture", "POST /interactions/*/*/callback promise", LOST,
                   "2 jobs for one request"),
    giving_up_first_answers: ("words", "POST /interactions/*/*/callback promise", LOST,
                              "a message in a state that is over"),
    deleting_once: ("a picture that is deleted", "DELETE /webhooks/*/*/messages/@original",
                    "is stopped at the edge", "still shown"),
    saying_it_again: ("words", None, None, "words that come 2 times"),
    without_end: ("words", "PATCH /webhooks/*/*/messages/@original words", "always meets a 503",
                  "come to an end"),
}  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
async def test_the_judge_finds_what_is_wrong_in_a_bot(monkeypatch, plant):
    scenario, call, kind, words = PLANTED[plant]
    if words == "come to an end":
        monkeypatch.setattr("tests.adapters.discord_chat.every_call.LONGEST", 0.5)
    plant(monkeypatch)

    problems = await played(SCENARIOS[scenario], call, KINDS.get(kind))

    assert any(words in problem for problem in problems), problems
