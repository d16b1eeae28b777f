"""What the probe shall read: the columns of the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.evaluate.blocks import BLOCK_KM
from sarpipe.evaluate.estimate import FEWEST_BLOCKS

FEWEST_PLACES = 30
"""Below, a fold of the probe has fewer than six places."""
_FEWEST_VARIED = FEWEST_BLOCKS
"""Blocks in which a target must differ from its commonest value, else a resample may hold that value alone."""


@dataclass(frozen=True)
class Targets:
    """What can be probed.

    Attributes:
        names: Columns of the truth.
        values: ``float64 [n, T]``, finite, none constant.
        rows: Which of the places that were asked for these n are.
        groups: Their blocks ``[n]``.
        dropped: Columns left out because they hardly vary.
    """

    names: list[str]
    values: NDArray[np.float64]
    rows: NDArray[np.intp]
    groups: NDArray[np.intp]
    dropped: list[str]


def choose_targets(truth: pd.DataFrame | None, ids: list[str], groups: NDArray[np.intp]) -> Targets | str:
    """The truth of these places, or in words why there is nothing to probe.

    Args:
        truth: ``id`` and numeric columns, or None.
        ids: Places.
        groups: Their blocks.
    """
    if truth is None:
        return "no truth beside the stores: the linear probe was not measured"
    table = truth.set_index("id").select_dtypes("number").reindex(ids)
    rows = np.flatnonzero(np.isfinite(table.to_numpy(np.float64)).all(axis=1))
    if len(rows) < FEWEST_PLACES:
        return f"{len(rows)} places have truth, the linear probe needs {FEWEST_PLACES}: it was not measured"
    there = len(np.unique(groups[rows]))
    if there < FEWEST_BLOCKS:
        several = "" if there == 1 else "s"
        return (
            f"the {len(rows)} places with truth lie in {there} block{several} of {BLOCK_KM:g} km, "
            f"the linear probe needs {FEWEST_BLOCKS}: it was not measured"
        )
    values = table.to_numpy(np.float64)[rows]
    kept = [i for i in range(values.shape[1]) if _varied(values[:, i], groups[rows]) >= _FEWEST_VARIED]
    if not kept:
        return "no column of the truth varies between the places: the linear probe was not measured"
    names = [str(name) for name in table.columns]
    dropped = [name for i, name in enumerate(names) if i not in kept]
    return Targets([names[i] for i in kept], values[:, kept], rows, groups[rows], dropped)


def _varied(values: NDArray[np.float64], groups: NDArray[np.intp]) -> int:
    distinct, counts = np.unique(values, return_counts=True)
    return len(np.unique(groups[values != distinct[counts.argmax()]]))
