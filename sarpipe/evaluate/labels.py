"""Labels of a user's own: files that say something of places by their ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sarpipe.errors import UsageError

_HINT = "Give a CSV or Parquet file with a column 'id' and a column for each label, or a folder of such files"

LABELS = "labels.parquet"
"""What `together` gives, as a file beside the figures."""
_OF_CLASSES = ("cls", "classification")


@dataclass(frozen=True)
class Labels:
    """One file of labels.

    Attributes:
        name: Of the file.
        table: ``id`` (text, unique), and the labels: numbers (float64, NaN unknown), or classes (text, None unknown).
    """

    name: str
    table: pd.DataFrame


def label_files(path: Path) -> list[Path]:
    """The files of labels at a path: it, or all CSV and Parquet files in this folder, by name.

    Raises:
        UsageError: There is none.
    """
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in (".csv", ".parquet"))
        if not found:
            raise UsageError(f"{path} has no .csv and no .parquet file", _HINT)
        return found
    if not path.is_file():
        raise UsageError(f"labels {path} do not exist", _HINT)
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"{path} is neither .csv nor .parquet", _HINT)
    return [path]


def together(labels: Sequence[Labels], ids: Sequence[str]) -> pd.DataFrame:
    """All labels of these places: ``id``, and every label, named with its file where two files have one of its name."""
    names = Counter(str(name) for one in labels for name in one.table.columns.drop("id"))
    columns = {
        f"{one.name}: {name}" if names[str(name)] > 1 else str(name): one.table.set_index("id")[name].reindex(list(ids))
        for one in labels
        for name in one.table.columns.drop("id")
    }
    return pd.DataFrame(columns, index=list(ids)).rename_axis("id").reset_index()


def labels_digest(path: Path) -> Mapping[str, str]:
    """The SHA-256 of each file by its name: what an evaluation by these labels depends on."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in label_files(path)}


def read_labels(path: Path) -> list[Labels]:
    """Read the labels at a path.

    Columns of numbers are quantities, to be regressed; columns of text or of true and false are classes. Classes that
    are written as numbers are taken for quantities, unless they are text, as ``class 3``, or the file is named as
    NeuCo-Bench names those of classes, ``<task>__cls.csv``.

    Raises:
        UsageError: A file cannot be read, has no ids or one twice, or has nothing else.
    """
    return [_read(file) for file in label_files(path)]


def _read(file: Path) -> Labels:
    try:
        table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, converters={"id": str})
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"labels {file} cannot be read: {reason}", _HINT) from error
    of_classes = file.stem.partition("__")[2].lower() in _OF_CLASSES
    return labels_of(file.name, table, of_classes=of_classes)


def labels_of(name: str, table: pd.DataFrame, *, of_classes: bool = False) -> Labels:
    """The labels in a table that has a column ``id``; with ``of_classes`` numbers are classes too.

    Raises:
        UsageError: It has no ids or one twice, or has nothing else.
    """
    if "id" not in table or len(table.columns) < 2:
        columns = ", ".join(map(str, table.columns)) or "nothing"
        raise UsageError(f"labels {name} have the columns {columns}", _HINT)
    ids = table["id"].astype(str)
    if ids.duplicated().any():
        raise UsageError(f"labels {name} have the id {ids[ids.duplicated()].iloc[0]!r} twice", "Keep one row a place")
    labels = {str(label): _column(table[label], of_classes) for label in table.columns if label != "id"}
    return Labels(name, pd.DataFrame({"id": ids, **labels}))


def _column(values: pd.Series, of_classes: bool) -> pd.Series:
    if not of_classes and pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        return pd.Series(np.where(np.isfinite(numbers), numbers, np.nan), index=values.index)
    return pd.Series([None if pd.isna(one) else str(one) for one in values], index=values.index, dtype=object)
