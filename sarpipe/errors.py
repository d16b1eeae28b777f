"""One exception tree.

::

    SarpipeError              exit code 1
    ├── UsageError            2  a path, an option or a setting is wrong
    ├── DataError             a raw store cannot be used: it is refused, the others go on
    ├── DamagedError          an artefact of ours does not match its manifest
    ├── StorageError          the output folder cannot be written, or is in use
    │   └── RemoteError       an object store or a server fails, after all attempts
    ├── ClusterError          the Dask cluster is gone, or cannot do the work
    ├── DownloadError         the dataset's home cannot be reached, refuses, or sends something wrong
    └── TrainingError         training cannot go on (a loss that is not finite, nothing to train on)

Every message says what was wrong, where and what was found; ``hint`` says what to type next.
"""

from __future__ import annotations


class SarpipeError(Exception):
    """Base of every error that sarpipe raises on purpose.

    Args:
        message: What was wrong, where, and what was found. One line.
        hint: What to do or type next. One line, may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        # Both go to Exception.args, so that the error survives the pickling between Dask processes.
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(SarpipeError):
    """A path, an option or a setting that the user gave is wrong."""

    exit_code = 2


class DataError(SarpipeError):
    """A raw store is missing something, is damaged, or is not what the schema says."""


class DamagedError(SarpipeError):
    """An artefact exists but its files do not match its manifest."""


class StorageError(SarpipeError):
    """The output folder cannot be written to, or somebody else holds it."""


class RemoteError(StorageError):
    """What lies at a URL cannot be read or written, although it was tried again where that could help."""


class DownloadError(SarpipeError):
    """The dataset's home cannot be reached, refuses, or sends something that is not what it said."""


class ClusterError(SarpipeError):
    """The Dask cluster is gone, or its workers cannot do what they are asked."""


class TrainingError(SarpipeError):
    """Training cannot start or cannot go on."""
