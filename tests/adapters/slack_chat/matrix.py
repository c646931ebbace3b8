"""Every call of the adapter to Slack, with every fault; and bots that are broken on purpose."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from adapters.slack_chat.errors import OutcomeUnknown
from adapters.slack_chat.previews import Previews
from adapters.slack_chat.window import SlackWindow
from bot.answers import Answers
from bot.windows import Fault, Meaning
from tests.adapters.slack_chat.plays import Outcome, cases, play, unlike
from tests.adapters.slack_chat.scenarios import ALL
from tests.adapters.slack_chat.troubles import LASTING, PASSING

#: Calls that are made before anybody says anything, and those that show a preview: the same in
#: every scenario.
BEFORE = ("auth.test", "apps.connections.open")
#: Calls without which there is no bot, or nothing that could be done: what can be neither edited
#: nor deleted stays, and without a look a second message is all there is to a lost one.
NEEDED = (*BEFORE, "chat.delete", "conversations.history", "conversations.replies")
LAST_WAY = ("command_where_nothing_can_be_posted", "response_url")
STARTS, WITH_PREVIEWS = ("restart", "check"), ("mention", "direct_message")


@dataclass(frozen=True)
class Case:
    """One call of a scenario, and the fault that it meets."""

    scenario: str
    label: str
    number: int
    fault: str
    is_lasting: bool = False

    def __str__(self) -> str:
        how = ", and so does every later one" if self.is_lasting else ""
        return f"{self.scenario}: {self.label} #{self.number} meets “{self.fault}”{how}"


#: Cases in which the bot was once found wrong, some of each kind.
FOUND = (
    Case("mention", "chat.postMessage: progress", 0, "overtaken"),
    Case("mention", "files.completeUploadExternal", 0, "overtaken"),
    Case("a_picture_after_a_pause", "chat.update: progress", 1, "overtaken"),
    Case("command_among_two", "chat.postMessage: progress", 1, "lost"),
    Case("form_that_does_not_open_at_first", "views.open", 0, "broken"),
    Case("a_picture_once_more", "chat.postMessage: end", 0, "lost"),
    Case("spoiler", "chat.postEphemeral", 0, "fatal_error"),
    Case("a_message_that_can_be_changed_no_more", "chat.postMessage: progress", 1, "lost"),
    Case("form", "chat.update: end", 0, "restricted_action", True),
    Case("a_picture_once_more", "chat.postMessage: end", 0, "msg_too_long", True),
)


# Bots that are broken on purpose


def _looks_for_nothing(patch):
    async def nothing(*_):
        return []

    patch.setattr("adapters.slack_chat.window.found", nothing)


def _gives_up_at_once(patch):
    judge = SlackWindow.judge

    def judged(self, error):
        if isinstance(error, OutcomeUnknown):
            return Fault(Meaning.CLOSED)
        return judge(self, error)

    patch.setattr("adapters.slack_chat.workspaces.ATTEMPTS", 1)
    patch.setattr(SlackWindow, "judge", judged)


def _gives_up_never(patch):
    judge = SlackWindow.judge

    def judged(self, error):
        fault = judge(self, error)
        return fault and replace(fault, tries=50)

    patch.setattr(SlackWindow, "judge", judged)


def _refunds_nothing(patch):
    async def undeliverable(self, job, reason):
        await self.delivered(job)

    patch.setattr(Answers, "undeliverable", undeliverable)


def _waits_for_progress(patch):
    patch.setattr("bot.following.SECONDS_FOR_AN_EDIT", 3600.0)


def _says_nothing_over(patch):
    patch.setattr("bot.following.SECONDS_UNTIL_ARRIVED", 0.0)


def _has_no_last_word(patch):
    async def note(self, sentence):
        pass

    patch.setattr(SlackWindow, "note", note)


def _keeps_previews(patch):
    async def delete(self):
        pass

    patch.setattr(Previews, "delete", delete)


#: What is broken: how, the case in which it shows, and words of the finding.
PLANTED = {
    "no looking for a lost answer": (
        _looks_for_nothing,
        Case("mention", "chat.postMessage: progress", 0, "lost"),
        "has 2 messages",
    ),
    "giving up after the first fault": (
        _gives_up_at_once,
        Case("mention", "files.getUploadURLExternal", 0, "broken"),
        "it ended as",
    ),
    "giving up never": (
        _gives_up_never,
        Case("mention", "chat.update: end", 0, "broken", True),
        "calls, and else",
    ),
    "no refund": (
        _refunds_nothing,
        Case("mention", "chat.update: end", 0, "msg_too_long", True),
        "is shown nowhere, and costs",
    ),
    "progress that is not cut off": (
        _waits_for_progress,
        Case("mention", "chat.update: progress", 0, "hangs"),
        "waited",
    ),
    "nothing said over progress that arrives late": (
        _says_nothing_over,
        Case("a_picture_after_a_pause", "chat.update: progress", 1, "overtaken"),
        "left in a state that is over",
    ),
    "no last word": (
        _has_no_last_word,
        Case("a_channel_that_is_closed_meanwhile", "upload", 0, "slow"),
        "left in a state that is over",
    ),
    "previews that stay": (
        _keeps_previews,
        Case("mention", "upload", 0, "slow"),
        "files are left at Slack",
    ),
}
#: Seconds after which a call hangs where the bot must not wait for it.
LONG = 2.5


@dataclass
class Report:
    """The findings of many plays."""

    plays: int = 0
    met: int = 0
    problems: list[str] = field(default_factory=list)


class Matrix:
    """Plays in *folder*, each beside the same one without a trouble."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._undisturbed: dict[str, Outcome] = {}
        self._count = 0

    async def undisturbed(self, scenario: str) -> Outcome:
        """The outcome of *scenario* without a trouble."""
        if scenario not in self._undisturbed:
            self._undisturbed[scenario] = await play(self._next(), ALL[scenario])
        return self._undisturbed[scenario]

    async def outcome(self, case: Case, plant=None) -> Outcome:
        """The outcome of *case*, with all that is wrong with it."""
        undisturbed = await self.undisturbed(case.scenario)
        faults = LASTING if case.is_lasting else PASSING
        # What shows progress is cut off by the end, however long it takes.
        is_cut_off = case.fault == "hangs" and case.label == "chat.update: progress"
        outcome = await play(
            self._next(),
            ALL[case.scenario],
            plant=plant,
            label=case.label,
            number=case.number,
            fault=faults[case.fault],
            is_lasting=case.is_lasting,
            **({"hangs_after": LONG} if is_cut_off else {}),
        )
        outcome.problems += unlike(outcome, undisturbed, case.is_lasting)
        return outcome

    async def cases(self) -> list[Case]:
        """All cases of all scenarios."""
        return [
            case
            for scenario in ALL
            for label, number in cases(await self.undisturbed(scenario))
            if label not in BEFORE or scenario in STARTS
            if "preview" not in label or scenario in WITH_PREVIEWS
            for case in _cases(scenario, label, number)
        ]

    async def play_all(self, cases: list[Case]) -> Report:
        """Play *cases* one after the other."""
        report = Report()
        for case in cases:
            outcome = await self.outcome(case)
            report.plays += 1
            report.met += outcome.is_met
            report.problems += [f"{case}: {problem}" for problem in outcome.problems]
        return report

    def _next(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)


def _cases(scenario: str, label: str, number: int) -> Iterator[Case]:
    for fault in PASSING:
        if fault == "overtaken" and scenario == "restart":
            continue  # nothing is under way as long as a restart takes
        yield Case(scenario, label, number, fault)
    is_all_there_is = (scenario, label) == LAST_WAY
    if number == 0 and label not in NEEDED and not is_all_there_is:
        for fault in LASTING:
            yield Case(scenario, label, number, fault, is_lasting=True)


def some(cases: list[Case], count: int, seed: int) -> list[Case]:
    """*count* of *cases*, by lot."""
    return random.Random(seed).sample(cases, min(count, len(cases)))
