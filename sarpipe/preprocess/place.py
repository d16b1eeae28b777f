"""One place to one cube, by either recipe."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES
from sarpipe.preprocess.bilateral import bilateral
from sarpipe.preprocess.clahe import clahe
from sarpipe.preprocess.mask import valid_pixels
from sarpipe.preprocess.recipe import OriginalRecipe, Recipe, SarRecipe
from sarpipe.preprocess.resample import resample
from sarpipe.preprocess.sobel import sobel
from sarpipe.preprocess.temporal import statistics


class RejectedPlaceError(ValueError):
    """A place from which no cube can be made; the message is the reason, for the quarantine."""


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
    image = np.ascontiguousarray(db, dtype=np.float32)
    return _original(image) if isinstance(recipe, OriginalRecipe) else _sar(image, recipe)


def _original(db: NDArray[np.float32]) -> Cube:
    missing = db.size - int(np.isfinite(db).sum())
    if missing:
        raise RejectedPlaceError(
            f"{missing:,} of {db.size:,} values are not finite, and recipe 'original' has no rule for them"
        )
    features = np.stack([_original_features(vv, vh) for vv, vh in db])
    return Cube(
        cube=resample(_plain_statistics(features), CUBE_SIZE),
        frames=resample(features, CUBE_SIZE),
        valid=(1.0,) * len(db),
    )


def _plain_statistics(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """By numpy's own formulas: of a single date, deviation and difference are 0."""
    return np.concatenate([features.mean(axis=0), features.std(axis=0), features[-1] - features[0]])


def _original_features(vv: NDArray[np.float32], vh: NDArray[np.float32]) -> NDArray[np.float32]:
    vv_smooth, vh_smooth = (cv2.bilateralFilter(band, 9, 75, 75) for band in (vv, vh))
    everywhere = np.ones(vv.shape, bool)
    # The cast cuts off and does not round: a wart of the original, kept.
    levels = cv2.normalize(vv_smooth, np.empty_like(vv), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    equalised = clahe(levels, everywhere)
    return np.stack([vv_smooth, vh_smooth, equalised.astype(np.float32), sobel(equalised, everywhere)])


def _sar(db: NDArray[np.float32], recipe: SarRecipe) -> Cube:
    valid = valid_pixels(db, recipe.floor_db)
    share = valid.mean()
    if share < recipe.min_valid:
        raise RejectedPlaceError(f"{share:.1%} of the pixels hold data, recipe 'sar' needs {recipe.min_valid:.0%}")
    features = np.stack([_sar_features(date, mask, recipe) for date, mask in zip(db, valid, strict=True)])
    # Statistics at the size of the cube: the deviation over time then measures change, where at 10 m it measures
    # speckle, and the cube of any subset of dates is exactly what the recipe gives for these dates.
    frames = resample(features, CUBE_SIZE)
    cube = statistics(frames)
    empty = ~np.isfinite(cube[: len(FEATURES)]).any(axis=(1, 2))
    if empty.any():
        raise RejectedPlaceError(f"no pixel of the cube holds data in {CHANNELS[int(empty.argmax())]}")
    return Cube(cube, frames, tuple(float(value) for value in valid.mean(axis=(1, 2, 3))))


def _sar_features(db: NDArray[np.float32], valid: NDArray[np.bool_], recipe: SarRecipe) -> NDArray[np.float32]:
    vv, vh = (
        bilateral(
            image,
            mask,
            diameter=recipe.diameter,
            sigma_range=recipe.sigma_range,
            sigma_space=recipe.sigma_space,
        )
        for image, mask in zip(db, valid, strict=True)
    )
    low, high = recipe.window_db
    scaled = np.where(valid[0], (vv - low) * (255 / (high - low)), 0)
    levels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    equalised = clahe(levels, valid[0])
    return np.stack([vv, vh, np.where(valid[0], equalised, np.nan), sobel(equalised, valid[0])]).astype(np.float32)
