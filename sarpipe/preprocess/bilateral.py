"""Edge-preserving smoothing of a date in dB (Tomasi and Manduchi, ICCV 1998), blind to pixels without data."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma


def speckle_std_db(looks: float) -> float:
    """Standard deviation in dB of fully developed speckle with ``looks`` equivalent looks.

    Multi-looked intensity follows a gamma law, and the deviation of its logarithm is ``10 / ln 10 *
    sqrt(psi'(L))``: 2.2 dB at 4.4 looks.
    """
    return float(10 / np.log(10) * np.sqrt(polygamma(1, looks)))


def bilateral(
    image: NDArray[np.float32], valid: NDArray[np.bool_], *, diameter: int, sigma_range: float, sigma_space: float
) -> NDArray[np.float32]:
    """Bilateral filter over a disc, borders mirrored: ``(H, W)`` to the same, in the unit of the image.

    The sums are taken over the valid pixels alone, so what is stored at a pixel without data changes nothing
    elsewhere. Where all are valid the result is that of ``cv2.bilateralFilter``, to float32 rounding.

    Args:
        image: Any values where not valid.
        valid: Which pixels hold data.
        diameter: Width of the disc in pixels, odd.
        sigma_range: Standard deviation of the range weight, in the unit of the image.
        sigma_space: Standard deviation of the space weight, in pixels.

    Returns:
        The filtered image; NaN where not valid.
    """
    radius = diameter // 2
    height, width = image.shape
    values = np.pad(np.where(valid, image, 0).astype(np.float32), radius, mode="reflect")
    present = np.pad(valid.astype(np.float32), radius, mode="reflect")
    centre = values[radius : radius + height, radius : radius + width]
    total, weights = np.zeros_like(centre), np.zeros_like(centre)
    for dy, dx in _disc(radius):
        window = np.s_[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
        difference = values[window] - centre
        space = -(dx * dx + dy * dy) / (2 * sigma_space**2)
        weight = cv2.exp(space - difference * difference / (2 * sigma_range**2)) * present[window]
        total += weight * difference
        weights += weight
    return np.where(valid, centre + total / np.maximum(weights, np.float32(1e-30)), np.nan).astype(np.float32)


def _disc(radius: int) -> list[tuple[int, int]]:
    steps = range(-radius, radius + 1)
    return [(dy, dx) for dy in steps for dx in steps if dx * dx + dy * dy <= radius * radius]
