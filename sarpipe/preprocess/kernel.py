"""The compiled steps, where they could be compiled.

``kernel.c`` holds the steps that take the time of preprocessing. Every one of them stands in numpy and OpenCV too, in
the module that names it, and is taken from there where there was no compiler, or the processor lacks AVX2, FMA or F16C
(or is no 64-bit ARM). Compiled, the same place gives the same bits on every machine. The two ways differ by less than
5e-5 dB after the bilateral filter (seen; 3e-4 is the bound for ``original``). Where that moves a pixel over the edge of
a grey level, its equalised value and its edges differ by some levels of 255, as they do between versions of OpenCV. So
the way is part of a unit's key.
"""

from __future__ import annotations

import logging
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.errors import SarpipeError

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("kernel.c")
HOW_TO_COMPILE = "Run 'make .venv/.ready', or install sarpipe again with a C compiler at hand"


@cache
def kernel() -> ModuleType | None:
    """The compiled module; None where there is none.

    Raises:
        SarpipeError: It was compiled from another source than the one that lies here.
    """
    try:
        import sarpipe.preprocess._kernel as compiled
    except ImportError as error:
        log.warning("preprocessing is several times slower without its compiled kernel (%s). %s", error, HOW_TO_COMPILE)
        return None
    if SOURCE.is_file() and sha256(SOURCE.read_bytes()).hexdigest() != compiled.SOURCE_SHA256:
        raise SarpipeError(f"{SOURCE} was changed after it was compiled", HOW_TO_COMPILE, code=Code.USAGE)
    return compiled


def way() -> str:
    """``compiled`` or ``numpy``: how the steps are taken here."""
    return "numpy" if kernel() is None else "compiled"


def fits(image: NDArray[np.generic]) -> bool:
    """Whether images ``[..., H, W]`` have a size that the compiled steps take: multiples of 8, from 16 on."""
    height, width = image.shape[-2:]
    return bool(min(height, width) >= 16 and height % 8 == 0 and width % 8 == 0)


def mask_or_none(valid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The mask as the compiled steps take it: None where all pixels are valid."""
    return None if valid.all() else np.ascontiguousarray(valid)
