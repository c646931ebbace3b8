"""Verbs, and prompts that begin like one."""

from __future__ import annotations

import pytest

from bot.commands import (
    OPTIONS,
    TOPICS,
    VERBS,
    AdminAudit,
    AdminBan,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminResume,
    AdminStats,
    AdminUnban,
    AgainCommand,
    CancelCommand,
    FavouriteCommand,
    FinalCommand,
    HelpCommand,
    HistoryCommand,
    ImagineCommand,
    ModelsCommand,
    PresetsCommand,
    QueueCommand,
    QuotaCommand,
    SettingsCommand,
    ShareCommand,
    ShowCommand,
    ThanksCommand,
    UpscaleCommand,
    VaryCommand,
    parse,
)
from tests.bot.commands.conftest import ID, LETTER_ID, refusal


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("presets", PresetsCommand()),
        ("PRESETS", PresetsCommand()),
        (" /presets\n", PresetsCommand()),
        ("models", ModelsCommand()),
        ("history", HistoryCommand()),
        ("history of rome painted", HistoryCommand("of rome painted")),
        ("history “red fox” --page 2", HistoryCommand("“red fox”", 2)),
        ("history --page=3", HistoryCommand("", 3)),
        ("history —seed 4", HistoryCommand("—seed 4")),
        ("history ★ by:canny --page 2", HistoryCommand("★ by:canny", 2)),
        ("favourite k7m2p9qa", FavouriteCommand(ID)),
        ("Favorite #k7m2p9qa off", FavouriteCommand(ID, is_on=False)),
        (f"favourite {LETTER_ID}", FavouriteCommand(LETTER_ID)),
        ("share k7m2p9qa", ShareCommand(ID)),
        ("share k7m2p9qa off", ShareCommand(ID, is_on=False)),
        ("share of the pie", ImagineCommand("share of the pie")),
        ("favourite place in autumn", ImagineCommand("favourite place in autumn")),
        ("show k7m2p9qa", ShowCommand(ID)),
        ("show #K7M2P9QA.", ShowCommand(ID)),
        ("show `k7m2p9qa`", ShowCommand(ID)),
        (f"show {LETTER_ID}", ShowCommand(LETTER_ID)),
        ("again", AgainCommand()),
        ("upscale k7m2p9qa", UpscaleCommand("k7m2p9qa")),
        ("Upscale #k7m2p9qa 3", UpscaleCommand("k7m2p9qa", 3)),
        ("final", FinalCommand()),
        ("final k7m2p9qa", FinalCommand(ID)),
        ("/final #k7m2p9qa 3", FinalCommand(ID, 3)),
        (f"final {LETTER_ID} 1", FinalCommand(LETTER_ID, 1)),
        ("again k7m2p9qa", AgainCommand(ID)),
        (
            "again --seed 9 k7m2p9qa --steps 40",
            AgainCommand(ID, ImagineCommand(seed=9, num_inference_steps=40)),
        ),
        ("again --ar wide", AgainCommand(None, ImagineCommand(aspect_ratio=(16, 9)))),
        ("again k7m2p9qa 2", AgainCommand(ID, number=2)),
        ("again k7m2p9qa --same", AgainCommand(ID, same=True)),
        ("vary", VaryCommand()),
        ("vary k7m2p9qa", VaryCommand(ID)),
        ("vary k7m2p9qa 3", VaryCommand(ID, 3)),
        ("vary k7m2p9qa --subtle", VaryCommand(ID, None, "subtle")),
        ("vary --strong k7m2p9qa 2", VaryCommand(ID, 2, "strong")),
        ("vary k7m2p9qa --steps 9", AgainCommand(ID, ImagineCommand(num_inference_steps=9), True)),
        ("quota", QuotaCommand()),
        ("quota?", QuotaCommand()),
        ("history: fox", HistoryCommand("fox")),
        ("queue", QueueCommand()),
        ("cancel", CancelCommand()),
        ("Cancel!", CancelCommand()),
        ("cancel k7m2p9qa", CancelCommand(ID)),
        ("settings", SettingsCommand()),
        ("settings reset", SettingsCommand(is_reset=True)),
        (
            "settings --preset canny --steps 20",
            SettingsCommand(ImagineCommand(preset="canny", num_inference_steps=20)),
        ),
        ("help", HelpCommand()),
        ("help!", HelpCommand()),
        ("help steps", HelpCommand("steps")),
        ("help --cfg", HelpCommand("guidance")),
        ("help /vary?", HelpCommand("vary")),
        ("help admin", HelpCommand("admin")),
        ("admin help", HelpCommand("admin")),
        ("admin presets", AdminPresets()),
        ("admin presets reload", AdminPresets("reload")),
        ("admin quota discord:12", AdminQuota("show", "discord:12")),
        ("admin quota grant Discord:12 50", AdminQuota("grant", "discord:12", 50)),
        ("admin quota set slack:T1/U2 0", AdminQuota("set", "slack:T1/U2", 0)),
        ("admin quota set slack:U2 default", AdminQuota("set", "slack:U2")),
        ("admin quota reset slack:U2", AdminQuota("reset", "slack:U2")),
        ("admin pause", AdminPause()),
        ("admin resume", AdminResume()),
        ("admin ban web:eve", AdminBan("web:eve")),
        ("admin ban web:eve  too  many, --really ", AdminBan("web:eve", "too  many, --really")),
        ("admin unban web:eve", AdminUnban("web:eve")),
        ("ADMIN Queue", AdminQueue()),
        ("admin stats", AdminStats()),
        ("admin audit export", AdminAudit(is_export=True)),
        ("admin audit export  ban web:eve", AdminAudit("ban web:eve", is_export=True)),
        ("admin audit exported", AdminAudit("exported")),
        ("hi", HelpCommand(is_greeting=True)),
        ("Hello there!", HelpCommand(is_greeting=True)),
        ("What can you do?", HelpCommand(is_greeting=True)),
        ("Thanks!!", ThanksCommand()),
        ("thank you :-)", ThanksCommand()),
        ("Danke schön", ThanksCommand()),
    ],
)
def test_a_verb_is_understood(text, command):
    assert parse(text) == command


@pytest.mark.parametrize(
    "prompt",
    [
        "hi in neon letters",
        "thanks giving dinner",
        "a card that says thank you",
        "final boss in a cave",
        "final frontier",
        "final k7m2p9qa in gold",
        "show me a fox",
        "show backyard at night",
        "show 3 foxes",
        "help wanted sign",
        "help me draw a fox",
        "queue of people in the rain",
        "models on a catwalk",
        "shower",
        "a history of rome",
        '"help"',
        "/r/art style fox",
        "help! a fox stole it",
        "imagination",
    ],
)
def test_a_prompt_may_begin_like_a_verb(prompt):
    assert parse(prompt) == ImagineCommand(prompt)
    assert parse(f"{prompt} --seed 7") == ImagineCommand(prompt, seed=7)


def test_imagine_makes_a_prompt_of_whatever_follows():
    for verb in VERBS:
        assert parse(f"imagine {verb.name} 123") == ImagineCommand(f"{verb.name} 123")
    assert parse("imagine imagine") == ImagineCommand("imagine")
    assert parse("imagine hi") == ImagineCommand("hi")


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ("show", "show", "show k7m2p9qa"),
        ("/show", "/show", "show k7m2p9qa"),
        ("show 123", "123", "imagine show 123"),
        ("show fox", "fox", "imagine show fox"),
        ("show k7m2p9qa please", "please", "imagine show k7m2p9qa …"),
        ("/show me a fox", "/show", "show ID"),
        ("upscale", "upscale", "upscale k7m2p9qa"),
        ("upscale fox", "fox", "imagine upscale fox"),
        ("upscale k7m2p9qa x2", "x2", "they count from 1"),
        ("cancel xyz!", "xyz!", "imagine cancel xyz!"),
        ("cancel my job", "my", "imagine cancel my …"),
        ("cancel k7m2p9qa k7m2p9qb", "k7m2p9qb", "the command is cancel [ID]"),
        ("again, but at night", "but", "imagine again but …"),
        ("again but at night", "but", "imagine again but …"),
        ("vary --seed 9", "--seed", "write again"),
        ("vary --subtle --strong", "--strong", "set the same thing"),
        ("vary --subtle --steps 9", "--subtle", "keeps everything else"),
        ("again --same --steps 9", "--same", "changes nothing"),
        ("again k7m2p9qa 17", "17", "between 1 and 16"),
        ("a fox --same", "--same", "is not an option"),
        ("quota of fish", "of", "imagine quota of …"),
        ("presets canny", "canny", "imagine presets canny"),
        ("queue status", "status", "imagine queue status"),
        ("help stpes", "stpes", "did you mean steps?"),
        ("help zzz", "zzz", "choose one of imagine, options, presets"),
        ("settings canny", "canny", "settings [options | reset]"),
        ("settings reset all", "all", "imagine settings reset …"),
        ("settings reset --steps 3", "reset", "afterwards"),
        ("history --steps 3", "--steps", "--page"),
        ("history --page 0", "0", "between 1 and"),
        ("  /histroy fox", "/histroy", "did you mean history?"),
        ("admin", "admin", "presets, quota, pause"),
        ("admin quoat", "quoat", "did you mean quota?"),
        ("admin zzz", "zzz", "stats, audit"),
        ("admin of the castle", "of", "imagine admin of …"),
        ("admin quota", "quota", "admin quota USER"),
        ("admin quota grant", "grant", "admin quota grant USER CREDITS"),
        ("admin quota 12", "12", "discord:1234"),
        ("admin quota :12", ":12", "discord:1234"),
        ("admin quota d1scord:", "d1scord:", "discord:1234"),
        ("admin quota grant a:b", "a:b", "admin quota grant USER CREDITS"),
        ("admin quota grant a:b 0", "0", "between 1 and 1000000000"),
        ("admin quota grant a:b default", "default", "a whole number"),
        ("admin quota set a:b lots", "lots", "a whole number"),
        ("admin quota a:b 5", "5", "“5” does not fit"),
        ("admin pause now", "now", "“now” does not fit: write admin pause"),
        ("admin pause right now", "right", "write admin pause"),
        ("history —pgae 2", "—pgae", "did you mean --page?"),
        ("admin presets canny", "canny", "admin presets [reload]"),
        ("admin unban a:b c", "c", "admin unban USER"),
    ],
)
def test_what_nearly_fits_a_verb_is_an_error_and_no_picture(text, word, hint):
    error = refusal(text)

    assert error.word == word
    assert text[error.position :].startswith(word)
    assert hint in str(error)


def test_there_is_help_on_every_verb_and_every_option():
    for topic in TOPICS:
        assert parse(f"help {topic}") == HelpCommand(topic)
    assert {verb.name for verb in VERBS} | {option.name for option in OPTIONS} <= set(TOPICS)
