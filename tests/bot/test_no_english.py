"""Nothing that the bot says to people is English for people who read another language.

The bot speaks a language here whose sentences are the English ones between marks. A word that is
left outside of them was never translated.
"""

import asyncio
import re

import pytest

from bot import outcomes, replies
from bot.commands import EXAMPLE, OPTIONS, SERIES, TOPICS, CancelCommand, ImagineCommand
from bot.commands.vocabulary import EXAMPLE_ID
from bot.conversation import converse
from bot.jobs import Job, JobStatus, Progress
from bot.languages import Language, language_of
from bot.patterns import Pattern
from bot.screens import BROKEN
from bot.source import Source
from bot.worker import NOTES
from tests.bot.spoken import spoken
from tests.conftest import ADA, ADMIN, BOB, PRESETS, finished
from tests.samples import picture

SMALL = "--size 64x64 --steps 3"

#: Said one after another. Whatever is quoted in an answer is in here too.
TALK = [
    "hello",
    "thanks",
    *(f"help {topic}" for topic in TOPICS if topic != "admin"),
    "help me",
    "help zzz",
    "presets",
    "presets canny",
    "loras",
    "models",
    "quota",
    "queue",
    "history",
    "history zebra",
    "history --page 7",
    "history --page x",
    "settings",
    "settings --steps 4 --size 64x64",
    "settings --ar 1:1",
    "settings --seed 4",
    "settings --preset canny",
    "settings reset",
    "settings reset --steps 2",
    "settings fox",
    "mydata",
    "mydata export",
    "mydata delete",
    "mydata fox",
    "link",
    "link zzzz-zzzz",
    "link yes",
    "unlink",
    "unlink fox",
    "show",
    "show 22222222",
    "show 123",
    "again",
    "again 22222222",
    "again fox",
    "vary --seed 3",
    "cancel",
    "cancel 22222222",
    "report 22222222",
    "inspect",
    "inspect 22222222",
    "/shoow",
    "/settings fox",
    "--steps 3",
    "imagine",
    "fox --steps",
    "fox --steps 99",
    "fox --steps 3 --steps 4",
    "fox -steps 3",
    "fox --stepz 3",
    "fox --zzz 3",
    "fox --size 17x17",
    "fox --size 9999x16",
    "fox --size big",
    "fox --size 64x64 --ar 1:1",
    "fox --size 2048x2048",
    "fox --ar 1:99",
    "fox --ar big",
    "fox --seed -4",
    "fox --strength 0.5",
    "fox --crop top",
    "fox --lora ink",
    "fox --lora ink:3",
    "fox --lora ink,none",
    "fox --crop middle",
    "fox --preset zzz",
    "fox --preset canny",
    'fox --negative "blurry',
    "fox --negative bad hands",
    f"fox {SMALL}",
    f"again {SMALL} --images 2",
    "same, at night --strength 0.5",
    "history",
    "quota",
]

QUOTED = re.compile("“[^”]*”|`[^`]*`|\"[^\"]*\"|'[^']*'|--[\\w-]+")
WORD = re.compile(r"[^\W\d_]{2,}")
#: Words that mean the same in every language, or that people type.
KNOWN = {
    *PRESETS,
    *TOPICS,
    *(name for each in (*OPTIONS, *SERIES) for name in (each.name, *each.aliases)),
} | {
    *("control", "start", "end", "guidance"),
    *("left", "right", "top", "bottom", "center"),
    *("demo", "web", "ada", "id", "xx", "reset", "yes", "no", "export", "delete", "page"),
    *(
        "square",
        "portrait",
        "landscape",
        "wide",
        "tall",
        "blurry",
        "black",
        "forest",
        "labs",
        "flux",
        "ink",
        "none",
    ),
}


def marked(sentence):
    """A sentence with all but its places between marks."""
    pattern = Pattern.of(sentence)
    pieces = [f"⟦{piece}⟧".replace("{", "{{").replace("}", "}}") for piece in pattern.pieces]
    places = [f"{{{place}}}" for place in pattern.places]
    return "".join(part for pair in zip(pieces, [*places, ""], strict=True) for part in pair)


@pytest.fixture(scope="module")
def marks():
    return Language("xx", {each: marked(each) for each in spoken()})


def left_over(text, *data):
    """Words of *text* that are neither translated nor among *data*."""
    text = re.sub("⟦[^⟦⟧]*⟧", " ", text)
    for each in data:
        text = text.replace(each, " ")
    words = WORD.findall(QUOTED.sub(" ", text))
    return [word for word in words if word.lower() not in KNOWN]


def untold(text, *, ids=(), said=""):
    """Words of an answer to *said* that are English, where other words are expected."""
    data = (*ids, "A test.", "· demo", EXAMPLE, EXAMPLE.split(" --")[0], EXAMPLE_ID)
    found = left_over(re.sub(r"\b[A-Z2-9]{4}-[A-Z2-9]{4}\b", "", text), *data)
    return sorted(set(found) - set(re.findall(r"\w+", said)) - {"fox", "at"})


def report(english):
    return "\n".join(f"{said}: {found}" for said, found in english.items())


async def test_no_answer_to_typed_words_is_left_in_english(service, gate, marks):
    gate.open()
    ids, english = {"22222222"}, {}

    for said in TALK:
        reply = await converse(service, Source(ADA, language=marks), said)
        text = reply.text
        if reply.is_new:
            await finished(reply.job)
            text = replies.how(reply.job, marks)
        ids |= {each.id for each in (*reply.jobs, *filter(None, [reply.job]))}
        if found := untold(text, ids=ids, said=said):
            english[said] = (found, text)

    assert not english, report(english)


async def test_no_refusal_of_a_picture_is_left_in_english(service, marks):
    files = {
        "nothing": b"",
        "a PDF": b"%PDF-1.4",
        "words": b"hello",
        "a broken PNG": picture()[:60],
        "too small": picture(1, 1),
        "too long": picture(900, 20),
        "too large": picture(9000, 8),
        "more than one": None,
    }
    english = {}

    for name, data in files.items():
        pictures = [picture(), picture()] if data is None else [data]
        source = Source(ADA, language=marks)
        command = ImagineCommand("fox", preset="canny", num_inference_steps=3)
        reply = await converse(service, source, command, pictures)
        assert reply.error is not None, name
        if found := untold(reply.text):
            english[name] = (found, reply.text)

    assert not english, report(english)


async def test_no_refusal_for_want_of_credits_or_room_is_left_in_english(make_bot, gate, marks):
    bot = await make_bot(quota={"credits": 3}, queue={"max_waiting_per_user": 1})
    source = Source(ADA, language=marks)

    waits = await converse(bot.service, source, f"fox {SMALL}")
    said = [
        await converse(bot.service, source, f"fox {SMALL}"),
        await converse(bot.service, source, "fox --size 1024x1024 --steps 50 --images 4"),
        await converse(bot.service, Source(BOB, language=marks), "fox --size 512x512 --steps 50"),
        await converse(bot.service, source, f"inspect {waits.job.id}"),
    ]
    cancelling = asyncio.ensure_future(converse(bot.service, source, CancelCommand(waits.job.id)))
    await converse(bot.service, source, "quota")  # by now the job is to be cancelled
    gate.allow(1)
    said += [await cancelling, await converse(bot.service, source, CancelCommand(waits.job.id))]
    await bot.service.admin.ban(ADMIN, BOB, "spam")
    said.append(await converse(bot.service, Source(BOB, language=marks), "fox"))

    found = {each.text: untold(each.text, ids=[waits.job.id], said="spam") for each in said}
    assert not {text: words for text, words in found.items() if words}


@pytest.mark.parametrize("status", list(JobStatus))
def test_no_progress_of_a_job_is_left_in_english(status, fox, marks):
    job = Job(
        user=ADA, request=fox, images=2, error=outcomes.OUR_FAULT if status == "failed" else None
    )
    notes = ("", "downloading canny's ControlNet, 43 %", *NOTES)

    lines = [
        replies.progress_line(job, Progress(status, picture=1, step=1, note=note, **waits), marks)
        for note in notes
        for waits in ({}, {"position": 0}, {"position": 3}, {"position": 3, "wait": 90.0})
    ]

    assert [line for line in lines if untold(line, said="canny s ControlNet plain")] == []


@pytest.mark.parametrize("error", [outcomes.UNREADABLE, outcomes.LOST_TOO_OFTEN, BROKEN])
def test_the_reason_of_a_failure_comes_from_the_database_and_is_told_in_each_language(error, fox):
    job = Job(user=ADA, request=fox, error=error)
    german = language_of("de")

    line = replies.progress_line(job, Progress(JobStatus.FAILED), german)

    assert line == f"Nicht gezeichnet: {german.sentences[error]}"
