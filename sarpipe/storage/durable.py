"""Writes that survive a power cut: flush, fsync, rename, fsync of the folder.

Holds on a local POSIX file system; what fsync and rename promise over NFS is up to the server.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sarpipe.codes import Code
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

    Each that is made is synced into the one above: what is committed in it later is of no use without its name.

    Raises:
        OSError: It cannot be made.
        StorageError: Nor can any folder there.
    """
    try:
        missing = [folder for folder in path.parents if not folder.exists()]
        for folder in (*reversed(missing), path):
            there = folder.is_dir()
            folder.mkdir(exist_ok=True)
            # Who may write into a folder but not list it cannot sync it either.
            with suppress(PermissionError):
                if not there:
                    fsync_path(folder.parent)
    except FileNotFoundError as error:
        # So says a file system in which nothing can be made, /proc for one.
        raise StorageError(
            f"cannot make the folder {path}", "Choose another output folder (--data, or OUT)", code=Code.READ_ONLY
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Put a small file in place at once: readers see the old bytes or the new ones, never a part.

    What killed writers of this file left is removed.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    with storage_errors(path):
        make_folder(path.parent)
        for left in temporaries(path.parent, path.name):
            remove_abandoned(left)
        while not _put(path, data):
            pass
        fsync_path(path.parent)


def _put(path: Path, data: bytes) -> bool:
    """Write a temporary file and rename it; whether no other writer has taken it for abandoned before it was locked."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            # Held while it is written, so that others see that its writer lives.
            fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                return False
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def temporaries(folder: Path, name: str | None = None) -> list[Path]:
    """What `write_bytes` is writing in a folder, or has left there: of the file of this name, or of any."""
    of = r".+" if name is None else re.escape(name)
    pattern = re.compile(rf"\.tmp-{of}-\d+-[0-9a-f]{{8}}")
    with os.scandir(folder) as entries:
        return sorted(
            folder / entry.name
            for entry in entries
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        )


def is_abandoned(temporary: Path) -> bool:
    """Whether nobody writes this temporary file of `write_bytes` any more. Changes nothing."""
    with suppress(FileNotFoundError), temporary.open("rb") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return False


def remove_abandoned(temporary: Path) -> bool:
    """Remove a temporary file of `write_bytes` that nobody writes any more; whether there was such."""
    with suppress(FileNotFoundError), temporary.open("rb") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who has made it and waits for the lock sees that it is gone.
        temporary.unlink(missing_ok=True)
        return True
    return False


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Say as a `StorageError` that ``path`` cannot be written, where the system says so."""
    try:
        yield
    except Exception as error:
        number = _number(error)
        # numpy reports a write that was cut short without an error number.
        if number in _FULL or (isinstance(error, OSError) and number is None and "written" in str(error)):
            said = os.strerror(number) if number else error
            raise StorageError(
                f"no space left while writing {path} ({said})", "Free some space and run it again", code=Code.DISK_FULL
            ) from error
        if number in _REFUSED:
            raise StorageError(
                f"cannot write {path}: {os.strerror(number)}",
                "Choose another output folder (--data, or OUT)",
                code=Code.READ_ONLY,
            ) from error
        raise


def _number(error: Exception) -> int | None:
    """The system's number of an error; safetensors, which is Rust, gives it in words."""
    if isinstance(error, OSError):
        return error.errno
    said = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(said[1]) if said else None
