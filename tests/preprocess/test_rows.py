from pathlib import Path

import numpy as np
import pytest

from sarpipe.preprocess.rows import RowWriter


@pytest.mark.parametrize("rows", [0, 1, 64, 1234])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_bytes_are_those_of_numpy(tmp_path: Path, rows: int, dtype: type) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 2, 3)).astype(dtype)
    with RowWriter(tmp_path / "a.npy", (2, 3), np.dtype(dtype)) as writer:
        for row in values:
            writer.append(row.astype(np.float32).T.copy().T)
    np.save(tmp_path / "b.npy", values)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_row_of_another_shape_is_refused(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "a.npy", (2, 3), np.dtype(np.float32)) as writer:
        with pytest.raises(ValueError, match="needs"):
            writer.append(np.zeros((3, 2)))
        writer.append(np.ones((2, 3)))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.ones((1, 2, 3)))
