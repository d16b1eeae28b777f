"""Values by place id: what a user knows of the places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sarpipe.errors import UsageError

Labels = pd.DataFrame | pd.Series | Mapping[str, Any] | str | Path
"""A frame with a column ``id`` or ids as its index, a series or mapping from ids, or a CSV file with ``id``."""

_HINT = "Give values by place id: a Series with ids as its index, a DataFrame or CSV with a column 'id'"


def read_labels(labels: Labels) -> pd.DataFrame:
    """Labels as a frame with the id as index (text, unique) and a column a label.

    Raises:
        UsageError: A file cannot be read, there is no id or no column, or an id stands twice.
    """
    frame = _frame(labels)
    if "id" in frame.columns:
        frame = frame.set_index("id")
    frame = frame.set_axis(frame.index.map(str))
    twice = frame.index[frame.index.duplicated()]
    if len(twice):
        raise UsageError(f"the labels have the id {twice[0]!r} more than once", "Give one row a place")
    if not frame.shape[1]:
        raise UsageError("the labels have no column besides the id", _HINT)
    return frame


def _frame(labels: Labels) -> pd.DataFrame:
    if isinstance(labels, pd.DataFrame):
        return labels
    if isinstance(labels, pd.Series):
        return labels.to_frame("label" if labels.name is None else str(labels.name))
    if isinstance(labels, Mapping):
        return pd.Series(dict(labels)).to_frame("label")
    try:
        # Ids are text: as numbers they would lose their zeros.
        frame = pd.read_csv(labels, dtype={"id": str})
    except (OSError, ValueError) as error:
        raise UsageError(f"{labels} cannot be read as CSV: {error}", _HINT) from error
    if "id" not in frame.columns:
        raise UsageError(f"{labels} has no column 'id', it has {', '.join(map(str, frame.columns))}", _HINT)
    return frame
