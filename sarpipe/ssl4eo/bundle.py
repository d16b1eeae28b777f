"""Many files of a single place each, in one tar or in one folder, read one after the other and never unpacked."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.ssl4eo.archive import ZIP_ERRORS, open_zip, unread
from sarpipe.ssl4eo.store import Store, is_place_id, read_place
from sarpipe.storage.key import digest_json

SUFFIX = ".zarr.zip"
MAX_MEMBER_BYTES = 4 * 1024 * 1024
"""No file of a single place is larger, nor is any file in it: its ``bands`` uncompressed are 1.1 MB."""
# The record that ends a zip without a comment: its size, how it begins, where the directory's size stands.
_END_BYTES, _END_BEGINS, _END_DIRECTORY = 22, b"PK\x05\x06", slice(12, 16)


@dataclass(frozen=True)
class UnreadablePlace:
    """A place of which only the name is known.

    Attributes:
        store: What it belongs to: `sarpipe.ssl4eo.store.Store.name`.
        id: From the name of its file.
        reason: Why it cannot be read, without the folder that it lies in.
        code: The same for machines.
    """

    store: str
    id: str
    reason: str
    code: Code


@dataclass(frozen=True)
class Member:
    """One zip of a single place: ``size`` bytes of ``path`` from ``offset`` on."""

    key: str
    path: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Bundle:
    """The files of some places.

    Attributes:
        name: Of the tar, or of the group of files.
        members: In the order in which they are read.
        named_by_file: Whether a place's id is its file's name, or the ``sample`` in it.
    """

    name: str
    members: tuple[Member, ...]
    named_by_file: bool

    @property
    def fingerprint(self) -> str:
        """SHA-256 over keys, sizes, offsets and the directories of the zips, which hold a CRC-32 of every file.

        Neither a tar nor a folder has checksums of its own, and to hash all bytes would be to read them. Bytes that
        are damaged below a directory leave the fingerprint as it is: they are found when the place is read.

        Raises:
            DataError: A file cannot be read.
        """
        found = {}
        for member, file in _opened(self.members):
            found[member.key] = [member.size, member.offset, _directory_digest(file, member)]
        return digest_json(found)

    @property
    def source_bytes(self) -> int:
        """Bytes of all places as they lie on the disk."""
        return sum(member.size for member in self.members)

    def read(self) -> Iterator[Store | UnreadablePlace]:
        """Each place, read into memory alone: a `Store` of one place, or why there is none.

        Raises:
            DataError: A file is gone, or shorter than it was.
        """
        for member, file in _opened(self.members):
            yield self._read_member(member, file)

    def _read_member(self, member: Member, file: IO[bytes]) -> Store | UnreadablePlace:
        shown = shown_id(member.key)
        if not is_place_id(member.key):
            reason = f"the name of its file, {shown}, is not the id of a place"
            return UnreadablePlace(self.name, shown, reason, Code.BAD_ID)
        if member.size > MAX_MEMBER_BYTES:
            reason = f"its file has {member.size:,} bytes: larger than any place of the data set"
            return UnreadablePlace(self.name, member.key, reason, Code.TOO_LARGE)
        data = _bytes(file, member, member.offset, member.size)
        try:
            files = PlaceZip(f"{self.name}/{member.key}{SUFFIX}", data)
            return read_place(files, self.name, member.key, named_by_file=self.named_by_file)
        except DataError as error:
            return UnreadablePlace(self.name, member.key, str(error), error.code)


def shown_id(key: str) -> str:
    """The id by which a place that cannot be read is named: its key, or where that cannot name a place what is left
    of it with a hash of the whole, so that two keys never share an id.
    """
    if is_place_id(key):
        return key
    # To a spreadsheet what begins with a minus is a formula, to a command an option.
    left = re.sub(r"[^A-Za-z0-9._-]", "_", key)[:100].lstrip("-.") or "_"
    return f"{left}-{sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


class PlaceZip:
    """The files of a zip in memory, each checked against its CRC-32 when it is read.

    Args:
        path: What it is called in messages.
        data: The zip.

    Raises:
        DataError: It is damaged.
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self._zip, self._records = open_zip(io.BytesIO(data), path, MAX_MEMBER_BYTES)

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            DataError: It is missing or damaged.
        """
        if name not in self._records:
            raise DataError(f"{self.path} has no file {name}", "Fetch it again", code=Code.MISSING_CHUNK)
        try:
            with self._zip.open(name) as file:
                # Never more than was declared: a few deflated bytes may stand for gigabytes.
                return file.read(self._records[name][0] + 1)
        except (OSError, *ZIP_ERRORS) as error:
            raise DataError(
                f"{self.path}: {name} cannot be read: {error}", "Fetch it again", code=unread(error)
            ) from error


def _opened(members: tuple[Member, ...]) -> Iterator[tuple[Member, IO[bytes]]]:
    """Each member with the file that it lies in, opened once for all members in a row that lie in it."""
    file: IO[bytes] | None = None
    path: Path | None = None
    try:
        for member in members:
            if file is None or member.path != path:
                if file is not None:
                    file.close()
                file, path = member.path.open("rb"), member.path
            yield member, file
    except OSError as error:
        raise DataError(
            f"{path or members[0].path} cannot be read: {error.strerror}", "Run it again", code=unread(error)
        ) from error
    finally:
        if file is not None:
            file.close()


def _directory_digest(file: IO[bytes], member: Member) -> str:
    """SHA-256 of a zip's directory; of the whole zip where it has none that could be found."""
    if member.size > MAX_MEMBER_BYTES:
        return ""
    start = member.offset
    if member.size >= _END_BYTES:
        end = _bytes(file, member, start + member.size - _END_BYTES, _END_BYTES)
        length = int.from_bytes(end[_END_DIRECTORY], "little") + _END_BYTES
        if end.startswith(_END_BEGINS) and length <= member.size:
            start += member.size - length
    return sha256(_bytes(file, member, start, member.offset + member.size - start)).hexdigest()


def _bytes(file: IO[bytes], member: Member, start: int, size: int) -> bytes:
    try:
        file.seek(start)
        data = file.read(size)
    except OSError as error:
        raise DataError(
            f"{member.path} cannot be read: {error.strerror}", "Run it again", code=unread(error)
        ) from error
    if len(data) != size:
        raise DataError(
            f"{member.path} is shorter than it was", "It was changed while it was read: run it again", code=Code.CHANGED
        )
    return data
