"""The index of a search: directions, their bits, and what is said of a place that is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sarpipe.checksums import checksums
from sarpipe.codes import Code
from sarpipe.errors import DamagedError, DataError
from sarpipe.search.binary import sign_bits
from sarpipe.search.direction import directions
from sarpipe.search.exact import Rows
from sarpipe.search.rows import CheckedRows
from sarpipe.standard import Standard

if TYPE_CHECKING:
    from sarpipe.embeddings.table import Embeddings

DIRECTIONS = "directions.npy"
"""The one large file, 4 KiB a place: read row by row, each against its own checksum."""


@dataclass(frozen=True)
class Index:
    """N places, at least one, in the order of the embeddings.

    Attributes:
        ids: UTF-8, ``S [N]``.
        latitude, longitude: ``float64 [N]`` degrees, NaN unknown.
        dates: ``datetime64[us] [N, 4]`` in UTC, NaT unknown or not there.
        standard: Of the dimensions, learnt from all N vectors.
        directions: ``float32 [N, D]``, see `sarpipe.search.direction.directions`.
        bits: ``uint64 [D / 64, N]``, see `sarpipe.search.binary.sign_bits`.
    """

    ids: NDArray[np.bytes_]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    dates: NDArray[np.datetime64]
    standard: Standard
    directions: Rows
    bits: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        vectors: NDArray[np.float32],
        latitude: NDArray[np.float64],
        longitude: NDArray[np.float64],
        dates: NDArray[np.datetime64],
    ) -> Index:
        """The index of embeddings ``vectors [N, D]``.

        Raises:
            DataError: There is no place.
        """
        if not len(ids):
            raise DataError("the embeddings hold no place", "Embed some places first", code=Code.TOO_FEW)
        standard = Standard.of(vectors)
        found = directions(vectors, standard)
        encoded = np.array([place.encode() for place in ids])
        return cls(encoded, latitude, longitude, dates, standard, found, sign_bits(found))

    @classmethod
    def of_table(cls, table: Embeddings) -> Index:
        """The index of these embeddings; as `of`."""
        latitude, longitude = (table.index[name].to_numpy(np.float64) for name in ("latitude", "longitude"))
        return cls.of(table.ids, table.vectors, latitude, longitude, table.dates())

    def write(self, folder: Path) -> None:
        """Write it as ``.npy`` files: 4.3 KiB a place, of which a search by bits reads 200 bytes and the candidates."""
        np.save(folder / "ids.npy", self.ids)
        np.save(folder / "positions.npy", np.stack([self.latitude, self.longitude]))
        np.save(folder / "dates.npy", self.dates)
        np.save(folder / "standard.npy", np.stack([self.standard.mean, self.standard.scale]))
        np.save(folder / "bits.npy", self.bits)
        np.save(folder / DIRECTIONS, self.directions[:])
        np.save(folder / "checksums.npy", checksums(self.directions[:]))

    @classmethod
    def read(cls, folder: Path) -> Index:
        """What `write` wrote; directions stay in their file.

        Raises:
            DamagedError: A file cannot be read, or they do not agree.
        """
        try:
            files = ("ids", "positions", "dates", "standard", "bits", "checksums")
            ids, positions, dates, standard, bits, sums = (
                np.load(folder / f"{name}.npy", allow_pickle=False) for name in files
            )
        except (OSError, ValueError) as error:
            raise DamagedError(f"{folder} cannot be read: {error}") from error
        rows = CheckedRows(folder / DIRECTIONS, sums)
        latitude, longitude = positions
        return cls(ids, latitude, longitude, dates, Standard(*standard), rows, bits)
