"""What people do on Discord, for `every_call`: together these meet every call of the adapter."""

from collections.abc import Iterator

from bot.commands import ImagineCommand
from tests.adapters.discord_chat.conftest import EDIT, no
from tests.adapters.discord_chat.every_call import Over, Play, Scenario, pictures_of
from tests.adapters.discord_chat.every_fault import KINDS, PASSING
from tests.conftest import ADMIN
from tests.fakes.discord import File
from tests.judges import HIDDEN
from tests.samples import picture

BY_RIGHT = "/channels/.*/messages/.*"
#: Without which there is no bot; the way of a picture begins after them.
FOUNDATIONS = frozenset({"GET /gateway/bot", "GET /oauth2/applications/@me", "GET /users/@me"})
CALLBACK = "/interactions/.*/callback"
#: Seconds after which an interaction's token has ended.
LATE = 16 * 60


async def _draw(play: Play) -> None:
    play.picture = await play.gets()


async def _imagine(play: Play) -> None:
    await play.imagines()
    play.gate.open()


async def _privately(play: Play) -> None:
    await play.imagines(private=True)
    play.gate.open()


async def _late(play: Play) -> None:
    """The token has ended: the message is edited by the bot's own right."""
    asked = await play.imagines(steps=40)
    await play.until(lambda: asked.message is not None and not asked.message.is_loading)
    play.fake.clock.advance(LATE)
    await play.steps(lambda: play.saw("/channels/*/messages/* progress"))
    play.gate.open()


async def _deleted(play: Play) -> None:
    """Somebody has deleted the message: a new one comes."""
    asked = await play.imagines(is_quiet=True)
    if asked.message is not None:
        play.fake.delete(asked.message)
    play.gate.open()


async def _late_and_private(play: Play) -> None:
    await play.imagines(is_quiet=True, private=True)
    play.fake.clock.advance(LATE)
    play.gate.open()


async def _nowhere(play: Play) -> None:
    play.ada.accepts_direct_messages = False
    await play.imagines(is_quiet=True)
    play.fake.clock.advance(LATE)
    play.channel.delete()
    play.gate.open()


async def _lost_first_answer(play: Play) -> None:
    play.fake.fail("POST", CALLBACK, lose_answer=True, times=1)
    await play.imagines()
    play.gate.open()


async def _closed_to_edits(play: Play) -> None:
    """The message takes no edit any more: a new one comes, and the old one goes."""
    await play.imagines(is_quiet=True)
    for path in (EDIT, BY_RIGHT):
        play.fake.fail("PATCH", path, status=403, body=no(50001), times=10**6)
    play.gate.open()


async def _late_and_closed_to_edits(play: Play) -> None:
    await play.imagines(is_quiet=True)
    play.fake.clock.advance(LATE)
    play.fake.fail("PATCH", BY_RIGHT, status=403, body=no(50001), times=10**6)
    play.gate.open()


async def _filtered(play: Play) -> None:
    play.fake.blocked_words.add("badword")
    await play.imagines(prompt="a badword", steps=40)
    await play.steps(play.is_idle)


async def _filtered_without_message(play: Play) -> None:
    """The person alone is told why no picture comes."""
    asked = await play.imagines(is_quiet=True)
    if asked.message is not None:
        play.fake.delete(asked.message)
    play.fake.blocked_words.add("fox")
    play.gate.open()


async def _filtered_without_token(play: Play) -> None:
    await play.imagines(is_quiet=True, private=True)
    play.fake.clock.advance(LATE)
    play.fake.blocked_words.add("fox")
    play.gate.open()


async def _refused(play: Play) -> None:
    """All have seen the promise of an answer; the refusal is for the person alone."""
    await play.asks_for(
        "words", play.ada.command(play.channel, "flux imagine", prompt="a fox", preset="canny")
    )


async def _refused_for_good(play: Play) -> None:
    """The promise cannot be taken back as it was given, and the refusal comes directly."""
    play.fake.fail("DELETE", "/webhooks/.*", status=403, body=no(50001), times=10**6)
    play.fake.fail("POST", "/webhooks/.*", status=403, body=no(50001), times=10**6)
    await _refused(play)


async def _words(play: Play) -> None:
    await play.asks_for("words", play.ada.command(play.channel, "flux quota"))


async def _words_at_once(play: Play) -> None:
    await play.asks_for("words", play.ada.command(play.channel, "flux queue"))


async def _attached(play: Play) -> None:
    file = File(picture(), "castle.png")
    await play.imagines(preset="canny", control_image=file)
    play.gate.open()


async def _again(play: Play) -> None:
    await play.asks_for("picture", play.ada.press(play.picture, "Again"))
    await play.until(lambda: play.saw(" progress"))
    play.gate.open()


async def _edited(play: Play) -> None:
    pressed = await play.asks_for("form", play.ada.press(play.picture, "Edit prompt"))
    await play.until(lambda: pressed.modal)
    await play.asks_for("picture", play.ada.submit(pressed, {"prompt": "two foxes"}))
    await play.until(lambda: play.saw(" progress"))
    play.gate.open()


async def _cancelled(play: Play) -> None:
    asked = await play.imagines(steps=50)
    await play.until(lambda: asked.message is not None and "Cancel" in asked.message.buttons)
    await play.asks_for("nothing", play.ada.press(asked.message, "Cancel"))
    await play.steps(play.is_idle)


async def _thrown_away(play: Play) -> None:
    def check():
        return None if play.picture.is_deleted else "a deleted picture is still shown"

    play.checks.append(check)
    await play.asks_for("nothing", play.ada.press(play.picture, "Delete"))


async def _sent(play: Play) -> None:
    """Seed, settings and files are sent directly for a reaction."""
    (id,) = pictures_of(play.picture)

    def check():
        times = len([each for each in play.ada.direct.messages if id in each.text])
        return None if times == 1 else f"a letter that comes {times} times"

    play.checks.append(check)
    await play.ada.react(play.picture, "✉️")
    await play.in_its_own_time(lambda: check() is None)


async def _crossed_out(play: Play) -> None:
    """One picture of several, shown by itself, is taken away by a reaction."""

    def check():
        return None if play.picture.is_deleted else "a picture that is still shown"

    play.checks.append(check)
    await play.ada.react(play.picture, "❌")
    await play.in_its_own_time(lambda: check() is None)


async def _draw_one_of_several(play: Play) -> None:
    grid = await play.gets(images=2)
    pressed = await play.asks_for("words", play.ada.press(grid, "U2"))
    await play.over()
    play.asks.clear()  # the answer to the last of them goes
    play.picture = pressed.message
    if play.picture is None:
        raise Over


async def _reported(play: Play) -> None:
    """Moderators are told, and one of them finds the picture harmless."""

    def check():
        times = len(play.told("Reported"))
        return None if times == 1 else f"moderators are told {times} times"

    play.checks.append(check)
    await play.asks_for("words", play.ada.press(play.picture, "Report"))
    await play.until_told("Reported")
    await play.asks_for("nothing", play.stage.boss.press(play.told("Reported")[0], "Dismiss"))
    await play.until_told("Moderator")


async def _revealed(play: Play) -> None:
    """A moderator takes the spoiler from a picture."""
    (id,) = pictures_of(play.picture)

    def check():
        return "a spoiler that stays" if play.picture.attachments[0].is_spoiler else None

    play.checks.append(check)
    await play.asks_for(
        "words", play.stage.boss.command(play.channel, "flux-admin review reveal", id=id)
    )
    await play.until_told("Moderator")
    await play.in_its_own_time(lambda: check() is None)


async def _draw_a_spoiler(play: Play) -> None:
    play.stage.judge.picture = HIDDEN
    play.picture = await play.gets()


async def _draw_much(play: Play) -> None:
    play.fake.guild.attachment_size_limit = 40_000
    play.gate.is_noisy = True
    for seed in range(3):
        play.picture = await play.gets(prompt="noise", seed=seed, size="128x128", steps=1)


async def _among_the_best(play: Play) -> None:
    """Somebody votes for a picture, which is shown among the best once."""
    play.best = play.fake.guild.add_channel("best-of")
    servers, guild = play.stage.bot.service.servers, play.fake.guild.id
    await servers.set_showcase(ADMIN, f"discord-server:{guild}", str(play.best.id))

    def check():
        shown = len(play.best.messages)
        return None if shown == 1 else f"{shown} messages among the best"

    play.checks.append(check)
    await play.asks_for("words", play.fake.person("bob").press(play.picture, "Vote"))
    await play.in_its_own_time(lambda: play.best.messages and play.saw("/threads"))


async def _draw_the_best(play: Play) -> None:
    await _draw(play)
    await _among_the_best(play)
    play.checks.clear()


async def _no_longer_the_best(play: Play) -> None:
    """Its maker deletes it."""

    def check():
        return "a deleted picture is among the best" if play.best.messages else None

    play.checks.append(check)
    await play.asks_for("nothing", play.ada.press(play.picture, "Delete"))
    await play.in_its_own_time(lambda: not play.best.messages)


async def _exported(play: Play) -> None:
    """One's own data, in several files."""
    await play.asks_for("words", play.ada.command(play.channel, "flux mydata export"), 3)


async def _forgotten(play: Play) -> None:
    """Everything of the person is deleted, their pictures too."""

    def check():
        return None if play.picture.is_deleted else "a picture that is still shown"

    play.asks.clear()  # nobody can tell any more who asked for the picture
    asked = await play.asks_for("words", play.ada.command(play.channel, "flux mydata delete"))
    await play.until(lambda: asked.message is not None and asked.message.buttons)
    play.checks.append(check)
    await play.asks_for("nothing", play.ada.press(asked.message, "Delete everything"))


async def _called(play: Play) -> None:
    """The person is called after a long wait."""
    await play.imagines()
    play.presence.bot.clock.advance(31)
    play.gate.open()


async def _called_directly(play: Play) -> None:
    await play.presence.bot.service.own_settings.change(
        f"discord:{play.ada.id}", ImagineCommand(), beside={"notify": "dm"}
    )
    await _called(play)


async def _restarted(play: Play) -> None:
    await play.imagines()
    await play.presence.stop()
    await play.presence.start()
    play.gate.open()


SCENARIOS = {
    "a picture": Scenario(_imagine),
    "a private picture": Scenario(_privately),
    "a picture after 15 minutes": Scenario(_late),
    "a private picture after 15 minutes": Scenario(_late_and_private, places=1),
    "a picture whose message is gone": Scenario(_deleted),
    "a picture for which no place is left": Scenario(_nowhere, ends_in_words=True, places=0),
    "a picture whose first answer was lost": Scenario(_lost_first_answer),
    "a picture whose message is closed": Scenario(_closed_to_edits),
    "a picture after 15 minutes whose message is closed": Scenario(
        _late_and_closed_to_edits, last=("DELETE /channels/",)
    ),
    "words that a filter blocks": Scenario(_filtered, ends_in_words=True),
    "words that a filter blocks without a message": Scenario(
        _filtered_without_message, ends_in_words=True
    ),
    "a private picture that a filter blocks": Scenario(
        _filtered_without_token, ends_in_words=True, places=1
    ),
    "a refusal": Scenario(_refused),
    "a refusal for which there is one way": Scenario(_refused_for_good, last=("",)),
    "words": Scenario(_words),
    "words at once": Scenario(_words_at_once),
    "a picture from an attached one": Scenario(_attached),
    "a picture once more": Scenario(_again, _draw),
    "a picture by a form": Scenario(_edited, _draw),
    "a picture that is cancelled": Scenario(_cancelled),
    "a picture that is deleted": Scenario(_thrown_away, _draw),
    "a picture that is sent": Scenario(_sent, _draw),
    "a picture that is crossed out": Scenario(
        _crossed_out, _draw_one_of_several, last=("GET /channels/", "DELETE /channels/")
    ),
    "a picture that is reported": Scenario(_reported, _draw),
    "a picture that is revealed": Scenario(_revealed, _draw_a_spoiler),
    "a picture among the best": Scenario(_among_the_best, _draw),
    "a picture that leaves the best": Scenario(_no_longer_the_best, _draw_the_best),
    "one's own data": Scenario(_exported, _draw_much),
    "the end of one's own data": Scenario(_forgotten, _draw),
    "a picture that was waited for": Scenario(_called),
    "a picture that was waited for, told directly": Scenario(_called_directly),
    "a restart": Scenario(_restarted),
}


#: The calls of each scenario, as a recording has them: all that the adapter asks of Discord.
CALLS = {
    "a picture": (
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback promise",
    ),
    "a private picture": (
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture after 15 minutes": (
        "PATCH /channels/*/messages/* picture",
        "PATCH /channels/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback promise",
    ),
    "a private picture after 15 minutes": (
        "DELETE /webhooks/*/*/messages/*",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /channels/*/messages picture",
        "POST /interactions/*/*/callback promise",
        "POST /users/@me/channels",
    ),
    "a picture whose message is gone": (
        "PATCH /channels/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /channels/*/messages picture",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture for which no place is left": (
        "DELETE /channels/*/messages/*",
        "DELETE /webhooks/*/*/messages/*",
        "PATCH /channels/*/messages/* picture",
        "PATCH /channels/*/messages/* words",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /channels/*/messages picture",
        "POST /channels/*/messages words",
        "POST /interactions/*/*/callback promise",
        "POST /users/@me/channels",
        "POST /webhooks/*/* words",
    ),
    "a picture whose first answer was lost": (
        "GET /webhooks/*/*/messages/@original",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture whose message is closed": (
        "DELETE /webhooks/*/*/messages/*",
        "PATCH /channels/*/messages/* picture",
        "PATCH /channels/*/messages/* words",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /channels/*/messages picture",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture after 15 minutes whose message is closed": (
        "DELETE /channels/*/messages/*",
        "DELETE /webhooks/*/*/messages/*",
        "PATCH /channels/*/messages/* picture",
        "PATCH /channels/*/messages/* words",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /channels/*/messages picture",
        "POST /interactions/*/*/callback promise",
    ),
    "words that a filter blocks": (
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /interactions/*/*/callback promise",
    ),
    "words that a filter blocks without a message": (
        "PATCH /channels/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /channels/*/messages picture",
        "POST /interactions/*/*/callback promise",
        "POST /webhooks/*/* words",
    ),
    "a private picture that a filter blocks": (
        "DELETE /webhooks/*/*/messages/*",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /channels/*/messages picture",
        "POST /channels/*/messages words",
        "POST /interactions/*/*/callback promise",
        "POST /users/@me/channels",
        "POST /webhooks/*/* words",
    ),
    "a refusal": (
        "DELETE /webhooks/*/*/messages/@original",
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /interactions/*/*/callback promise",
        "POST /webhooks/*/* words",
    ),
    "a refusal for which there is one way": (
        "DELETE /channels/*/messages/*",
        "DELETE /webhooks/*/*/messages/@original",
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /channels/*/messages words",
        "POST /interactions/*/*/callback promise",
        "POST /users/@me/channels",
        "POST /webhooks/*/* words",
    ),
    "words": (
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /interactions/*/*/callback promise",
    ),
    "words at once": ("POST /interactions/*/*/callback words",),
    "a picture from an attached one": (
        "GET /ephemeral-attachments/*",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture once more": (
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture by a form": (
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback form",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture that is cancelled": (
        "PATCH /webhooks/*/*/messages/* progress",
        "PATCH /webhooks/*/*/messages/* words",
        "POST /interactions/*/*/callback acknowledgement",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture that is deleted": (
        "DELETE /webhooks/*/*/messages/@original",
        "POST /interactions/*/*/callback acknowledgement",
    ),
    "a picture that is sent": (
        "POST /channels/*/messages words",
        "POST /users/@me/channels",
    ),
    "a picture that is crossed out": (
        "DELETE /channels/*/messages/*",
        "GET /channels/*/messages/*",
    ),
    "a picture that is reported": (
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /channels/*/messages words",
        "POST /interactions/*/*/callback acknowledgement",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture that is revealed": (
        "GET /channels/*/messages/*",
        "PATCH /channels/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /channels/*/messages words",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture among the best": (
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /channels/*/messages picture",
        "POST /channels/*/messages/*/threads",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture that leaves the best": (
        "DELETE /channels/*/messages/*",
        "DELETE /webhooks/*/*/messages/@original",
        "POST /interactions/*/*/callback acknowledgement",
    ),
    "one's own data": (
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /interactions/*/*/callback promise",
        "POST /webhooks/*/* words",
    ),
    "the end of one's own data": (
        "DELETE /channels/*/messages/*",
        "PATCH /webhooks/*/*/messages/@original words",
        "POST /interactions/*/*/callback acknowledgement",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture that was waited for": (
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /channels/*/messages words",
        "POST /interactions/*/*/callback promise",
    ),
    "a picture that was waited for, told directly": (
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /channels/*/messages words",
        "POST /interactions/*/*/callback promise",
        "POST /users/@me/channels",
    ),
    "a restart": (
        "GET /gateway/bot",
        "GET /oauth2/applications/@me",
        "GET /users/@me",
        "PATCH /webhooks/*/*/messages/* picture",
        "PATCH /webhooks/*/*/messages/* progress",
        "POST /interactions/*/*/callback promise",
        "PUT /applications/*/commands",
    ),
}


def plays() -> Iterator[tuple[str, str, str]]:
    """Each scenario with each of its calls and each kind of fault that leaves a way open."""
    for scenario, calls in CALLS.items():
        for call in calls:
            is_last = call in FOUNDATIONS or call.startswith(SCENARIOS[scenario].last)
            yield from ((scenario, call, kind) for kind in (PASSING if is_last else KINDS))
