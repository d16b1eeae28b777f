"""Folders of thousands of zips of a single place each (NeuCo-Bench, Embed2Scale): worked on in groups."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from sarpipe.errors import DataError
from sarpipe.ssl4eo.archive import open_archive, unread
from sarpipe.ssl4eo.bundle import SUFFIX, Bundle, Member
from sarpipe.ssl4eo.store import is_single_place
from sarpipe.storage import RemotePath, Stat

PART = re.compile(r"part-\d+", re.ASCII)
"""Folders that NeuCo-Bench cuts a folder of places into."""
PLACES = 64
"""Files in a group: as many places as a store has."""
_LOOKED_AT = 8
"""So many files of a folder are opened to find one that can be read."""


@dataclass(frozen=True)
class Group:
    """Some files of a folder, which are one store to everything that follows.

    Attributes:
        name: The folder's name and the number of the group in it: ``part-000000-000001``.
        folder: Where they lie.
        files: Their names, in order.
    """

    name: str
    folder: Path
    files: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.folder)


@dataclass(frozen=True)
class RemoteGroup:
    """As a `Group`, of a folder at a URL.

    Attributes:
        name: As `Group.name`.
        folder: Where they lie.
        files: What the server said of each, in the order of their names.
    """

    name: str
    folder: RemotePath
    files: tuple[Stat, ...]

    def __str__(self) -> str:
        return str(self.folder)


Source: TypeAlias = Path | Group | RemotePath | RemoteGroup
"""What a unit is made from."""
P = TypeVar("P", Path, RemotePath)


def group_places(stores: Sequence[Path]) -> list[Path | Group]:
    """Put files of a single place together (`name_groups`); leave stores as they are."""
    files = [store for store in stores if store.name.endswith(SUFFIX) and store.is_file()]
    groups = name_groups(files, holds_single_place)
    grouped = {file for _, part in groups for file in part}
    return [
        *(store for store in stores if store not in grouped),
        *(Group(name, part[0].parent, tuple(file.name for file in part)) for name, part in groups),
    ]


def name_groups(files: Iterable[P], is_single: Callable[[P], bool]) -> list[tuple[str, list[P]]]:
    """The groups of files of a single place, with their names: 64 of a folder in the order of their names.

    A folder's files are taken for single places if the first of them that can be read is one: one file is opened for
    each folder.

    Args:
        files: ``.zarr.zip`` files, of any number of folders.
        is_single: As `holds_single_place`; a `DataError` if the file cannot be read.
    """
    by_folder: dict[P, list[P]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.name):
        by_folder[file.parent].append(file)
    single = {folder: files for folder, files in by_folder.items() if _are_single(files, is_single)}
    twice = {name for name, count in Counter(folder.name for folder in single).items() if count > 1}
    groups = []
    for folder, members in single.items():
        label = f"{folder.parent.name}-{folder.name}" if folder.name in twice else folder.name
        parts = [members[start : start + PLACES] for start in range(0, len(members), PLACES)]
        groups += [(f"{label}-{number:06d}", part) for number, part in enumerate(parts, 1)]
    return groups


def holds_single_place(path: Path) -> bool:
    """Whether a ``.zarr.zip`` is no store but a single place (`sarpipe.ssl4eo.store.is_single_place`).

    Raises:
        DataError: It cannot be read.
    """
    return is_single_place(open_archive(path))


def open_group(group: Group) -> Bundle:
    """Find the files of a group.

    Raises:
        DataError: One of them is gone.
    """
    members = []
    for name in group.files:
        path = group.folder / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror}",
                "It was moved or deleted: run it again",
                code=unread(error),
            ) from error
        members.append(Member(name.removesuffix(SUFFIX), path, 0, size))
    return Bundle(group.name, tuple(members), named_by_file=True)


def _are_single(files: Sequence[P], is_single: Callable[[P], bool]) -> bool:
    for file in files[:_LOOKED_AT]:
        try:
            return is_single(file)
        except DataError:
            continue
    return False
