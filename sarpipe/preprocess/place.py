"""One place to one cube, by either recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES
from sarpipe.codes import Code
from sarpipe.preprocess import grey
from sarpipe.preprocess.bilateral import bilateral, bilateral_of_nine
from sarpipe.preprocess.clahe import clahe
from sarpipe.preprocess.kernel import kernel
from sarpipe.preprocess.mask import valid_pixels
from sarpipe.preprocess.recipe import OriginalRecipe, Recipe, SarRecipe
from sarpipe.preprocess.resample import resample
from sarpipe.preprocess.sobel import sobel
from sarpipe.preprocess.temporal import deviation, statistics


class RejectedPlaceError(ValueError):
    """A place from which no cube can be made; the message is the reason, for the quarantine."""

    code = Code.NO_DATA


@dataclass(frozen=True)
class Cube:
    """One place after preprocessing.

    Attributes:
        cube: ``float32 [12, 64, 64]``, channels as in `sarpipe.channels.CHANNELS`; NaN where there is no data.
        frames: ``float32 [T, 4, 64, 64]``: for each date the four features; NaN where there is no data.
        valid: Share of the pixels that hold data, 0 to 1, for each date.
    """

    cube: NDArray[np.float32]
    frames: NDArray[np.float32]
    valid: tuple[float, ...]


def make_cube(db: NDArray[np.floating], recipe: Recipe) -> Cube:
    """Turn one place into a cube.

    With a single date, deviation and difference over time are NaN, not known, in recipe ``sar``, and 0, as numpy has
    them, in recipe ``original``.

    Args:
        db: ``[T, 2, H, W]`` backscatter in dB, VV then VH, dates in order, at least one; pixels without data as
            `sarpipe.preprocess.mask.valid_pixels` knows them. H and W are multiples of 8.
        recipe: How.

    Raises:
        RejectedPlaceError: Too few pixels hold data, or the recipe has no rule for them.
    """
    return _original(db) if isinstance(recipe, OriginalRecipe) else _sar(db, recipe)


def _original(db: NDArray[np.floating]) -> Cube:
    features = np.empty((len(db), len(FEATURES), *db.shape[-2:]), np.float32)
    for date, out in zip(db, features, strict=True):
        values, finite = _values(date)
        if not finite:
            missing = db.size - int(np.isfinite(db).sum())
            raise RejectedPlaceError(
                f"{missing:,} of {db.size:,} values are not finite, and recipe 'original' has no rule for them"
            )
        _original_features(values, out)
    frames = resample(features, CUBE_SIZE)
    # Resampling is linear, so that of a mean or a difference is the mean or difference of what was resampled.
    cube = np.concatenate([frames.mean(axis=0), resample(deviation(features), CUBE_SIZE), frames[-1] - frames[0]])
    return Cube(cube, frames, (1.0,) * len(db))


def _original_features(db: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    everywhere = np.ones(db.shape[-2:], bool)
    for band, smooth in zip(db, out[:2], strict=True):
        bilateral_of_nine(band, 75, smooth)
    equalised = clahe(grey.of_extent(out[0]), everywhere)
    out[2] = equalised
    sobel(equalised, everywhere, out[3])


def _sar(db: NDArray[np.floating], recipe: SarRecipe) -> Cube:
    values = [_values(date)[0] for date in db]
    valid = [valid_pixels(date, recipe.floor_db) for date in values]
    counts = [np.count_nonzero(mask) for mask in valid]
    shares = tuple(count / mask.size for count, mask in zip(counts, valid, strict=True))
    # Not the mean of the shares, whose last bit decides at the threshold.
    share = sum(counts) / sum(mask.size for mask in valid)
    if share < recipe.min_valid:
        raise RejectedPlaceError(f"{share:.1%} of the pixels hold data, recipe 'sar' needs {recipe.min_valid:.0%}")
    # Statistics at the size of the cube: the deviation over time then measures change, where at 10 m it measures
    # speckle, and the cube of any subset of dates is exactly what the recipe gives for these dates.
    frames = np.stack(
        [resample(_sar_features(date, mask, recipe), CUBE_SIZE) for date, mask in zip(values, valid, strict=True)]
    )
    cube = statistics(frames)
    empty = ~np.isfinite(cube[: len(FEATURES)]).any(axis=(1, 2))
    if empty.any():
        raise RejectedPlaceError(f"no pixel of the cube holds data in {CHANNELS[int(empty.argmax())]}")
    return Cube(cube, frames, shares)


def _sar_features(db: NDArray[np.float32], valid: NDArray[np.bool_], recipe: SarRecipe) -> NDArray[np.float32]:
    features = np.empty((len(FEATURES), *db.shape[-2:]), np.float32)
    for band, mask, out in zip(db, valid, features[:2], strict=True):
        bilateral(
            band,
            mask,
            diameter=recipe.diameter,
            sigma_range=recipe.sigma_range,
            sigma_space=recipe.sigma_space,
            out=out,
        )
    equalised = clahe(grey.of_window(features[0], recipe.window_db), valid[0])
    features[2] = equalised
    np.copyto(features[2], np.nan, where=~valid[0])
    sobel(equalised, valid[0], features[3])
    return features


def _values(date: NDArray[np.floating]) -> tuple[NDArray[np.float32], bool]:
    """One date as float32 ``[2, H, W]``, contiguous; and whether all of it is finite."""
    compiled = kernel()
    if compiled is None or date.dtype != np.float16:
        values = np.ascontiguousarray(date, np.float32)
        return values, bool(np.isfinite(values).all())
    out = np.empty(date.shape, np.float32)
    return out, compiled.widen(np.ascontiguousarray(date), out)
