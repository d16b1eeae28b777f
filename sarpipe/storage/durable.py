"""Writes that survive a power cut: flush, fsync, rename, fsync of the folder.

Holds on a local POSIX file system; what fsync and rename promise over NFS is up to the server.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sarpipe.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EFBIG, errno.EIO, errno.ENAMETOOLONG),
)


def fsync_path(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Force every file below a folder, and every folder's entries, to the disk."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            fsync_path(Path(root, name))
        fsync_path(Path(root))


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there; within `storage_errors` of what it is made for.

    Raises:
        OSError: It cannot be made.
        StorageError: Nor can any folder there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        # So says a file system in which nothing can be made, /proc for one.
        raise StorageError(f"cannot make the folder {path}", "Choose another output folder (--data, or OUT)") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Put a small file in place at once: readers see the old bytes or the new ones, never a part.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    with storage_errors(path):
        make_folder(path.parent)
        temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_path(path.parent)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Say as a `StorageError` that ``path`` cannot be written, where the system says so."""
    try:
        yield
    except OSError as error:
        # numpy reports a write that was cut short without an error number.
        if error.errno in _FULL or (error.errno is None and "written" in str(error)):
            raise StorageError(
                f"no space left while writing {path} ({error.strerror or error})", "Free some space and run it again"
            ) from error
        if error.errno in _REFUSED:
            raise StorageError(
                f"cannot write {path}: {error.strerror}", "Choose another output folder (--data, or OUT)"
            ) from error
        raise
