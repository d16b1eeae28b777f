"""WebDataset tars: some hundred zips of a single place each."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.ssl4eo.bundle import SUFFIX, Bundle, Member
from sarpipe.ssl4eo.name import store_name

MAX_MEMBERS = 2048
"""A shard has 512 places."""
_MAX_NAME = 100
"""Characters of a name that stand in a member's header, which has a checksum."""
_UNCHECKED = {"path", "size", "linkpath"}
"""What an extended header, which has no checksum, may not say in the place of the header."""
_BLOCK = tarfile.BLOCKSIZE
_MAX_END = 1024 * 1024


def open_shard(path: Path) -> Bundle:
    """Find the places of a tar. Only headers are read; nothing is extracted, and no link is followed.

    The places are the files ``<key>.zarr.zip``, in whatever folder of the tar. Others are passed over.

    Raises:
        DataError: The tar is damaged or cut, or holds what no shard does.
    """
    try:
        with path.open("rb") as file:
            return Bundle(store_name(path), tuple(_members(path, file)), named_by_file=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "It was moved or deleted: run it again", code=Code.CHANGED) from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", code=Code.IO) from error


def _members(path: Path, file: IO[bytes]) -> Iterator[Member]:
    keys: set[str] = set()
    end = 0
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for count, info in enumerate(tar, 1):
            if count > MAX_MEMBERS:
                raise DataError(
                    f"{path} holds more than {MAX_MEMBERS:,} files: more than any shard of the data set",
                    code=Code.TOO_LARGE,
                )
            end = info.offset_data + -(-info.size // _BLOCK) * _BLOCK if info.isreg() else info.offset_data
            if info.isdir():
                continue
            _check_member(path, info)
            if not info.name.endswith(SUFFIX):
                continue
            key = info.name.rsplit("/", 1)[-1].removesuffix(SUFFIX)
            if key in keys:
                raise DataError(f"{path} holds {key!r} twice", "Fetch it again", code=Code.UNSAFE_ARCHIVE)
            keys.add(key)
            yield Member(key, path, info.offset_data, info.size)
    _check_end(path, file, end)
    if not keys:
        raise DataError(f"{path} holds no {SUFFIX} file", "Is it a shard of SSL4EO-S12 v1.1?", code=Code.LAYOUT)


def _check_member(path: Path, info: tarfile.TarInfo) -> None:
    # Of one block each: a link, a device, a file with holes is never where the bytes of a place are.
    if not info.isreg() or info.issparse():
        raise DataError(
            f"{path}: {info.name!r} is not a plain file",
            "A shard holds nothing else: fetch it again",
            code=Code.UNSAFE_ARCHIVE,
        )
    if len(info.name) > _MAX_NAME or _UNCHECKED & info.pax_headers.keys():
        raise DataError(
            f"{path}: the name or size of {info.name[:_MAX_NAME]!r} stands in an extended header, without a checksum",
            f"Pack it with names of at most {_MAX_NAME} characters",
            code=Code.UNSAFE_ARCHIVE,
        )


def _check_end(path: Path, file: IO[bytes], end: int) -> None:
    """A tar ends with two blocks of zeros. What reads it stops at a header that it cannot read, without a word."""
    size = file.seek(0, 2)
    if size - end < 2 * _BLOCK:
        raise _damaged(path, f"it ends after {size:,} bytes, needs {end + 2 * _BLOCK:,}")
    file.seek(end)
    if size - end > _MAX_END or file.read().strip(b"\0"):
        raise _damaged(path, f"there is no header at byte {end:,}")


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is not a whole tar file ({reason})", "It may be truncated: fetch it again", code=Code.BROKEN_ARCHIVE
    )
