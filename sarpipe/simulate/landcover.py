"""The map of a place: what covers each pixel, and to which field it belongs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import PLACE_SIZE
from sarpipe.simulate.climate import Climate
from sarpipe.simulate.field import smooth_noise, top_share

CLASSES: tuple[str, ...] = ("water", "forest", "crop", "grass", "built")
WATER, FOREST, CROP, GRASS, BUILT = range(5)
STRIPS, CELLS = 96, 72
"""Most strips of fields over a place, and most fields along a strip: a field's number is strip * CELLS + cell."""
_DIAGONAL = 376
_ROWS, _COLUMNS = (axis.astype(np.float32) for axis in np.mgrid[:PLACE_SIZE, :PLACE_SIZE])


@dataclass(frozen=True)
class LandCover:
    """The map of one place.

    Attributes:
        classes: ``uint8 [264, 264]``, index into `CLASSES`.
        fields: ``int32 [264, 264]``, number of the field, below ``STRIPS * CELLS``; also defined under forest,
            town and water, where it means nothing.
        is_crop: ``bool [STRIPS * CELLS]``, whether a field is cropland (else grassland).
        row_angle: Direction of the fields' long sides, radians from east.
        field_size_px: Root of the mean area of a field, pixels.
    """

    classes: NDArray[np.uint8]
    fields: NDArray[np.int32]
    is_crop: NDArray[np.bool_]
    row_angle: float
    field_size_px: float


def draw_land_cover(rng: np.random.Generator, climate: Climate) -> LandCover:
    """Draw a map: fields everywhere; over them forest, town and water, each hiding what lies below."""
    row_angle = float(rng.uniform(-np.pi / 2, np.pi / 2))
    fields, size = _fields(rng, climate.field_px, row_angle)
    is_crop = _crop_fields(rng, climate.crop)
    classes = np.where(is_crop, CROP, GRASS).astype(np.uint8)[fields]
    classes[_forest(rng, climate.forest) & ~_clearings(rng)[fields]] = FOREST
    classes[_town(rng, climate.built)] = BUILT
    classes[_water(rng, climate)] = WATER
    return LandCover(classes, fields, is_crop, row_angle, size)


def _fields(rng: np.random.Generator, size: float, angle: float) -> tuple[NDArray[np.int32], float]:
    """Strips of random width, each cut into fields of its own length, turned by an angle and slightly bent."""
    bend = smooth_noise(rng, 90)
    along = _COLUMNS * np.cos(angle) + _ROWS * np.sin(angle) + 2 * bend
    across = _ROWS * np.cos(angle) - _COLUMNS * np.sin(angle) + 3 * bend
    aspect = rng.uniform(1.0, 2.5)
    widths = np.maximum(size / np.sqrt(aspect) * rng.uniform(0.6, 1.4, STRIPS), 3.2)
    lengths = (size * np.sqrt(aspect) * rng.uniform(0.7, 1.3, STRIPS)).astype(np.float32)
    shifts = (rng.random(STRIPS) * lengths).astype(np.float32)
    strip_of_line = np.minimum(np.searchsorted(np.cumsum(widths), np.arange(_DIAGONAL + 20)), STRIPS - 1)
    strip = strip_of_line[np.clip(across + (10 - across.min()), 0, _DIAGONAL + 19).astype(np.intp)]
    cell = ((along - along.min() + shifts[strip]) / lengths[strip]).astype(np.int32)
    return (strip * CELLS + np.minimum(cell, CELLS - 1)).astype(np.int32), float(
        np.sqrt(widths.mean() * lengths.mean())
    )


def _crop_fields(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """Which fields are cropland: neighbours tend to be alike."""
    alike = np.repeat(np.repeat(rng.standard_normal((STRIPS // 4, CELLS // 4)), 4, axis=0), 4, axis=1)
    wish = (alike + rng.standard_normal((STRIPS, CELLS))).ravel()
    return wish >= np.quantile(wish, 1 - share)


def _clearings(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Fields that were cut into the forest."""
    return rng.random(STRIPS * CELLS) < rng.uniform(0.02, 0.2)


def _forest(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    large, small = smooth_noise(rng, rng.uniform(35, 90)), smooth_noise(rng, 9)
    return top_share(large + rng.uniform(0.15, 0.45) * small, share)


def _town(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """One town, thinning out from its middle, and its villages."""
    row, column = rng.uniform(30, PLACE_SIZE - 30, 2)
    away = np.hypot(_ROWS - np.float32(row), _COLUMNS - np.float32(column)) / np.float32(60)
    return top_share((smooth_noise(rng, 22) * 0.7 + smooth_noise(rng, 6) * 0.35 - away).astype(np.float32), share)


def _water(rng: np.random.Generator, climate: Climate) -> NDArray[np.bool_]:
    if climate.river:
        angle, start = rng.uniform(0, np.pi), rng.uniform(-60, 60)
        across = (_ROWS - 132) * np.cos(angle) - (_COLUMNS - 132) * np.sin(angle)
        bank = 14 * smooth_noise(rng, 60) + 1.0 * smooth_noise(rng, 8)
        return top_share((-np.abs(across + bank - start)).astype(np.float32), 0.4 * climate.water)
    return top_share(smooth_noise(rng, rng.uniform(40, 110)) + 0.12 * smooth_noise(rng, 10), climate.water)
