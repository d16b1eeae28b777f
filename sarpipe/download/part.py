"""The part of a file that has come so far, beside the place where the file will be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sarpipe.download.hub import RemoteFile
from sarpipe.storage.durable import fsync_path, storage_errors


def part_path(target: Path, file: RemoteFile) -> Path:
    """Where a part is kept. The name holds the content's hash, so a part of another version is never gone on with."""
    return target.with_name(f"{target.name}.{file.sha256[:16]}.part")


class Part:
    """A part, open for more. Made by `open_part`.

    Attributes:
        bytes: Its length.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 (64 hex digits) of all its bytes."""
        return self._hash.hexdigest()

    def read(self) -> None:
        """Take in what is there from an earlier run."""
        while piece := os.read(self._descriptor, 2**20):
            self._hash.update(piece)
            self.bytes += len(piece)

    def append(self, piece: bytes) -> None:
        """Write more at its end, at once: a kill loses nothing that came.

        Raises:
            StorageError: The disk is full. What is written stays, for the next run.
        """
        rest = memoryview(piece)
        with storage_errors(self._path):
            while rest:
                written = os.write(self._descriptor, rest)
                self._hash.update(rest[:written])
                self.bytes += written
                rest = rest[written:]

    def restart(self) -> None:
        """Throw its bytes away."""
        with storage_errors(self._path):
            os.ftruncate(self._descriptor, 0)
        self._hash = hashlib.sha256()
        self.bytes = 0

    def remove(self) -> None:
        """Leave nothing of it."""
        self._path.unlink()

    def put_in_place(self, target: Path) -> None:
        """Make it the file, whole and on the disk, and remove parts of other versions.

        Raises:
            StorageError: The folder cannot be written to.
        """
        with storage_errors(target):
            os.fsync(self._descriptor)
            os.replace(self._path, target)
            for other in target.parent.glob(f"{target.name}.*.part"):
                other.unlink()
            fsync_path(target.parent)


@contextmanager
def open_part(target: Path, file: RemoteFile) -> Iterator[Part]:
    """Open the part of a file, or begin one. Its bytes from earlier are not yet read.

    Raises:
        StorageError: The folder cannot be written to.
    """
    path = part_path(target, file)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield Part(path, descriptor)
    finally:
        os.close(descriptor)
