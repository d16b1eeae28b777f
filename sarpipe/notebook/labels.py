"""Values by place id: what a user knows of the places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sarpipe.errors import UsageError
from sarpipe.evaluate import labels as files

Labels = pd.DataFrame | pd.Series | Mapping[str, Any] | str | Path
"""A frame with a column ``id`` or ids as its index, a series or mapping from ids, or a file as of ``--labels``."""

_HINT = "Give a frame with a column 'id', or one whose index are the ids"


def read_labels(labels: Labels) -> files.Labels:
    """Labels as the evaluation has them: numbers are quantities; text, true and false are classes.

    Raises:
        UsageError: A file cannot be read, there is no id or no column, or an id stands twice.
    """
    if isinstance(labels, str | Path):
        found = files.read_labels(Path(labels))
        if len(found) > 1:
            names = ", ".join(one.name for one in found)
            raise UsageError(f"{labels} holds several files: {names}", "Name one of them")
        return found[0]
    frame = _frame(labels)
    if "id" in frame.columns:
        return files.labels_of("given", frame)
    if isinstance(frame.index, pd.RangeIndex):
        columns = ", ".join(map(str, frame.columns)) or "nothing"
        raise UsageError(f"the labels say of no place: their columns are {columns}, their index counts rows", _HINT)
    return files.labels_of("given", frame.rename_axis("id").reset_index())


def _frame(labels: pd.DataFrame | pd.Series | Mapping[str, Any]) -> pd.DataFrame:
    if isinstance(labels, pd.DataFrame):
        return labels
    if isinstance(labels, pd.Series):
        return labels.to_frame("label" if labels.name is None else str(labels.name))
    return pd.Series(dict(labels)).to_frame("label")
