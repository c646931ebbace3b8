"""Every REST call of the adapter meets every kind of fault, and one judge looks at what came of it.

A scenario is what people do; a play is a scenario in which one of its calls meets one fault. What
a call is called: its method, its route and what it brings, such as ``PATCH
/channels/*/messages/* picture``. Clocks are compressed: what takes a minute with Discord takes
some hundredths of a second here.
"""

import asyncio
import contextlib
import json
import logging
import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.assembly.platforms import keep_going
from bot.jobs import Delivery, JobStatus
from bot.screens import PASSED
from tests.adapters.discord_chat.conftest import SECONDS_BETWEEN_EDITS, Presence
from tests.adapters.discord_chat.every_fault import Held, Kind
from tests.conftest import Bot, Clock, Gate
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.calls import CALLS
from tests.fakes.discord.rules import TOKEN_SECONDS
from tests.judges import Judge

#: What a first answer is, by Discord's number.
FIRST = {4: "words", 5: "promise", 6: "acknowledgement", 8: "choices", 9: "form"}
#: A file of a finished picture: the job's id and the picture's number.
PICTURE = re.compile(r"([0-9a-z]+)-\d+\.\w+$")
#: Calls of a play at most: where the fault passes; and where it stays, for half a day at worst, on
#: two ways, and discord.py makes five calls out of each.
MOST_CALLS, MOST_CALLS_IN_VAIN = 60, 1200
#: Seconds for one play; and for something to happen in it, which a fault may keep from happening.
LONGEST, LONGEST_WAIT = 20.0, 5.0
#: Names of tasks that answer somebody, discord.py's and ours.
BUSY = ("discord-ui-", "CommandTree", "discord.py: on_", "discord follows")
#: What the log says of faults that it should say.
EXPECTED = ("Discord ended", "the commands cannot be registered")
ROUTES = [
    (method, re.sub(r"\{\w+\}", "*", route), re.compile(re.sub(r"\{\w+\}", "[^/]+", route) + "$"))
    for method, route in CALLS
]
PAUSES = {
    "bot.following.FIRST_PAUSE": 0.01,
    "bot.following.LONGEST_PAUSE": 0.01,
    "bot.following.LONGEST_PAUSE_OF_ROUNDS": 0.01,
    "bot.following.SECONDS_FOR_AN_EDIT": 0.03,
    "bot.following.SECONDS_UNTIL_ARRIVED": 0.15,
    "bot.moderation_log.SECONDS_BETWEEN_LOOKS": 0.01,
    "bot.moderation_log.SECONDS_AFTER_A_FAULT": 0.01,
    "bot.showcase.SECONDS_BETWEEN_LOOKS": 0.01,
    "bot.showcase.SECONDS_AFTER_A_FAULT": 0.01,
    "bot.assembly.platforms.FIRST_PAUSE": 0.01,
    "adapters.discord_chat.faults.FIRST_PAUSE": 0.01,
    "adapters.discord_chat.faults.LONGEST_PAUSE": 0.01,
    "adapters.discord_chat.first_answers.PAUSES": (0.0, 0.01, 0.02),
    "adapters.discord_chat.attachments.PAUSES": (0.01, 0.02),
    "adapters.discord_chat.registration.FIRST_PAUSE": 0.01,
    "adapters.discord_chat.registration.LONGEST_PAUSE": 0.01,
}
#: Where nothing answers, these are short as well. Elsewhere they are long, so that a busy machine
#: adds no faults of its own.
PATIENCE = {
    "bot.showcase.SECONDS_FOR_AN_ACT": 0.4,
    "adapters.discord_chat.faults.SECONDS_FOR_A_CALL": 0.4,
    "adapters.discord_chat.first_answers.SECONDS_TO_ANSWER": 0.3,
    "adapters.discord_chat.first_answers.SECONDS_TO_FIND": 0.2,
    "adapters.discord_chat.attachments.SECONDS": 0.4,
}


class _Hurried:
    """asyncio for discord.py, whose own pauses of whole seconds are a thousand times shorter."""

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / 1000 if seconds >= 1 else seconds)


def call_of(method: str, path: str, body: object) -> str:
    """The name of a call."""
    route = next((route for known, route, like in ROUTES if known == method and like.match(path)),
                 "/".join(path.split("/")[:2]) + "/*")  # fmt: skip
    if not isinstance(body, dict):
        return f"{method} {route}"
    if route.endswith("/callback"):
        what = FIRST[body["type"]]
    elif "embeds" not in body and "content" not in body and not body.get("attachments"):
        return f"{method} {route}"
    elif '"flux:cancel:' in json.dumps(body):
        what = "progress"
    elif any(PICTURE.match(file.get("filename", "")) for file in body.get("attachments") or ()):
        what = "picture"
    else:
        what = "words"
    return f"{method} {route} {what}"


class WatchedDiscord(FakeDiscord):
    """Discord, with the call that is to meet a fault.

    Attributes:
        calls: The names of all calls, as they arrive.
        met: The call to be met and its kind of fault; None for none.
        hits: How often it was met.
    """

    def __init__(self, stage: "Stage"):
        super().__init__()
        self.stage = stage
        self.calls: list[tuple[str, str]] = []
        self.met: tuple[str, Kind] | None = None
        self.hits = 0
        self.pace.most = 10**6  # since the clocks are compressed

    def fault(self, method, path, body=None):
        call = call_of(method, path, body)
        self.calls.append((call, path))
        if self.met is not None:
            met, kind = self.met
            if met == call and (kind.is_lasting or not self.hits):
                self.hits += 1
                return kind.fault(self.stage.held)
        self.stage.held.overtake(0.02)
        return super().fault(method, path, body)


class Persistent(Presence):
    """The bot on Discord, which tries again where it cannot begin."""

    async def start(self):
        self.running = asyncio.create_task(keep_going("Discord", self._run))
        await self.fake.connected()
        await self.fake.registered()

    async def _run(self):
        self.make_chat()
        await self.chat.run()


@dataclass
class Ask:
    """Something that a person asks of the bot.

    Attributes:
        wants: ``picture``, ``words``, ``form`` or ``nothing``.
        messages: How many they get, where they want words.
    """

    interaction: object
    wants: str
    messages: int = 1


class Over(Exception):
    """The play cannot go on, since a fault has kept something from happening."""


class Stage:
    """A bot on a Discord of its own, on which scenarios are played one after another."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.held = Held()
        self.judge = Judge()
        self.log: list[logging.LogRecord] = []

    @contextlib.asynccontextmanager
    async def set(self):
        """The stage, while everything on it runs."""
        with pytest.MonkeyPatch.context() as patch:
            for name, seconds in PAUSES.items():
                patch.setattr(name, seconds)
            patch.setattr("discord.webhook.async_.asyncio", _Hurried())
            patch.setattr("discord.http.asyncio", _Hurried())
            handler = _Keeping(self.log)
            logging.getLogger().addHandler(handler)
            async with WatchedDiscord(self) as self.fake:
                self.mods = self.fake.guild.add_channel("mods")
                self.boss = self.fake.person("boss", permissions=0x20)
                self.gate = Gate()
                self.bot = Bot(
                    self.folder, self.gate, Clock(),
                    moderation={"discord_channel": str(self.mods.id)},
                    showcase={"votes": 1},
                )  # fmt: skip
                self.bot.judges = {"judge": lambda: self.judge}
                await self.bot.start()
                self.presence = Persistent(self.bot, self.fake)
                try:
                    await self.presence.start()
                    yield self
                finally:
                    self.gate.open()
                    self.held.let_go()
                    await self.presence.stop()
                    await self.bot.stop()
                    logging.getLogger().removeHandler(handler)

    async def play(
        self, scenario: "Scenario", call: str | None = None, kind: Kind | None = None
    ) -> "Play":
        """A play of *scenario*, in which *call* meets a fault of that *kind*."""
        play = Play(self, scenario, call, kind)
        self.fake.calls.clear()
        patience = pytest.MonkeyPatch()
        if kind is not None and kind.hangs:
            for name, seconds in PATIENCE.items():
                patience.setattr(name, seconds / 4 if kind.is_lasting else seconds)
        try:
            async with asyncio.timeout(3 * LONGEST if play.is_in_vain else LONGEST):
                if scenario.begin is not None:
                    await scenario.begin(play)
                self.fake.calls.clear()
                self.fake.hits = 0
                self.fake.met = None if call is None else (call, kind)
                with contextlib.suppress(Over):
                    await scenario.act(play)
                self.gate.open()
                await play.over()
        except Over:
            play.problems.append("it does not even begin")
        except TimeoutError as error:
            play.problems.append(f"it does not come to an end: {error}")
        patience.undo()
        await play.judge()
        play.calls = list(self.fake.calls)
        self.fake.met = None
        self.fake.blocked_words.clear()
        self.fake.violations.clear()
        self.fake._faults.clear()
        self.judge.picture = PASSED
        self.log.clear()
        self.gate.close_again()
        return play


class _Keeping(logging.Handler):
    def __init__(self, records: list):
        super().__init__(logging.ERROR)
        self.records = records

    def emit(self, record):
        self.records.append(record)


@dataclass(frozen=True)
class Scenario:
    """What people do.

    Attributes:
        act: Carried out while a call is met by a fault.
        begin: Carried out before.
        ends_in_words: Whether no picture can come.
        places: How many are left where the person could be told why, two being enough.
        last: How the names of calls begin beside which no other way is left.
    """

    act: Callable[["Play"], Awaitable[None]]
    begin: Callable[["Play"], Awaitable[None]] | None = None
    ends_in_words: bool = False
    places: int = 2
    last: tuple[str, ...] = ()


@dataclass
class Play:
    """A scenario with one fault, and what was found wrong in the end.

    Attributes:
        asks: What people have asked for.
        picture: The message of a picture that Ada had before.
        best: The channel where the best are shown.
        checks: What the scenario itself finds wrong, where the fault passes.
        calls: Names and paths of the calls, once the play is over.
    """

    stage: Stage
    scenario: Scenario
    call: str | None
    kind: Kind | None
    problems: list[str] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    picture: object = None
    best: object = None
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self):
        self.fake, self.gate, self.presence = self.stage.fake, self.stage.gate, self.stage.presence
        self.ada = self.fake.person("ada")
        self.channel = self.fake.guild.add_channel("studio")
        self.checks: list[Callable[[], str | None]] = []

    @property
    def longest_wait(self) -> float:
        """Seconds in which something will have happened, if it does."""
        return LONGEST_WAIT if self.call is None else LONGEST_WAIT / 10

    @property
    def is_in_vain(self) -> bool:
        """Whether a fault closes one of the ways for good."""
        return self.kind is not None and self.kind.is_lasting

    # What people do

    async def asks_for(self, wants: str, act: Awaitable, messages: int = 1) -> object:
        """The interaction of *act*, after which the person wants something."""
        interaction = await act
        self.asks.append(Ask(interaction, wants, messages))
        return interaction

    async def imagines(self, *, is_quiet: bool = False, **options) -> object:
        """Ada asks for a picture, which is being drawn. Where it *is_quiet*, progress is shown
        once, so that nothing but the end finds out what has changed meanwhile."""
        pace = self.presence.chat.pace
        pace.seconds_between_edits = 3600.0 if is_quiet else SECONDS_BETWEEN_EDITS
        small = {"size": "64x64", "steps": 3, "prompt": "a fox", **options}
        asked = await self.asks_for(
            "picture", self.ada.command(self.channel, "flux imagine", **small)
        )
        await self.until(lambda: self.saw(" progress"))
        return asked

    async def gets(self, **options) -> object:
        """Ada has got a picture; its message."""
        asked = await self.imagines(**options)
        self.gate.open()
        await self.over()
        self.gate.close_again()
        if asked.message is None or not pictures_of(asked.message):
            raise Over
        return asked.message

    def saw(self, words: str) -> bool:
        """Whether Discord was asked for a call of such a name."""
        return any(words in name for name, _ in self.fake.calls)

    async def until(self, is_true: Callable[[], object]) -> None:
        """Wait until something is the case.

        Raises:
            Over: Nothing goes on, or for too long, and it is not the case.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.longest_wait
        while not is_true():
            if self.is_idle() or loop.time() > end:
                raise Over
            await asyncio.sleep(0.001)

    def told(self, words: str) -> list:
        """What moderators are told about Ada's picture in such words."""
        (id,) = pictures_of(self.picture)
        return [each for each in self.stage.mods.messages if id in each.text and words in each.text]

    async def until_told(self, words: str) -> None:
        """Wait until moderators are told, for whom the bot writes in its own time.

        Raises:
            Over: It takes too long.
        """
        await self.in_its_own_time(lambda: self.told(words))

    async def in_its_own_time(self, is_true: Callable[[], object]) -> None:
        """Wait until something is the case that the bot does while nobody waits for it.

        Raises:
            Over: It takes too long.
        """
        end = asyncio.get_running_loop().time() + self.longest_wait
        while not is_true():
            if asyncio.get_running_loop().time() > end:
                raise Over
            await asyncio.sleep(0.001)

    async def steps(self, is_true: Callable[[], object]) -> None:
        """Have step after step drawn until something is the case."""
        stepping = asyncio.create_task(self._step())
        try:
            await self.until(is_true)
        finally:
            stepping.cancel()

    async def _step(self) -> None:
        while True:
            self.gate.allow(1)
            await asyncio.sleep(0.03)

    async def over(self) -> None:
        """Wait until nothing goes on any more."""
        while not self.is_idle():
            await asyncio.sleep(0.001)
        self.stage.held.overtake(0.0)
        await asyncio.sleep(0.03)
        while not self.is_idle():
            await asyncio.sleep(0.001)

    def is_idle(self) -> bool:
        """Whether the bot does nothing for anybody."""
        tasks = [task.get_name() for task in asyncio.all_tasks()]
        return not (
            any(
                name.startswith(("discord-ui-", "CommandTree", "discord.py: on_")) for name in tasks
            )
            or any(name.startswith("discord follows") for name in tasks)
            or any(not self._is_heard(ask) for ask in self.asks)
        )

    def _is_heard(self, ask: Ask) -> bool:
        return any(ask.interaction.token in path for _, path in self.fake.calls) or (
            ask.interaction.answer is not None
        )

    # What came of it

    def seen(self) -> list:
        """The bot's messages that Ada sees, wherever."""
        channels = (self.channel, self.ada.direct)
        return [
            message
            for channel in channels
            if not channel.is_deleted
            for message in channel.stored.values()
            if message.author is self.fake.bot
            and not message.is_deleted
            and message.seen_by in (None, self.ada)
        ]

    async def judge(self) -> None:
        """Find what is wrong: see the functions below."""
        jobs = await self.jobs()
        for ask in self.asks:
            self._judge_ask(ask, [job for job in jobs if job["event_id"].startswith(_event(ask))])
        for job in jobs:
            self._judge_job(job)
        self._judge_messages()
        if not self.is_in_vain:
            self.problems += [problem for check in self.checks if (problem := check())]
            self.problems += [
                f"a fault of our own: {record.getMessage()[:300]}"
                for record in self.stage.log
                if record.name.startswith(("bot", "adapters", "discord", "asyncio"))
                and not record.getMessage().startswith(EXPECTED)
            ]
        most = MOST_CALLS_IN_VAIN if self.is_in_vain else MOST_CALLS
        if len(self.fake.calls) > most:
            self.problems.append(f"{len(self.fake.calls)} calls, which never come to an end")
        self.problems += [f"Discord's rules: {said[:300]}" for said in self.fake.violations]

    async def jobs(self) -> list[dict]:
        """Ada's jobs, with what was paid for each."""
        return await self.stage.bot.rows(
            "SELECT *, (SELECT coalesce(-sum(credits), 0) FROM entries WHERE job_id = jobs.id)"
            " AS paid FROM jobs WHERE user = ?",
            f"discord:{self.ada.id}",
        )

    def _judge_ask(self, ask: Ask, jobs: list[dict]) -> None:
        """One answer to each who asks, unless Discord says "did not respond" for us."""
        interaction = ask.interaction
        if len(jobs) > 1:
            self.problems.append(f"{len(jobs)} jobs for one request")
        if ask.wants == "picture":
            if not jobs and not self.is_in_vain and not self._may_be_unanswered(ask):
                self.problems.append("a request that is refused for a fault that passes")
            if jobs:
                return
        direct = [
            each for each in self.ada.direct.messages if each.nonce == f"flux-{interaction.id}"
        ]
        own = [interaction.original, *interaction.followups, *direct]
        answers = [
            message
            for message in own
            if message is not None and not message.is_deleted and message is not interaction.source
        ]
        if ask.wants == "form":
            answers = [*answers, *([interaction.modal] if interaction.modal else [])]
        if ask.wants in ("words", "picture", "form"):
            least = 1 if self.is_in_vain else ask.messages
            if len(answers) < least and not self._may_be_unanswered(ask):
                self.problems.append(f"{len(answers)} answers in the place of {ask.messages}")
            most = ask.messages + self.is_in_vain  # one may say what went wrong
            if len(answers) > most and not self._may_be_doubled():
                self.problems.append(f"words that come {len(answers)} times")

    def _may_be_unanswered(self, ask: Ask) -> bool:
        """Whether Discord itself says that the bot did not respond."""
        return ask.interaction.answer is None and self.call is not None and "/callback" in self.call

    def _may_be_doubled(self) -> bool:
        """Whether Discord cannot tell that words come for the second time: a further message to
        one person takes no nonce."""
        return self.call == "POST /webhooks/*/* words" and self.kind.is_done

    def _judge_job(self, job: dict) -> None:
        """One picture and one charge; or none, a refund, and words."""
        shown = [each for each in self.seen() if job["id"] in pictures_of(each)]
        has_succeeded = job["status"] == JobStatus.SUCCEEDED
        is_shown = has_succeeded and not job["is_pruned"]
        costs = job["cost"] if has_succeeded else _share(job)
        if not JobStatus(job["status"]).is_final:
            self.problems.append(f"a job that is {job['status']} and never ends")
        if job["delivery"] == Delivery.OWED:
            self.problems.append("an answer that is still owed")
        if job["delivery"] == Delivery.NONE and not job["is_pruned"]:
            is_shown, costs = False, 0
            if not self.scenario.ends_in_words and not self.is_in_vain:
                self.problems.append("a picture that is given up for a fault that passes")
            words = [each for each in self.seen() if "given back" in each.text]
            if not words and self.scenario.places > self.is_in_vain:
                self.problems.append("nobody says why no picture comes")
        if len(shown) != is_shown:
            self.problems.append(f"{len(shown)} pictures in the place of {int(is_shown)}")
        if job["paid"] != costs:
            self.problems.append(f"{job['paid']} credits are paid in the place of {costs}")

    def _judge_messages(self) -> None:
        """No message in a state that is over, and none twice."""
        for message in self.seen():
            if self._is_beyond_reach(message):
                continue
            if message.is_loading or message.text == "…" or "Cancel" in message.buttons:
                self.problems.append(f"a message in a state that is over: {message!r}")

    def _is_beyond_reach(self, message) -> bool:
        """Whether nobody can change a message any more: the token was the only way."""
        is_late = self.fake.clock() > message.timestamp + TOKEN_SECONDS
        return message.is_ephemeral and is_late


def _event(ask: Ask) -> str:
    return f"discord:{ask.interaction.id}"


def pictures_of(message) -> set[str]:
    """The ids of the jobs whose pictures a message shows."""
    found = [PICTURE.match(file.filename) for file in message.attachments]
    return {match[1] for match in found if match and match[1] != "preview"}


def _share(job: dict) -> int:
    """Credits for the steps that were drawn of a job that was cancelled."""
    steps = json.loads(job["request"])["num_inference_steps"] * job["images"]
    return job["cost"] * (job["steps_drawn"] or 0) // steps


def calls_of(play: Play) -> tuple[str, ...]:
    """The names of the calls of a play."""
    return tuple(sorted({call for call, _ in play.calls}))


async def played(scenario: Scenario, call: str | None, kind: Kind | None) -> list[str]:
    """What the judge finds in a play on a stage of its own."""
    async with stage() as found:
        return (await found.play(scenario, call, kind)).problems


@contextlib.asynccontextmanager
async def stage():
    """A stage in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with Stage(Path(folder)).set() as found:
            yield found
