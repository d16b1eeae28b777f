"""Writes that survive a power cut: flush, fsync, rename, fsync of the folder.

Holds on a local POSIX file system; what fsync and rename promise over NFS is up to the server.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

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


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders of one file system change places, at once; whether that can be done here. Else nothing
    is changed.

    Raises:
        OSError: They may not be renamed.
    """
    rename = _renameat2()
    if rename is None:
        return False
    # As os.rename has it, for who watches what a process does.
    sys.audit("os.rename", str(one), str(other), -1, -1)
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        # An old kernel, or a file system that does not know it, as NFS.
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The function of the C library; None where it has none, as outside Linux."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there; within `storage_errors` of what it is made for.

    Each that is made is synced into the one above: what is committed in it later is of no use without its name. So is
    the one that is there already, once a process: who has made it may have been killed before.

    Raises:
        OSError: It cannot be made.
        StorageError: Nor can any folder there.
    """
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        # What cannot be synced was not made here.
        with suppress(OSError):
            _sync_once(missing[-1].parent if missing else path)
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            # Who may write into a folder but not list it cannot sync it either.
            with suppress(PermissionError):
                fsync_path(folder.parent)
    except FileNotFoundError as error:
        # So says a file system in which nothing can be made, /proc for one.
        raise StorageError(
            f"cannot make the folder {path}", "Choose another output folder (--data, or OUT)", code=Code.READ_ONLY
        ) from error


_synced: set[tuple[Path, int, int]] = set()
"""Folders, with device and inode, whose names were synced by this process."""


def _sync_once(folder: Path) -> None:
    status = folder.stat()
    known = (folder, status.st_dev, status.st_ino)
    if known not in _synced:
        fsync_path(folder.parent)
        _synced.add(known)


def write_bytes(path: Path, data: bytes) -> None:
    """Put a small file in place at once: readers see the old bytes or the new ones, never a part.

    What killed writers of this file left is removed.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    with storage_errors(path):
        _replace(path, lambda file, _: file.write(data))


def write_out(path: Path, write: Callable[[Path], object]) -> None:
    """Put a file in place that a person has named, of any size, as `write_bytes`: all of it, or what was there stays.

    A link is followed. A pipe or a device cannot be replaced: it is written to as it is.

    Args:
        path: Of the file.
        write: Called with the path that it writes to, which has another name until the file is in place.

    Raises:
        StorageError: As `write_bytes`.
    """
    there = Path(os.path.realpath(path))
    with storage_errors(there):
        if there.exists() and not there.is_file() and not there.is_dir():
            write(there)
        else:
            _replace(there, lambda _, temporary: write(temporary))


def _replace(path: Path, write: Callable[[IO[bytes], Path], object]) -> None:
    make_folder(path.parent)
    for left in temporaries(path.parent, path.name):
        remove_abandoned(left)
    while not _put(path, write):
        pass
    fsync_path(path.parent)


def _put(path: Path, write: Callable[[IO[bytes], Path], object]) -> bool:
    """Write a temporary file and rename it; whether no other writer has taken it for abandoned before it was locked."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            # Held while it is written, so that others see that its writer lives.
            fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                return False
            write(file, temporary)
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
        if number in _REFUSED and _is_other(getattr(error, "filename", None), path):
            raise StorageError(
                f"cannot read {error.filename}: {os.strerror(number)}",  # type: ignore[attr-defined]
                "See to its permissions and its disk, then run it again",
            ) from error
        if number == errno.EIO:
            raise StorageError(
                f"a disk fails while {path} is made: {os.strerror(number)}",
                "Look after the disk of the output, and that of what it is made from",
            ) from error
        if number in _REFUSED:
            raise StorageError(
                f"cannot write {path}: {os.strerror(number)}",
                "Choose another output folder (--data, or OUT)",
                code=Code.READ_ONLY,
            ) from error
        raise


def _is_other(named: object, path: Path) -> bool:
    """Whether what an error names is neither what is written, nor temporary beside it, nor a folder above it."""
    if not isinstance(named, str) or not os.path.isabs(named):
        return False
    found = Path(named)
    if found in (path, *path.parents):
        return False
    return not found.is_relative_to(path.parent) or path.name not in found.relative_to(path.parent).parts[0]


def _number(error: Exception) -> int | None:
    """The system's number of an error; safetensors, which is Rust, gives it in words."""
    if isinstance(error, OSError):
        return error.errno
    said = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(said[1]) if said else None
