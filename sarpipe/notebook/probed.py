"""A linear probe of labels that the user has, as the evaluation probes the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.errors import UsageError
from sarpipe.evaluate.baselines.position import position
from sarpipe.evaluate.blocks import blocks
from sarpipe.evaluate.estimate import Estimate, resamples
from sarpipe.evaluate.neighbours import folds
from sarpipe.evaluate.probe import FOLDS, predict, r_squared
from sarpipe.evaluate.targets import Targets, choose_targets
from sarpipe.notebook.labels import Labels, read_labels

if TYPE_CHECKING:
    from sarpipe.notebook.places import Places


def probe(places: Places, labels: Labels, *, seed: int = 0) -> pd.DataFrame:
    """How well a ridge regression reads labels from the embeddings, on places that it has not seen.

    Nested and geographically blocked (`sarpipe.evaluate.probe`): places within 50 km, and chains of such, are never on
    both sides of a split, and the penalty is chosen within the training places. Beside it, on the same folds, what
    needs no embedding: the mean of the training places, and position and season alone.

    Args:
        places: From `sarpipe.open_embeddings`.
        labels: Numbers by place id, a column a label; places without a number are left out of that label.
        seed: For folds and resamples.

    Returns:
        A row a label: ``r2`` (below 0 is worse than the mean of the places probed), ``low`` and ``high`` (95 %
        bootstrap interval over blocks), ``n`` places, ``groups``, their blocks, ``mean_r2`` and
        ``position_r2`` of the two baselines, ``position_gap_low`` and ``position_gap_high`` (interval of ``r2`` minus
        ``position_r2``, paired). NaN where a label cannot be probed, with the reason in ``note``.

    Raises:
        UsageError: No label is numeric, none is of a place here, or none can be probed; the message says why.
    """
    table = read_labels(labels)
    numeric = table.select_dtypes(["number", "bool"]).astype(np.float64)
    if not numeric.shape[1]:
        raise UsageError(f"no label is a number: {', '.join(map(str, table.columns))}", "Give classes as 0 and 1 each")
    if not numeric.index.isin(places.ids).any():
        raise UsageError(
            f"no label is of one of these {len(places):,} places: theirs look like {places.ids[0]!r}, "
            f"the labels' like {numeric.index[0]!r}",
            "Read ids as text: pandas.read_csv(..., dtype={'id': str})",
        )
    latitude, longitude = (places.table[name].to_numpy(np.float64) for name in ("latitude", "longitude"))
    groups = blocks(latitude, longitude)
    where = position(places.embeddings.index)
    rows = {str(name): _probed(places, numeric[name], groups, where, seed) for name in numeric}
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("label")
    if found["r2"].isna().all():
        raise UsageError(f"{found['note'].iloc[0]}", "Give numbers of more places, that differ between them")
    return found


def _probed(
    places: Places, values: pd.Series, groups: NDArray[np.intp], where: NDArray[np.float32], seed: int
) -> dict[str, float | int | str]:
    named = values.rename("label").rename_axis("id").reset_index()
    targets = choose_targets(named, list(places.ids), groups)
    if not isinstance(targets, Targets):
        none = dict.fromkeys(("r2", "low", "high"), np.nan)
        return {**none, "n": int(values.reindex(places.ids).notna().sum()), "note": targets}
    drawn = resamples(targets.groups, (seed, 1))

    def score(predicted: NDArray[np.float64]) -> Estimate:
        return r_squared(targets.values, predicted, drawn)[0]

    def ridge(vectors: NDArray[np.float32]) -> Estimate:
        return score(predict(vectors[targets.rows], targets.values, targets.groups, seed))

    ours, theirs = ridge(places.vectors), ridge(where)
    low, high = ours.interval
    gap_low, gap_high = (ours - theirs).interval
    return {
        "r2": ours.value,
        "low": low,
        "high": high,
        "n": len(targets.rows),
        "groups": len(np.unique(targets.groups)),
        "mean_r2": score(_means(targets, seed)).value,
        "position_r2": theirs.value,
        "position_gap_low": gap_low,
        "position_gap_high": gap_high,
        "note": "",
    }


def _means(targets: Targets, seed: int) -> NDArray[np.float64]:
    """The mean of the training places for each place, on the folds of the probe."""
    fold = folds(targets.groups, FOLDS, (seed,))
    predicted = np.empty_like(targets.values)
    for number in range(fold.max() + 1):
        predicted[fold == number] = targets.values[fold != number].mean(axis=0)
    return predicted
