"""What people do on Slack, for every call that the adapter can make: the scenarios of `plays`."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from adapters.slack_chat.chat import findings
from bot.commands import ImagineCommand
from bot.screens import Action, Verdict
from tests.adapters.slack_chat.plays import SMALL
from tests.conftest import ADMIN, INPAINTING
from tests.fakes.slack.world import buttons, images
from tests.judges import HIDDEN
from tests.samples import picture

HELD = Verdict(Action.HOLD, "held", "judge", "0.90")
FOX = f"a fox {SMALL}"


async def mention(stage):
    await stage.draw(stage.ada.mention(stage.general, FOX))


async def several_pictures(stage):
    await stage.draw(stage.ada.mention(stage.general, f"{FOX} --images 2"))


async def direct_message(stage):
    await stage.draw(stage.ada.tell(FOX))


async def command(stage):
    await stage.draw(stage.ada.slash(stage.general, FOX))


async def command_among_two(stage):
    """The bot is no member there: the picture comes directly, and the hook says so."""
    await stage.draw(stage.ada.slash(stage.between, FOX))
    stage.expect("Answered in a direct message.")


async def command_where_nothing_can_be_posted(stage):
    """The picture comes by the hook."""
    stage.ada.direct.is_archived = True
    await stage.have(await stage.ask(stage.ada.slash(stage.between, FOX)))


async def form(stage):
    await stage.ada.slash(stage.general)
    view = await stage.see(lambda: stage.ada.view, stage.patience)
    if view is None:
        stage.expect("he form could not be opened")
        return

    async def submit():
        errors = await stage.ada.submit(view, prompt="a fox", size="64x64", steps="3")
        stage.told += (errors or {}).values()

    await stage.draw(submit())


async def form_that_does_not_open_at_first(stage):
    stage.slack.api.fault("views.open", "internal_error")
    await form(stage)


async def fields_of_a_picture(stage):
    """A part of it is drawn anew, as a form says that changes with each press."""
    stage.bot.settings["presets"] = INPAINTING
    await stage.bot.service.admin.reload_presets(ADMIN)
    await stage.draw(stage.ada.mention(stage.general, FOX))
    fox = await stage.shows("seed", "Change a part", stage.patience)
    if fox is None:
        return
    await stage.ada.press(fox[1], "Change a part", stage.general)
    view = await stage.see(lambda: stage.ada.view, stage.patience)
    if view is None:
        stage.expect("he form could not be opened")
        return
    await stage.ada.press(view, "5")
    if not await stage.see(lambda: '"chosen": "5"' in stage.ada.view["private_metadata"]):
        return

    async def submit():
        errors = await stage.ada.submit(stage.ada.view, prompt="a hat")
        stage.told += (errors or {}).values()

    await stage.draw(submit())


async def attached_file(stage):
    file = stage.ada.file(picture())
    text = f"a fox --preset canny {SMALL}"
    await stage.draw(stage.ada.mention(stage.general, text, files=[file]))


async def attached_file_to_be_looked_up(stage):
    """As in channels that organisations share."""
    file = stage.ada.file(picture())
    shown = {"id": file.id, "mode": "file_access", "file_access": "check_file_info"}
    text = f"<@{stage.slack.team.bot_user}> a fox --preset canny {SMALL}"
    event = stage.ada.mention_event(stage.general, text) | {"files": [shown]}

    async def send():
        await stage.ada.acked(await stage.ada.event(event))

    await stage.draw(send())


async def a_picture_further_up(stage):
    """And then words in that thread without a mention."""
    sketch = stage.ada.write(stage.general, "my sketch", [stage.ada.file(picture())])
    text = f"a fox --preset canny {SMALL}"
    await stage.draw(stage.ada.mention(stage.general, text, thread=sketch["ts"]))
    if await stage.shows("canny", "Again", stage.patience) is not None:
        said = stage.ada.say(stage.general, f"a cat {SMALL}", thread=sketch["ts"])
        await stage.draw(said)


async def a_picture_before(stage):
    stage.ada.write(stage.ada.direct, "my sketch", [stage.ada.file(picture())])
    await stage.draw(stage.ada.tell(f"a fox --preset canny {SMALL}"))


async def cancel(stage):
    job = await stage.ask(stage.ada.mention(stage.general, "a fox --size 64x64 --steps 50"))
    found = await stage.shows("a fox", "Cancel", stage.patience)
    if found is not None:
        pressing = asyncio.ensure_future(stage.ada.press(found[1], "Cancel", found[0]))
        while not pressing.done():  # it ends with the next step
            await asyncio.sleep(0.01)
            stage.gate.allow()
        await pressing
        stage.expect("ancelled")
    await stage.have(job)


async def button_again(stage):
    await stage.draw(stage.ada.mention(stage.general, FOX))
    found = await stage.shows("seed", "Again", stage.patience)
    if found is not None:
        await stage.draw(stage.ada.press(found[1], "Again", found[0]))


async def button_for_a_form(stage):
    await stage.draw(stage.ada.mention(stage.general, FOX))
    found = await stage.shows("seed", "Edit prompt", stage.patience)
    if found is None:
        return
    await stage.ada.press(found[1], "Edit prompt", found[0])
    view = await stage.see(lambda: stage.ada.view, stage.patience)
    if view is not None:
        await stage.draw(stage.ada.submit(view, prompt="a cat"))


async def deletion(stage):
    job = await stage.draw(stage.ada.mention(stage.general, FOX))
    found = await stage.shows("seed", "Delete", stage.patience)
    if found is not None:
        stage.deleted.add(job.id)
        await stage.ada.press(found[1], "Delete", found[0])


async def own_data(stage):
    job = await stage.draw(stage.ada.mention(stage.general, FOX))
    await stage.ada.mention(stage.general, "mydata export")
    await stage.see(lambda: any(f.channel for f in stage.slack.files.values()))
    stage.expect("mydata")
    await stage.ada.mention(stage.general, "mydata delete")
    await stage.ada.mention(stage.general, "mydata delete --yes")
    if job is not None:
        stage.deleted.add(job.id)
        await stage.see(lambda: not stage.messages(job))


async def words(stage):
    await stage.ada.mention(stage.general, "quota")
    stage.expect("credits left")


async def words_directly(stage):
    await stage.ada.tell("quota")
    stage.expect("credits left")


async def a_picture_once_more(stage):
    job = await stage.draw(stage.ada.mention(stage.general, FOX))
    if job is not None:
        stage.shown_again[job.id] = 1
        await stage.ada.mention(stage.general, f"show {job.id}")
        await stage.see(lambda: len(stage.messages(job)) > 1)


async def pages_of_a_history(stage):
    for prompt in (FOX, f"a cat {SMALL}"):
        job = await stage.draw(stage.ada.mention(stage.general, prompt))
        if job is not None:
            stage.shown_again[job.id] = 1
    with patch("bot.conversation.PAGE_SIZE", 1):
        await stage.ada.tell("history")
        found = await stage.shows("a cat", "Older", stage.patience)
        if found is not None:
            await stage.ada.press(found[1], "Older", found[0])
            await stage.shows("a fox", "Newer", stage.patience)


async def spoiler(stage):
    stage.judge.picture = HIDDEN
    job = await stage.ask(stage.ada.mention(stage.general, FOX))
    await stage.have(job)
    found = await stage.shows("not everybody wants to see", "Show", stage.patience)
    if found is not None:
        await stage.ada.press(found[1], "Show", found[0])
        await stage.see(lambda: any(images(message) for _, message in stage.whispers()))


async def home(stage):
    await stage.draw(stage.ada.mention(stage.general, FOX))
    await stage.ada.open_home()
    await stage.see(lambda: stage.ada.home)
    stage.expect("Your latest pictures")


async def opened_for_the_first_time(stage):
    await stage.ada.open_home("messages")
    stage.expect("Write what you would like to see")


async def report(stage):
    """It reaches the moderators, who look at the picture, and decide."""
    job = await stage.draw(stage.ada.mention(stage.general, FOX))
    found = await stage.shows("seed", "Report", stage.patience)
    if found is None:
        return
    stage.shown_again[job.id] = 1
    await stage.ada.press(found[1], "Report", found[0])
    stage.expect("moderators will look", "Go to the message")
    told = await stage.shows("Reported", "Dismiss", stage.patience)
    if told is None:
        return
    await stage.boss.press(told[1], "Show", stage.mods)
    await stage.boss.press(told[1], "Dismiss", stage.mods)
    await stage.see(lambda: "Dismiss" not in buttons(told[1]), stage.patience)
    stage.expect("Dismissed")


async def question_of_an_admin(stage):
    await stage.draw(stage.ada.mention(stage.general, FOX))
    found = await stage.shows("seed", "Again", stage.patience)
    if found is not None:
        await stage.boss.shortcut("flux_who", found[1], found[0])
        stage.expect(stage.ada.id)


async def held_picture(stage):
    stage.judge.picture = HELD
    job = await stage.ask(stage.ada.mention(stage.general, FOX))
    stage.gate.allow(10)
    told = await stage.shows("Held for you", "Release", stage.patience)
    await stage.shows("moderator looks")
    if told is not None:
        await stage.boss.press(told[1], "Release", stage.mods)
    if not await stage.see(lambda: job.status != "held", stage.patience):
        # Slack does not say who is an admin: another, whom the configuration names.
        await stage.bot.service.review.release("web:local", job.id)
    await stage.have(job)


async def a_letter(stage):
    """A reaction: the picture and its settings come directly too."""
    job = await stage.draw(stage.ada.mention(stage.general, FOX))
    fox = await stage.shows("seed", "Again", stage.patience)
    if fox is None:
        return
    stage.shown_again[job.id] = 1
    await stage.ada.react(stage.general, fox[1], "envelope")
    await stage.shows("--preset plain", None, stage.patience)


async def a_cross(stage):
    """A reaction: the picture goes."""
    job = await stage.draw(stage.ada.mention(stage.general, FOX))
    fox = await stage.shows("seed", "Again", stage.patience)
    if fox is None:
        return
    stage.deleted.add(job.id)
    await stage.ada.react(stage.general, fox[1], "x")
    await stage.see(lambda: fox[1]["ts"] not in stage.general.messages, stage.patience)


async def the_best(stage):
    """Somebody votes for a picture, and its maker deletes it, so that the best are none again."""
    best = stage.slack.channel("best-of")
    team = stage.ada.key.partition(":")[2].rpartition("-")[0]
    await stage.bot.service.servers.set_showcase("web:local", f"slack-server:{team}", best.id)
    job = await stage.draw(stage.ada.mention(stage.general, FOX))
    fox = await stage.shows("seed", "Vote", stage.patience)
    if fox is None:
        return
    await stage.slack.person("bob").press(fox[1], "Vote", stage.general)
    shown = await stage.see(lambda: any(images(each) for each in best.messages.values()))
    if shown:
        stage.deleted.add(job.id)
        await stage.ada.press(fox[1], "Delete", stage.general)
        await stage.see(lambda: not best.messages, stage.patience)


async def export_of_the_log(stage):
    await stage.boss.mention(stage.mods, "admin ban slack:U5 spam")
    await stage.boss.slash(stage.mods, "admin audit export")
    await stage.see(lambda: any(file.channel for file in stage.slack.files.values()))


async def called_directly(stage):
    """After a long wait, for somebody who wants that."""
    own = stage.bot.service.own_settings
    await own.change(stage.ada.key, ImagineCommand(), beside={"notify": "dm"})
    job = await stage.ask(stage.ada.mention(stage.general, FOX))
    await stage.shows("step 0 of")
    stage.bot.clock.advance(31)
    await stage.have(job)


async def restart(stage):
    await stage.ask(stage.ada.mention(stage.general, FOX))
    await stage.shows("step 0 of")
    await stage.restart()
    await stage.have(await stage.newest())


async def a_message_that_was_lost(stage):
    """Slack has posted it, and its answer never came."""
    stage.slack.api.fault("chat.postMessage", "drop")
    await stage.draw(stage.ada.mention(stage.general, FOX))


async def a_message_that_was_lost_outside_of_threads(stage):
    stage.slack.api.fault("chat.postMessage", "drop")
    await stage.draw(stage.ada.slash(stage.general, FOX))


async def a_message_that_can_be_changed_no_more(stage):
    """The picture comes in another, and the first one goes."""
    job = await stage.ask(stage.ada.mention(stage.general, FOX))
    await stage.watch(job)
    stage.general.unchangeable.update(stage.general.messages)
    await stage.have(job)


async def a_picture_after_a_pause(stage):
    """Nobody was shown progress for longer than a call may take."""
    job = await stage.ask(stage.ada.mention(stage.general, FOX))
    await stage.shows("step 0 of")
    stage.gate.allow()
    await stage.shows("step 1 of")
    async with stage.no_progress():
        if stage.trouble.met:
            await asyncio.sleep(stage.hangs_after)
        await stage.have(job)


async def a_channel_that_is_closed_meanwhile(stage):
    """The picture comes directly, and the message that cannot say so goes."""
    job = await stage.ask(stage.ada.mention(stage.general, FOX))
    await stage.watch(job)
    stage.general.is_archived = True
    await stage.have(job)


async def check(stage):
    """What ``python -m bot check`` asks of Slack."""
    found = await findings(stage.settings, stage.secrets)
    stage.told += [sentence for _, sentence in found]
    stage.expect("as UBOT1", "SLACK_APP_TOKEN")


ALL = {
    each.__name__: each
    for each in (
        mention,
        several_pictures,
        direct_message,
        command,
        command_among_two,
        command_where_nothing_can_be_posted,
        form,
        form_that_does_not_open_at_first,
        fields_of_a_picture,
        attached_file,
        attached_file_to_be_looked_up,
        a_picture_further_up,
        a_picture_before,
        cancel,
        button_again,
        button_for_a_form,
        deletion,
        own_data,
        words,
        words_directly,
        a_picture_once_more,
        pages_of_a_history,
        spoiler,
        home,
        opened_for_the_first_time,
        report,
        question_of_an_admin,
        held_picture,
        a_letter,
        a_cross,
        the_best,
        export_of_the_log,
        called_directly,
        restart,
        a_message_that_was_lost,
        a_message_that_was_lost_outside_of_threads,
        a_message_that_can_be_changed_no_more,
        a_picture_after_a_pause,
        a_channel_that_is_closed_meanwhile,
        check,
    )
}
