"""The bot's promises for when something dies, tried at length.

    python -m benchmarks.reliability                     all of it, half an hour or so
    python -m benchmarks.reliability --only kills        one of: kills, faults, wal, syncs,
                                                         quota, hostile, engine, soak, acts,
                                                         drawing, discord, slack, power, fleet,
                                                         cluster
    python -m benchmarks.reliability --scale 0.1         a tenth of the counts

The short forms of the same run in ``make test`` (tests/reliability). All traffic stays on
loopback, and all files in a temporary folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.serving import Figure, percentile
from bot.commands import ImagineCommand
from bot.source import Source
from generation.child import ChildEngine
from generation.errors import EngineLost
from generation.executor import ThreadExecutor
from generation.types import GenerationRequest
from tests.adapters.discord_chat import scenarios
from tests.adapters.discord_chat.every_call import played
from tests.adapters.discord_chat.every_fault import KINDS
from tests.adapters.slack_chat import matrix as slack
from tests.reliability import load, syncs, wal
from tests.reliability.acts import ACTS, kill_at_every_step
from tests.reliability.cluster import kill_on_a_cluster
from tests.reliability.harness import (
    FAULTS,
    STOPS,
    Harness,
    Report,
    kill_while_stopping,
    kills_at_points,
    kills_at_random,
    kills_for,
    kills_while_drawing,
    stops_at_random,
)
from tests.reliability.power import FAULTS as POWER_FAULTS
from tests.reliability.power import lose_power

FAULTY = "tests.generation.faulty:FaultyEngine"
FOX = GenerationRequest(
    prompt="a fox", num_inference_steps=3, guidance_scale=3.5, width=64, height=64, seed=7
)


def scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


def measure_kills(folder: Path, scale: float) -> Iterator[Figure]:
    """SIGKILL at 200 random moments, and at every commit, file and message several times."""
    dice = random.Random(2026)
    kills = [kill for _ in range(scaled(5, scale)) for kill in kills_at_points(dice)]
    kills += kills_at_random(dice, scaled(200, scale))
    kills += stops_at_random(dice, scaled(20, scale))
    kills += [kill_while_stopping(point) for _ in range(scaled(3, scale)) for point in STOPS]
    dice.shuffle(kills)
    report = asyncio.run(Harness(folder, 2026).run(kills, most_events=10**6))
    yield from _found(f"{len(kills)} lives", report)


def _found(what: str, report: Report) -> Iterator[Figure]:
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(report.statuses.items()))
    yield Figure(
        f"lost, doubled or left over: {what}, {report.kills} of them killed or stopped,"
        f" {report.accepted} accepted ({statuses}), {report.redelivered} events came again,"
        f" {report.answers_lost} answers were lost, {report.seconds:.0f} s",
        f"{len(report.problems)}",
        "0",
        not report.problems,
    )
    for problem in report.problems[:20]:
        yield Figure(problem, "", "", False)


def measure_fleet(folder: Path, scale: float) -> Iterator[Figure]:
    """The same with two engines, each in a child, which are killed too."""
    dice = random.Random(2026)
    kills = kills_at_points(dice)
    kills += kills_while_drawing(dice, scaled(60, scale), kills_engine=True)
    kills += kills_at_random(dice, scaled(60, scale), longest=2.0)
    kills += stops_at_random(dice, scaled(10, scale), longest=2.0)
    kills += [kill_while_stopping(point) for point in STOPS]
    dice.shuffle(kills)
    (folder / "sound").mkdir()
    harness = Harness(folder / "sound", 2026, engine="children")
    report = asyncio.run(harness.run(kills, most_events=10**6))
    yield from _found(f"{len(kills)} lives with two children", report)
    for fault, (_, words) in FAULTS.items():
        (folder / fault).mkdir()
        harness = Harness(folder / fault, 3, fault, "children")
        report = asyncio.run(harness.run(kills_for(fault), most_events=100))
        found = [problem for problem in report.problems if words in problem]
        what = f"planted fault, two children: {fault}"
        yield Figure(what, f"{len(found)} findings", "found", bool(found))


def measure_cluster(folder: Path, scale: float) -> Iterator[Figure]:
    """The same with two engines on a Ray cluster, one of whose nodes is killed."""
    kills = max(3, scaled(30, scale))
    dice = random.Random(2026)
    report, warmth = asyncio.run(kill_on_a_cluster(folder, dice, kills, 40 * kills))
    yield from _found(f"{kills} lives on a cluster, of whose two nodes one was killed", report)
    yield Figure(
        "actors that outlived all of these bots, and that were placed on the node that joined",
        f"{warmth.that_outlived_the_bots}, {warmth.on_a_node_that_joined}",
        "1, <= 1",
        warmth.that_outlived_the_bots == 1,
    )


def measure_faults(folder: Path, scale: float) -> Iterator[Figure]:
    """Bots that are wrong, which the same harness must notice."""
    for fault, (_, words) in FAULTS.items():
        (folder / fault).mkdir()
        harness = Harness(folder / fault, 3, fault)
        report = asyncio.run(harness.run(kills_for(fault), most_events=100))
        found = [problem for problem in report.problems if words in problem]
        yield Figure(f"planted fault: {fault}", f"{len(found)} findings", "found", bool(found))


def measure_acts(folder: Path, scale: float) -> Iterator[Figure]:
    """A kill before every step of each act that rewrites files, and the same with faults."""
    every = max(1, round(1 / scale))
    for name, act in ACTS.items():
        for fault in (None, *act.faults):
            place = folder / f"{name} {fault}"
            place.mkdir()
            report = kill_at_every_step(act, place, fault, every)
            if fault is None:
                yield Figure(
                    f"{name}, killed before {report.kills} of its steps: lost or left over",
                    f"{len(report.problems)}",
                    "0",
                    not report.problems,
                )
                for problem in report.problems[:5]:
                    yield Figure(problem, "", "", False)
            else:
                found = [each for each in report.problems if act.faults[fault] in each]
                what = f"planted fault: {name}, {fault}"
                yield Figure(what, f"{len(found)} findings", "found", bool(found))


def measure_drawing(folder: Path, scale: float) -> Iterator[Figure]:
    """Kills in the middle of pictures that the demo model draws, on a thread and in a child."""
    pictures, kills = 12, scaled(10, scale)
    expected: dict[str, str] = {}
    for name, engine, kills_engine in (
        ("undisturbed", "demo on a thread", None),
        ("on a thread, the bot killed", "demo on a thread", False),
        ("in a child, the bot killed", "demo in a child", False),
        ("in a child, the child killed and then the bot", "demo in a child", True),
    ):
        (folder / name).mkdir()
        lives = []
        if kills_engine is not None:
            dice = random.Random(2026)
            lives = kills_while_drawing(dice, kills, kills_engine=kills_engine)
        report = asyncio.run(Harness(folder / name, 5, engine=engine).run(lives, pictures))
        expected = expected or report.pictures
        same = sum(report.pictures.get(event) == each for event, each in expected.items())
        left = engines_left()
        yield Figure(
            f"{pictures} pictures of the demo {name} ({report.kills} kills): lost or doubled,"
            " of the same pixels, engines that outlived their bot",
            f"{len(report.problems)}, {same}, {len(left)}",
            f"0, {pictures}, 0",
            not report.problems and same == len(report.pictures) == pictures and not left,
        )
        for problem in report.problems[:5]:
            yield Figure(problem, "", "", False)


def engines_left() -> list[psutil.Process]:
    """Processes of engines without a bot, ten seconds after its death."""
    deadline = time.monotonic() + 10
    while True:
        left = [
            each
            for each in psutil.process_iter(["cmdline", "ppid"])
            if "generation.engine_process" in (each.info["cmdline"] or ())
            and each.info["ppid"] == 1
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def measure_wal(folder: Path, scale: float) -> Iterator[Figure]:
    """1,000 cuts and flips in copies of the log."""
    count = scaled(1000, scale)
    outcome = asyncio.run(wal.damaged_copies(folder, count, random.Random(2026)))
    yield Figure(
        f"damaged logs: {count}, of which {outcome.opened} opened as a committed prefix and"
        f" {outcome.refused} were refused",
        f"{len(outcome.problems)} neither",
        "0",
        not outcome.problems,
    )


def measure_power(folder: Path, scale: float) -> Iterator[Figure]:
    """1,000 power losses, and twelve bots that lose something by one."""
    for scene, count in {"work": 600, "migration": 100, "backup": 100, "restore": 200}.items():
        (folder / scene).mkdir()
        found = asyncio.run(lose_power(scene, folder / scene, scaled(count, scale), 2026))
        yield Figure(
            f"power losses, {scene}: {found.losses}, within {found.operations} operations on"
            f" files; {found.promises} promises asked for",
            f"{sum(found.problems.values())} broken",
            "0",
            not found.problems,
        )
        for problem in list(found.problems)[:5]:
            yield Figure(problem, "", "", False)
    for number, (fault, planted) in enumerate(POWER_FAULTS.items()):
        (folder / f"{number}").mkdir()
        found = asyncio.run(lose_power(planted.scene, folder / f"{number}", 60, 3, fault))
        is_found = any(planted.words in problem for problem in found.problems)
        yield Figure(f"planted fault: {fault}", f"{found.losses} power losses", "found", is_found)


def measure_syncs(folder: Path, scale: float) -> Iterator[Figure]:
    """The calls before each "accepted", as strace sees them."""
    if not syncs.can_trace():
        yield Figure("syncs before an acknowledgement", "no strace here", "all", False)
        return
    calls = syncs.trace(folder)
    (folder / "normal").mkdir()
    unsafe = syncs.trace(folder / "normal", "NORMAL")
    right = sum(each == syncs.Calls(True, True, True) for each in calls)
    yield Figure(
        "requests whose row and picture were synced before they were acknowledged",
        f"{right} of {len(calls)}",
        "all",
        right == len(calls) == syncs.REQUESTS,
    )
    noticed = sum(not each.log_is_synced for each in unsafe)
    yield Figure(
        "the same with synchronous = NORMAL, which does not sync: noticed",
        f"{noticed} of {len(unsafe)}",
        "all",
        noticed == len(unsafe),
    )


def measure_quota(folder: Path, scale: float) -> Iterator[Figure]:
    """1,000 people, 10 requests each, quota 7, the engine busy."""
    people = scaled(1000, scale)
    for name in ("once", "steady", "flood"):
        (folder / name).mkdir()
    found = asyncio.run(load.rush(folder / "once", people, 10, 7))
    yield Figure(
        f"{people} people x 10 requests at once, quota 7: accepted, largest bill",
        f"{found.answers['accepted']}, {max(found.spent)}",
        f"{7 * people}, 7",
        found.answers["accepted"] == 7 * people and set(found.spent) == {7},
    )
    found = asyncio.run(load.rush(folder / "steady", people, 10, 7, rate=160))
    p99 = percentile(found.seconds, 99)
    yield Figure(
        f"the same at 160 a second: accepted, p99 of the answer ({load.answers(found)})",
        f"{found.answers['accepted']}, {p99 * 1e3:.1f} ms",
        f"{7 * people}, < 100 ms",
        found.answers["accepted"] == 7 * people and p99 < 0.1,
    )
    queue = {"max_waiting": 200, "max_waiting_per_user": 10}
    found = asyncio.run(load.rush(folder / "flood", people, 10, 7, rate=2000, queue=queue))
    p99 = percentile(found.seconds, 99)
    asked = sum(found.answers.values())
    yield Figure(
        f"2,000 a second, queue of 200 ({load.answers(found)}): largest bill, p99",
        f"{max(found.spent)}, {p99 * 1e3:.1f} ms",
        "<= 7, all answered",
        max(found.spent) <= 7 and asked == 10 * people and found.answers["accepted"] <= 201,
    )


def measure_hostile(folder: Path, scale: float) -> Iterator[Figure]:
    """10,000 each of hostile pictures, texts and parameters."""
    count = scaled(10_000, scale)
    for name in ("texts", "parameters"):
        (folder / name).mkdir()
    sieges: dict[str, Callable[[], load.Siege]] = {
        "pictures": partial(load.besiege_with_images, count),
        "texts": partial(load.besiege_with_prompts, folder / "texts", count),
        "parameters": partial(load.besiege_with_parameters, folder / "parameters", count),
    }
    for name, besiege in sieges.items():
        siege = besiege()
        yield Figure(
            f"hostile {name}: {siege.tried}, of which {siege.refused} were refused: uncaught"
            " errors, slowest refusal, slowest that was carried out, memory",
            f"{len(siege.problems)}, {siege.slowest * 1e3:.0f} ms,"
            f" {siege.slowest_carried_out * 1e3:.0f} ms, {siege.memory / 1e6:+.1f} MB",
            "0, < 250 ms, < 250 ms, < 50 MB",
            not siege.problems
            and max(siege.slowest, siege.slowest_carried_out) < load.SLOWEST
            and siege.memory < load.MOST_MEMORY,
        )
        for problem in siege.problems[:5]:
            yield Figure(problem, "", "", False)


def measure_engine(folder: Path, scale: float) -> Iterator[Figure]:
    """An engine in a child process that hangs, dies, or loses its parent."""
    yield asyncio.run(_hang(folder))
    yield asyncio.run(_draw_again(folder))
    yield _orphan()


async def _hang(folder: Path) -> Figure:
    patience = 1.0
    engines: list[ChildEngine] = []

    def make() -> ChildEngine:
        # Its clock runs so fast that the half minute takes a second.
        clock = lambda: 30 / patience * time.monotonic()  # noqa: E731
        engines.append(ChildEngine(FAULTY, {"folder": folder}, clock=clock))
        return engines[-1]

    executor = ThreadExecutor(make)
    await executor.start()
    await executor.generate(FOX, lambda step: None)
    seen: list[float] = []
    with contextlib.suppress(EngineLost):
        await executor.generate(_saying("stop once"), lambda step: seen.append(time.monotonic()))
    ended = time.monotonic() - seen[-1] - patience
    await executor.start()
    ready = time.monotonic() - seen[-1] - patience
    await executor.generate(_saying("stop once"), lambda step: None)
    await executor.close()
    return Figure(
        "a stopped engine, after its deadline: ended, replaced by one that is loaded",
        f"{ended:.2f} s, {ready:.2f} s",
        "ended and replaced < 1 s",
        ended < 1 and len(engines) == 2 and ready < 1.5,
    )


async def _draw_again(folder: Path) -> Figure:
    async with load.bot(folder, lambda: ChildEngine(FAULTY, {"folder": folder})) as (service, _):
        job = await service.submit(Source("loop:ada"), ImagineCommand("die once", seed=1))
        status = (await job.finished()).status
    return Figure(
        "a job whose engine was killed: status, attempts",
        f"{status}, {job.attempts}",
        "succeeded, 2",
        (status, job.attempts) == ("succeeded", 2),
    )


def _orphan() -> Figure:
    code = (
        "import dataclasses\n"
        "from generation.child import ChildEngine\n"
        "from benchmarks.reliability import FAULTY, _saying\n"
        "engine = ChildEngine(FAULTY); engine.load()\n"
        "said = lambda step: step.number == 2 and print(engine.pid, flush=True)\n"
        "engine.generate(_saying('hang'), said)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        began = time.monotonic()
        os.kill(parent.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs([child], timeout=10)
    return Figure(
        "the child of a bot that was killed, while it hangs",
        "alive" if alive else f"gone after {(time.monotonic() - began) * 1e3:.0f} ms",
        "gone",
        bool(gone),
    )


def _saying(prompt: str) -> GenerationRequest:
    return GenerationRequest.from_dict({**FOX.to_dict(), "prompt": prompt}, Path())


def measure_slack(folder: Path, scale: float) -> Iterator[Figure]:
    """Calls to Slack with faults, a tenth of all by lot (`make soak` has them all), and bots that
    are wrong."""

    async def plays() -> tuple[slack.Report, int]:
        matrix = slack.Matrix(folder)
        cases = await matrix.cases()
        report = await matrix.play_all(slack.some(cases, scaled(len(cases) // 10, scale), 2026))
        found = 0
        for plant, case, words in slack.PLANTED.values():
            outcome = await matrix.outcome(case, plant)
            found += any(words in problem for problem in outcome.problems)
        return report, found

    report, found = asyncio.run(plays())
    yield Figure(
        f"calls to Slack that met a fault ({report.plays} plays, {report.met} of which came to it):"
        " doubled, lost, unpaid or left over",
        f"{len(report.problems)}",
        "0",
        not report.problems,
    )
    for problem in report.problems[:20]:
        yield Figure(problem, "", "", False)
    planted = len(slack.PLANTED)
    yield Figure("planted faults on Slack", f"{found} found", f"{planted}", found == planted)


def measure_soak(folder: Path, scale: float) -> Iterator[Figure]:
    """10,000 jobs in a row."""
    jobs = scaled(10_000, scale)
    growth = asyncio.run(load.soak(folder, jobs, warm_up=max(200, jobs // 10)))
    yield Figure(
        f"after {jobs} jobs: memory, tasks, descriptors",
        f"{growth.memory / 1e6:+.1f} MB, {growth.tasks:+d}, {growth.descriptors:+d}",
        "< 5 MB, 0, 0",
        growth.memory < 5e6 and (growth.tasks, growth.descriptors) == (0, 0),
    )


def measure_discord(folder: Path, scale: float) -> Iterator[Figure]:
    """Every call of the adapter for Discord, each with every kind of fault."""
    plays = list(scenarios.plays())
    random.Random(2026).shuffle(plays)
    plays = plays[: scaled(len(plays), scale)]
    problems = [
        f"{scenario}; {call} {kind}: {problem}"
        for scenario, call, kind in plays
        for problem in asyncio.run(played(scenarios.SCENARIOS[scenario], call, KINDS[kind]))
    ]
    yield Figure(
        f"Discord: {len(plays)} plays in which a call meets a fault: pictures, charges, words and"
        " messages that are not as they must be",
        f"{len(problems)}",
        "0",
        not problems,
    )
    for problem in problems[:20]:
        yield Figure(problem, "", "", False)


MEASURES: dict[str, Callable[[Path, float], Iterator[Figure]]] = {
    "kills": measure_kills,
    "faults": measure_faults,
    "wal": measure_wal,
    "syncs": measure_syncs,
    "power": measure_power,
    "quota": measure_quota,
    "hostile": measure_hostile,
    "engine": measure_engine,
    "slack": measure_slack,
    "soak": measure_soak,
    "acts": measure_acts,
    "drawing": measure_drawing,
    "fleet": measure_fleet,
    "cluster": measure_cluster,
    "discord": measure_discord,
}


def main(
    only: Annotated[str, typer.Option(help=", ".join(MEASURES))] = ",".join(MEASURES),
    scale: Annotated[float, typer.Option(help="Share of the counts.", min=0.001, max=10)] = 1.0,
) -> None:
    """Try what the bot promises, and print a table."""
    table = Table("tried", "found", "target", "", title=f"Reliability, scale {scale:g}")
    is_all_met = True
    for name in only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            for figure in MEASURES[name](Path(folder), scale):
                mark = "[green]met[/]" if figure.is_met else "[red]missed[/]"
                table.add_row(figure.what, figure.measured, figure.target, mark)
                is_all_met = is_all_met and figure.is_met
    Console(width=110).print(table)
    raise typer.Exit(not is_all_met)


if __name__ == "__main__":
    typer.run(main)
