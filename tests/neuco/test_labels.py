from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sarpipe.errors import DataError, UsageError
from sarpipe.neuco.labels import read_tasks


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder


def test_tasks_are_read_by_name_with_their_kind_and_empty_labels_are_counted(labels: Path) -> None:
    tasks = read_tasks(labels)
    assert [(task.name, task.kind, len(task.ids), task.skipped) for task in tasks] == [
        ("biomass", "regr", 88, 2),
        ("cloudy", "cls", 90, 0),
        ("crops", "regr", 90, 0),
    ]


def test_ids_are_text_and_further_columns_do_not_matter(tmp_path: Path) -> None:
    (task,) = read_tasks(write(tmp_path, "a__regr.csv", "split,label,id\nx,1.5,0012\ny,2,1e3\n"))
    assert task.ids == ("0012", "1e3")
    np.testing.assert_array_equal(task.labels, [1.5, 2])


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("a.csv", "id,label\n", UsageError, "a.csv does not say"),
        ("a__count.csv", "id,label\n", UsageError, "a__count.csv does not say"),
        ("__regr.csv", "id,label\n", UsageError, "does not say"),
        ("a__regr.csv", "id,value\nx,1\n", DataError, "no column label"),
        ("a__regr.csv", "id,label\nx,1\nx,2\n", DataError, "'x' stands more than once"),
        ("a__regr.csv", "id,label\nx,high\n", DataError, "'x' is 'high'"),
        ("a__regr.csv", "id,label\nx,nan\n", DataError, "no finite number"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, name: str, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        read_tasks(write(tmp_path, name, text))


def test_no_folder_no_files_and_one_task_twice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        read_tasks(tmp_path / "missing")
    with pytest.raises(UsageError, match="holds no CSV"):
        read_tasks(tmp_path)
    write(tmp_path, "a__regr.csv", "id,label\nx,1\n")
    with pytest.raises(UsageError, match="two files of the task 'a'"):
        read_tasks(write(tmp_path, "a__cls.csv", "id,label\nx,1\n"))
