"""What the figures say, in sentences; and how much they can bear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sarpipe.evaluate.estimate import FEWEST_BLOCKS

ANECDOTE = 100
"""With fewer places a figure is an anecdote."""

FEWEST = 30
"""With fewer places nothing is won or lost: a difference has no interval that could be trusted."""

LABELS = {
    "sarpipe": "the embedding",
    "random_weights": "the same encoder with random weights",
    "random_convolutions": "random convolutional features + PCA",
    "pca": "PCA of the cube",
    "pca_whitened": "whitened PCA of the cube",
    "band_statistics": "band statistics",
    "date_statistics": "statistics of VV and VH of each date",
    "mean_pool": "8 x 8 mean pooling",
    "mean_pool_whitened": "whitened 8 x 8 mean pooling",
    "date_pool": "8 x 8 mean pooling of VV and VH of each date",
    "position": "position and season alone",
    "random_vectors": "random vectors",
}

LADDER = (
    ("random_vectors", "position", "mean_pool", "date_pool"),
    ("band_statistics", "date_statistics", "pca", "pca_whitened", "mean_pool_whitened"),
    ("random_weights",),
    ("random_convolutions",),
)
"""What an embedding must beat to stand on each rung, from the first to the last."""

DECISIVE = ("mean_r2", "displaced_recall_at_1", "displaced_mrr")
"""What it must beat them on, where it was measured. Not the retrieval on the same grid of pixels: there a picture, as
principal components and mean pooling keep it, matches itself, and what is measured is how well dates are registered:
whitened, both find it about as often as a trained encoder, or more often."""


def rung(differences: Sequence[Mapping[str, Any]]) -> int | None:
    """The highest rung of `LADDER` up to which every baseline is beaten on each of `DECISIVE`; 0 is the ground.

    Beaten is a paired difference whose 95 % interval lies above 0.

    Args:
        differences: As in the result of `sarpipe.evaluate.evaluate`.

    Returns:
        None where a difference has no interval, or a rung no difference at all: it is not judged.
    """
    judged = [row for row in differences if row["measure"] in DECISIVE]
    rungs = [[row["interval"] for row in judged if row["baseline"] in names] for names in LADDER]
    if not all(rungs) or any(interval is None for intervals in rungs for interval in intervals):
        return None
    beaten = [all(interval[0] > 0 for interval in intervals) for intervals in rungs]
    return (*beaten, False).index(False)


def claims(
    methods: Mapping[str, Mapping[str, Any]], differences: Sequence[Mapping[str, Any]], probed: int, retrieved: int
) -> list[str]:
    """Which rung was reached; then, for each measure over all of them, what is beaten, what not, and what is open.

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
    displaced = f"On the retrieval of the same place at other dates in another corner (proxy task, {retrieved} places,"
    tasks = {
        "mean_r2": (f"On the linear probe (proxy task, {probed} places, mean R² over {targets} targets)", probed),
        "displaced_recall_at_1": (f"{displaced} recall at 1)", retrieved),
        "displaced_mrr": (f"{displaced} mean reciprocal rank)", retrieved),
        "recall_at_1": (f"{retrieval} recall at 1)", retrieved),
        "mrr": (f"{retrieval} mean reciprocal rank)", retrieved),
    }
    said, undecided = [], set()
    for measure, (task, places) in tasks.items():
        rows = [row for row in differences if row["measure"] == measure]
        said += _sentences(task, places, [row for row in rows if row["interval"] is not None], methods)
        undecided |= {f"{places} places" for row in rows if row["interval"] is None}
    if undecided:
        few = " and ".join(sorted(undecided))
        said.append(
            f"{few} are too few, or lie in too few blocks, to say what the embedding beats: {FEWEST} in "
            f"{FEWEST_BLOCKS} blocks are needed."
        )
    return _rung_sentence(rung(differences), differences) + said


def _rung_sentence(reached: int | None, differences: Sequence[Mapping[str, Any]]) -> list[str]:
    if reached is None:
        return []
    probe = any(row["measure"] == "mean_r2" for row in differences)
    retrieval = "the retrieval of places in another corner"
    on = f"the mean R² of the probe and {retrieval}" if probe else f"{retrieval} alone (there is no probe)"
    sentence = f"The embedding stands on rung {reached} of {len(LADDER)}"
    beaten = [name for names in LADDER[:reached] for name in names]
    if beaten:
        sentence += f": on {on} it beats {_listed(beaten)}"
    if reached < len(LADDER):
        sentence += f"; for the next it must beat {_listed(LADDER[reached])}{'' if beaten else f' on {on}'}"
    return [f"{sentence}."]


def _sentences(
    task: str, places: int, rows: Sequence[Mapping[str, Any]], methods: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """One for each verdict that occurs."""
    if not rows:
        return []
    measure = rows[0]["measure"]
    anecdote = " So few places are an anecdote." if places < ANECDOTE else ""
    ours = f"the embedding ({_value(methods['sarpipe'], measure):.3f})"
    verdicts: dict[str, Callable[[Any], bool]] = {
        f"{task} {ours} beats": lambda interval: interval[0] > 0,
        f"{task} {ours} does not beat": lambda interval: interval[1] < 0,
        f"{task} no difference is shown between {ours} and": lambda interval: interval[0] <= 0 <= interval[1],
    }
    found = []
    for opening, holds in verdicts.items():
        chosen = [row for row in rows if holds(row["interval"])]
        if chosen:
            said = _beaten(chosen, methods) if opening.endswith("beats") else _compared(chosen, methods)
            found.append(f"{opening} {said}.{anecdote}")
    return found


def _beaten(rows: Sequence[Mapping[str, Any]], methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Who is, and by how much the closest of them."""
    names = ", ".join(_named(row, methods) for row in rows)
    closest = min(rows, key=lambda row: float(row["difference"]))
    return f"{names}, by {_size(closest)}{' or more' if len(rows) > 1 else ''}"


def _compared(rows: Sequence[Mapping[str, Any]], methods: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(f"{_named(row, methods)}: {_size(row)}" for row in rows)


def _named(row: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]) -> str:
    return f"{LABELS[row['baseline']]} ({_value(methods[row['baseline']], row['measure']):.3f})"


def _size(row: Mapping[str, Any]) -> str:
    low, high = row["interval"]
    return f"{row['difference']:z.3f} [{low:z.3f}, {high:z.3f}]"


def _listed(names: Sequence[str]) -> str:
    *others, last = [LABELS[name] for name in names]
    return f"{', '.join(others)} and {last}" if others else last


def _value(method: Mapping[str, Any], measure: str) -> float:
    if measure == "mean_r2":
        return float(method["mean_r2"]["value"])
    retrieval = "displaced_retrieval" if measure.startswith("displaced_") else "retrieval"
    return float(method[retrieval][measure.removeprefix("displaced_")]["value"])
