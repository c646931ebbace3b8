"""The verbs, and the topics of `help`: one table for parsing, help and completion."""

from __future__ import annotations

from typing import NamedTuple

from bot.commands.options import DRAWING


class Verb(NamedTuple):
    """A first word that begins no prompt: its usage, and one sentence of help."""

    usage: str
    help: str

    @property
    def name(self) -> str:
        return self.usage.split()[0]


VERBS: tuple[Verb, ...] = (
    Verb("presets", "Lists the presets."),
    Verb("loras", "Lists the LoRAs that --lora takes, with their weights."),
    Verb("models", "Lists the models that pictures are drawn with, and the presets of each."),
    Verb(
        "history [words] [favourites] [by:PRESET] [since:DAY] [until:DAY] [on:DAY] [--page 2]",
        "Lists your pictures, or only those with these words in the prompt, your favourites, those"
        " of a preset or of some days, such as 2026-11-20, today or yesterday.",
    ),
    Verb(
        "favourite ID [off]",
        "Marks a picture, so that history favourites finds it again; off takes the mark back.",
    ),
    Verb(
        "share ID [off]",
        "Lets whoever has the link of a picture see it, with its prompt and settings; off takes"
        " that back.",
    ),
    Verb("inspect [ID]", "Tells what an attached picture, or one of yours, says about itself."),
    Verb("show ID", "Shows a picture again, with its settings."),
    Verb(
        "again [ID] [number] [options | --same]",
        "Draws a new picture from the same words, or the same one with your changes; without an id"
        " your latest. --same shows exactly the same pixels, for nothing where they are still"
        " there.",
    ),
    Verb(
        "vary [ID] [number] [--subtle | --strong | options]",
        "Draws a variation of a picture, close to it or far from it; with options, or of several"
        " pictures without a number, with new seeds.",
    ),
    Verb(
        "edit [ID] [number] WORDS [options]",
        "Changes a picture as your words say, such as make it night: the one with that id, the one"
        " that you attach, or the latest.",
    ),
    Verb("upscale ID [number]", "Makes a picture larger, with detail drawn in."),
    Verb(
        "final [ID] [number]",
        "Draws the picture of a draft with all its steps and pixels; without an id of your latest.",
    ),
    Verb("report ID [reason]", "Tells moderators of a picture that should not be here."),
    Verb("quota", "Shows how many credits you have left."),
    Verb("queue", "Shows the queue and how long it takes."),
    Verb(
        "cancel [ID] [all]",
        "Cancels a job, or all that is left of its series, and gives the credits back; without an"
        " id your latest.",
    ),
    Verb("yes [CODE]", "Draws what I have proposed."),
    Verb("no [CODE]", "Forgets what I have proposed."),
    Verb("settings [options | reset]", "Shows, changes or forgets your defaults."),
    Verb(
        "expand ID or WORDS [--axes camera,light,mood,style]",
        "Proposes richer words for a prompt, which you see before they are drawn.",
    ),
    Verb(
        'prefer [suffix "WORDS" | NAME = "OPTIONS" | remove NAME]',
        "Keeps words behind all your prompts, and shortcuts of your own, used as --NAME.",
    ),
    Verb("mydata export | delete", "Hands you all that is kept about you, or deletes it."),
    Verb(
        "link [CODE | yes | no]",
        "Joins your accounts here and elsewhere with a code, which you type on the other side.",
    ),
    Verb("unlink [ACCOUNT]", "Lets an account that you have joined be by itself again."),
    Verb("help [topic]", "Explains everything, or one command or option."),
    Verb(
        "admin presets | quota | pause | drain | resume | ban | unban | bans | channels"
        " | roles | showcase | queue | held | release"
        " | reject | reveal | strikes | words | who | reports | dismiss | remove | erase | log"
        " | invite | stats | audit",
        "For admins only.",
    ),
)

#: Usage of each admin command, by its first word.
ADMIN_USAGES: dict[str, str] = {
    "presets": "admin presets [reload], admin presets enable PRESET, admin presets disable PRESET,"
    " admin presets sample PRESET [prompt]",
    "quota": "admin quota USER, admin quota grant USER CREDITS,"
    " admin quota set USER CREDITS or default, admin quota reset USER",
    "pause": "admin pause",
    "drain": "admin drain",
    "resume": "admin resume",
    "ban": "admin ban USER [reason]",
    "unban": "admin unban USER",
    "bans": "admin bans",
    "channels": "admin channels, admin channels allow CHANNEL, admin channels remove CHANNEL",
    "roles": "admin roles, admin roles allow ROLE, admin roles remove ROLE",
    "queue": "admin queue, admin queue first ID, admin queue last ID, admin queue cancel ID,"
    " admin queue refund ID, admin queue failed, admin queue replay ID",
    "held": "admin held",
    "release": "admin release ID",
    "reject": "admin reject ID [reason]",
    "reveal": "admin reveal ID",
    "strikes": "admin strikes USER, admin strikes lift USER",
    "words": "admin words, admin words refuse WORDS, admin words allow WORDS",
    "who": "admin who ID",
    "reports": "admin reports",
    "dismiss": "admin dismiss ID",
    "remove": "admin remove ID [reason]",
    "erase": "admin erase USER, then admin erase USER --yes",
    "log": "admin log, admin log here, admin log off",
    "showcase": "admin showcase, admin showcase here, admin showcase off",
    "invite": "admin invite NAME",
    "stats": "admin stats [DAYS]",
    "audit": "admin audit [words] [--page 2] | admin audit export [words]",
}

_NAMES = [each.name for each in VERBS] + [each.name for each in DRAWING]
#: Topics of `help`.
TOPICS: tuple[str, ...] = ("imagine", "options", *dict.fromkeys(_NAMES))
