"""Many files at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.filesize import decimal

from sarpipe.codes import Code
from sarpipe.download.hub import Hub, MissingError, RemoteFile, connect
from sarpipe.download.meter import Meter, Progress
from sarpipe.download.plan import Plan, Step, look
from sarpipe.download.record import read_record, write_record
from sarpipe.download.retry import Retry, UnreachableError
from sarpipe.download.transfer import ContentError, transfer
from sarpipe.errors import DownloadError, SarpipeError, StorageError
from sarpipe.storage.lock import exclusive

_GIVE_UP = 4
"""So many files in a row that could not be had, and the server is taken to be down."""


@dataclass
class Outcome:
    """What a download came to.

    Attributes:
        kept: Files that were there and right.
        fetched: Files that were fetched, or their rest.
        replaced: Those of them in whose place another content stood.
        failed: Files that could not be had, with the reason of each.
        received: Bytes that came over the network.
    """

    kept: list[RemoteFile] = field(default_factory=list)
    fetched: list[RemoteFile] = field(default_factory=list)
    replaced: list[RemoteFile] = field(default_factory=list)
    failed: list[tuple[RemoteFile, DownloadError]] = field(default_factory=list)
    received: int = 0


def fetch(plan: Plan, progress: Progress, *, jobs: int = 4, retry: Retry | None = None) -> Outcome:
    """Fetch what is missing, several files at a time. One download at a time for a folder: a second one waits.

    A file that cannot be had is named, and the others go on. An interrupt keeps the parts that came.

    Args:
        plan: From `sarpipe.download.make_plan`.
        progress: Told how many files are done, with a note on the bytes.
        jobs: So many files at a time.
        retry: How often to try, and how long to wait.

    Raises:
        DownloadError: The Hub cannot be reached or refuses, or no file could be had.
        StorageError: There is too little space, or the folder cannot be written to.
        DamagedError: The record in the folder is not one of ours.
    """
    with exclusive(plan.root / "download"):
        read_record(plan.root)
        # Another download may have been here since the plan was made.
        steps = [step if step.state == "there" else look(plan.root, step.file) for step in plan.steps]
        _check_space(plan.root, sum(step.to_fetch for step in steps))
        outcome = Outcome(kept=[step.file for step in steps if step.state == "there"])
        todo = [step for step in steps if step.state != "there"]
        try:
            asyncio.run(_all(plan, todo, jobs, retry or Retry(), progress, outcome))
        finally:
            write_record(plan.root, plan.layout, plan.commit, outcome.kept + outcome.fetched)
    if outcome.failed and not outcome.kept + outcome.fetched:
        raise outcome.failed[0][1]
    return outcome


async def _all(plan: Plan, todo: list[Step], jobs: int, retry: Retry, progress: Progress, outcome: Outcome) -> None:
    meter = Meter(len(todo), sum(step.file.bytes for step in todo), progress)
    try:
        async with connect(plan.layout, retry, meter.say) as hub, asyncio.TaskGroup() as group:
            crew = _Crew(hub, plan.commit, iter(todo), retry, meter, outcome)
            for _ in range(min(jobs, len(todo))):
                group.create_task(crew.work())
    except BaseExceptionGroup as errors:
        # The first to fail ends the others.
        raise next((error for error in errors.exceptions if isinstance(error, SarpipeError)), errors) from None
    finally:
        outcome.received = meter.received


@dataclass
class _Crew:
    """What the workers of a download share; all run in one thread."""

    hub: Hub
    commit: str
    queue: Iterator[Step]
    retry: Retry
    meter: Meter
    outcome: Outcome
    unreachable: int = 0

    async def work(self) -> None:
        for step in self.queue:
            try:
                await transfer(self.hub, self.commit, step.file, step.target, self.retry, self.meter)
            except (MissingError, ContentError) as error:
                self.outcome.failed.append((step.file, error))
            except UnreachableError as error:
                self.outcome.failed.append((step.file, error))
                self.unreachable += 1
                if self.unreachable >= _GIVE_UP:
                    raise
            else:
                self.unreachable = 0
                self._finished(step)

    def _finished(self, step: Step) -> None:
        self.outcome.fetched.append(step.file)
        if step.state == "differs":
            self.outcome.replaced.append(step.file)
        self.meter.finished()


def _check_space(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise StorageError(
            f"{decimal(needed)} are to come, and {root} has {decimal(free)} free",
            "Free some space, take fewer with --first, or choose another OUT",
            code=Code.DISK_FULL,
        )
