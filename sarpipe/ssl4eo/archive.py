"""The files of one store, zipped or unpacked, with their checksums.

A zip carries a CRC-32 for each member, which is checked on reading. A folder has none, and a flipped bit in
a Blosc chunk is read as data without a word; so the checksums of a folder's files are written down when it is
first seen (the ledger). Whoever opens it later reads all of it against them, as what was made of it once is kept only
if it still holds what it held then; and every read after that is checked too.
"""

from __future__ import annotations

import errno
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import IO

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.storage import address, digest_json, read_small, write_small
from sarpipe.storage.verified import known_sha256

MAX_FILE_BYTES = 160 * 1024 * 1024
"""No file of a store is larger: all of ``bands`` uncompressed is 71 MB."""
MAX_FILES = 10_000
# Size of the record that ends a zip without a comment, and where in it the number of members stands.
_END_BYTES, _END_COUNT, _END_BEGINS = 22, 10, b"PK\x05\x06"
_END64_BYTES, _END64_BEGINS = 20, b"PK\x06\x07"
_MAX_COMMENT = 65_535
MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
"""Of `MAX_FILES` files with names of some hundred characters."""
ZIP_ERRORS = (zlib.error, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError)
"""What zipfile raises on a damaged file; a name that is not UTF-8 is a ValueError."""


@dataclass(frozen=True)
class Archive:
    """The files of one store.

    Attributes:
        path: The ``.zarr.zip`` file or the folder.
        records: File name to ``[bytes, checksum]``: CRC-32 for a zip, SHA-256 for a folder.
    """

    path: Path
    records: Mapping[str, tuple[int, str]]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names, sizes and checksums: two stores of one fingerprint hold the same bytes."""
        return fingerprint(self.records)

    @property
    def source_bytes(self) -> int:
        """Bytes of the store as it lies on the disk: of the zip file, or of all files of the folder."""
        if self.path.is_file():
            return self.path.stat().st_size
        return sum(size for size, _ in self.records.values())

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def read(self, name: str) -> bytes:
        """The bytes of one file, checked against its checksum.

        Raises:
            DataError: The file is missing, or its bytes are not what they were.
        """
        if name not in self.records:
            raise DataError(f"{self.path} has no file {name}", "Fetch the store again", code=Code.MISSING_CHUNK)
        return self._read_zip(name) if self.path.is_file() else self._read_folder(name)

    def _read_zip(self, name: str) -> bytes:
        try:
            member = self._bundle.getinfo(name)
            if _record(member) != self.records[name]:
                raise DataError(f"{self.path} was replaced while it was read", "Run it again", code=Code.CHANGED)
            # Never more than was declared: a few deflated bytes may stand for gigabytes.
            with self._bundle.open(member) as file:
                return file.read(member.file_size + 1)
        except (KeyError, OSError, *ZIP_ERRORS) as error:
            raise DataError(
                f"{self.path}: {name} cannot be read: {error}", "Fetch the store again", code=unread(error)
            ) from error

    @cached_property
    def _bundle(self) -> zipfile.ZipFile:
        """The zip, whose directory is read once; it is closed with the archive."""
        return zipfile.ZipFile(self.path)

    def _read_folder(self, name: str) -> bytes:
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise DataError(
                f"{self.path}: {name} cannot be read: {error.strerror}", "Fetch the store again", code=unread(error)
            ) from error
        if sha256(data).hexdigest() != self.records[name][1]:
            raise DataError(
                f"{self.path}: {name} is not what it was when the store was first seen",
                "Fetch the store again, or delete its file in the folder 'sources' to accept it as it is now",
                code=Code.CHECKSUM,
            )
        return data


def unread(error: Exception) -> Code:
    """Of which kind it is that a file cannot be read, by what the system or zipfile says."""
    if isinstance(error, FileNotFoundError | KeyError):
        return Code.CHANGED
    if not isinstance(error, OSError):
        return Code.CHECKSUM
    # A damaged directory sends zipfile to a position before the start.
    return Code.BROKEN_ARCHIVE if error.errno == errno.EINVAL else Code.IO


def fingerprint(records: Mapping[str, tuple[int, str]]) -> str:
    """The fingerprint of a store of these records (`Archive.fingerprint`)."""
    return digest_json({name: list(record) for name, record in records.items()})


def open_archive(path: Path, ledger: Path | None = None, *, remember: bool = True) -> Archive:
    """Open a store's files for reading; nothing is extracted.

    Args:
        path: A ``.zarr.zip`` file or a Zarr folder.
        ledger: The folder where the checksums of unpacked stores are kept; written on first sight. Without
            one the files are hashed now and nothing is kept.
        remember: Whether to write down a folder that is seen for the first time.

    Raises:
        DataError: There is nothing, the zip is damaged, or a folder's files are not those that were first seen.
        StorageError: The ledger cannot be written to.
    """
    if path.is_file():
        return Archive(path, _zip_records(path))
    if not path.is_dir():
        raise DataError(f"{path} does not exist", "It was moved or deleted: run it again", code=Code.CHANGED)
    return _open_folder(path, ledger, remember=remember)


def _zip_records(path: Path) -> dict[str, tuple[int, str]]:
    try:
        with path.open("rb") as file:
            bundle, records = open_zip(file, path)
            bundle.close()
            return records
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}", code=unread(error)) from error


def open_zip(
    file: IO[bytes], path: object, largest: int = MAX_FILE_BYTES, *, headers: bool = True
) -> tuple[zipfile.ZipFile, dict[str, tuple[int, str]]]:
    """Open a zip, and check it as far as that goes without reading its files.

    Args:
        file: The zip, seekable.
        path: What it is called in messages.
        largest: No file of it may have more bytes.
        headers: Whether to compare each name in the directory with the one at the member's bytes, anywhere in the
            file: a variable that may be missing must not be missed because its name is damaged.

    Returns:
        The zip, and of each file of it by name the bytes and CRC-32.

    Raises:
        DataError: It is damaged, or holds what no store does.
    """
    records: dict[str, tuple[int, str]] = {}
    try:
        _check_directory(file, path)
        bundle = zipfile.ZipFile(file)
        _check_count(file, path, bundle)
        for member in bundle.infolist():
            if headers:
                bundle.open(member).close()
            if member.is_dir():
                # The damaged name of a chunk may end like this; without a look the chunk would be missed.
                if member.file_size:
                    raise zipfile.BadZipFile(f"the folder {member.filename!r} has {member.file_size:,} bytes")
                continue
            _check_member(path, member, records, largest)
            records[member.filename] = _record(member)
    except ZIP_ERRORS as error:
        size = file.seek(0, os.SEEK_END)
        raise DataError(
            f"{path} is not a whole zip file ({size:,} bytes: {error})",
            "It may be truncated: fetch it again",
            code=Code.BROKEN_ARCHIVE,
        ) from error
    return bundle, records


def _check_directory(file: IO[bytes], path: object) -> None:
    """Refuse a directory of more members than any store has before zipfile reads it, which takes seconds and hundreds
    of bytes for each.
    """
    # Found as zipfile finds it: at the very end, or else the last one before a comment.
    tail = _tail(file, _END_BYTES + _END64_BYTES)
    at = len(tail) - _END_BYTES
    if at < 0 or not (tail[at:].startswith(_END_BEGINS) and tail.endswith(b"\0\0")):
        tail = _tail(file, _END_BYTES + _END64_BYTES + _MAX_COMMENT)
        at = tail.rfind(_END_BEGINS)
    if at < 0:
        return
    found = int.from_bytes(tail[at + _END_COUNT : at + _END_COUNT + 2], "little")
    directory = int.from_bytes(tail[at + _END_COUNT + 2 : at + _END_COUNT + 6], "little")
    if tail[max(0, at - _END64_BYTES) : at].startswith(_END64_BEGINS):
        raise DataError(
            f"{path} is a zip for more than 65,535 files or 4 GB: larger than any store of the data set",
            code=Code.TOO_LARGE,
        )
    if found > MAX_FILES or directory > MAX_DIRECTORY_BYTES:
        raise DataError(
            f"{path} holds {found:,} files in a directory of {directory:,} bytes: more than any store of the data set",
            code=Code.TOO_LARGE,
        )


def _tail(file: IO[bytes], count: int) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - count))
    return file.read()


def _check_count(file: IO[bytes], path: object, bundle: zipfile.ZipFile) -> None:
    """Compare the members found with the number that the end of the zip declares, as zipfile does not: a damaged
    length in the directory may swallow members without a word.
    """
    file.seek(-_END_BYTES - len(bundle.comment) + _END_COUNT, os.SEEK_END)
    declared = int.from_bytes(file.read(2), "little")
    found = len(bundle.infolist())
    if found > MAX_FILES:
        raise DataError(f"{path} holds {found:,} files: more than any store of the data set", code=Code.TOO_LARGE)
    if found != declared:
        raise zipfile.BadZipFile(f"{found} files found, {declared} declared")


def _check_member(path: object, member: zipfile.ZipInfo, records: Mapping[str, tuple[int, str]], largest: int) -> None:
    _check_size(path, member.filename, member.file_size, len(records), largest)
    if member.filename in records:
        raise DataError(f"{path} holds {member.filename!r} twice", "Fetch the store again", code=Code.UNSAFE_ARCHIVE)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{path}: {member.filename!r} is packed in a way that no store is",
            "Fetch the store again",
            code=Code.UNSAFE_ARCHIVE,
        )


def _record(member: zipfile.ZipInfo) -> tuple[int, str]:
    return member.file_size, f"{member.CRC:08x}"


def _open_folder(path: Path, ledger: Path | None, *, remember: bool) -> Archive:
    sizes = _folder_sizes(path)
    note = ledger / f"{path.name}-{sha256(str(path.resolve()).encode()).hexdigest()[:12]}.json" if ledger else None
    known = _read_note(note) if note is not None else None
    if known is None:
        records = {name: (size, _hashed(path, name)) for name, size in sizes.items()}
        if note is not None and remember:
            document = {"path": str(path.resolve()), "files": records, "checksum": digest_json(records)}
            write_small(note, json.dumps(document, indent=1).encode())
        return Archive(path, records)
    differing = _differing(path, known, sizes)
    if note is not None and differing:
        first, more = next(iter(differing.items()))
        raise DataError(
            f"{path}: {first!r} is not what it was when the store was first seen "
            f"({more}; {len(differing)} files differ)",
            f"Fetch the store again, or delete {note.parent.name}/{note.name} in the output folder to accept it now",
            code=Code.CHECKSUM if first in sizes else Code.MISSING_CHUNK,
        )
    return Archive(path, known)


def _differing(path: Path, known: Mapping[str, tuple[int, str]], sizes: Mapping[str, int]) -> dict[str, str]:
    """The files that are not what they were, and how; their bytes are read only where all have the same sizes."""
    seen = {name: size for name, (size, _) in known.items()}
    if seen != sizes:
        differing = sorted(name for name in seen.keys() | sizes.keys() if seen.get(name) != sizes.get(name))
        return {name: f"{seen.get(name, 'no')} bytes then, {sizes.get(name, 'no')} now" for name in differing}
    return {name: "other bytes, as many" for name, (_, checksum) in known.items() if _hashed(path, name) != checksum}


def _folder_sizes(path: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            name = file.relative_to(path).as_posix()
            sizes[name] = file.stat().st_size
            _check_size(path, name, sizes[name], len(sizes))
    return sizes


def _hashed(path: Path, name: str) -> str:
    try:
        return known_sha256(path / name)
    except OSError as error:
        raise DataError(
            f"{path}: {name} cannot be read: {error.strerror}", "Fetch the store again", code=unread(error)
        ) from error


def _check_size(path: object, name: str, size: int, count: int, largest: int = MAX_FILE_BYTES) -> None:
    if size > largest or count > MAX_FILES:
        raise DataError(
            f"{path}: {name!r} has {size:,} bytes and is file {count}: larger than any store of the data set",
            code=Code.TOO_LARGE,
        )


def _read_note(note: Path) -> dict[str, tuple[int, str]] | None:
    """What was written down of a folder; None: it is seen for the first time."""
    try:
        document = json.loads(read_small(note))
        records = {str(name): (int(size), str(checksum)) for name, (size, checksum) in document["files"].items()}
        intact = document["checksum"] == digest_json(records)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise DataError(
            f"{address(note)} is damaged", "Delete it: the store's checksums are then taken anew", code=Code.CHECKSUM
        )
    return records
