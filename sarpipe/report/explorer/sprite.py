"""Sprites: all pictures of one place as one small grey image, which the page colours when it is looked at."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES, N_DATES, POLARISATIONS
from sarpipe.cubes import CubeSet
from sarpipe.report.quicklook import Scale, channel_scales

DATE_SIZE = CUBE_SIZE // 2
"""Height and width of the pictures of single dates: half of a cube's."""

_QUALITY = 45
"""Of WebP: for the eye alone, at a sixth of the bytes that the values would take."""

_SCALE_PLACES = 256


def spread_order(count: int) -> list[int]:
    """The rows 0 to ``count`` - 1 in an order of which every beginning is spread evenly over them.

    Their bits reversed: the sequence of van der Corput (1935).
    """
    bits = max(count - 1, 1).bit_length()
    return [row for i in range(1 << bits) if (row := int(f"{i:0{bits}b}"[::-1], 2)) < count]


def scales_of(places: CubeSet) -> list[Scale]:
    """The scale of each channel over at most 256 places, evenly chosen."""
    return channel_scales(places.cubes[sorted(spread_order(len(places.ids))[:_SCALE_PLACES])])


def sprites(places: CubeSet, scales: Sequence[Scale], budget: int) -> dict[int, str]:
    """Sprites of as many places as fit, evenly chosen, as base64 of WebP by their row.

    Twelve channels of 64 x 64 pixels, four a line; below them, half as high and wide, VV of four dates and VH of four
    dates in one line. Grey is the level on the scale of the channel, of the mean for a date; no data is transparent.

    Args:
        places: At least one.
        scales: Of the twelve channels.
        budget: Characters that all of them may take; the first is made whatever it takes.
    """
    made: dict[int, str] = {}
    for row in spread_order(len(places.ids)):
        encoded = _encoded(_levels(places, row, scales))
        budget -= len(encoded)
        if budget < 0 and made:
            break
        made[row] = encoded
    return dict(sorted(made.items()))


def _levels(places: CubeSet, row: int, scales: Sequence[Scale]) -> NDArray[np.uint8]:
    cube = [scale.levels(image) for scale, image in zip(scales, places.cubes[row], strict=True)]
    frames = places.frames[row].astype(np.float32)
    dates = [
        scales[CHANNELS.index(f"mean_{name}")].levels(_halved(frames[date, FEATURES.index(name)]))
        for name in POLARISATIONS
        for date in range(N_DATES)
    ]
    width = len(FEATURES)
    lines = [np.hstack(cube[start : start + width]) for start in range(0, len(cube), width)]
    return np.vstack([*lines, np.hstack(dates)])


def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each two by two pixels, over those with data."""
    blocks = image.reshape(DATE_SIZE, 2, DATE_SIZE, 2)
    valid = np.isfinite(blocks)
    count = valid.sum(axis=(1, 3))
    total = np.where(valid, blocks, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _encoded(levels: NDArray[np.uint8]) -> str:
    known = levels < 255
    grey = np.where(known, levels, 0)
    picture = Image.fromarray(np.dstack([grey, grey, grey, known * np.uint8(255)]))
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=_QUALITY, method=4)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
