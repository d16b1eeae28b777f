"""Which pixels hold data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.preprocess.kernel import kernel


def valid_pixels(db: NDArray[np.floating], floor_db: float) -> NDArray[np.bool_]:
    """Whether each pixel holds backscatter: ``(..., 2, H, W)`` in dB to booleans of the same shape.

    Without data are: NaN and infinite values; values at or below ``floor_db``, below the noise floor of the
    instrument; and pixels that are exactly 0 dB in VV and in VH, which is how incomplete scenes are filled.
    """
    compiled = kernel()
    if compiled is not None and db.dtype == np.float32 and db.flags.c_contiguous:
        out = np.empty(db.shape, bool)
        pixels = db.shape[-2] * db.shape[-1]
        for date, valid_date in zip(db.reshape(-1, 2, pixels), out.reshape(-1, 2, pixels), strict=True):
            compiled.mask(date, valid_date, floor_db, pixels)
        return out
    filled = (db == 0).all(axis=-3, keepdims=True)
    valid: NDArray[np.bool_] = np.isfinite(db) & (db > floor_db) & ~filled
    return valid
