"""Which stores a SOURCE names: a folder of stores, one store, a glob, or a split list."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from sarpipe.errors import UsageError
from sarpipe.storage.remote import RemotePath, is_url, local_path

SUFFIXES = (".zarr.zip", ".zarr")


def store_name(path: Path | RemotePath) -> str:
    """The file name without ``.zarr.zip`` or ``.zarr``."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def find_stores(source: str | Path) -> Sequence[Path | RemotePath]:
    """The stores that ``source`` names: absolute paths, or what lies at a URL, in the order of their names.

    Args:
        source: A folder of stores, one store (``.zarr.zip`` or ``.zarr``), a glob pattern, or a split list (a
            ``.txt`` file with one file name a line, as SSL4EO-S12's ``splits/ssl4eos12_train.txt``); or a URL of one.

    Raises:
        UsageError: There is nothing at ``source``, or no store.
    """
    if is_url(source):
        # Imported here, as it needs the names that this module gives.
        from sarpipe.ssl4eo.remote import find_remote

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
        stores = [child for child in path.iterdir() if _is_store(child)]
        where = f"{path} holds no store"
    elif path.exists():
        raise UsageError(
            f"{path} is neither a store nor a folder of stores", "A store is a .zarr.zip file or a .zarr folder"
        )
    else:
        raise UsageError(
            f"{path} does not exist", "Give a folder of .zarr.zip stores, one store, a glob or a split list"
        )
    if not stores:
        raise UsageError(where, _hint(path))
    return _unique(
        sorted((Path(os.path.abspath(store)) for store in stores), key=lambda store: (store_name(store), str(store)))
    )


def _is_store(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return (
        path.name.endswith(".zarr.zip")
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
        split = "val" if "_val_" in name else "train"
        places = [path.parent / name, path.parent.parent / split / "S1GRD" / name]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise UsageError(f"{path} lists {name}, which is in neither {places[0].parent} nor {places[1].parent}")
        stores.append(found)
    return stores


def _hint(path: Path) -> str:
    below = [child for child in (path / "S1GRD", path / "train" / "S1GRD", path / "val" / "S1GRD") if child.is_dir()]
    if below:
        return f"Did you mean {below[0]}?"
    return "A store is a .zarr.zip file or a .zarr folder; 'sarpipe simulate DIR' makes some to try"


def _unique(stores: list[Path]) -> list[Path]:
    """Each store once, by the first of its names: a link keeps the name that it gives, and two links are one store."""
    by_name: dict[str, Path] = {}
    seen: set[str] = set()
    for store in stores:
        real = os.path.realpath(store)
        if real in seen:
            continue
        seen.add(real)
        other = by_name.setdefault(store_name(store), store)
        if other != store:
            raise UsageError(f"{other} and {store} have one name", "Keep one of them, or name it in a glob")
    return list(by_name.values())
