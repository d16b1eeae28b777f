"""All tasks of a folder, scored for the embeddings as they are, standardised by dimension, and for random vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.embeddings.table import some
from sarpipe.errors import DataError
from sarpipe.neuco import protocol
from sarpipe.neuco.labels import Task
from sarpipe.neuco.ridge import ridge
from sarpipe.neuco.vectors import Vectors
from sarpipe.standard import Standard

GIVEN, STANDARDISED, RANDOM = "embeddings", "standardised", "random"
"""What is scored: the vectors as given, the same by dimension, and standard normal numbers in their place."""

OnProgress = Callable[[int, int, str], None]
"""Called with the steps done, all steps, and what is scored."""


@dataclass(frozen=True)
class Score:
    """One task and one kind of vectors.

    Attributes:
        task: Name of the task.
        kind: ``regr`` (R²) or ``cls`` (F1).
        places: Labels that have a vector.
        vectors: Of `GIVEN`, `STANDARDISED` and `RANDOM`.
        best: The benchmark's score of each fold ``[40]``: the best epoch on its test places.
        last: After the last epoch ``[40]``.
        ridge: Ridge regression ``[40]``.
    """

    task: str
    kind: str
    places: int
    vectors: str
    best: NDArray[np.float64]
    last: NDArray[np.float64]
    ridge: NDArray[np.float64]

    @property
    def q(self) -> float:
        """The benchmark's Q of the best epochs."""
        return protocol.q(self.best)


def score(tasks: Sequence[Task], vectors: Vectors, device: torch.device, on_progress: OnProgress) -> list[Score]:
    """Score every task, in the order of names; for each of the three kinds of vectors all random numbers are the same.

    The vectors are scaled over the places that have a label in any task, as the benchmark does.

    Args:
        tasks: From `sarpipe.neuco.labels.read_tasks`.
        vectors: Of places; labels of others are left out.
        device: Where the benchmark's probes are trained.
        on_progress: Called after each epoch and fold.

    Raises:
        DataError: A task has fewer than 11 places with vectors, labels that do not vary, or is a classification of
            other than two values.
    """
    chosen = [_choose(task, vectors) for task in tasks]
    labelled = sorted({row for rows, _ in chosen for row in rows}, key=lambda row: vectors.ids[row])
    position = {row: i for i, row in enumerate(labelled)}
    forms = _forms(vectors.values[labelled])
    steps = _Steps(len(tasks) * (3 * protocol.EPOCHS + 2 * protocol.FOLDS), on_progress)
    ridges: dict[tuple[str, str], NDArray[np.float64]] = {}
    scores = []
    for name, values in forms.items():
        random = protocol.generator()
        scaled = protocol.scaled(values)
        for task, (rows, labels) in zip(tasks, chosen, strict=True):
            where = [position[row] for row in rows]
            on_step = steps.of(f"{name}, {task.name}")
            history = protocol.probe(scaled[where], labels, task.kind, random, device, on_step)
            # Ridge standardises by dimension itself: the two forms of the embeddings are one to it.
            key = (RANDOM if name == RANDOM else GIVEN, task.name)
            if key not in ridges:
                ridges[key] = ridge(values[where], labels, task.kind, on_step)
            best, last = history.max(axis=1), history[:, -1]
            scores.append(Score(task.name, task.kind, len(labels), name, best, last, ridges[key]))
    return sorted(scores, key=lambda one: one.task)


def _choose(task: Task, vectors: Vectors) -> tuple[list[int], NDArray[np.float64]]:
    """The rows that have a label, in the order of the labels, and these from 0 to 1."""
    known = vectors.rows()
    there = [i for i, place in enumerate(task.ids) if place in known]
    labels = task.labels[there]
    if len(there) < protocol.FEWEST:
        raise DataError(
            f"task {task.name}: {len(there)} of {len(task.ids)} labels have a vector ({some(task.ids)} are its first "
            f"ids, {some(vectors.ids)} those of the vectors), {protocol.FEWEST} are needed",
            "Ids of labels and vectors must be the same text",
            code=Code.TOO_FEW,
        )
    values = np.unique(labels)
    if len(values) < 2:
        raise DataError(
            f"task {task.name}: all labels are {labels[0]:g}", "Take its file out of LABELS", code=Code.BAD_TABLE
        )
    if task.kind == "cls" and len(values) != 2:
        raise DataError(
            f"task {task.name}: {len(values)} different labels, a classification has two",
            f"Name the file {task.name}__regr.csv if it is a regression",
            code=Code.BAD_TABLE,
        )
    return [known[task.ids[i]] for i in there], protocol.unit_range(labels)


def _forms(values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(protocol.SEED).standard_normal(values.shape, np.float32)
    return {GIVEN: values, STANDARDISED: Standard.of(values)(values).astype(np.float32), RANDOM: random}


class _Steps:
    """Counts what is done."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def of(self, what: str) -> Callable[[], None]:
        """What to call after each step of something."""

        def step() -> None:
            self._done += 1
            self._on_progress(self._done, self._total, what)

        return step


def missing(tasks: Sequence[Task], vectors: Vectors) -> list[str]:
    """Ids that have a label and no vector."""
    known = vectors.rows()
    return sorted({place for task in tasks for place in task.ids} - known.keys())
