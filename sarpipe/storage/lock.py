"""One maker at a time for each artefact."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sarpipe.storage.durable import make_folder, storage_errors

log = logging.getLogger(__name__)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the right to make the artefact at ``folder``; a second maker waits for the first.

    The kernel gives the lock back when its holder dies, so a kill leaves nothing to clean up. The lock
    file stays: deleting it would let two makers lock two files of one name.

    Raises:
        StorageError: The folder cannot be written to.
    """
    path = folder.parent / f".lock-{folder.name}"
    with storage_errors(folder):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another run is making %s: waiting for it", folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
