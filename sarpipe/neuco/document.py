"""What a run of the protocol came to: as JSON, as a CSV, and as lines for a person."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sarpipe.neuco import protocol
from sarpipe.neuco.labels import Task
from sarpipe.neuco.score import GIVEN, RANDOM, STANDARDISED, Score

_COLUMNS = ("task", "kind", "n", "vectors", "q", "best", "best_std", "last", "last_std", "ridge", "ridge_std")
_MEASURES = {"regr": "R²", "cls": "F1"}


def document(
    labels: str, embeddings: str, tasks: Sequence[Task], missing: Sequence[str], scores: Sequence[Score]
) -> dict[str, Any]:
    """All of it, JSON-able: ``scores`` has a row a task and kind of vectors, with mean and deviation over the folds.

    Args:
        labels: Where the labels are.
        embeddings: Where the vectors are.
        tasks: The tasks.
        missing: Ids that have a label and no vector.
        scores: From `sarpipe.neuco.score.score`.
    """
    return {
        "labels": labels,
        "embeddings": embeddings,
        "protocol": {
            "folds": protocol.FOLDS,
            "test_share": protocol.TEST_SHARE,
            "seed": protocol.SEED,
            "epochs": protocol.EPOCHS,
            "batch_size": protocol.BATCH,
            "learning_rate": protocol.RATE,
        },
        "missing": list(missing),
        "skipped": {task.name: task.skipped for task in tasks if task.skipped},
        "mean_q": {
            name: float(np.mean([one.q for one in scores if one.vectors == name]))
            for name in (GIVEN, STANDARDISED, RANDOM)
        },
        "scores": [_row(one) for one in scores],
    }


def to_csv(said: Mapping[str, Any]) -> str:
    """The rows of ``scores``."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(said["scores"])
    return file.getvalue()


def lines(said: Mapping[str, Any]) -> list[str]:
    """The table."""
    rows = said["scores"]
    width = max(len(row["task"]) for row in rows)
    tasks = len({row["task"] for row in rows})
    least, most = min(row["n"] for row in rows), max(row["n"] for row in rows)
    n = f"n={most}" if least == most else f"n={least} to {most}"
    found = [
        f"NeuCo-Bench protocol on {said['labels']}: {tasks} tasks, {n}, mean ± deviation of {protocol.FOLDS} folds",
        f"{'task':<{width}}      vectors             Q     best epoch     last epoch          ridge",
    ]
    for row in rows:
        values = "".join(f"{row[name]:8.3f} ±{row[name + '_std']:5.3f}" for name in ("best", "last", "ridge"))
        found.append(f"{row['task']:<{width}}  {_MEASURES[row['kind']]}  {row['vectors']:<12} {row['q']:8.2f} {values}")
    found += [f"{'mean Q':<{width}}      {name:<12} {value:8.2f}" for name, value in said["mean_q"].items()]
    found.append(
        "Q is of the best epoch on the test fold, as the benchmark has it; last epoch and ridge are chosen without it. "
        "It is a NeuCo-Bench score only if the labels are NeuCo-Bench's."
    )
    return found


def _row(one: Score) -> dict[str, Any]:
    named = {"best": one.best, "last": one.last, "ridge": one.ridge}
    row: dict[str, Any] = {"task": one.task, "kind": one.kind, "n": one.places, "vectors": one.vectors, "q": one.q}
    for name, values in named.items():
        row |= {name: float(values.mean()), f"{name}_std": float(values.std())}
    return row
