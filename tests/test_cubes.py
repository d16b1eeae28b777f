from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sarpipe.cubes import RowFiles, blocks
from sarpipe.errors import DamagedError


def spread(folder: Path, rows: NDArray[np.float32], counts: list[int], seed: int) -> RowFiles:
    """The rows in several files, in another order than that in which they are asked for."""
    rng = np.random.default_rng(seed)
    files = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    places = np.zeros(len(rows), np.int64)
    paths = [folder / f"{i}.npy" for i in range(len(counts))]
    for i, path in enumerate(paths):
        here = np.flatnonzero(files == i)
        places[here] = rng.permutation(len(here))
        stored = np.empty((len(here), *rows.shape[1:]), rows.dtype)
        stored[places[here]] = rows[here]
        np.save(path, stored)
    return RowFiles(paths, files, places)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 1000), st.data())
def test_rows_in_files_are_as_an_array(tmp_path: Path, counts: list[int], seed: int, data: st.DataObject) -> None:
    rows = np.random.default_rng(seed).normal(size=(sum(counts), 2, 3)).astype(np.float32)
    files = spread(tmp_path, rows, counts, seed)
    assert (len(files), files.shape, files.dtype, files.nbytes) == (len(rows), rows.shape, rows.dtype, rows.nbytes)
    start, stop = (data.draw(st.integers(-9, 60)) for _ in range(2))
    assert np.array_equal(files[start:stop], rows[start:stop])
    some = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)), np.int64)
    assert np.array_equal(files[some], rows[some])
    assert np.array_equal(np.concatenate(list(blocks(files))), rows)


def test_a_file_that_is_cut_short_or_gone_is_named(tmp_path: Path) -> None:
    rows = np.ones((6, 2, 3), np.float32)
    files = spread(tmp_path, rows, [3, 3], 0)
    whole = (tmp_path / "1.npy").read_bytes()
    (tmp_path / "1.npy").write_bytes(whole[:-4])
    with pytest.raises(DamagedError, match=r"1\.npy cannot be read any more: it ends too early"):
        files[:]
    (tmp_path / "1.npy").unlink()
    with pytest.raises(DamagedError, match=r"1\.npy"):
        files[:]


def test_a_row_that_changes_after_its_checksum_was_taken_is_never_given(tmp_path: Path) -> None:
    rows = np.arange(36, dtype=np.float32).reshape(6, 2, 3)
    files = spread(tmp_path, rows, [3, 3], 0)
    files.keep_checksums()
    assert np.array_equal(files[:], rows)
    whole = bytearray((tmp_path / "1.npy").read_bytes())
    whole[-1] ^= 1
    (tmp_path / "1.npy").write_bytes(whole)
    with pytest.raises(DamagedError, match=r"1\.npy has changed since it was opened: its row 2"):
        files[:]
    refused = [row for row in range(6) if not is_given(files, row, rows)]
    assert len(refused) == 1


def is_given(files: RowFiles, row: int, rows: NDArray[np.float32]) -> bool:
    try:
        return np.array_equal(files[row : row + 1], rows[row : row + 1])
    except DamagedError:
        return False


def test_files_of_different_types_are_no_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    np.save(tmp_path / "b.npy", np.ones((2, 3), np.float16))
    with pytest.raises(DamagedError, match="one type"):
        RowFiles([tmp_path / "a.npy", tmp_path / "b.npy"], np.array([0, 1]), np.array([0, 0]))
