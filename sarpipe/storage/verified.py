"""Checksums that were taken in this process already: a file that lies as it lay is not read a second time.

A run looks at a unit several times: the plan, training, embedding and evaluation each ask whether it is whole. Its
bytes are hashed at the first of them. Later ones compare what the system says of the file (device, inode, size, times
of the last change to content and to the entry) with what it said before the file was hashed, and hash again where
anything differs. Nothing of this outlives the process, and no key depends on it.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path

from sarpipe.storage.key import file_sha256

_SETTLED_SECONDS = 2.0
"""A file that changed within so long may change again without a later time: file systems count in steps."""

_Signature = tuple[int, int, int, int, int]


def known_sha256(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes, taken once a process as long as the file stays as it is."""
    signature, newest = _signature(path)
    if time.time_ns() - newest < _SETTLED_SECONDS * 1e9:
        return file_sha256(path)
    return _sha256(path, signature)


@lru_cache(maxsize=1 << 16)
def _sha256(path: Path, signature: _Signature) -> str:
    return file_sha256(path)


def _signature(path: Path) -> tuple[_Signature, int]:
    status = os.stat(path)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size, *times), max(times)
