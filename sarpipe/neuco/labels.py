"""A folder of labels: one CSV a task, named ``<task>__regr.csv`` or ``<task>__cls.csv``, columns ``id,label``."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.errors import DataError, UsageError

Kind = Literal["regr", "cls"]
_KINDS: dict[str, Kind] = {"regr": "regr", "regression": "regr", "cls": "cls", "classification": "cls"}
_FORM = "LABELS holds files <task>__regr.csv and <task>__cls.csv with the columns id,label"


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: What comes before ``__``.
        kind: ``regr`` or ``cls``.
        ids: In the order of the file, unique.
        labels: ``float64 [N]``, finite.
        skipped: Rows of the file without a label.
    """

    name: str
    kind: Kind
    ids: tuple[str, ...]
    labels: NDArray[np.float64]
    skipped: int


def read_tasks(folder: Path) -> list[Task]:
    """All tasks of a folder, by name.

    Raises:
        UsageError: It is no folder, holds no CSV, or one whose name does not say of which kind it is.
        DataError: A file lacks a column, an id stands twice, or a label is not a finite number.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", _FORM)
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise UsageError(f"{folder} holds no CSV", _FORM)
    tasks = sorted((_read(path) for path in files), key=lambda task: task.name)
    twice = [name for name, count in Counter(task.name for task in tasks).items() if count > 1]
    if twice:
        raise UsageError(f"{folder} has two files of the task {twice[0]!r}", "Give each task a name of its own")
    return tasks


def _read(path: Path) -> Task:
    name, _, suffix = path.stem.partition("__")
    if not name or suffix.lower() not in _KINDS:
        raise UsageError(f"{path.name} does not say of which kind its labels are", _FORM)
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [column for column in ("id", "label") if column not in (rows.fieldnames or ())]
        if missing:
            raise DataError(f"{path} has no column {missing[0]}", _FORM, code=Code.BAD_TABLE)
        table = [(row["id"], row["label"]) for row in rows]
    ids = tuple(place for place, label in table if label)
    twice = [place for place, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: id {twice[0]!r} stands more than once", "Give each place one label a task", code=Code.DUPLICATE_ID
        )
    labels = np.array([_number(path, place, label) for place, label in table if label], np.float64)
    return Task(name, _KINDS[suffix.lower()], ids, labels, len(table) - len(ids))


def _number(path: Path, place: str, label: str) -> float:
    try:
        value = float(label)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(
            f"{path}: the label of {place!r} is {label!r}, no finite number",
            "Leave a label that is not known empty",
            code=Code.NOT_FINITE,
        )
    return value
