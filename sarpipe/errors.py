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

Every message says what was wrong, where and what was found; ``hint`` says what to type next; ``code`` says to a machine
of which kind it is (`sarpipe.codes.Code`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sarpipe.codes import Code


class SarpipeError(Exception):
    """Base of every error that sarpipe raises on purpose.

    Args:
        message: What was wrong, where, and what was found. One line.
        hint: What to do or type next. One line, may be empty.
        code: Of which kind it is; by default that of the class.
    """

    exit_code = 1
    code = Code.DEFECT

    def __init__(self, message: str, hint: str = "", *, code: Code | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint
        self.code = type(self).code if code is None else code

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # So that it survives the pickling between Dask processes, with its code.
        return partial(type(self), code=self.code), (self.message, self.hint), self.__dict__


class UsageError(SarpipeError):
    """A path, an option or a setting that the user gave is wrong."""

    exit_code = 2
    code = Code.USAGE


class DataError(SarpipeError):
    """A raw store is missing something, is damaged, or is not what the schema says.

    Whoever raises it gives a code: by it places and stores are sorted, counted and helped.
    """

    if TYPE_CHECKING:
        # Only for whoever raises it: Prefect keeps no more than the words of an error, and makes it of them again.
        def __init__(self, message: str, hint: str = "", *, code: Code) -> None: ...


class DamagedError(SarpipeError):
    """An artefact exists but its files do not match its manifest."""

    code = Code.DAMAGED


class StorageError(SarpipeError):
    """The output folder cannot be written to, or somebody else holds it."""

    code = Code.IO


class RemoteError(StorageError):
    """What lies at a URL cannot be read or written, although it was tried again where that could help."""

    code = Code.REMOTE


class DownloadError(SarpipeError):
    """The dataset's home cannot be reached, refuses, or sends something that is not what it said."""

    code = Code.DOWNLOAD


class ClusterError(SarpipeError):
    """The Dask cluster is gone, or its workers cannot do what they are asked."""

    code = Code.CLUSTER


class TrainingError(SarpipeError):
    """Training cannot start or cannot go on."""

    code = Code.TRAINING


def code_of(error: BaseException) -> Code:
    """The code of any error, also of one that sarpipe has not raised."""
    if isinstance(error, SarpipeError):
        return error.code
    if isinstance(error, MemoryError):
        return Code.MEMORY
    if isinstance(error, OSError):
        return Code.IO
    return Code.DEFECT if isinstance(error, Exception) else Code.INTERRUPTED
