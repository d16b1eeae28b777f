"""Edge strength."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sarpipe.preprocess.kernel import fits, kernel, mask_or_none


def sobel(
    image: NDArray[np.uint8], valid: NDArray[np.bool_], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Magnitude of the 3 x 3 Sobel gradient: ``(H, W)`` grey levels to grey levels a pixel times 8.

    Args:
        image: Any values where not valid.
        valid: Which pixels hold data.
        out: Where the result goes, if not to new memory.

    Returns:
        The magnitude; NaN at every pixel that has one without data among its 3 x 3.
    """
    out = np.empty(image.shape, np.float32) if out is None else out
    compiled = kernel()
    if compiled is not None and fits(image):
        compiled.sobel(np.ascontiguousarray(image), mask_or_none(valid), out, *image.shape)
        return out
    across, down = (cv2.Sobel(image, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    # Not cv2.magnitude: the last bit of what it gives depends on where in memory its result lies. These sums are whole
    # numbers below 2^24, so this is the exact magnitude, rounded once.
    np.sqrt(np.square(across) + np.square(down), out=out)
    if not valid.all():
        inside = cv2.erode(valid.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REFLECT_101)
        out[inside == 0] = np.nan
    return out
