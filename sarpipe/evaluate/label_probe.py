"""The probes of a user's labels: the same protocol as for the truth of a simulator, one label at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.evaluate import probe
from sarpipe.evaluate.claims import ANECDOTE
from sarpipe.evaluate.encoded import of_seed, without_seeds
from sarpipe.evaluate.estimate import FEW_BLOCKS, FEWEST_BLOCKS, Estimate, over_seeds, resamples
from sarpipe.evaluate.labels import Labels
from sarpipe.evaluate.score import SEEDS

OWN = "sarpipe"
"""The method that others are compared with, where it is there."""
FEWEST_LABELLED = 20
"""Places: labels are dear, so fewer do than of a simulator's truth; below `ANECDOTE` it is said what that is worth."""
FEWEST_OF_A_CLASS = 5
"""Places: a class with fewer is left out, with its places."""

_Score = Callable[[NDArray[np.float64]], Estimate]


def probe_labels(
    labels: Labels,
    ids: Sequence[str],
    whole: Mapping[str, NDArray[np.float32]],
    groups: NDArray[np.intp],
    seed: int,
) -> dict[str, Any]:
    """Probe each label of a file from the vectors of every method.

    A quantity is predicted by `sarpipe.evaluate.probe.predict`, and scored by R². Of classes, each is predicted so as a
    target of 0 and 1, and a place is given that of the largest prediction; scored by balanced accuracy (mean recall of
    the classes) and macro F1. Places that overlap are all kept here, as labels are few: a block holds them together in
    folds and in resamples.

    Args:
        labels: They.
        ids: The places that have vectors, ``[N]``.
        whole: For each method their vectors ``[N, D]``.
        groups: Their blocks ``[N]``.
        seed: For folds and resamples.

    Returns:
        JSON-able: ``source``; ``known``, how many ids of the file are among the places, and ``rows``, how many it has;
        ``columns``, for each ``kind``, ``n``, ``blocks``, ``notes``, and where it was measured ``measures``: for each
        measure, for each method ``value``, ``interval``, ``random_split``, the value on folds that part places of
        one block, and of all but `OWN` its ``gap`` to that, which is the paired difference of `OWN` less the method,
        ``value`` and ``interval``.
    """
    table = labels.table.set_index("id").reindex(list(ids))
    columns = {str(name): _column(table[name], whole, groups, seed) for name in table.columns}
    known = int(labels.table["id"].isin(list(ids)).sum())
    return {"source": f"labels {labels.name}", "rows": len(labels.table), "known": known, "columns": columns}


def _column(
    values: pd.Series, whole: Mapping[str, NDArray[np.float32]], groups: NDArray[np.intp], seed: int
) -> dict[str, Any]:
    if not pd.api.types.is_numeric_dtype(values):
        return _classes(values, whole, groups, seed)
    numbers = values.to_numpy(np.float64)
    rows = np.flatnonzero(np.isfinite(numbers))
    found: dict[str, Any] = {"kind": "quantity", **_count(rows, groups)}
    why = _why_not(rows, groups) or ("it does not vary" if np.ptp(numbers[rows]) == 0 else None)
    if why:
        return found | {"notes": [f"not measured: {why}"]}
    target = numbers[rows, None]
    drawn = resamples(groups[rows], (seed, 5))

    def r2(predicted: NDArray[np.float64]) -> Estimate:
        return probe.r_squared(target, predicted, drawn)[0]

    return found | {
        "notes": _notes(rows, groups),
        "measures": _measures({"R²": r2}, target, rows, whole, groups, seed),
    }


def _classes(
    values: pd.Series, whole: Mapping[str, NDArray[np.float32]], groups: NDArray[np.intp], seed: int
) -> dict[str, Any]:
    sizes = values.value_counts()
    names = sorted(sizes.index[sizes >= FEWEST_OF_A_CLASS])
    rows = np.flatnonzero(values.isin(names))
    left_out = int(values.notna().sum()) - len(rows)
    found: dict[str, Any] = {
        "kind": "classes",
        "classes": {name: int(sizes[name]) for name in names},
        **_count(rows, groups),
    }
    notes = [f"{left_out} places of classes with fewer than {FEWEST_OF_A_CLASS} are left out"] if left_out else []
    why = _why_not(rows, groups) or (f"{len(names)} classes have {FEWEST_OF_A_CLASS}" if len(names) < 2 else None)
    if why:
        return found | {"notes": [*notes, f"not measured: {why}"]}
    truth = np.array([names.index(value) for value in values.iloc[rows]])
    target = (truth[:, None] == np.arange(len(names))).astype(np.float64)
    drawn = resamples(groups[rows], (seed, 5))
    drawn = drawn[((drawn @ target) > 0).all(axis=1)]
    if not len(drawn):
        return found | {"notes": [*notes, "not measured: no resample of the blocks has all classes"]}
    scores: dict[str, _Score] = {
        "balanced accuracy": lambda predicted: balanced_accuracy(target, predicted, drawn),
        "F1": lambda predicted: macro_f1(target, predicted, drawn),
    }
    return found | {
        "notes": notes + _notes(rows, groups),
        "measures": _measures(scores, target, rows, whole, groups, seed),
    }


def balanced_accuracy(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], drawn: NDArray[np.float64]
) -> Estimate:
    """Mean over the classes of the share of their places that are given to them; chance is one over their number.

    Args:
        truth: One-hot ``[N, K]``, every class in it.
        predicted: ``[N, K]``; a place is given the class of the largest.
        drawn: Resamples ``[R, N]``, every class in each.
    """
    hit = truth * _one_hot(predicted)
    recall = _totals(hit, drawn) / _totals(truth, drawn)
    return _estimate(recall.mean(axis=1))


def macro_f1(truth: NDArray[np.float64], predicted: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    """Mean over the classes of F1; arguments as of `balanced_accuracy`."""
    given = _one_hot(predicted)
    f1 = 2 * _totals(truth * given, drawn) / (_totals(truth, drawn) + _totals(given, drawn))
    return _estimate(f1.mean(axis=1))


def _one_hot(predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(predicted.argmax(axis=1)[:, None] == np.arange(predicted.shape[1]), np.float64)


def _totals(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the sample itself, then of each resample: ``[1 + R, K]``."""
    return np.concatenate([values.sum(axis=0)[None], drawn @ values])


def _estimate(values: NDArray[np.float64]) -> Estimate:
    return Estimate(float(values[0]), values[1:])


def _measures(
    scores: Mapping[str, _Score],
    target: NDArray[np.float64],
    rows: NDArray[np.intp],
    whole: Mapping[str, NDArray[np.float32]],
    groups: NDArray[np.intp],
    seed: int,
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {measure: {} for measure in scores}
    own: dict[str, Estimate] = {}
    apart = np.arange(len(rows))
    for name in sorted(without_seeds(whole), key=lambda name: name != OWN):
        seeds = [(seed * SEEDS + number, of_seed(whole, name, number)[rows]) for number in range(SEEDS)]
        blocked = [probe.predict(vectors, target, groups[rows], number) for number, vectors in seeds]
        scattered = [probe.predict(vectors, target, apart, number) for number, vectors in seeds]
        for measure, score in scores.items():
            estimate = over_seeds([score(one) for one in blocked])
            found[measure][name] = {
                **estimate.as_json(),
                "random_split": float(np.mean([score(one).value for one in scattered])),
            }
            if name == OWN:
                own[measure] = estimate
            elif measure in own:
                found[measure][name]["gap"] = (own[measure] - estimate).as_json()
    return found


def _count(rows: NDArray[np.intp], groups: NDArray[np.intp]) -> dict[str, int]:
    return {"n": len(rows), "blocks": len(np.unique(groups[rows]))}


def _why_not(rows: NDArray[np.intp], groups: NDArray[np.intp]) -> str | None:
    if len(rows) < FEWEST_LABELLED:
        return f"{len(rows)} places have it, {FEWEST_LABELLED} are needed"
    if len(np.unique(groups[rows])) < 2:
        return "all places that have it lie in one block: no split keeps neighbours together"
    return None


def _notes(rows: NDArray[np.intp], groups: NDArray[np.intp]) -> list[str]:
    count = len(np.unique(groups[rows]))
    few = [f"{len(rows)} places are an anecdote"] if len(rows) < ANECDOTE else []
    if count < FEWEST_BLOCKS:
        return [*few, f"{count} blocks: the resamples draw single places, and the intervals are too narrow"]
    return [*few, f"{count} blocks are few: the intervals are too narrow"] if count < FEW_BLOCKS else few
