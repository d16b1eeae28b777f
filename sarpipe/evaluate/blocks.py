"""Blocks of ground: what lies in one is never on both sides of a split, and is drawn together by the bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.evaluate.neighbours import clusters
from sarpipe.sphere import EARTH_KM

BLOCK_KM = 50.0
"""Within it ground, climate and orbit are alike: random splits read them off the neighbours (Ploton et al., Nature
Communications 11, 2020)."""
_KM_PER_DEGREE = np.pi * EARTH_KM / 180


def blocks(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.intp]:
    """The block of each place.

    Places at most 50 km apart are in one block, so any two of different blocks are further apart. Only where that joins
    more than half of all places, as in one region that is covered without gaps, this block is cut along a grid of cells
    of 50 km by 50 km; then places beside a border have neighbours on the other side.

    Args:
        latitude: ``[N]`` degrees, NaN unknown: a block of its own.
        longitude: Likewise.
    """
    labels, _ = clusters(latitude, longitude, BLOCK_KM)
    sizes = np.bincount(labels, minlength=1)
    if 2 * sizes.max() <= len(labels):
        return labels
    inside = labels == sizes.argmax()
    labels[inside] = labels.max() + 1 + _cells(latitude[inside], longitude[inside])
    named: NDArray[np.intp] = np.unique(labels, return_inverse=True)[1].astype(np.intp)
    return named


def _cells(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.intp]:
    """The cell of each place, all known: rows of 50 km from pole to pole, each cut into cells as wide."""
    height = BLOCK_KM / _KM_PER_DEGREE
    row = np.floor((latitude + 90) / height)
    middle = np.radians(np.minimum((row + 0.5) * height - 90, 90))
    count = np.maximum(1, np.round(360 * _KM_PER_DEGREE * np.cos(middle) / BLOCK_KM))
    column = np.floor((longitude + 180) % 360 / 360 * count)
    found: NDArray[np.intp] = np.unique(np.stack([row, column]), axis=1, return_inverse=True)[1]
    return found.ravel()
