"""One maker at a time for each artefact."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock

from sarpipe.storage.durable import make_folder, storage_errors

_USE = "use"
"""As if it were an artefact: the lock is of all of them."""

log = logging.getLogger(__name__)


class _Use:
    """The lock of `in_use` on one output folder, taken as soon as there is a folder to hold."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._descriptor: int | None = None
        self._lock = Lock()
        self._ended = False

    def take(self) -> None:
        with self._lock:
            if self._descriptor is not None or self._ended:
                return
            try:
                self._descriptor = os.open(_lock(self._data / _USE), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError:
                return
            # Waits as long as one artefact takes to be removed.
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            if self._descriptor is not None:
                os.close(self._descriptor)


_uses: set[_Use] = set()
"""Of this process, under way."""


@contextmanager
def exclusive(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the right to make the artefact at ``folder``; a second maker waits for the first.

    The kernel gives the lock back when its holder dies, so a kill leaves nothing to clean up. The lock
    file stays: deleting it would let two makers lock two files of one name.

    Args:
        folder: Of the artefact.
        wait: For another maker; else it is an error that there is one.

    Raises:
        StorageError: The folder cannot be written to.
        BlockingIOError: Another maker has it, and is not waited for.
    """
    path = _lock(folder)
    with storage_errors(folder):
        make_folder(path.parent)
        hold_uses()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            log.warning("another run is making %s: waiting for it", folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_use(data: Path) -> Iterator[None]:
    """Hold what lies below an output folder as in use: while anybody does, nothing that was finished is collected.

    A folder in which no lock file can be made holds nothing that could be removed. One that is not there yet is not
    made for it, but held as soon as it is made (`hold_uses`).
    """
    use = _Use(data)
    _uses.add(use)
    try:
        use.take()
        yield
    finally:
        _uses.discard(use)
        use.end()


def hold_uses() -> None:
    """Hold what is `in_use` in this process and was not there to be held before. Whoever makes the first folder of an
    output calls it, before anything is made within.
    """
    for use in tuple(_uses):
        use.take()


def unused(data: Path) -> AbstractContextManager[None]:
    """Hold it that nobody has it `in_use`.

    Raises:
        StorageError: The folder cannot be written to.
        BlockingIOError: Somebody has.
    """
    return exclusive(data / _USE, wait=False)


def is_held(folder: Path) -> bool:
    """Whether somebody is making the artefact at ``folder``. Changes nothing, and makes no lock file."""
    return _is_locked(folder, fcntl.LOCK_SH)


def is_in_use(data: Path) -> bool:
    """Whether somebody has an output folder `in_use`. Changes nothing, and makes no lock file."""
    return _is_locked(data / _USE, fcntl.LOCK_EX)


def _is_locked(folder: Path, against: int) -> bool:
    """Whether somebody holds the lock of a folder in a way that does not go with this one."""
    try:
        descriptor = os.open(_lock(folder), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, against | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(folder: Path) -> Path:
    return folder.parent / f".lock-{folder.name}"
