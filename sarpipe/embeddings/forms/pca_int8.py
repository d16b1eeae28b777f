"""Principal components, a byte each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sarpipe.embeddings.forms.components import coordinates, principal, restored
from sarpipe.embeddings.forms.form import Codes, Form, check_shapes, checked, checked_codes, enough

COMPONENTS = 64
_LARGEST = 127


@dataclass(frozen=True, eq=False)
class PcaInt8(Form):
    """The first components as whole steps of a scale each; what lies beyond what was learnt from is cut off there.

    Attributes:
        mean: ``float32 [D]``.
        axes: ``float32 [K, D]``.
        scale: ``float32 [K]``: the step of each component.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    scale: NDArray[np.float32]

    element: ClassVar[np.dtype[Any]] = np.dtype("i1")

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], components: int = COMPONENTS) -> Self:
        """See `Form.fit`. ``components``: how many at most; there are fewer where the vectors span fewer."""
        mean, axes, found = principal(enough(vectors), components)
        return cls(mean, axes, (np.abs(found).max(axis=0) / _LARGEST).astype(np.float32))

    def encode(self, vectors: NDArray[np.float32]) -> Codes:
        """See `Form.encode`."""
        found = coordinates(checked(vectors, len(self.mean)), self.mean, self.axes)
        steps = np.rint(found / np.where(self.scale > 0, self.scale, 1))
        return np.clip(steps, -_LARGEST, _LARGEST).astype(self.element).view(np.uint8)

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """See `Form.decode`."""
        steps = checked_codes(codes, self.bytes_a_place).view(self.element)
        return restored(steps * self.scale.astype(np.float64), self.mean, self.axes)

    def check(self, dimensions: int) -> None:
        """See `Form.check`."""
        kept = len(self.axes)
        check_shapes(self.arrays(), {"mean": (dimensions,), "axes": (kept, dimensions), "scale": (kept,)})

    @property
    def bytes_a_place(self) -> int:
        """See `Form.bytes_a_place`."""
        return len(self.axes)
