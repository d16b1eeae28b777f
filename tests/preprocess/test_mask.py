from __future__ import annotations

import numpy as np
import pytest

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
