"""Which pixels hold data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def valid_pixels(db: NDArray[np.floating], floor_db: float) -> NDArray[np.bool_]:
    """Whether each pixel holds backscatter: ``(..., 2, H, W)`` in dB to booleans of the same shape.

    Without data are: NaN and infinite values; values at or below ``floor_db``, below the noise floor of the
    instrument; and pixels that are exactly 0 dB in VV and in VH, which is how incomplete scenes are filled.
    """
    filled = (db == 0).all(axis=-3, keepdims=True)
    valid: NDArray[np.bool_] = np.isfinite(db) & (db > floor_db) & ~filled
    return valid
