"""Folders of thousands of zips of a single place each (NeuCo-Bench, Embed2Scale): worked on in groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sarpipe.errors import DataError
from sarpipe.ssl4eo.archive import open_archive
from sarpipe.ssl4eo.bundle import SUFFIX, Bundle, Member
from sarpipe.ssl4eo.store import is_single_place

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


def group_places(stores: Iterable[Path]) -> list[Path | Group]:
    """Put files of a single place together, 64 in the order of their names; leave stores as they are.

    A folder's ``.zarr.zip`` files are taken for single places if the first of them that can be read is one
    (`sarpipe.ssl4eo.store.is_single_place`): one file is opened for each folder.
    """
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    others: list[Path | Group] = []
    for store in stores:
        if store.name.endswith(SUFFIX) and store.is_file():
            by_folder[store.parent].append(store)
        else:
            others.append(store)
    single = {folder: files for folder, files in by_folder.items() if _are_single(sorted(files))}
    others += [file for folder, files in by_folder.items() if folder not in single for file in files]
    twice = {name for name, count in Counter(folder.name for folder in single).items() if count > 1}
    return others + [
        group
        for folder, files in single.items()
        for group in _groups(
            folder, f"{folder.parent.name}-{folder.name}" if folder.name in twice else folder.name, files
        )
    ]


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
                f"{path} cannot be read: {error.strerror}", "It was moved or deleted: run it again"
            ) from error
        members.append(Member(name.removesuffix(SUFFIX), path, 0, size))
    return Bundle(group.name, tuple(members), named_by_file=True)


def _are_single(files: Sequence[Path]) -> bool:
    for path in files[:_LOOKED_AT]:
        try:
            return is_single_place(open_archive(path))
        except DataError:
            continue
    return False


def _groups(folder: Path, label: str, files: list[Path]) -> list[Group]:
    names = sorted(path.name for path in files)
    parts = [names[start : start + PLACES] for start in range(0, len(names), PLACES)]
    return [Group(f"{label}-{number:06d}", folder, tuple(part)) for number, part in enumerate(parts, 1)]
