"""Grey levels from backscatter: what CLAHE works on."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sarpipe.preprocess.kernel import fits, kernel


def of_window(db: NDArray[np.float32], window_db: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey levels of a fixed window, so that the dates of a place compare: ``(H, W)`` dB to 0..255.

    The window's ends are 0 and 255, what is beyond is cut off, and what is NaN becomes 0.
    """
    low, high = window_db
    compiled = kernel()
    if compiled is not None and fits(db):
        out = np.empty(db.shape, np.uint8)
        compiled.quantise(np.ascontiguousarray(db), low, high, out)
        return out
    scaled = (db - np.float32(low)) * np.float32(255 / (high - low))
    return np.asarray(np.clip(np.rint(np.nan_to_num(scaled, nan=0.0)), 0, 255), np.uint8)


def of_extent(db: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey levels between the least and the largest value of the image, as the original has them.

    The cast cuts off and does not round: a wart of the original, kept. So is that one bright ship darkens all else.
    """
    levels = cv2.normalize(db, np.empty_like(db), 0, 255, cv2.NORM_MINMAX)
    return np.asarray(levels.astype(np.uint8))
