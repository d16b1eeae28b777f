"""Statistics over the dates of a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import STATISTICS
from sarpipe.preprocess.kernel import kernel


def statistics(frames: NDArray[np.floating]) -> NDArray[np.float32]:
    """Mean, standard deviation and last minus first over the dates: ``(..., T, F, H, W) -> (..., 3F, H, W)``.

    The channels come as mean of every feature, then population standard deviation, then difference, which
    with the four features is the order of `sarpipe.channels.CHANNELS`.

    Each pixel is treated by itself and only over its valid (finite) dates. A pixel that no date has is NaN in
    all three; one that a single date has is NaN in the deviation and the difference. Without NaN in the input
    (and two dates or more) this is plain ``mean``, ``std`` and ``last - first``.

    Args:
        frames: Features of each date, in the order of the dates. NaN where there is no data.
    """
    values = np.asarray(frames, dtype=np.float32)
    compiled = kernel()
    if compiled is not None and values.ndim == 4 and values[0].size % 8 == 0:
        dates, features, height, width = values.shape
        out = np.empty((len(STATISTICS) * features, height, width), np.float32)
        compiled.statistics(np.ascontiguousarray(values), out, dates, values[0].size)
        return out
    valid = np.isfinite(values)
    if valid.all() and values.shape[-4] > 1:
        mean, std = values.mean(axis=-4), values.std(axis=-4)
        diff = values[..., -1, :, :, :] - values[..., 0, :, :, :]
    else:
        mean, std, diff = _over_valid_dates(values, valid)
    return np.concatenate([mean, std, diff], axis=-3)


def deviation(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Population standard deviation over the dates, as ``numpy.std``: ``(T, F, H, W) -> (F, H, W)``. All are finite."""
    compiled = kernel()
    if compiled is None or frames[0].size % 8:
        return np.asarray(frames.std(axis=0), np.float32)
    out = np.empty(frames.shape[1:], np.float32)
    compiled.deviation(np.ascontiguousarray(frames, np.float32), out, len(frames), out.size)
    return out


def _over_valid_dates(
    values: NDArray[np.float32], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    values = np.where(valid, values, np.float32(np.nan))
    count = valid.sum(axis=-4)
    known = np.maximum(count, 1).astype(np.float32)
    mean = np.where(valid, values, 0).sum(axis=-4) / known
    deviation = np.where(valid, values - mean[..., None, :, :, :], 0)
    std = np.sqrt(np.square(deviation).sum(axis=-4) / known)
    first = np.take_along_axis(values, valid.argmax(axis=-4)[..., None, :, :, :], axis=-4)
    last_index = values.shape[-4] - 1 - np.flip(valid, axis=-4).argmax(axis=-4)
    last = np.take_along_axis(values, last_index[..., None, :, :, :], axis=-4)
    diff = (last - first)[..., 0, :, :, :]
    return (
        np.where(count >= 1, mean, np.nan).astype(np.float32),
        np.where(count >= 2, std, np.nan).astype(np.float32),
        np.where(count >= 2, diff, np.nan).astype(np.float32),
    )
