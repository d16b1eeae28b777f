import numpy as np
import pytest

from sarpipe.preprocess.place import Cube, RejectedPlaceError
from sarpipe.preprocess.quality import quality_flags, used_dates
from sarpipe.preprocess.recipe import OriginalRecipe, SarRecipe

A, D, U = "ascending", "descending", "unknown"


def cube(valid: tuple[float, ...], *, change: bool = True) -> Cube:
    values = np.zeros((12, 64, 64), np.float32)
    if not change:
        values[4:] = np.nan
    return Cube(values, np.zeros((len(valid), 4, 64, 64), np.float32), valid)


@pytest.mark.parametrize(
    ("made", "passes", "order", "flags"),
    [
        (cube((1, 1, 1, 1)), [A, A, U, A], "product", []),
        (cube((1, 1, 1)), [A, D, D], "time", ["mixed_passes"]),
        (cube((1, 1)), [D, D], "product", ["two_dates"]),
        (cube((1, 0, 1, 0)), [D] * 4, "product", ["two_dates", "partly_valid"]),
        (cube((0, 1, 0, 0), change=False), [D] * 4, "product", ["single_date", "partly_valid"]),
        (cube((0.5, 0.5), change=False), [D, D], "product", ["single_date", "partly_valid"]),
        (cube((1,)), [U], "stored", ["single_date"]),
        (cube((1, 1, 1, 0.7)), [U] * 4, "stored", ["date_order_stored"]),
        (cube((0.9, 0.9, 0.9, 0.89)), [A] * 4, "product", ["partly_valid"]),
    ],
)
def test_flags(made: Cube, passes: list[str], order: str, flags: list[str]) -> None:
    assert quality_flags(made, passes, order) == flags


def test_which_dates_are_used() -> None:
    assert used_dates([A, U, D], [2, 0, 1], SarRecipe()) == [0, 1, 2]
    # As they are stored: the one that is stored first comes first.
    assert used_dates([A, U, D], [2, 0, 1], OriginalRecipe()) == [1, 2, 0]
    ascending = SarRecipe(orbit_pass="ascending")
    assert used_dates([A, U, D, A], [3, 2, 1, 0], ascending) == [0, 3]
    with pytest.raises(RejectedPlaceError, match=r"none of 2 dates is known to be ascending$"):
        used_dates([D, D], [0, 1], ascending)
    with pytest.raises(RejectedPlaceError, match="the pass of 1 is not known"):
        used_dates([D, U], [0, 1], ascending)
