"""What is compared: the direction of a vector whose dimensions are standardised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.standard import Standard

_BLOCK = 8192


def directions(vectors: NDArray[np.floating], standard: Standard) -> NDArray[np.float32]:
    """Vectors ``[N, D]`` as directions ``float32 [N, D]``, of length 1; of length 0 where a vector is the mean.

    The scalar product of two is the cosine by which `sarpipe.evaluate.retrieval` measures. Without the
    standardisation it would be, in part, that of the mean which all vectors share.
    """
    found = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _BLOCK):
        values = standard(vectors[start : start + _BLOCK])
        length = np.linalg.norm(values, axis=1, keepdims=True)
        found[start : start + _BLOCK] = values / np.where(length > 0, length, 1)
    return found
