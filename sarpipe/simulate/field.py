"""Random fields over a place: smooth noise of a chosen scale, made small and enlarged, as that is fast."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import PLACE_SIZE


def smooth_noise(rng: np.random.Generator, scale: float) -> NDArray[np.float32]:
    """A Gaussian field ``float32 [264, 264]`` of mean 0 and deviation 1 over the place.

    Args:
        rng: Where the draws come from.
        scale: Distance in pixels at which its autocorrelation has fallen to 1/e; at least 1.
    """
    # White noise through a Gaussian of deviation s has autocorrelation exp(-d^2 / 4 s^2): 1/e at d = 2 s.
    sigma = scale / 2
    step = max(1.0, sigma / 2)
    size = int(np.ceil(PLACE_SIZE / step)) + 2
    white = rng.standard_normal((size, size), dtype=np.float32)
    coarse = cv2.GaussianBlur(white, (0, 0), sigma / step, borderType=cv2.BORDER_REFLECT_101)
    span = round(size * step)
    field = cv2.resize(coarse, (span, span), interpolation=cv2.INTER_CUBIC)[:PLACE_SIZE, :PLACE_SIZE]
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def top_share(field: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
    """The given share of pixels, those where the field is highest: booleans of the same shape."""
    below = round(field.size * (1 - share))
    if below >= field.size:
        return np.zeros(field.shape, bool)
    return np.asarray(field >= np.partition(field.ravel(), below)[below])
