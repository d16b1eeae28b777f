"""What is wanted, and what of it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sarpipe.download.dataset import LAYOUTS, Layout, folder_of
from sarpipe.download.hub import RemoteFile, connect
from sarpipe.download.meter import Progress
from sarpipe.download.part import part_path
from sarpipe.download.retry import Retry
from sarpipe.download.selection import Selection
from sarpipe.errors import UsageError
from sarpipe.storage.key import file_sha256

State = Literal["there", "differs", "missing"]


@dataclass(frozen=True)
class Step:
    """One file of a download.

    Attributes:
        file: As the Hub lists it.
        target: Where it belongs.
        state: ``there`` (its SHA-256 was computed and is right), ``differs``, or ``missing``.
        part: Bytes of it that are there from a run that was interrupted.
    """

    file: RemoteFile
    target: Path
    state: State
    part: int

    @property
    def to_fetch(self) -> int:
        """Bytes still to come."""
        return 0 if self.state == "there" else self.file.bytes - self.part


@dataclass(frozen=True)
class Plan:
    """A download, looked at but not begun.

    Attributes:
        root: The output folder.
        layout: Which form of the dataset.
        commit: The commit (40 hex digits) that every file is fetched from.
        steps: A file each.
    """

    root: Path
    layout: Layout
    commit: str
    steps: tuple[Step, ...]

    @property
    def folders(self) -> list[Path]:
        """Where the files are or will be: what ``sarpipe run`` takes."""
        return sorted({step.target.parent for step in self.steps})

    @property
    def to_fetch(self) -> int:
        """Bytes still to come."""
        return sum(step.to_fetch for step in self.steps)

    def count(self, state: State) -> int:
        """How many files are in a state."""
        return sum(step.state == state for step in self.steps)


def make_plan(
    root: Path, selection: Selection, progress: Progress, *, revision: str = "main", retry: Retry | None = None
) -> Plan:
    """Ask the Hub what there is, and look what of it is there. Nothing is written.

    Args:
        root: The output folder; files belong into ``{split}/S1GRD`` below it. Need not exist.
        selection: From `sarpipe.download.select`.
        progress: Told how many files have been looked at.
        revision: A branch, tag or commit of the dataset's repository.
        retry: How often to try, and how long to wait.

    Raises:
        UsageError: A name or the revision is not there, or the folder holds the dataset in its other layout.
        DownloadError: The Hub cannot be reached, refuses, or lists something that cannot be verified.
    """
    _refuse_other_layout(root, selection)
    commit, files = asyncio.run(_ask(selection, revision, retry or Retry(), progress))
    steps = []
    for done, file in enumerate(files):
        progress("verify", done, len(files), "files")
        steps.append(look(root, file))
    progress("verify", len(files), len(files), "files")
    return Plan(root, selection.layout, commit, tuple(steps))


def look(root: Path, file: RemoteFile) -> Step:
    """See what of a file is there. One of the right size is hashed, always: no note of an earlier run is believed."""
    target = root / file.path
    part = part_path(target, file)
    have = part.stat().st_size if part.is_file() else 0
    # A part that is too long is thrown away when it is opened.
    return Step(file, target, _state(target, file), have if have <= file.bytes else 0)


def _state(target: Path, file: RemoteFile) -> State:
    if target.is_dir():
        raise UsageError(f"{target} is a folder, and a file of that name is to be fetched", "Choose another OUT")
    if not target.exists():
        return "missing"
    whole = target.stat().st_size == file.bytes and file_sha256(target) == file.sha256
    return "there" if whole else "differs"


async def _ask(
    selection: Selection, revision: str, retry: Retry, progress: Progress
) -> tuple[str, Sequence[RemoteFile]]:
    async with connect(selection.layout, retry, lambda note: progress("list", 0, 1, note)) as hub:
        commit = await hub.commit(revision)
        return commit, selection.of({split: await hub.files(commit, split) for split in selection.names})


def _refuse_other_layout(root: Path, selection: Selection) -> None:
    # One folder with both would give every place twice.
    for split in selection.names:
        for other in LAYOUTS.values():
            found = next((root / folder_of(split)).glob(f"*{other.suffix}"), None)
            if found and other != selection.layout and other.split_of(found.name) in (split, ""):
                raise UsageError(
                    f"{found.parent} holds the layout {other.name}, and {selection.layout.name} has the same places",
                    "Choose another OUT",
                )
