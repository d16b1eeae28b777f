"""A byte a number and a scale a place, nothing learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sarpipe.embeddings.forms.form import Codes, Form, checked, checked_codes

_LARGEST = 127
_SCALE = np.dtype("<f4")


@dataclass(frozen=True, eq=False)
class Int8(Form):
    """Each number as whole steps of the place's scale, its largest magnitude / 127: D + 4 bytes, 1,028 for 1024."""

    dimensions: int

    element: ClassVar[np.dtype[Any]] = np.dtype("i1")
    scaled: ClassVar[bool] = True

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """See `Form.fit`; any number of vectors will do."""
        return cls(checked(vectors).shape[1])

    def encode(self, vectors: NDArray[np.float32]) -> Codes:
        """See `Form.encode`; the scale comes last."""
        values = checked(vectors, self.dimensions)
        scale = (np.abs(values).max(axis=1, keepdims=True, initial=0) / _LARGEST).astype(_SCALE)
        steps = np.rint(values / np.where(scale > 0, scale, 1))
        # The scale is rounded to float32, so the largest number may come out a step too large.
        whole = np.clip(steps, -_LARGEST, _LARGEST).astype(self.element)
        return np.concatenate([whole.view(np.uint8), np.ascontiguousarray(scale).view(np.uint8)], axis=1)

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """See `Form.decode`."""
        codes = checked_codes(codes, self.bytes_a_place)
        scale = np.ascontiguousarray(codes[:, self.dimensions :]).view(_SCALE)
        return codes[:, : self.dimensions].view(self.element).astype(np.float32) * scale

    def check(self, dimensions: int) -> None:
        """See `Form.check`."""
        if self.dimensions != dimensions:
            raise ValueError(f"{self.dimensions} dimensions, needs {dimensions}")

    @property
    def bytes_a_place(self) -> int:
        """See `Form.bytes_a_place`."""
        return self.dimensions + _SCALE.itemsize
