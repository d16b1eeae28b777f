"""Every layout, read to one type: the places of a store, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sarpipe.ssl4eo.archive import Archive, open_archive
from sarpipe.ssl4eo.bundle import Bundle, UnreadablePlace
from sarpipe.ssl4eo.group import Group, open_group
from sarpipe.ssl4eo.shard import open_shard
from sarpipe.ssl4eo.store import Store, read_store


def open_source(source: Path | Group, ledger: Path | None = None, *, remember: bool = True) -> Archive | Bundle:
    """What a store holds, without its places: ``fingerprint`` and ``source_bytes``.

    Args:
        source: A ``.zarr.zip`` file, a Zarr folder, a ``.tar``, or a group of files of a single place.
        ledger: See `sarpipe.ssl4eo.archive.open_archive`.
        remember: Likewise.

    Raises:
        DataError: It is not there, or damaged as a whole.
    """
    return _open_bundle(source) or open_archive(_path(source), ledger, remember=remember)


def read_parts(source: Path | Group, ledger: Path | None = None) -> Iterator[Store | UnreadablePlace]:
    """The places of a store: all at once as they are stored, or one after the other where each has its own file.

    No more than 64 places are in memory at a time, 71 MB.

    Raises:
        DataError: Nothing of it can be used.
    """
    bundle = _open_bundle(source)
    if bundle is None:
        yield read_store(_path(source), ledger)
    else:
        yield from bundle.read()


def _open_bundle(source: Path | Group) -> Bundle | None:
    if isinstance(source, Group):
        return open_group(source)
    return open_shard(source) if source.suffix == ".tar" and not source.is_dir() else None


def _path(source: Path | Group) -> Path:
    if isinstance(source, Group):
        raise TypeError(f"{source.name} is a group of files and not a store")
    return source
