"""Rows of a file, each with a checksum: what is asked for is read and checked, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sarpipe.checksums import checksums
from sarpipe.errors import DamagedError


class CheckedRows:
    """The rows of a ``.npy`` file ``float32 [N, D]``, of which only what is asked for is read.

    With plain reads: mapped, a row would bring the pages around it.

    Args:
        path: The file.
        expected: `checksums` of all its rows.

    Raises:
        DamagedError: The file cannot be read or is of another shape; when rows are read: one has changed.
    """

    def __init__(self, path: Path, expected: NDArray[np.uint32]) -> None:
        try:
            header = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DamagedError(f"{path} cannot be read: {error}") from error
        if header.dtype != np.float32 or header.ndim != 2 or len(header) != len(expected):
            raise DamagedError(f"{path} is {header.dtype} {list(header.shape)}, not {len(expected)} rows")
        self.shape: tuple[int, ...] = header.shape
        self._path, self._start, self._expected = path, header.offset, expected

    def __getitem__(self, which: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """The rows of a slice, or at these positions."""
        wanted = np.arange(len(self._expected))[which]
        rows = np.empty((len(wanted), self.shape[1]), np.float32)
        with self._path.open("rb", buffering=0) as file:
            # What lies together is read together.
            for part in (
                np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(wanted) != 1) + 1) if len(wanted) else ()
            ):
                file.seek(self._start + int(wanted[part[0]]) * rows.strides[0])
                file.readinto(rows[part[0] : part[-1] + 1].data.cast("B"))
        if (checksums(rows) != self._expected[wanted]).any():
            raise DamagedError(f"{self._path}: a row does not match its checksum")
        return rows
