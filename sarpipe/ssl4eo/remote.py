"""Stores at a URL: which a SOURCE names, what they hold, and a local copy for as long as one is read.

A plan needs the checksums alone, which stand in the directory at the end of a zip: it reads the last bytes of each
store. Its fingerprint is that of the same zip on the disk, so one stands for the other.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from sarpipe.errors import DataError, RemoteError, UsageError
from sarpipe.ssl4eo.archive import MAX_FILE_BYTES, fingerprint, open_zip
from sarpipe.ssl4eo.group import Group
from sarpipe.ssl4eo.name import store_name
from sarpipe.storage import RemotePath, remote_path

SUFFIX = ".zarr.zip"
REQUESTS = 16
"""So many are under way at a time while a plan is made: each is mostly waiting."""
MAX_LIST_BYTES = 16 * 1024 * 1024
MAX_TRUTH_BYTES = 64 * 1024 * 1024
_TAIL_BYTES = 128 * 1024
"""Read at once from the end of a zip; the directory of a store of 64 places has some 20 KB."""
_MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
_NEEDS = "Give a folder of .zarr.zip stores, one store, a glob or a split list"


@dataclass(frozen=True)
class RemoteArchive:
    """What the directory of a store's zip says.

    Attributes:
        fingerprint: As `sarpipe.ssl4eo.archive.Archive.fingerprint`.
        source_bytes: Bytes of the zip.
    """

    fingerprint: str
    source_bytes: int


def find_remote(url: str) -> list[RemotePath]:
    """The stores that a URL names, in the order of their names.

    Args:
        url: A folder of ``.zarr.zip`` stores, one store, a glob pattern, or a split list (``.txt``).

    Raises:
        UsageError: There is nothing at the URL, no store, or no access.
        RemoteError: The server fails.
    """
    source = remote_path(url)
    try:
        if any(character in source.url for character in "*?["):
            stores, nothing = [path for path in source.glob() if _is_store(path)], f"no store matches {source}"
        elif source.name.endswith(".txt"):
            stores, nothing = _listed(source), f"{source} lists no store"
        elif source.name.endswith(SUFFIX):
            source.size()
            stores, nothing = [source], ""
        else:
            stores, nothing = [path for path, _ in source.children() if _is_store(path)], f"{source} holds no store"
    except FileNotFoundError as error:
        raise UsageError(str(error), _NEEDS) from error
    if not stores:
        raise UsageError(nothing, _NEEDS)
    stores = sorted(set(stores), key=lambda store: (store_name(store), store.url))
    for one, other in pairwise(stores):
        if store_name(one) == store_name(other):
            raise UsageError(f"{one} and {other} have one name", "Keep one of them, or name it in a glob")
    return stores


def open_remote(store: RemotePath) -> RemoteArchive:
    """Read what the plan needs of a store: two small requests.

    Raises:
        DataError: It is gone, is no whole zip, or is unpacked.
        RemoteError: The server fails.
    """
    if store.name.endswith(".tar"):
        raise DataError(
            f"{store} is a WebDataset tar, which is not read from a URL: its checksums lie all over it",
            "Fetch it first, for example by 'sarpipe download --layout webdataset', and give the local file",
        )
    if not store.name.endswith(SUFFIX):
        raise DataError(
            f"{store} is an unpacked store, which is not read from a URL: each of its files would be a request",
            "Pack it as a .zarr.zip, or copy it to this machine",
        )
    try:
        tail = _Tail(store)
        _, records = open_zip(cast(BinaryIO, tail), store, headers=False)
    except FileNotFoundError as error:
        raise DataError(f"{store} does not exist", "It was moved or deleted: run it again") from error
    return RemoteArchive(fingerprint(records), tail.size)


def truth_sha256(truth: RemotePath) -> str | None:
    """SHA-256 of the truth beside a store; None: there is none."""
    data = _read_truth(truth)
    return None if data is None else sha256(data).hexdigest()


@contextmanager
def local_copy(store: Path | Group | RemotePath) -> Iterator[Path | Group]:
    """The store on this machine, for the time of a ``with`` block: itself, or a copy with its truth beside it.

    Raises:
        DataError: It is gone, or larger than any store. Errors within the block name the store, not the copy.
        RemoteError: The server fails.
    """
    if not isinstance(store, RemotePath):
        yield store
        return
    with TemporaryDirectory(prefix="sarpipe-") as folder:
        copy = Path(folder, store.name)
        try:
            store.fetch(copy, store.size(), MAX_FILE_BYTES)
            truth = _read_truth(truth_of(store))
        except FileNotFoundError as error:
            raise DataError(f"{store} does not exist", "It was moved or deleted: run it again") from error
        if truth is not None:
            (copy.parent / truth_of(store).name).write_bytes(truth)
        try:
            yield copy
        except DataError as error:
            raise DataError(error.message.replace(folder, store.parent.url), error.hint) from error


def truth_of(store: RemotePath) -> RemotePath:
    """Where the truth of a store is, as `sarpipe.preprocess.unit.truth_path`."""
    return store.with_name(f"{store_name(store)}.truth.parquet")


def _read_truth(truth: RemotePath) -> bytes | None:
    try:
        return truth.read(MAX_TRUTH_BYTES)
    except FileNotFoundError:
        return None
    except UsageError as error:
        # A bucket that must not be listed says "no access" of what is not there. The store beside it could be read.
        if isinstance(error.__cause__, PermissionError | FileNotFoundError):
            return None
        raise


def _is_store(path: RemotePath) -> bool:
    return path.name.endswith((SUFFIX, ".zarr", ".tar")) and not path.name.startswith(".")


def _listed(source: RemotePath) -> list[RemotePath]:
    try:
        lines = source.read(MAX_LIST_BYTES).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not a text file", "A split list has one file name a line") from error
    names = [line.strip() for line in lines if line.strip()]
    with ThreadPoolExecutor(REQUESTS) as pool:
        return list(pool.map(lambda name: _found(source, name), names))


def _found(source: RemotePath, name: str) -> RemotePath:
    split = "val" if "_val_" in name else "train"
    places = [source.parent / name, source.parent.parent / f"{split}/S1GRD/{name}"]
    for place in places:
        if place.exists():
            return place
    raise UsageError(f"{source} lists {name}, which is in neither {places[0].parent} nor {places[1].parent}")


class _Tail(io.RawIOBase):
    """The end of a remote file as a file: what is before the bytes that were read is read when it is asked for."""

    def __init__(self, path: RemotePath) -> None:
        size = path.size()
        if size is None:
            raise RemoteError(f"{path}: the server does not say how large it is", "Fetch it and give the local file")
        self.size = size
        self._path = path
        self._start = max(0, size - _TAIL_BYTES)
        self._bytes = path.read_range(self._start, size) if size else b""
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if position < 0:
            raise OSError("a position before the start")
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self.size, self._position + size)
        if self._position < min(self._start, end):
            self._extend()
        data = self._bytes[self._position - self._start : max(0, end - self._start)]
        self._position += len(data)
        return data

    def _extend(self) -> None:
        if self.size - self._position > _MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its directory is larger than that of any store")
        self._bytes = self._path.read_range(self._position, self._start) + self._bytes
        self._start = self._position
