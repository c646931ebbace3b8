"""Words of one's own: a suffix, and shortcuts."""

import pytest

from bot.commands import AgainCommand, ImagineCommand, PreferCommand, PromptCommand, parse
from bot.conversation import converse
from bot.source import Source
from tests.conftest import ADA, BOB, finished

SMALL = "--size 64x64 --steps 3"


@pytest.fixture
def say(service):
    async def say(text, user=ADA):
        return await converse(service, Source(user), text)

    return say


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("prefer", PreferCommand()),
        ('prefer suffix ", film grain"', PreferCommand("keep", "suffix", ", film grain")),
        ('prefer pic = "--ar 3:2 --steps 4"', PreferCommand("keep", "pic", "--ar 3:2 --steps 4")),
        ("prefer --pic --ar 3:2", PreferCommand("keep", "pic", "--ar 3:2")),
        ("prefer PIC=“--ar 3:2”", PreferCommand("keep", "pic", "--ar 3:2")),
        ("prefer remove --pic", PreferCommand("remove", "pic")),
        ('prefer pic ""', PreferCommand("remove", "pic")),
    ],
)
def test_words_of_ones_own_are_kept_and_removed(text, command):
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('prefer steps = "--ar 3:2"', "“steps” is an option already"),
        ('prefer repeat "a"', "“repeat” is an option already"),
        ('prefer 3d = "a"', "“3d” does not fit: the command is prefer"),
        ('prefer pic = "--stpes 3"', "did you mean --steps?"),
        ('prefer pic = "{a,b}"', "cannot stand for several pictures"),
        (f'prefer pic = "{"x" * 301}"', "301 characters; at most 300"),
        ("prefer remove pic", "You have no shortcut --pic"),
    ],
)
async def test_what_cannot_be_kept_is_said(say, text, sentence):
    reply = await say(text)

    assert sentence in reply.text
    assert reply.error is not None
    assert (await say("prefer")).text.startswith("You have no words of your own yet.")


async def test_a_suffix_stands_behind_every_prompt_and_in_the_record(say, service, gate):
    gate.open()
    await say('prefer suffix ", film grain --steps 3"')

    job = (await say("a fox --size 64x64")).job
    told = (await say("a fox --size 64x64 --steps 2")).job
    asked = PromptCommand(ImagineCommand("a fox", width=64, height=64))
    field = (await converse(service, Source(ADA), asked)).job

    assert (job.request.prompt, job.request.num_inference_steps) == ("a fox, film grain", 3)
    assert (told.request.prompt, told.request.num_inference_steps) == ("a fox, film grain", 2)
    assert field.request.prompt == "a fox, film grain"
    await finished(field)
    again = (await say(f"again {field.id}")).job
    assert again.request.prompt == "a fox, film grain"
    others = (await say(f"a fox {SMALL}", user=BOB)).job
    assert others.request.prompt == "a fox"
    literal = await converse(service, Source(ADA), ImagineCommand("a program's own words"))
    assert literal.job.request.prompt == "a program's own words"


async def test_a_shortcut_is_used_like_an_option(say, service):
    await say('prefer pic = "--size 64x64 --steps 4, in oil"')

    typed = (await say("a fox --pic --seed 3")).job
    asked = PromptCommand(ImagineCommand("a fox —PIC at night", num_inference_steps=2))
    field = (await converse(service, Source(ADA), asked)).job
    quoted = (await say(f'a sign "--pic" {SMALL}')).job
    nobody = await say("a fox --pic", user=BOB)

    assert typed.request.prompt == "a fox in oil"
    assert (typed.request.width, typed.request.num_inference_steps) == (64, 4)
    assert (field.request.width, field.request.num_inference_steps) == (64, 2)
    assert field.request.prompt == "a fox in oil at night"
    assert quoted.request.prompt == 'a sign "--pic"'
    assert "“--pic” is not an option" in nobody.text


async def test_a_suffix_stands_behind_all_of_a_series(say):
    await say("prefer suffix in oil")
    await say(f"{{a,b}} {SMALL}")

    series = (await say("yes")).series

    assert [job.request.prompt for job in series.parts] == ["a in oil", "b in oil"]


async def test_words_are_listed_with_buttons_that_remove_them(say):
    await say("prefer suffix in oil")
    listed = await say("prefer wide --ar 3:1")

    assert listed.text.splitlines() == ["Behind every prompt of yours: in oil", "--wide: --ar 3:1"]
    assert [each.label for each in listed.choices] == ["Remove suffix", "Remove wide"]
    left = await say(listed.choices[0].says)
    assert left.text == "--wide: --ar 3:1"


async def test_there_is_an_end_of_shortcuts(say):
    for number in range(20):
        await say(f"prefer short{number} --steps 3")

    assert "You have 20 shortcuts, the most one person may have" in (await say("prefer z a")).text
    assert (await say("prefer short3 --steps 4")).error is None


async def test_settings_leave_them_alone_and_a_deletion_does_not(say, service):
    await say("prefer suffix in oil")
    await say("settings --steps 3")
    assert "in oil" not in (await say("settings")).text
    await say("settings reset")
    assert (await say("prefer")).text == "Behind every prompt of yours: in oil"

    await say("mydata delete --yes")

    assert (await say("prefer")).text.startswith("You have no words of your own yet.")


async def test_a_shortcut_may_stand_behind_again(say, gate):
    gate.open()
    await say("prefer few --steps 2")
    job = (await say(f"a fox {SMALL}")).job
    await finished(job)

    again = await say(f"again {job.id} --few")

    assert again.job.request.num_inference_steps == 2
    assert parse(f"again {job.id} --steps 2") == AgainCommand(
        job.id, ImagineCommand(num_inference_steps=2)
    )
