"""Contrast-limited adaptive histogram equalisation, blind to pixels without data.

Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sarpipe.preprocess.kernel import fits, kernel, mask_or_none

CLIP_LIMIT = 2.0
TILES = 8
_LEVELS = 256


def clahe(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """CLAHE with clip limit 2 and 8 x 8 tiles: ``(H, W)`` grey levels to the same.

    Where all pixels are valid this is ``cv2.createCLAHE(2.0, (8, 8))``. Otherwise the histograms count valid
    pixels alone, scaled to the size of the tile, so that the contrast limit means the same however many are
    missing; a tile without any takes no part. With a mask that is all true that gives cv2's result to the bit.

    Args:
        image: Grey levels; any where not valid. H and W are multiples of 8.
        valid: Which pixels hold data.

    Returns:
        Equalised grey levels; 0 where not valid.
    """
    compiled = kernel()
    if compiled is not None and fits(image):
        out = np.empty(image.shape, np.uint8)
        compiled.clahe(np.ascontiguousarray(image), mask_or_none(valid), out, *image.shape, CLIP_LIMIT)
        return out
    if valid.all():
        return np.asarray(cv2.createCLAHE(CLIP_LIMIT, (TILES, TILES)).apply(image), np.uint8)
    return np.where(valid, _blend(image, *_tables(image, valid)), 0).astype(np.uint8)


def _tables(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The grey-level table of each tile, ``(8, 8, 256)``, and whether it has any pixel, ``(8, 8)``."""
    height, width = image.shape[0] // TILES, image.shape[1] // TILES
    tables = np.zeros((TILES, TILES, _LEVELS), np.float32)
    present = np.zeros((TILES, TILES), bool)
    for row in range(TILES):
        for column in range(TILES):
            tile = np.s_[row * height : (row + 1) * height, column * width : (column + 1) * width]
            levels = image[tile][valid[tile]]
            if levels.size:
                tables[row, column] = _table(np.bincount(levels, minlength=_LEVELS), height * width)
                present[row, column] = True
    return tables, present


def _table(histogram: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """Cumulative distribution of a clipped histogram, as cv2 computes it: what is cut off goes to all levels.

    The histogram is first scaled to ``count`` pixels.
    """
    histogram = np.diff(np.cumsum(histogram) * count // histogram.sum(), prepend=0)
    limit = max(1, int(CLIP_LIMIT * count / _LEVELS))
    excess = int(np.maximum(histogram - limit, 0).sum())
    clipped = np.minimum(histogram, limit) + excess // _LEVELS
    rest = excess % _LEVELS
    if rest:
        clipped[: rest * max(_LEVELS // rest, 1) : max(_LEVELS // rest, 1)] += 1
    scale = np.float32(_LEVELS - 1) / np.float32(count)
    table: NDArray[np.float32] = np.clip(np.rint(np.cumsum(clipped).astype(np.float32) * scale), 0, 255)
    return table


def _blend(image: NDArray[np.uint8], tables: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each pixel through the tables of its four nearest tiles, weighted bilinearly."""
    y0, y1, fy = _neighbours(image.shape[0])
    x0, x1, fx = _neighbours(image.shape[1])
    total = np.zeros(image.shape, np.float32)
    weights = np.zeros(image.shape, np.float32)
    for rows, wy in ((y0, 1 - fy), (y1, fy)):
        line, line_weights = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
        for columns, wx in ((x0, 1 - fx), (x1, fx)):
            there = present[rows[:, None], columns[None, :]] * wx[None, :]
            line += tables[rows[:, None], columns[None, :], image] * there
            line_weights += there
        total += line * wy[:, None]
        weights += line_weights * wy[:, None]
    # cv2 divides by nothing: where all four tiles take part, the weights are 1 but for their last bit.
    complete = np.abs(weights - 1) < 1e-5
    return np.rint(np.where(complete, total, total / np.maximum(weights, np.float32(1e-6))))


def _neighbours(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each pixel along an axis: the tiles before and after it, and how far it is towards the second."""
    position = np.arange(size, dtype=np.float32) * np.float32(TILES / size) - np.float32(0.5)
    before = np.floor(position).astype(np.intp)
    fraction = (position - before).astype(np.float32)
    return np.maximum(before, 0), np.minimum(before + 1, TILES - 1), fraction
