"""Downloads and the cache, as the command line shows them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from generation import hub
from generation.wanted import Wanted


def download(wanted: Iterable[Wanted], token: str | None, console: Console) -> None:
    """Fetch all that is *wanted*, with a bar for each file and one for all.

    Sizes and free disk come first. Ctrl-C keeps the files that are whole.

    Raises:
        ModelUnavailable: Something cannot be had, or the disk is too small.
    """
    wanted = list(wanted)
    with console.status("asking for the sizes"):
        missing = {each: hub.missing(each, token) for each in wanted}
    parts = [part for each in missing.values() for part in each]
    if not parts:
        for each in wanted:
            hub.fetch(each, token)  # which notes that nothing is missing
        console.print("Everything is here already.")
        return
    total = sum(part.size for part in parts)
    console.print(f"{len(parts)} files to fetch, {total / 1e9:.2f} GB in all")
    hub.check_disk(parts, "what is to be fetched")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(), console=console,
    ) as progress:  # fmt: skip
        in_all = progress.add_task("in all", total=total)
        done = 0
        for each, files in missing.items():
            bars = {
                part.name: progress.add_task(f"{each.repository} {part.name}", total=part.size,
                                             visible=False)
                for part in files
            }  # fmt: skip

            def on_file(
                part: hub.Part, count: int, bars: dict[str, TaskID] = bars, done: int = done
            ) -> None:
                progress.update(bars[part.name], completed=count, visible=True)
                before = sum(task.completed for task in progress.tasks if task.id in bars.values())
                progress.update(in_all, completed=done + before)

            hub.fetch(each, token, on_file=on_file)
            done += sum(part.size for part in files)
            for bar in bars.values():
                progress.remove_task(bar)
            progress.update(in_all, completed=done)
            console.print(f"{each.repository} is complete")


def list_cache(console: Console) -> None:
    """A line for each repository in the cache."""
    cached = hub.list_cache()
    if not cached:
        console.print("The cache is empty.")
        return
    table = Table("repository", "revisions", "size", "folder", box=None, padding=(0, 2, 0, 0))
    for each in cached:
        size = f"{each.size / 1e9:.2f} GB"
        table.add_row(each.name, ", ".join(each.revisions), size, str(each.folder))
    console.print(table)


def verify(console: Console, token: str | None, *, repairs: bool) -> bool:
    """Compare every file in the cache with the checksum that the Hub told.

    Args:
        repairs: Whether damaged files are deleted and fetched again.

    Returns:
        Whether every file is sound in the end.

    Raises:
        ModelUnavailable: A file cannot be fetched again.
    """
    is_sound, cached = True, hub.list_cache()
    if not cached:
        console.print("The cache is empty.")
    for each in cached:
        for snapshot in hub.snapshots(each.folder):
            with console.status(f"reading {each.name}"):
                names = [name for name, _ in hub.damaged(snapshot)]
            where = f"{each.name} at {snapshot.name[:8]}"
            if not names:
                console.print(f"{where} is sound")
                continue
            console.print(f"{where} is damaged: {', '.join(names)}")
            if not repairs:
                is_sound = False
                continue
            hub.remove_damaged(snapshot)
            hub.restore(each.name, snapshot.name, names, token)
            still = [name for name, _ in hub.damaged(snapshot)]
            is_sound = is_sound and not still
            console.print(f"{where} {'is still damaged' if still else 'was fetched again'}")
    return is_sound
