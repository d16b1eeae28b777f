"""An ``.npy`` file that grows row by row, so that no more than one row of it is in memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sarpipe.preprocess.kernel import kernel


class RowWriter:
    """Writes the file that ``np.save`` would write of all rows together.

    The header is written again at the end, when their number is known: numpy leaves room in it for any number.

    Args:
        path: The file.
        shape: Of one row.
        dtype: Of the rows.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._count = 0
        self._file = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def append(self, row: NDArray[Any]) -> None:
        """Write one row, converted to the type of the file."""
        if row.shape != self._shape:
            raise ValueError(f"a row has shape {row.shape}, needs {self._shape}")
        self._file.write(_converted(row, self._dtype).data)
        self._count += 1

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()
                if self._file.tell() != self._start:
                    raise ValueError(f"the header of {self._count} rows has another length than that of none")

    def _write_header(self) -> None:
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._count, *self._shape),
        }
        npy.write_array_header_1_0(self._file, header)


def _converted(row: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    compiled = kernel()
    if compiled is None or row.dtype != np.float32 or dtype != np.float16:
        return np.ascontiguousarray(row, dtype)
    out = np.empty(row.shape, dtype)
    compiled.narrow(np.ascontiguousarray(row), out)
    return out
