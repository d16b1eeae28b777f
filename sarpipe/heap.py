"""The heap: memory that a process has freed, kept for what it does next rather than given back."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""From glibc's malloc.h; below, what glibc starts with."""
_TRIM_THRESHOLD, _MMAP_MAX = 128 * 1024, 65_536


def keep_freed_memory(at_most: int) -> None:
    """Have glibc keep up to so many bytes of what is freed. Elsewhere nothing happens.

    A large array is a new mapping otherwise, whose pages fault one by one, and larger than any threshold of mappings:
    so there are none.
    """
    if _set(_M_TRIM_THRESHOLD, at_most):
        _set(_M_MMAP_MAX, 0)


@contextmanager
def freed_memory_kept(at_most: int = 2**31 - 1) -> Iterator[None]:
    """`keep_freed_memory` for a while; then all that is free is given back, and glibc goes on as it started."""
    keep_freed_memory(at_most)
    try:
        yield
    finally:
        if _set(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD):
            _set(_M_MMAP_MAX, _MMAP_MAX)
            ctypes.CDLL(None).malloc_trim(0)


def _set(parameter: int, value: int) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(parameter, value) == 1
