"""Commands from the text that people type: ``a fox in snow --preset canny --steps 20``.

This is the only place where the words that people type (steps, guidance, size)
meet the words of diffusers (num_inference_steps, guidance_scale, width): the
table `OPTIONS`, from which parsing, help and completion derive. Everything here
is pure; no text makes `parse` raise anything but `CommandError`.

**Options** stand anywhere between the words of the prompt, in any order.

- An option begins a word: ``--steps 20`` or ``--steps=20``; capitals and ``_``
  for ``-`` do not matter. After ``--`` and a letter an unknown name is an error,
  because a picture of a misspelled option costs as much as the right one.
- One dash begins no option. Followed by the exact name of one and a value that fits
  ("a cat -steps 5") it is an error, for the same reason; "a well-kept -size" is a prompt.
- Phones make ``—`` or ``–`` out of ``--``. Such a dash is also punctuation, so it
  begins an option only directly before a known name, or before a name one slip
  away from a known one that ``=`` or a number follows: then the slip is reported.
  "a fox — in snow", "1920–1930" and "—step by step" are prompts.
- A passage in quotes is never searched for options, and a prompt keeps its quotes
  as typed. An apostrophe in a word is no quote; neither is a quote that nothing
  closes, except as the beginning of an option's value, where it is an error. In
  a quoted value ``\\`` before a quote or another ``\\`` takes it as it is.
- The value of ``--negative`` needs quotes when words of the prompt follow it:
  "a fox --negative bad hands" would otherwise quietly draw hands.
- ``--lora`` alone may be given several times, and each adds to those before.
- ``--`` alone ends the options: the rest is the prompt.
- Where options are taken out of the prompt, one space remains, or the line breaks.

**Series.** ``{red,blue} house``, ``--repeat 3`` and ``--presets canny,depth`` make one job of
each; see `bot.commands.series`.

**Verbs.** The first word decides, in capitals or not, also with a comma or a ``?`` behind
it. ``imagine`` makes a prompt of everything after it, and ``/`` before a verb insists on the verb.

- ``again``, ``vary``, ``cancel``, ``history``, ``presets``, ``loras``, ``quota``, ``settings``,
  ``mydata``, ``unlink`` and ``admin`` hardly ever begin a picture, so they are always verbs. Words
  that do not fit them are an error that shows how to draw the words instead.
- ``show``, ``help`` and ``queue`` do begin pictures ("show me a fox", "help wanted
  sign"). They are verbs when nothing or exactly one word follows, and that word
  must then fit: "show 123" is an error, not a picture. With more words they are
  a prompt, except that ``show`` and something that can only be a job's id (it has
  a digit) is an error again.
- ``edit`` is always a verb, and what follows it, behind an id and a number where they are said, is
  what to change: "edit make it night".
- ``favourite`` (or ``favorite``) is a verb before what can be a job's id, alone or with ``off``:
  "favourite place in autumn" is a prompt. So is ``share``.
- ``final`` is a verb alone and before a job's id: "final boss" is a prompt.
- ``yes`` and ``no`` answer a proposal of the bot, alone or before its code.
- ``link`` is a verb alone, and before what can only be a code, ``yes`` or ``no``: "link in a
  green tunic" is a prompt.
- Everything else is a prompt.
"""

from bot.commands.admin_vocabulary import (
    AdminAudit,
    AdminBan,
    AdminBans,
    AdminChannels,
    AdminCommand,
    AdminDrain,
    AdminErase,
    AdminInvite,
    AdminLog,
    AdminPause,
    AdminPresets,
    AdminQueue,
    AdminQuota,
    AdminReports,
    AdminResume,
    AdminReview,
    AdminRoles,
    AdminSample,
    AdminShowcase,
    AdminStats,
    AdminStrikes,
    AdminUnban,
    AdminWho,
    AdminWords,
)
from bot.commands.history import HistoryFilter, read_filter, render_filter
from bot.commands.options import DRAWING, OPTIONS, SERIES, WORDS
from bot.commands.parsing import courtesy_in, parse, read_option, read_options
from bot.commands.rendering import render, render_options
from bot.commands.series import completed, escaped, series_of, with_options
from bot.commands.sizes import SHAPES, fit_size
from bot.commands.values import region_in, shares_of
from bot.commands.verbs import ADMIN_USAGES, TOPICS, VERBS
from bot.commands.vocabulary import (
    EXAMPLE,
    WITH_PICTURES,
    AgainCommand,
    AnswerCommand,
    AskedLora,
    CancelCommand,
    Command,
    CommandError,
    DeleteCommand,
    EditCommand,
    ExpandCommand,
    FavouriteCommand,
    FinalCommand,
    HelpCommand,
    HistoryCommand,
    HowCommand,
    ImagineCommand,
    InspectCommand,
    LinkCommand,
    LorasCommand,
    Member,
    ModelsCommand,
    MyDataCommand,
    OpinionCommand,
    PreferCommand,
    PresetsCommand,
    PromptCommand,
    QueueCommand,
    QuotaCommand,
    ReportCommand,
    SendCommand,
    SeriesCommand,
    SettingsCommand,
    ShareCommand,
    ShowCommand,
    ThanksCommand,
    UnlinkCommand,
    UpscaleCommand,
    Variation,
    VaryCommand,
    VoteCommand,
)

__all__ = [
    "ADMIN_USAGES",
    "DRAWING",
    "EXAMPLE",
    "OPTIONS",
    "SERIES",
    "SHAPES",
    "TOPICS",
    "VERBS",
    "WITH_PICTURES",
    "WORDS",
    "AdminAudit",
    "AdminBan",
    "AdminBans",
    "AdminChannels",
    "AdminCommand",
    "AdminDrain",
    "AdminErase",
    "AdminInvite",
    "AdminLog",
    "AdminPause",
    "AdminPresets",
    "AdminQueue",
    "AdminQuota",
    "AdminReports",
    "AdminResume",
    "AdminReview",
    "AdminRoles",
    "AdminSample",
    "AdminShowcase",
    "AdminStats",
    "AdminStrikes",
    "AdminUnban",
    "AdminWho",
    "AdminWords",
    "AgainCommand",
    "AnswerCommand",
    "AskedLora",
    "CancelCommand",
    "Command",
    "CommandError",
    "DeleteCommand",
    "EditCommand",
    "ExpandCommand",
    "FavouriteCommand",
    "FinalCommand",
    "HelpCommand",
    "HistoryCommand",
    "HistoryFilter",
    "HowCommand",
    "ImagineCommand",
    "InspectCommand",
    "LinkCommand",
    "LorasCommand",
    "Member",
    "ModelsCommand",
    "MyDataCommand",
    "OpinionCommand",
    "PreferCommand",
    "PresetsCommand",
    "PromptCommand",
    "QueueCommand",
    "QuotaCommand",
    "ReportCommand",
    "SendCommand",
    "SeriesCommand",
    "SettingsCommand",
    "ShareCommand",
    "ShowCommand",
    "ThanksCommand",
    "UnlinkCommand",
    "UpscaleCommand",
    "Variation",
    "VaryCommand",
    "VoteCommand",
    "completed",
    "courtesy_in",
    "escaped",
    "fit_size",
    "parse",
    "read_filter",
    "read_option",
    "read_options",
    "region_in",
    "render",
    "render_filter",
    "render_options",
    "series_of",
    "shares_of",
    "with_options",
]
