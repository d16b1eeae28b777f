from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.errors import DataError, UsageError
from sarpipe.neuco.vectors import check, read_vectors


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "e.csv"
    path.write_text(text)
    return path


def wide(tmp_path: Path, ids: list[str], columns: int = 1024) -> Path:
    pd.DataFrame(np.zeros((len(ids), columns)), index=pd.Index(ids, name="id")).to_csv(tmp_path / "e.csv")
    return tmp_path / "e.csv"


def test_columns_are_put_in_the_order_of_their_numbers_and_suffixes_taken_off(tmp_path: Path) -> None:
    vectors = read_vectors(write(tmp_path, "id,10,2,note\na.zarr.zip,1.5,2,x\nb.zarr,3,4,y\n007,5,6,z\n"))
    assert vectors.ids == ("a", "b", "007")
    np.testing.assert_array_equal(vectors.values, np.array([[2, 1.5], [4, 3], [6, 5]], np.float32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("place,0\na,1\n", "no column id"),
        ("id,0\na,1\na.zarr,2\n", "'a' stands more than once"),
        ("id,0,1\na,1,\nb,1,2\n", "'a' has a value"),
        ("id,0,1\na,1,2\nb,x,2\n", "'b' has a value"),
        ("id,0\na,inf\n", "'a' has a value"),
    ],
)
def test_what_the_benchmark_would_take_for_0_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=said):
        read_vectors(path)
    assert said in check(path, [])[0]


def test_no_file_and_other_kinds_of_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file"):
        read_vectors(tmp_path / "missing.csv")
    with pytest.raises(UsageError, match="neither"):
        read_vectors(Path(__file__))


def test_a_submission_that_keeps_the_rules_has_no_problems(tmp_path: Path) -> None:
    assert check(wide(tmp_path, ["a1", "b2"]), ["a1"]) == []


def test_problems_of_a_submission_are_named(tmp_path: Path) -> None:
    (missing, width) = check(wide(tmp_path, ["a1"], columns=3), ["a1", "b2"])
    assert missing == "1 ids of the labels are missing: 'b2'"
    assert width == "there are 3 columns beside id, not 1024"


def test_ids_that_the_benchmark_reads_as_numbers_are_a_problem(tmp_path: Path) -> None:
    assert check(wide(tmp_path, ["123", "456"]), []) == []
    (problem,) = check(wide(tmp_path, ["0123", "456"]), [])
    assert problem == "the benchmark reads 1 ids as other text: '0123'"


def test_a_submission_is_checked_as_it_stands_there(tmp_path: Path) -> None:
    wide = pd.DataFrame(np.zeros((1, 1024), np.float32), columns=[str(i) for i in range(1024)])
    wide.insert(0, "id", "a.zarr.zip")
    wide["note"] = "x"
    wide.to_csv(tmp_path / "e.csv", index=False)
    missing, columns = check(tmp_path / "e.csv", ["a"])
    assert missing == "1 ids of the labels are missing: 'a'"
    assert columns == "there are 1025 columns beside id, not 1024, and one is named 'note'"
