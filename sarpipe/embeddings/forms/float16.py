"""Half precision: two bytes a number, nothing learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.embeddings.forms.form import Codes, Form, checked, checked_codes
from sarpipe.errors import DataError


@dataclass(frozen=True, eq=False)
class Float16(Form):
    """IEEE 754 binary16: 2 D bytes, 2,048 for 1024 dimensions."""

    dimensions: int

    element: ClassVar[np.dtype[Any]] = np.dtype("<f2")

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """See `Form.fit`; any number of vectors will do."""
        return cls(checked(vectors).shape[1])

    def encode(self, vectors: NDArray[np.float32]) -> Codes:
        """See `Form.encode`. What half precision cannot hold (above 65,504) is refused too."""
        values = checked(vectors, self.dimensions)
        large = np.flatnonzero(np.abs(values).max(axis=1, initial=0) > np.finfo(np.float16).max)
        if len(large):
            raise DataError(
                f"vector {large[0]} has a number that float16 cannot hold", "Take int8", code=Code.BAD_TABLE
            )
        return np.ascontiguousarray(values.astype(self.element)).view(np.uint8)

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """See `Form.decode`."""
        return checked_codes(codes, self.bytes_a_place).view(self.element).astype(np.float32)

    def check(self, dimensions: int) -> None:
        """See `Form.check`."""
        if self.dimensions != dimensions:
            raise ValueError(f"{self.dimensions} dimensions, needs {dimensions}")

    @property
    def bytes_a_place(self) -> int:
        """See `Form.bytes_a_place`."""
        return self.dimensions * self.element.itemsize
