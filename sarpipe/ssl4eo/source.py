"""Which stores a SOURCE names: a folder of stores, one store, a glob, or a split list; in any of three layouts."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from sarpipe.errors import UsageError
from sarpipe.ssl4eo.group import PART, Group, Source, group_places
from sarpipe.ssl4eo.name import check_names, in_order, where_listed
from sarpipe.ssl4eo.remote import find_remote
from sarpipe.storage.remote import is_url, local_path


def find_stores(source: str | Path) -> Sequence[Source]:
    """The stores that ``source`` names, in the order of their names.

    Absolute paths, groups of files of a place, or what lies at a URL.

    Args:
        source: A folder of stores, one store (``.zarr.zip``, ``.zarr`` or ``.tar``), a glob pattern, or a split list
            (a ``.txt`` file with one file name a line, as SSL4EO-S12's ``splits/ssl4eos12_train.txt``); or a URL of
            one. Files of a single place each are put together (`sarpipe.ssl4eo.group.group_places`); a folder of them
            may be cut into folders ``part-000000`` and so on.

    Raises:
        UsageError: There is nothing at ``source``, or no store.
    """
    if is_url(source):
        return find_remote(str(source))
    path = local_path(source)
    if not path.exists() and any(character in str(source) for character in "*?["):
        stores = [Path(match) for match in glob.glob(str(path), recursive=True) if _is_store(Path(match))]
        where = f"no store matches {source}"
    elif path.is_file() and path.suffix == ".txt":
        stores = _listed(path)
        where = f"{path} lists no store"
    elif _is_store(path):
        stores, where = [path], ""
    elif path.is_dir():
        stores = _children(path) or [store for part in sorted(path.iterdir()) for store in _of_part(part)]
        where = f"{path} holds no store"
    elif path.exists():
        raise UsageError(
            f"{path} is neither a store nor a folder of stores", "A store is a .zarr.zip or .tar file or a .zarr folder"
        )
    else:
        raise UsageError(f"{path} does not exist", "Give a folder of stores, one store, a glob or a split list")
    if not stores:
        raise UsageError(where, _hint(path))
    return _unique(in_order(Path(os.path.abspath(store)) for store in stores))


def _children(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if _is_store(child)]


def _of_part(folder: Path) -> list[Path]:
    return _children(folder) if PART.fullmatch(folder.name) and folder.is_dir() else []


def _is_store(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return (
        path.name.endswith((".zarr.zip", ".tar"))
        if path.is_file()
        else path.is_dir() and (path.name.endswith(".zarr") or (path / ".zgroup").is_file())
    )


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file", "A split list has one file name a line") from error
    names = [line.strip() for line in lines if line.strip()]
    stores = []
    for name in names:
        places = where_listed(path.parent, name)
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise UsageError(
                f"{path} lists {name}, which is in none of {', '.join(str(place.parent) for place in places)}",
                "Put the list beside its stores, or fetch them: 'sarpipe download OUT --stores LIST'",
            )
        stores.append(found)
    return stores


def _hint(path: Path) -> str:
    usual = ("S1GRD", "train/S1GRD", "val/S1GRD", "s1", "data/s1")
    below = [path / name for name in usual if (path / name).is_dir()]
    if below:
        return f"Did you mean {below[0]}?"
    return "A store is a .zarr.zip or .tar file or a .zarr folder; 'sarpipe simulate DIR' makes some to try"


def _unique(paths: list[Path]) -> list[Path | Group]:
    """Each store once, by the first of its names: a link keeps the name that it gives, and two links are one store."""
    by_real = {os.path.realpath(path): path for path in reversed(paths)}
    stores = in_order(group_places(list(by_real.values())))
    check_names(stores)
    return stores
