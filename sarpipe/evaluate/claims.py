"""What the figures say, in sentences; and how much they can bear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ANECDOTE = 100
"""With fewer places a figure is an anecdote."""

FEWEST = 30
"""With fewer places nothing is won or lost: a difference has no interval that could be trusted."""

LABELS = {
    "sarpipe": "the embedding",
    "random_weights": "the same encoder with random weights",
    "band_statistics": "band statistics",
}


def claims(
    methods: Mapping[str, Mapping[str, Any]], differences: Sequence[Mapping[str, Any]], probed: int, retrieved: int
) -> list[str]:
    """One sentence for each baseline and each of mean R², recall at 1 and mean reciprocal rank.

    A win is a paired difference whose 95 % interval lies above 0; one that holds 0 shows nothing, and one without an
    interval (fewer than `FEWEST` places) is not judged.

    Args:
        methods: As in the result of `sarpipe.evaluate.evaluate`.
        differences: Likewise.
        probed: Places of the probe.
        retrieved: Places of the retrieval.
    """
    targets = len(methods["sarpipe"]["probe"] or ())
    retrieval = f"On the retrieval of the same place at other dates (proxy task, {retrieved} places,"
    tasks = {
        "mean_r2": (f"On the linear probe (proxy task, {probed} places, mean R² over {targets} targets)", probed),
        "recall_at_1": (f"{retrieval} recall at 1)", retrieved),
        "mrr": (f"{retrieval} mean reciprocal rank)", retrieved),
    }
    return [_sentence(*tasks[row["measure"]], row, methods) for row in differences if row["measure"] in tasks]


def _sentence(task: str, places: int, row: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]) -> str:
    label = LABELS[row["baseline"]]
    if row["interval"] is None:
        verdict = (
            f"{places} places are too few to set the embedding against {label}: difference {row['difference']:z.3f}"
        )
    else:
        verdict = _verdict(label, row["difference"], *row["interval"])
    ours, theirs = (_value(methods[name], row["measure"]) for name in ("sarpipe", row["baseline"]))
    anecdote = " So few places are an anecdote." if FEWEST <= places < ANECDOTE else ""
    return f"{task} {verdict} ({ours:.3f} against {theirs:.3f}).{anecdote}"


def _verdict(label: str, difference: float, low: float, high: float) -> str:
    size = f"{difference:z.3f} [{low:z.3f}, {high:z.3f}]"
    if low > 0:
        return f"the embedding beats {label} by {size}"
    if high < 0:
        return f"the embedding does not beat {label}: difference {size}"
    return f"no difference between the embedding and {label} is shown: {size}"


def _value(method: Mapping[str, Any], measure: str) -> float:
    figure = method["mean_r2"] if measure == "mean_r2" else method["retrieval"][measure]
    return float(figure["value"])
