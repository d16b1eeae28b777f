"""What the figures say, in sentences; and how much they can bear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ANECDOTE = 100
"""With fewer places a figure is an anecdote."""

LABELS = {
    "sarpipe": "the embedding",
    "random_weights": "the same encoder with random weights",
    "band_statistics": "band statistics",
}


def claims(
    methods: Mapping[str, Mapping[str, Any]], differences: Sequence[Mapping[str, Any]], probed: int, retrieved: int
) -> list[str]:
    """One sentence for each baseline and each of mean R², recall at 1 and mean reciprocal rank.

    A win is a paired difference whose 95 % interval lies above 0; one that holds 0 shows nothing.

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
    low, high = row["interval"]
    size = f"{row['difference']:z.3f} [{low:z.3f}, {high:z.3f}]"
    if low > 0:
        verdict = f"the embedding beats {label} by {size}"
    elif high < 0:
        verdict = f"the embedding does not beat {label}: difference {size}"
    else:
        verdict = f"no difference between the embedding and {label} is shown: {size}"
    ours, theirs = (_value(methods[name], row["measure"]) for name in ("sarpipe", row["baseline"]))
    anecdote = " So few places are an anecdote." if places < ANECDOTE else ""
    return f"{task} {verdict} ({ours:.3f} against {theirs:.3f}).{anecdote}"


def _value(method: Mapping[str, Any], measure: str) -> float:
    figure = method["mean_r2"] if measure == "mean_r2" else method["retrieval"][measure]
    return float(figure["value"])
