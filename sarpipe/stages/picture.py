"""Small pictures of what a stage makes, for who watches it: WebP, a fifth of the bytes of their PNG."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.stages.places import UNIT, UNIT_ROW
from sarpipe.storage import Artefact, inspect

SHOWN = 3
"""Places of a set."""
_QUALITY = 75


def cubes_picture(cube_set: Artefact, count: int = SHOWN) -> bytes:
    """Up to ``count`` places, evenly spread over the set, each with its twelve channels.

    Only their own cubes are read. That the bytes are whole is not looked at here.
    """
    from sarpipe.report.quicklook import quicklook_png

    index = pd.read_parquet(cube_set.path("index.parquet"))
    rows = np.unique(np.linspace(0, len(index) - 1, count).astype(np.intp))
    chosen = index.iloc[rows].reset_index(drop=True)
    cubes = np.stack([_cube(cube_set, *place) for place in zip(chosen[UNIT], chosen[UNIT_ROW], strict=True)])
    places = CubeSet(tuple(chosen["id"]), cubes.astype(np.float32), np.empty(0, np.float16), chosen, None)
    return _small(quicklook_png(places, range(len(chosen))))


def loss_picture(losses: pd.DataFrame) -> bytes:
    """The loss curve: columns ``step, epoch, loss``."""
    from sarpipe.report.loss_curve import loss_png

    return _small(loss_png(losses))


def _cube(cube_set: Artefact, unit: str, row: int) -> NDArray[np.floating]:
    path = inspect(cube_set.folder.parent / unit).path("cubes.npy")
    return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[row])


def _small(png: bytes) -> bytes:
    """A picture of twice the pixels that a screen shows, as WebP of half of them."""
    from PIL import Image

    drawn = Image.open(io.BytesIO(png)).convert("RGB")
    buffer = io.BytesIO()
    half = drawn.resize((drawn.width // 2, drawn.height // 2), Image.Resampling.LANCZOS)
    half.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()
