from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sarpipe.preprocess.mask import valid_pixels

pytestmark = pytest.mark.usefixtures("way")


@pytest.mark.parametrize(
    ("vv", "vh", "expected"),
    [
        (-12.0, -19.0, (True, True)),
        (np.nan, -19.0, (False, True)),
        (-12.0, -np.inf, (True, False)),
        (np.inf, -19.0, (False, True)),
        (-60.0, -59.9, (False, True)),
        (0.0, 0.0, (False, False)),  # how incomplete scenes are filled
        (0.0, -7.0, (True, True)),  # a bright target
        (-0.0, 0.0, (False, False)),
        (30.0, 20.0, (True, True)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_which_pixels_hold_data(vv: float, vh: float, expected: tuple[bool, bool], dtype: type) -> None:
    db = np.full((4, 2, 8, 8), -10, dtype)
    db[1, :, 3, 4] = vv, vh
    valid = valid_pixels(db, -60.0)

    assert valid.shape == db.shape
    assert tuple(valid[1, :, 3, 4]) == expected
    assert valid.sum() == valid.size - expected.count(False)


FLOOR = np.float32(-60)
AROUND = [FLOOR, np.nextafter(FLOOR, np.float32(0)), np.nextafter(FLOOR, np.float32(-99)), 0.0, -0.0, 1e-45, -1e-45]
NASTY = st.sampled_from([*AROUND, np.nan, np.inf, -np.inf, 65504.0, -65504.0, -12.0, -19.0]) | st.floats(width=32)


@settings(deadline=None)
@given(arrays(np.float32, (2, 2, 5, 7), elements=NASTY))
def test_a_pixel_holds_data_by_its_definition(db: NDArray[np.float32]) -> None:
    valid = valid_pixels(db, float(FLOOR))

    for date, band, y, x in np.ndindex(*db.shape):
        value, other = (float(db[date, b, y, x]) for b in (band, 1 - band))
        assert valid[date, band, y, x] == (np.isfinite(value) and value > -60 and not (value == 0 and other == 0))
