"""Which files are wanted: a split, the first of it, or files by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sarpipe.download.dataset import LAYOUTS, Layout, folder_of
from sarpipe.download.hub import RemoteFile
from sarpipe.errors import UsageError


@dataclass(frozen=True)
class Selection:
    """What a user asked for, checked as far as that is possible without the Hub.

    Attributes:
        layout: Where it lies and how its files are called.
        names: File names by split; None is every file of that split.
        first: Only the first so many, in the order of the names given, or of the split's names.
    """

    layout: Layout
    names: dict[str, tuple[str, ...] | None]
    first: int | None

    def of(self, listed: dict[str, list[RemoteFile]]) -> list[RemoteFile]:
        """The wanted ones of the files that the Hub lists, by split.

        Raises:
            UsageError: A name that was asked for is not there.
        """
        wanted: list[RemoteFile] = []
        for split, names in self.names.items():
            there = {file.name: file for file in listed[split]}
            order = sorted(there) if names is None else names
            missing = [name for name in order if name not in there]
            if missing:
                more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
                raise UsageError(
                    f"{missing[0]}{more} is not in {folder_of(split)} of {self.layout.repository}",
                    f"{len(there)} files are there, from {min(there)} to {max(there)}",
                )
            wanted += [there[name] for name in order]
        return wanted[: self.first]


def select(
    layout: str = "zarr", split: str | None = None, stores: Sequence[str] = (), first: int | None = None
) -> Selection:
    """Check what is asked for.

    Args:
        layout: ``zarr`` or ``webdataset``.
        split: ``train`` or ``val``; None is what the names tell, else ``val``, the small one.
        stores: File names, or split lists (``.txt`` files with one file name a line); none is the whole split.
        first: Only so many.

    Raises:
        UsageError: A name is not one of this layout or of this split, or a list cannot be read.
    """
    chosen = LAYOUTS[layout]
    names = list(dict.fromkeys(name for store in stores for name in _names(store)))
    if not names:
        return Selection(chosen, {split or "val": None}, first)
    by_split: dict[str, tuple[str, ...]] = {}
    for name in names:
        told = chosen.split_of(name)
        if told is None:
            raise UsageError(
                f"{name!r} is not a file name of the layout {layout}",
                f"They are like {chosen.example}; a split list is a .txt file with one a line",
            )
        if told and split and told != split:
            raise UsageError(f"{name} is not of the split {split}", "Leave --split out: the name tells it")
        key = told or split or "val"
        by_split[key] = (*by_split.get(key, ()), name)
    return Selection(chosen, dict(by_split), first)


def _names(store: str) -> list[str]:
    if not store.endswith(".txt"):
        return [store]
    path = Path(store).expanduser()
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file", "A split list has one file name a line") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "A split list has one file name a line") from error
    if not names:
        raise UsageError(f"{path} lists no store", "A split list has one file name a line")
    return names
