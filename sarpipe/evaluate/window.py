"""A part of a cube, as if the place had been cut from the map somewhere else."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from sarpipe.channels import CUBE_SIZE

SIDE = 48
"""Of a window, pixels; in opposite corners two share (2 * 48 - 64)² / 48² = 44 % of their ground, 660 m apart."""


def corner(cubes: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
    """The window in the first corner of each cube (top left), or in the last, enlarged to the size of a cube.

    Args:
        cubes: ``[N, C, 64, 64]``, NaN where there is no data.
        last: Which.

    Returns:
        ``float32 [N, C, 64, 64]``, bilinear; NaN where a pixel that would be taken is.
    """
    part = slice(CUBE_SIZE - SIDE, None) if last else slice(SIDE)
    cut = torch.from_numpy(np.ascontiguousarray(cubes[:, :, part, part]))
    enlarged: NDArray[np.float32] = functional.interpolate(cut, size=(CUBE_SIZE, CUBE_SIZE), mode="bilinear").numpy()
    return enlarged
