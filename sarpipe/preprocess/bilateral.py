"""Edge-preserving smoothing of a date in dB (Tomasi and Manduchi, ICCV 1998), blind to pixels without data."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma

from sarpipe.preprocess.kernel import fits, kernel, mask_or_none

_SERIES_TOLERANCE = 3e-4
"""Bound on what is left out of the series of a wide range kernel, in the unit of the image. Errors below 2e-5 were
seen on real and simulated backscatter, no larger than those of cv2's own table of exponentials."""


def speckle_std_db(looks: float) -> float:
    """Standard deviation in dB of fully developed speckle with ``looks`` equivalent looks.

    Multi-looked intensity follows a gamma law, and the deviation of its logarithm is ``10 / ln 10 *
    sqrt(psi'(L))``: 2.2 dB at 4.4 looks.
    """
    return float(10 / np.log(10) * np.sqrt(polygamma(1, looks)))


def bilateral(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    diameter: int,
    sigma_range: float,
    sigma_space: float,
    out: NDArray[np.float32] | None = None,
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
        out: Where the result goes, if not to new memory.

    Returns:
        The filtered image; NaN where not valid.
    """
    out = np.empty(image.shape, np.float32) if out is None else out
    compiled = kernel()
    if compiled is None or not fits(image):
        out[:] = _in_numpy(image, valid, diameter // 2, sigma_range, sigma_space)
        return out
    values = np.ascontiguousarray(image, np.float32)
    compiled.bilateral(values, mask_or_none(valid), out, *image.shape, diameter // 2, sigma_range, sigma_space)
    return out


def bilateral_of_nine(
    image: NDArray[np.float32], sigma: float, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """``cv2.bilateralFilter(image, 9, sigma, sigma)``, to 3e-4 of the image's unit (2e-5 on backscatter): ``(H, W)``.

    Where ``sigma`` is wide against the spread of the values, the range weight is a short series whose terms are sums
    over a fixed disc (about five of them for sigma 75 and dB); otherwise every neighbour is weighted by itself.

    Args:
        image: All finite.
        sigma: Standard deviation of both weights: in range in the unit of the image, in space in pixels.
        out: Where the result goes, if not to new memory.
    """
    out = np.empty(image.shape, np.float32) if out is None else out
    compiled = kernel()
    if compiled is None or not fits(image):
        out[:] = cv2.bilateralFilter(image, 9, sigma, sigma)
        return out
    if not compiled.bilateral_wide(image, out, *image.shape, sigma, sigma, _SERIES_TOLERANCE):
        compiled.bilateral(image, None, out, *image.shape, 4, sigma, sigma)
    return out


def _in_numpy(
    image: NDArray[np.float32], valid: NDArray[np.bool_], radius: int, sigma_range: float, sigma_space: float
) -> NDArray[np.float32]:
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
