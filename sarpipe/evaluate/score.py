"""The figures of each method, all on the same splits and resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import probe, retrieval
from sarpipe.evaluate.encoded import Encoded
from sarpipe.evaluate.estimate import Estimate, resamples
from sarpipe.evaluate.neighbours import clusters
from sarpipe.evaluate.targets import Targets, choose_targets

MEASURES = ("mean_r2", "recall_at_1", "mrr", "displaced_recall_at_1", "displaced_mrr")
"""What is said of a method over all targets and all places."""

Figures = Mapping[str, Estimate]


@dataclass(frozen=True)
class Scores:
    """The estimates of one method: R² of each target, and the measures of both retrievals; empty where not measured."""

    r2: Figures
    retrieval: Figures
    displaced: Figures

    def figures(self) -> dict[str, Estimate]:
        """Of `MEASURES` those that were measured."""
        found = {"mean_r2": probe.mean(list(self.r2.values()))} if self.r2 else {}
        found |= self.retrieval
        found |= {f"displaced_{measure}": estimate for measure, estimate in self.displaced.items()}
        return {measure: found[measure] for measure in MEASURES if measure in found}


@dataclass(frozen=True)
class Measured:
    """What was measured on some places.

    Attributes:
        targets: The columns of the truth that are probed; a sentence if none is.
        groups: Clusters of neighbouring places, ``[N]`` of all places.
        near: Whether each has a neighbour, ``[N]``.
        scores: By method.
    """

    targets: Targets | str
    groups: NDArray[np.intp]
    near: NDArray[np.bool_]
    scores: Mapping[str, Scores]


def measure(cubes: CubeSet, encoded: Encoded, seed: int, progress: Callable[[str], None]) -> Measured:
    """Probe and search the vectors of every method.

    Folds and resamples are functions of the places and the seed and not of the method: estimates of any two methods are
    paired, also those of two calls.

    Args:
        cubes: The places.
        encoded: Their vectors.
        seed: For folds and resamples.
        progress: Called with the name of the method that is measured next.
    """
    groups, near = clusters(cubes.index["latitude"].to_numpy(np.float64), cubes.index["longitude"].to_numpy(np.float64))
    targets = choose_targets(cubes.truth, [cubes.ids[i] for i in encoded.places], groups[encoded.places])
    drawn = resamples(groups[encoded.paired], (seed, 2)) if len(encoded.paired) >= 2 else None
    of_targets = resamples(targets.groups, (seed, 1)) if isinstance(targets, Targets) else None
    scores = {}
    for name, vectors in encoded.whole.items():
        progress(name)
        scores[name] = Scores(
            _probe(vectors, targets, seed, of_targets),
            _retrieval(encoded.query, encoded.gallery, name, drawn),
            _retrieval(encoded.query_corner, encoded.gallery_corner, name, drawn),
        )
    return Measured(targets, groups, near, scores)


def _probe(
    vectors: NDArray[np.float32], targets: Targets | str, seed: int, drawn: NDArray[np.float64] | None
) -> Figures:
    if drawn is None or isinstance(targets, str):
        return {}
    predicted = probe.predict(vectors[targets.rows], targets.values, targets.groups, seed)
    return dict(zip(targets.names, probe.r_squared(targets.values, predicted, drawn), strict=True))


def _retrieval(
    query: Mapping[str, NDArray[np.float32]],
    gallery: Mapping[str, NDArray[np.float32]],
    name: str,
    drawn: NDArray[np.float64] | None,
) -> Figures:
    if drawn is None or name not in query:
        return {}
    return retrieval.measures(retrieval.ranks(query[name], gallery[name]), drawn)
