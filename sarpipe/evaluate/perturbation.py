"""What is done to the frames of places to see what their vectors bear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma

from sarpipe.channels import FEATURES

Perturb = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
"""Frames ``[n, 4, 4, 64, 64]`` to frames, with a generator of this perturbation's own; the input is left alone."""

Disturbances = Mapping[str, Sequence[tuple[str, Perturb]]]
"""By kind, the levels with their names."""

LOOKS = (20, 8, 4, 1)
OFFSETS_DB = (-4.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0)
SHIFTS = (1, 2, 4)
_BACKSCATTER = [FEATURES.index("vv"), FEATURES.index("vh")]
_OF = {"VV": [i for i, name in enumerate(FEATURES) if name != "vh"], "VH": [FEATURES.index("vh")]}
_SIDE_TO_CENTRE = 1 - 0.5**0.5
"""As in the speckle of training: neighbours then have a correlation of 0.5, and those after them 0.07."""


def perturbations() -> Disturbances:
    """All kinds, each from mild to strong or from low to high, without the level that changes nothing."""
    return {
        "speckle": [(f"{looks}", speckle(looks)) for looks in LOOKS],
        "offset": [(f"{db:+g}", offset(db)) for db in OFFSETS_DB],
        "missing": [("VV", without_polarisation("VV")), ("VH", without_polarisation("VH")), ("a date", without_a_date)],
        "shift": [(f"{pixels}", shift(pixels)) for pixels in SHIFTS],
    }


def speckle(looks: int) -> Perturb:
    """Speckle of so many looks on VV and VH of each date, at the 41 m of a cube's pixel.

    An approximation: the logarithm of gamma speckle is taken as normal, of its standard deviation
    ``10 / ln 10 sqrt(psi'(L))`` dB; neighbours correlate by 0.5 as after filter and resampling; and the equalised
    channels, which are made from VV, stay as they were.
    """
    deviation = 10 / np.log(10) * float(np.sqrt(polygamma(1, looks)))

    def perturb(frames: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        n, dates, _, height, width = frames.shape
        noise = correlated(rng.standard_normal((n, dates, len(_BACKSCATTER), height, width), np.float32))
        speckled = frames.copy()
        speckled[:, :, _BACKSCATTER] += np.float32(deviation) * noise
        return speckled

    return perturb


def correlated(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """White noise ``[..., H, W]`` so that neighbours resemble each other, of the same variance; edges are joined."""
    centre = np.float32((1 + 2 * _SIDE_TO_CENTRE**2) ** -0.5)
    for axis in (-2, -1):
        beside = np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
        noise = centre * noise + centre * np.float32(_SIDE_TO_CENTRE) * beside
    return noise


def offset(db: float) -> Perturb:
    """Another level of VV and VH at all dates, dB, as of an error in calibration; the equalised channels stay."""

    def perturb(frames: NDArray[np.float32], _: np.random.Generator) -> NDArray[np.float32]:
        moved = frames.copy()
        moved[:, :, _BACKSCATTER] += np.float32(db)
        return moved

    return perturb


def without_polarisation(name: str) -> Perturb:
    """All that is made from VV, or from VH, unknown."""

    def perturb(frames: NDArray[np.float32], _: np.random.Generator) -> NDArray[np.float32]:
        left = frames.copy()
        left[:, :, _OF[name]] = np.nan
        return left

    return perturb


def without_a_date(frames: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """One date of each place unknown, any of those that it has; a place of a single date keeps it."""
    left = frames.copy()
    there = np.isfinite(frames).any(axis=(2, 3, 4))
    drawn = np.where(there, rng.random(there.shape), -1).argmax(axis=1)
    rows = np.flatnonzero(there.sum(axis=1) > 1)
    left[rows, drawn[rows]] = np.nan
    return left


def shift(pixels: int) -> Perturb:
    """The image moved down and right by so many pixels of the cube (41 m each); what comes in repeats the border."""

    def perturb(frames: NDArray[np.float32], _: np.random.Generator) -> NDArray[np.float32]:
        rows, columns = (np.maximum(np.arange(size) - pixels, 0) for size in frames.shape[-2:])
        return frames[..., rows[:, None], columns]

    return perturb
