"""Anti-aliased resampling of a place to the size of a cube, as one matrix for each axis."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

from sarpipe.preprocess.kernel import fits, kernel


@cache
def resize_matrix(size_in: int, size_out: int) -> NDArray[np.float64]:
    """The matrix R ``[size_out, size_in]`` with ``R @ image @ R.T == skimage.transform.resize(image, ...)``.

    That resize (order 1, ``mode="reflect"``, ``anti_aliasing=True``) is linear and separable: a Gaussian of
    sigma ``(factor - 1) / 2`` cut at four sigma, then linear interpolation at the centres of the new pixels,
    both with the border mirrored without repeating its pixel. Its rows sum to 1. ``size_in`` is larger than
    ``size_out``.
    """
    factor = size_in / size_out
    blur = gaussian_filter1d(np.eye(size_in), (factor - 1) / 2, axis=0, mode="mirror", truncate=4.0)
    centres = (np.arange(size_out) + 0.5) * factor - 0.5
    below = np.floor(centres).astype(int)
    share = centres - below
    matrix: NDArray[np.float64] = (
        blur[below] * (1 - share[:, None]) + blur[np.minimum(below + 1, size_in - 1)] * share[:, None]
    )
    matrix.setflags(write=False)
    return matrix


def resample(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resample the last two axes to ``size x size``: ``(..., H, W) -> (..., size, size)``.

    Without NaN this equals skimage's anti-aliased resize. With NaN each new pixel is the weighted mean of the
    valid pixels below it, and NaN where they hold less than half of its weight. A pixel that is missing changes
    no bit of a new pixel that gives it no weight.
    """
    compiled = kernel()
    if compiled is not None and fits(images) and size % 8 == 0:
        height, width = images.shape[-2:]
        out = np.empty((*images.shape[:-2], size, size), np.float32)
        values = np.ascontiguousarray(images, np.float32)
        n = out.size // (size * size)
        compiled.resample(values, out, n, height, width, *_bands(height, size), *_bands(width, size))
        return out
    valid = np.isfinite(images)
    if valid.all():
        return _weighted(images, size)
    weight = _weighted(valid.astype(np.float32), size)
    total = _weighted(np.where(valid, images, 0).astype(np.float32), size)
    # As a share of the whole weight, 1 but for its last bits: where nothing is missing, the sum stays as it is.
    share = np.maximum(weight, np.float32(1e-6)) / _whole_weight(*images.shape[-2:], size)
    return np.where(weight >= 0.5, total / share, np.nan).astype(np.float32)


@cache
def _whole_weight(height: int, width: int, size: int) -> NDArray[np.float32]:
    return _weighted(np.ones((height, width), np.float32), size)


@cache
def _bands(size_in: int, size_out: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The part of each row of the matrix that is not 0: where it starts ``[size_out]``, and what it is, all of one
    length ``[size_out, taps]``.
    """
    matrix = resize_matrix(size_in, size_out)
    held = matrix != 0
    first = held.argmax(axis=1)
    taps = int((size_in - held[:, ::-1].argmax(axis=1) - first).max())
    start = np.minimum(first, size_in - taps)
    weights = np.stack([row[begin : begin + taps] for row, begin in zip(matrix, start, strict=True)])
    return start.astype(np.int32), weights.astype(np.float32)


def _weighted(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The weighted sums along both axes."""
    rows_done = _along_rows(np.asarray(images, np.float32), size)
    return np.ascontiguousarray(_along_rows(rows_done.swapaxes(-1, -2), size).swapaxes(-1, -2))


def _along_rows(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    # A sparse product and not BLAS, whose last bits depend on the number of its threads: same place, same bytes.
    columns = np.moveaxis(images, -2, 0)
    product = _sparse(images.shape[-2], size) @ columns.reshape(len(columns), -1)
    result: NDArray[np.float32] = np.moveaxis(product.reshape(size, *columns.shape[1:]), 0, -2)
    return result


@cache
def _sparse(size_in: int, size_out: int) -> csr_array:
    return csr_array(resize_matrix(size_in, size_out).astype(np.float32))
