"""The cubes of many places, in memory or in files: what training, embedding and evaluation work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.checksums import checksums
from sarpipe.errors import DamagedError

BLOCK = 64
"""Rows at a time where all are gone through: what is computed of them is the same, in memory or in files."""


class RowFiles:
    """Rows of several ``.npy`` files as one array, of which only what is asked for is read.

    Read with plain reads, not mapped: what was read is not counted as memory of the process, and a file that was cut
    short is an error and no dead process. Any number of threads may read.

    Args:
        paths: The files, all of one dtype and shape of a row.
        files: ``int [N]``, which of them each row lies in.
        rows: ``int [N]``, where in it.
    """

    def __init__(self, paths: Sequence[Path], files: NDArray[np.integer], rows: NDArray[np.integer]) -> None:
        maps = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
        if len({(array.dtype, array.shape[1:]) for array in maps}) != 1:
            raise DamagedError(f"{paths[0]} and {len(paths) - 1} more are not of one type and shape")
        self._paths, self._files, self._rows = list(paths), np.asarray(files), np.asarray(rows)
        self._starts = [array.offset for array in maps]
        self.dtype: np.dtype[Any] = maps[0].dtype
        self.shape: tuple[int, ...] = (len(self._rows), *maps[0].shape[1:])
        self._checksums: NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def keep_checksums(self) -> None:
        """Read all rows, and from now on compare what is read with what they were: a training reads them for days after
        its files were looked at.
        """
        self._checksums = np.concatenate([checksums(rows) for rows in blocks(self)] or [np.empty(0, np.uint32)])

    def __getitem__(self, which: slice | NDArray[np.integer]) -> NDArray[Any]:
        """The rows of a slice, or at these positions."""
        wanted = np.arange(len(self))[which]
        out = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        self.read_into(wanted, out)
        return out

    def read_into(self, which: NDArray[np.integer], out: NDArray[Any]) -> None:
        """Read the rows at these positions into ``out``, which has as many.

        Raises:
            DamagedError: A file is gone or too short, or a row is not what it was when its checksum was taken.
        """
        size = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        # File by file and forwards: what lies together is read together.
        order = np.lexsort((self._rows[which], self._files[which]))
        files = self._files[which[order]]
        for part in np.split(order, np.flatnonzero(np.diff(files)) + 1) if len(order) else ():
            file = self._files[which[part[0]]]
            path = self._paths[file]
            try:
                with path.open("rb", buffering=0) as opened:
                    for i in part:
                        opened.seek(self._starts[file] + int(self._rows[which[i]]) * size)
                        _fill(opened, out[i : i + 1].data.cast("B"))
            except (OSError, EOFError) as error:
                raise DamagedError(
                    f"{path} cannot be read any more: {error}", "Run 'sarpipe preprocess SOURCE' again, then this"
                ) from error
        if self._checksums is not None:
            changed = np.flatnonzero(checksums(out) != self._checksums[which])
            for row in which[changed[:1]]:
                raise DamagedError(
                    f"{self._paths[self._files[row]]} has changed since it was opened: its row {self._rows[row]}",
                    "Run 'sarpipe preprocess SOURCE' again, then this",
                )


Rows = NDArray[Any] | RowFiles


def blocks(rows: Rows) -> Iterator[NDArray[Any]]:
    """All rows in order, `BLOCK` at a time."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def _fill(file: Any, target: memoryview) -> None:
    while target:
        count = file.readinto(target)
        if not count:
            raise EOFError("it ends too early")
        target = target[count:]


@dataclass(frozen=True)
class CubeSet:
    """N places after preprocessing, in the order of ``ids``.

    Attributes:
        ids: Place ids, unique.
        cubes: ``float32 [N, 12, 64, 64]``, channels as in `sarpipe.channels.CHANNELS`; NaN where there is no data, and
            in deviation and difference over time where there are not two dates.
        frames: ``float16 [N, 4 dates, 4 features, 64, 64]``, before temporal statistics; NaN where there is no data. A
            place of T < 4 dates has them first, and NaN after.
        index: N rows: ``id, store, latitude, longitude`` (degrees WGS84, may be NaN), ``crs`` (EPSG, 0 unknown),
            ``west, south, east, north`` (metres in ``crs``, may be NaN), ``dates`` (list of T UTC timestamps, may be
            NaT), ``date_order``, ``products``, ``orbit_passes``, ``relative_orbits`` (lists of T),
            ``valid_fraction`` (mean), ``valid_fractions`` (list of T) and ``flags`` (list of quality flags).
        truth: N rows of what a simulator knows (``id`` and numeric columns), or None for real data.
    """

    ids: tuple[str, ...]
    cubes: NDArray[np.float32]
    frames: NDArray[np.float16]
    index: pd.DataFrame
    truth: pd.DataFrame | None


@dataclass(frozen=True)
class CubeFiles:
    """As `CubeSet`, but cubes and frames are in files and are read when they are asked for."""

    ids: tuple[str, ...]
    cubes: RowFiles
    frames: RowFiles
    index: pd.DataFrame
    truth: pd.DataFrame | None

    @property
    def nbytes(self) -> int:
        """What they would take in memory."""
        return self.cubes.nbytes + self.frames.nbytes

    def load(self) -> CubeSet:
        """All of them in memory."""
        return CubeSet(self.ids, self.cubes[:], self.frames[:], self.index, self.truth)
