"""Stores at a URL: which a SOURCE names, what they hold, and a local copy for as long as one is read.

A plan needs the checksums alone, which stand in the directory at the end of a zip: it reads the last bytes of each
store. Its fingerprint is that of the same zip on the disk, so one stands for the other.

The checksums of a tar lie all over it, and those of a folder of single places in thousands of files. Of them a plan
takes what the server lists: sizes and content checksums or ETags. That is another fingerprint than on the disk, and of
one URL alone, as an ETag is: a unit made from a copy elsewhere is not reused.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from sarpipe.codes import Code
from sarpipe.errors import DataError, RemoteError, UsageError
from sarpipe.ssl4eo.archive import MAX_FILE_BYTES, fingerprint, open_zip
from sarpipe.ssl4eo.bundle import MAX_MEMBER_BYTES, SUFFIX
from sarpipe.ssl4eo.group import PART, Group, RemoteGroup, Source, holds_single_place, name_groups
from sarpipe.ssl4eo.name import check_names, in_order, store_name, where_listed
from sarpipe.storage import RemotePath, Stat, digest_json, remote_path
from sarpipe.storage.durable import storage_errors
from sarpipe.storage.remote import check_bucket

TAR = ".tar"
REQUESTS = 16
"""So many are under way at a time while a plan is made: each is mostly waiting."""
FETCHES = 8
"""Files of a group that are fetched side by side."""
MAX_TAR_BYTES = 1024 * 1024 * 1024
"""A shard has some 370 MB."""
MAX_LIST_BYTES = 16 * 1024 * 1024
MAX_TRUTH_BYTES = 64 * 1024 * 1024
_TAIL_BYTES = 128 * 1024
"""Read at once from the end of a zip; the directory of a store of 64 places has some 20 KB."""
_MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
_NEEDS = "Give a folder of stores (.zarr.zip or .tar), one store, a glob or a split list"


@dataclass(frozen=True)
class RemoteArchive:
    """What a plan knows of a store at a URL.

    Attributes:
        fingerprint: Of a zip as `sarpipe.ssl4eo.archive.Archive.fingerprint`; else SHA-256 over URLs, sizes and tags
            (`sarpipe.storage.Stat.tag`).
        source_bytes: Bytes of its files.
    """

    fingerprint: str
    source_bytes: int


def find_remote(url: str) -> list[RemotePath | RemoteGroup]:
    """The stores that a URL names, in the order of their names, as `sarpipe.ssl4eo.find_stores` does.

    To tell stores from files of a single place, one small file of each folder is fetched.

    Args:
        url: A folder of stores, one ``.zarr.zip`` or ``.tar``, a glob pattern, or a split list (``.txt``).

    Raises:
        UsageError: There is nothing at the URL, no store, or no access.
        RemoteError: The server fails.
    """
    source = remote_path(url)
    try:
        if any(character in source.url for character in "*?["):
            found, nothing = [match for match in source.glob() if _is_store(match)], f"no store matches {source}"
        elif source.name.endswith(".txt"):
            found, nothing = _listed(source), f"{source} lists no store"
        elif source.name.endswith((SUFFIX, TAR)) and not (one := source.stat()).is_folder:
            found, nothing = [one], ""
        else:
            found, nothing = _children(source), f"{source} holds no store"
    except FileNotFoundError as error:
        check_bucket(source)
        raise UsageError(str(error), _NEEDS) from error
    if not found:
        raise UsageError(nothing, _NEEDS)
    stores = in_order(_grouped({store.path: store for store in found}))
    check_names(stores)
    return stores


def has_checksums(store: Source) -> bool:
    """Whether what a plan knows of a store are its own checksums, which a copy of it has too."""
    return not isinstance(store, RemoteGroup) and not (isinstance(store, RemotePath) and store.name.endswith(TAR))


def look_again(store: Source) -> Source:
    """The store with what the server says now of the files of a group: a listing, or a request a file without one.

    Raises:
        DataError: A file is gone.
        RemoteError: The server fails.
    """
    if not isinstance(store, RemoteGroup):
        return store
    try:
        listed = {file.path: file for file in store.folder.children()}
    except (FileNotFoundError, UsageError):
        # Not every server lists what it gives: files of a split list are found without.
        listed = {}
    unknown = [Stat(file.path, is_folder=False, size=None, tag=None) for file in store.files]
    return replace(store, files=_asked(listed.get(file.path, file) for file in unknown))


def open_remote(store: RemotePath | RemoteGroup) -> RemoteArchive:
    """Read what the plan needs of a store: two small requests of a zip, one of a tar, of a group none that the listing
    has answered.

    Raises:
        DataError: It is gone, is no whole zip, is unpacked, or has neither checksums nor an ETag.
        RemoteError: The server fails.
    """
    if isinstance(store, RemoteGroup):
        return _by_tags(_asked(store.files))
    if store.name.endswith(TAR):
        return _by_tags((_tar(store),))
    if not store.name.endswith(SUFFIX):
        raise DataError(
            f"{store} is an unpacked store, which is not read from a URL: each of its files would be a request",
            "Pack it as a .zarr.zip, or copy it to this machine",
            code=Code.NOT_FROM_URL,
        )
    try:
        tail = _Tail(store)
        _, records = open_zip(cast(BinaryIO, tail), store, headers=False)
    except FileNotFoundError as error:
        raise _gone(store) from error
    return RemoteArchive(fingerprint(records), tail.size)


def truth_sha256(truth: RemotePath) -> str | None:
    """SHA-256 of the truth beside a store; None: there is none."""
    data = _read_truth(truth)
    return None if data is None else sha256(data).hexdigest()


@contextmanager
def local_copy(store: Source) -> Iterator[Path | Group]:
    """The store on this machine, for the time of a ``with`` block: itself, or a copy with its truth beside it.

    Raises:
        DataError: It is gone, or larger than any store. Errors within the block name the store, not the copy.
        RemoteError: The server fails.
    """
    if not isinstance(store, RemotePath | RemoteGroup):
        yield store
        return
    with TemporaryDirectory(prefix="sarpipe-") as folder:
        copy = _fetched(store, Path(folder))
        truth = _read_truth(truth_of(store))
        if truth is not None:
            beside = copy.folder if isinstance(copy, Group) else copy.parent
            (beside / truth_of(store).name).write_bytes(truth)
        try:
            yield copy
        except DataError as error:
            above = store.folder.parent if isinstance(store, RemoteGroup) else store.parent
            raise DataError(error.message.replace(folder, above.url), error.hint, code=error.code) from error


def truth_of(store: RemotePath | RemoteGroup) -> RemotePath:
    """Where the truth of a store is, as `sarpipe.preprocess.truth.truth_path`."""
    if isinstance(store, RemoteGroup):
        return store.folder / f"{store.folder.name}.truth.parquet"
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


def _fetched(store: RemotePath | RemoteGroup, folder: Path) -> Path | Group:
    return _fetched_group(store, folder) if isinstance(store, RemoteGroup) else _fetched_store(store, folder)


def _fetched_store(store: RemotePath, folder: Path) -> Path:
    copy = folder / store.name
    limit = MAX_TAR_BYTES if store.name.endswith(TAR) else MAX_FILE_BYTES
    try:
        store.fetch(copy, store.size(), limit)
    except FileNotFoundError as error:
        raise _gone(store) from error
    return copy


def _fetched_group(group: RemoteGroup, folder: Path) -> Group:
    # The folder's own name is part of the name of its truth.
    copy = Group(group.name, folder / group.folder.name, tuple(file.path.name for file in group.files))
    copy.folder.mkdir()
    with ThreadPoolExecutor(FETCHES) as pool:
        # Consumed, so that what fails is raised.
        list(pool.map(lambda file: _fetch_place(file, copy.folder / file.path.name), group.files))
    return copy


def _fetch_place(file: Stat, to: Path) -> None:
    if file.size is not None and file.size > MAX_MEMBER_BYTES:
        # Too large to be a place, which its size alone tells when it is read: a hole of that size does.
        with storage_errors(to), to.open("wb") as hole:
            hole.truncate(file.size)
        return
    try:
        file.path.fetch(to, file.size, MAX_MEMBER_BYTES)
    except FileNotFoundError as error:
        raise _gone(file.path) from error


def _by_tags(files: Iterable[Stat]) -> RemoteArchive:
    known: dict[str, tuple[int, str]] = {}
    for file in files:
        if file.size is None or file.tag is None:
            lacks = "how large it is" if file.size is None else "its checksum or a (strong) ETag"
            raise DataError(
                f"{file.path}: its server does not say {lacks}, so that a change of it would not be noticed",
                "Fetch it first, and give the local file or folder",
                code=Code.NOT_FROM_URL,
            )
        known[file.path.url] = (file.size, file.tag)
    return RemoteArchive(digest_json(known), sum(size for size, _ in known.values()))


def _tar(store: RemotePath) -> Stat:
    try:
        tar = store.stat()
    except FileNotFoundError as error:
        raise _gone(store) from error
    if tar.size is not None and tar.size > MAX_TAR_BYTES:
        raise DataError(
            f"{store} has {tar.size:,} bytes: at a URL a tar may have {MAX_TAR_BYTES:,}",
            "Fetch it first, and give the local file",
            code=Code.NOT_FROM_URL,
        )
    return tar


def _asked(files: Iterable[Stat]) -> tuple[Stat, ...]:
    """Files of which a listing has not said enough, asked for one by one."""
    files = tuple(files)
    if all(file.tag for file in files):
        return files
    with ThreadPoolExecutor(FETCHES) as pool:
        return tuple(pool.map(lambda file: file if file.tag else _one_asked(file.path), files))


def _one_asked(path: RemotePath) -> Stat:
    try:
        return path.stat()
    except FileNotFoundError as error:
        raise _gone(path) from error


def _gone(path: RemotePath) -> DataError:
    return DataError(f"{path} does not exist", "It was moved or deleted: run it again", code=Code.CHANGED)


def _grouped(stores: Mapping[RemotePath, Stat]) -> list[RemotePath | RemoteGroup]:
    """As `sarpipe.ssl4eo.group.group_places`."""
    files = [path for path in stores if path.name.endswith(SUFFIX)]
    groups = name_groups(files, lambda path: _holds_single_place(stores[path]))
    grouped = {file for _, part in groups for file in part}
    return [
        *(path for path in stores if path not in grouped),
        *(RemoteGroup(name, part[0].parent, tuple(stores[path] for path in part)) for name, part in groups),
    ]


def _holds_single_place(file: Stat) -> bool:
    known = file if file.size is not None else _one_asked(file.path)
    # A file as large as no place is not fetched to see that it is a store.
    if known.size is None or known.size > MAX_MEMBER_BYTES:
        return False
    with TemporaryDirectory(prefix="sarpipe-") as folder:
        copy = Path(folder, file.path.name)
        _fetch_place(known, copy)
        return holds_single_place(copy)


def _is_store(found: Stat) -> bool:
    name = found.path.name
    return name.endswith((SUFFIX, ".zarr", TAR)) and not name.startswith(".")


def _children(source: RemotePath) -> list[Stat]:
    children = source.children()
    stores = [child for child in children if _is_store(child)]
    parts = [child.path for child in children if child.is_folder and PART.fullmatch(child.path.name)]
    if stores or not parts:
        return stores
    with ThreadPoolExecutor(REQUESTS) as pool:
        return [child for below in pool.map(RemotePath.children, parts) for child in below if _is_store(child)]


def _listed(source: RemotePath) -> list[Stat]:
    try:
        lines = source.read(MAX_LIST_BYTES).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not a text file", "A split list has one file name a line") from error
    names = [line.strip() for line in lines if line.strip()]
    with ThreadPoolExecutor(REQUESTS) as pool:
        return list(pool.map(lambda name: _found(source, name), names))


def _found(source: RemotePath, name: str) -> Stat:
    places = where_listed(source.parent, name)
    for place in places:
        with suppress(FileNotFoundError):
            return place.stat()
    looked = ", ".join(str(place.parent) for place in places)
    raise UsageError(f"{source} lists {name}, which is in none of {looked}", "Put the list beside its stores")


class _Tail(io.RawIOBase):
    """The end of a remote file as a file: what is before the bytes that were read is read when it is asked for."""

    def __init__(self, path: RemotePath) -> None:
        size = path.size()
        if size is None:
            raise RemoteError(f"{path}: the server does not say how large it is", "Fetch it and give the local file")
        if size > MAX_FILE_BYTES:
            # Before anything is read: a server that does not know ranges sends all of it.
            raise DataError(f"{path} has {size:,} bytes: larger than any store of the data set", code=Code.TOO_LARGE)
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
