"""Verify: every artefact below an output folder is read and compared with its manifest. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sarpipe.errors import DamagedError, UsageError
from sarpipe.stages.belonging import broken, remarks
from sarpipe.stages.inventory import (
    KEY_DIGITS,
    Kind,
    artefacts,
    damaged_notes,
    kind_by,
    left_files,
    left_folders,
    maker,
    size_of,
    to_put_back,
)
from sarpipe.storage import Artefact, address, brought, inspect
from sarpipe.storage.artefact import differences, strays
from sarpipe.storage.durable import is_abandoned
from sarpipe.storage.lock import is_held, is_in_use

LOOKS = 8
"""Artefacts that are read side by side."""

OnArtefact = Callable[[int, int, str], None]
"""Called with the artefacts read so far, all of them, and the last one's name."""


@dataclass(frozen=True)
class Look:
    """What one artefact is found to be.

    Attributes:
        folder: Where it is; in the cache of the URL, if the output is at one.
        kind: What it is.
        artefact: Its manifest; None where that cannot be read, or where it went away meanwhile.
        wrong: What is not as the manifest says, a line a file.
        state: ``whole``; ``damaged``; ``unreadable``: the system gave no answer (no permission, a disk that fails), so
            that it may be whole; or ``under way``: somebody makes it anew.
        beside: What others have put there. It is never read, and no damage.
    """

    folder: Path
    kind: Kind
    artefact: Artefact | None
    wrong: tuple[str, ...]
    state: Literal["whole", "damaged", "unreadable", "under way"]
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leftover:
    """What a run that was killed has left.

    Attributes:
        path: It.
        bytes: Of its files.
        instead: The artefact that it is whole for, as nothing whole is in that place; None: nobody needs it.
    """

    path: Path
    bytes: int
    instead: Path | None = None


@dataclass(frozen=True)
class Verified:
    """What all is found to be.

    Attributes:
        looks: One an artefact.
        notes: Small files that are damaged, and sets whose units are gone, with what to do about each.
        leftovers: Of killed runs.
        remarks: What may be as it is on purpose, and is no damage.
        in_use: A run is under way, so that it was not asked what belongs to what.
    """

    looks: Sequence[Look] = field(default_factory=list)
    notes: Sequence[tuple[Path, str]] = field(default_factory=list)
    leftovers: Sequence[Leftover] = field(default_factory=list)
    remarks: Sequence[str] = field(default_factory=list)
    in_use: bool = False

    @property
    def damaged(self) -> list[Look]:
        """The artefacts that are."""
        return [look for look in self.looks if look.state == "damaged"]

    @property
    def unreadable(self) -> list[Look]:
        """The artefacts that are."""
        return [look for look in self.looks if look.state == "unreadable"]

    @property
    def whole(self) -> bool:
        """Whether everything was read, and nothing is damaged. Leftovers are no damage."""
        return not self.damaged and not self.unreadable and not self.notes

    @property
    def files(self) -> int:
        """Files that were read, with the manifests."""
        return sum(len(look.artefact.files) + 1 for look in self.looks if look.artefact)

    @property
    def bytes(self) -> int:
        """Bytes that the manifests name."""
        return sum(
            int(record["bytes"]) for look in self.looks if look.artefact for record in look.artefact.files.values()
        )


def verify(data: Path, on_artefact: OnArtefact) -> Verified:
    """Read every file of every artefact below an output folder; no file is written, not even a lock.

    Args:
        data: From `sarpipe.stages.search.output_folder`.
        on_artefact: For progress.

    Raises:
        UsageError: There is no such folder.
    """
    if address(data) == str(data) and not data.is_dir():
        raise UsageError(f"{data} is no folder", "Give the output folder by --data or SARPIPE_DATA")
    found = artefacts(data)
    looks = []
    with ThreadPoolExecutor(LOOKS) as looking:
        for look in looking.map(lambda one: examine(*one), found):
            looks.append(look)
            on_artefact(len(looks), len(found), look.folder.name)
    notes, left = list(damaged_notes(data)), list(_leftovers(data))
    # A run replaces units before it makes their set.
    if is_in_use(data):
        return Verified(looks, notes, left, in_use=True)
    known = {look.folder: look for look in looks}
    return Verified(looks, [*notes, *broken(data, known)], left, list(remarks(data, known)))


def examine(folder: Path, kind: Kind) -> Look:
    """Read one artefact. What a run replaces meanwhile is looked at twice, and is not damaged."""
    for _ in range(2):
        try:
            artefact, wrong = _read(folder)
            kind = kind_by(kind, artefact)
            if artefact is not None and not wrong:
                return Look(folder, kind, artefact, (), "whole", tuple(strays(artefact)))
            held = is_held(maker(folder))
        except OSError as error:
            unread = error.filename or address(folder)
            return Look(folder, kind, None, (f"{unread} cannot be read: {error.strerror or error}",), "unreadable")
        if not wrong or held:
            return Look(folder, kind, artefact, wrong, "under way")
    return Look(folder, kind, artefact, wrong, "damaged")


def _read(folder: Path) -> tuple[Artefact | None, tuple[str, ...]]:
    """The manifest, if it is intact, and what is wrong; neither, where there is nothing any more.

    Raises:
        OSError: The system gave no answer, which says nothing of the artefact.
    """
    artefact, shown = None, address(folder)
    try:
        with brought(folder) as copy:
            artefact = inspect(copy)
            wrong = [line.replace(str(copy), shown) for line in differences(artefact)]
            if not str(artefact.meta.get("key")).startswith(folder.name[-KEY_DIGITS:]):
                wrong.append(f"{shown} has the key of something else")
    except FileNotFoundError:
        if shown != str(folder):
            return None, (f"{shown} has no manifest: its upload was cut off",)
        return None, (f"{shown} has changed while it was read",) if folder.is_dir() else ()
    except DamagedError as error:
        return artefact, (error.message,)
    return artefact, tuple(wrong)


def _leftovers(data: Path) -> Iterator[Leftover]:
    for path, folder in left_folders(data):
        if not is_held(maker(folder)):
            yield Leftover(path, size_of(path), folder if path == to_put_back(folder) else None)
    for path in left_files(data):
        if is_abandoned(path):
            yield Leftover(path, size_of(path))
