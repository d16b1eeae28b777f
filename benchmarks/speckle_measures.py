"""How much speckle an image has, how sharp its shores are, and how bright its points: what filters are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, distance_transform_edt, maximum_filter, median_filter, uniform_filter
from scipy.stats import gaussian_kde

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

WINDOW = 15
DEPTH = 8
"""Pixels of unbroken land and of unbroken water that a shore must have on its sides."""
TARGET_DB, SURROUNDINGS = 12.0, 21


def local_looks(db: Image, valid: Mask) -> NDArray[np.float64]:
    """Mean^2 / variance of the linear intensity in windows of 15 x 15, every 7th pixel: ``(h, w)``, NaN where a pixel
    is missing.

    The estimator by moments of the equivalent number of looks (Lee and Pottier, "Polarimetric Radar Imaging", 2009,
    section 4.2). It is true where the ground is homogeneous and too low elsewhere.
    """
    intensity = np.where(valid, 10 ** (db.astype(np.float64) / 10), 0)
    # In units of the image's mean: sums of squares of small numbers would lose their digits.
    intensity /= intensity[valid].mean()
    mean, square, missing = (uniform_filter(image, WINDOW) for image in (intensity, intensity**2, (~valid) * 1.0))
    variance = (square - mean**2) * WINDOW**2 / (WINDOW**2 - 1)
    looks = np.where((missing < 1e-9) & (variance > 0), mean**2 / np.maximum(variance, 1e-12), np.nan)
    inside = np.s_[WINDOW // 2 : -(WINDOW // 2) : WINDOW // 2]
    return np.asarray(looks[inside, inside])


def mode(values: NDArray[np.float64]) -> float:
    """The most frequent value, of the logarithms' density.

    Of windows over a whole scene, most of which hold one kind of ground, the mode of the local estimates is the
    scene's number of looks (Foucher, Boucher and Benie 2000; Anfinsen, Doulgeris and Eltoft 2009, IEEE TGRS 47:3795,
    section IV): no homogeneous area need be chosen by hand.
    """
    logarithms = np.log(values)
    at = np.linspace(*np.quantile(logarithms, [0.005, 0.995]), 400)
    return float(np.exp(at[gaussian_kde(logarithms)(at).argmax()]))


@dataclass(frozen=True)
class Shore:
    """Pixels near a water line with solid land and solid water beside it.

    Attributes:
        distance: Pixels from the line between the nearest pixels of land and water, below 0 in water.
        near: Which pixels count.
    """

    distance: NDArray[np.float64]
    near: Mask


def shore_of(water: Mask, land: Mask) -> Shore:
    """The shores of a mask that leave `DEPTH` pixels on both sides. What is neither is not known, and nothing counts
    whose nearest shore pixel has such beside it.
    """
    disc = np.hypot(*np.mgrid[-DEPTH // 2 : DEPTH // 2 + 1, -DEPTH // 2 : DEPTH // 2 + 1]) <= DEPTH / 2
    solid_water, solid_land = binary_opening(water, disc), binary_opening(land, disc)
    beside_land = distance_transform_edt(~solid_land) <= 1.5
    beside_water = distance_transform_edt(~solid_water) <= 1.5
    line = (solid_water & beside_land) | (solid_land & beside_water)
    to_line, (rows, columns) = distance_transform_edt(~line, return_indices=True)
    # The nearest pixel of the whole border must be of a good shore, or the profile would run over a spit or a pond.
    to_land, to_water = distance_transform_edt(~land), distance_transform_edt(~water)
    distance = np.where(water, -(to_land - 0.5), to_water - 0.5)
    good = np.abs(np.abs(distance) - 0.5 - np.where(line[rows, columns], to_line, np.inf)) < 1.5
    return Shore(distance, (solid_water | solid_land) & good)


STEPS = np.arange(-DEPTH, DEPTH)


def profile(images: list[Image], shores: list[Shore]) -> NDArray[np.float64]:
    """Mean dB at -8..-7, .., 7..8 pixels from the shores, each pixel alike: ``[16]``."""
    total, count = np.zeros(len(STEPS)), np.zeros(len(STEPS))
    for image, shore in zip(images, shores, strict=True):
        use = shore.near & np.isfinite(image) & (np.abs(shore.distance) < DEPTH)
        bins = np.floor(shore.distance[use]).astype(int) + DEPTH
        total += np.bincount(bins, image[use], len(STEPS))
        count += np.bincount(bins, minlength=len(STEPS))
    return np.asarray(total / count)


def width(values: NDArray[np.float64]) -> float:
    """Pixels over which a profile rises from 10 to 90 % of its step, whose ends are means of its last three values."""
    low, high = values[:3].mean(), values[-3:].mean()
    share = (values - low) / (high - low)
    at = STEPS + 0.5
    middle = int(np.argmax(share >= 0.5))
    below, above = middle - 1, middle
    while share[below] > 0.1:
        below -= 1
    while share[above] < 0.9:
        above += 1
    first = np.interp(0.1, share[below : below + 2], at[below : below + 2])
    last = np.interp(0.9, share[above - 1 : above + 1], at[above - 1 : above + 1])
    return float(last - first)


def best_shift(db: Image, shore: Shore) -> tuple[int, int]:
    """Rows and columns by which the shores would have to move to part bright from dark best, at most 3."""
    best, shift = -np.inf, (0, 0)
    inner = np.s_[4:-4, 4:-4]
    for dy, dx in np.ndindex(7, 7):
        moved, near = (np.roll(a, (dy - 3, dx - 3), (0, 1))[inner] for a in (shore.distance, shore.near))
        use = near & (np.abs(moved) < 3) & np.isfinite(db[inner])
        contrast = db[inner][use & (moved > 0)].mean() - db[inner][use & (moved < 0)].mean()
        if contrast > best:
            best, shift = contrast, (dy - 3, dx - 3)
    return shift


@dataclass(frozen=True)
class Points:
    """Bright targets: where they are, and the median of their surroundings in dB."""

    at: tuple[NDArray[np.intp], ...]
    around: Image


def bright_points(db: Image, valid: Mask) -> Points:
    """Pixels that are the brightest of 21 x 21 and 12 dB above its median."""
    filled = np.where(valid, db, np.float32(-30))
    around = median_filter(filled, SURROUNDINGS)
    points = valid & (filled == maximum_filter(filled, SURROUNDINGS)) & (filled - around >= TARGET_DB)
    at = np.nonzero(points)
    return Points(at, around[at])


def above_surroundings(images: list[Image], points: list[Points]) -> NDArray[np.float64]:
    """How far each target is above its surroundings, dB."""
    return np.concatenate([image[p.at] - p.around for image, p in zip(images, points, strict=True)]).astype(float)


def guided_bilateral(db: Image, valid: Mask, *, sigma_range: float, sigma_space: float) -> Image:
    """A bilateral filter on the disc of nine whose range weights come from the image under a Gaussian of 1 px.

    The centre is then no longer weighted by its own speckle. Not part of sarpipe: tried here.
    """
    radius = 4
    seen = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), 1, borderType=cv2.BORDER_REFLECT_101)
    total = cv2.GaussianBlur(np.where(valid, db, 0).astype(np.float32), (0, 0), 1, borderType=cv2.BORDER_REFLECT_101)
    guide = np.where(valid, total / np.maximum(seen, np.float32(1e-6)), 0).astype(np.float32)
    guides, values, present = (
        np.pad(a, radius, mode="reflect") for a in (guide, np.where(valid, db, 0), valid.astype(np.float32))
    )
    numerator, denominator = np.zeros(db.shape, np.float32), np.zeros(db.shape, np.float32)
    height, width = db.shape
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx > radius * radius:
                continue
            at = np.s_[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
            exponent = -((guides[at] - guide) ** 2) / (2 * sigma_range**2) - (dy * dy + dx * dx) / (2 * sigma_space**2)
            weight = cv2.exp(exponent.astype(np.float32)) * present[at]
            numerator += weight * values[at]
            denominator += weight
    return np.where(valid, numerator / np.maximum(denominator, np.float32(1e-30)), np.nan).astype(np.float32)
