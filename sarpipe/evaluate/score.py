"""The figures of each method, all on the same splits and resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import classes, knn, probe, retrieval
from sarpipe.evaluate.blocks import blocks
from sarpipe.evaluate.encoded import Encoded, of_seed, without_seeds
from sarpipe.evaluate.estimate import Estimate, over_seeds, resamples
from sarpipe.evaluate.neighbours import distinct
from sarpipe.evaluate.targets import Targets, choose_targets

MEASURES = ("mean_r2", "recall_at_1", "mrr", "displaced_recall_at_1", "displaced_mrr")
"""What is said of a method over all targets and all places."""

SEEDS = 3
"""Of folds, and of what methods draw: a figure is the mean over them, and its resamples draw one of them too."""

Figures = Mapping[str, Estimate]


@dataclass(frozen=True)
class Scores:
    """The estimates of one method; empty where not measured.

    Attributes:
        r2: Of each target, on blocked folds.
        retrieval, displaced: The measures of the two retrievals.
        random_r2: As ``r2``, on folds that are drawn place by place.
        knn: Mean R² of each of `sarpipe.evaluate.knn.KINDS`, on the blocked folds.
        hard: The measures of the retrieval in another corner among neighbours.
        precision: ``"value"``, see `sarpipe.evaluate.classes.precision`.
    """

    r2: Figures
    retrieval: Figures
    displaced: Figures
    random_r2: Figures = field(default_factory=dict)
    knn: Figures = field(default_factory=dict)
    hard: Figures = field(default_factory=dict)
    precision: Figures = field(default_factory=dict)

    def figures(self) -> dict[str, Estimate]:
        """Of `MEASURES` those that were measured."""
        found = {"mean_r2": probe.mean(list(self.r2.values()))} if self.r2 else {}
        found |= self.retrieval
        found |= {f"displaced_{measure}": estimate for measure, estimate in self.displaced.items()}
        return {measure: found[measure] for measure in MEASURES if measure in found}


@dataclass(frozen=True)
class Pool:
    """The queries of a retrieval that not all places can be asked: how many, and what chance would find."""

    n: int
    chance: float


@dataclass(frozen=True)
class Measured:
    """What was measured on some places.

    Attributes:
        encoded: The places and their vectors: those that were given, less overlapping ones.
        overlapping: How many were left out since they overlap another.
        targets: The columns of the truth that are probed; a sentence if none is.
        groups: The block of each place, ``[N]`` of all places.
        scores: By method.
        hard, precision: Queries of the retrieval among neighbours, and of the precision; None where there are none.
    """

    encoded: Encoded
    overlapping: int
    targets: Targets | str
    groups: NDArray[np.intp]
    scores: Mapping[str, Scores]
    hard: Pool | None
    precision: Pool | None


def measure(cubes: CubeSet, encoded: Encoded, seed: int, progress: Callable[[str], None]) -> Measured:
    """Probe and search the vectors of every method.

    Of places that overlap one is measured: in the retrieval the other would be a right answer that counts as wrong, and
    in the probe it would count twice. Folds and resamples are functions of the places and the seed and not of the
    method: estimates of any two methods are paired, also those of two calls.

    Args:
        cubes: The places.
        encoded: Their vectors.
        seed: For folds and resamples.
        progress: Called with the name of the method that is measured next.
    """
    latitude, longitude = (cubes.index[name].to_numpy(np.float64) for name in ("latitude", "longitude"))
    given = encoded
    encoded = encoded.only(distinct(latitude, longitude))
    groups = blocks(latitude, longitude)
    ids = [cubes.ids[i] for i in encoded.places]
    targets = choose_targets(cubes.truth, ids, groups[encoded.places])
    probing = _Probing.of(targets, seed) if isinstance(targets, Targets) else None
    paired = encoded.paired
    drawn = resamples(groups[paired], (seed, 2)) if len(paired) >= 2 else None
    among = _Queries.of_neighbours(latitude[paired], longitude[paired], drawn)
    alike = _Queries.of_classes(classes.dominant(cubes.truth, ids), groups[encoded.places], seed)
    scores = {}
    for name in without_seeds(encoded.whole):
        progress(name)
        scores[name] = replace(
            probing.scores(encoded.whole, name) if probing else Scores({}, {}, {}),
            retrieval=_retrieval(encoded.query, encoded.gallery, name, drawn),
            displaced=_retrieval(encoded.query_corner, encoded.gallery_corner, name, drawn),
            hard=among.measures(encoded, name) if among else {},
            precision=alike.precision(encoded, name) if alike else {},
        )
    return Measured(
        encoded,
        len(given.places) - len(encoded.places),
        targets,
        groups,
        scores,
        among.pool if among else None,
        alike.pool if alike else None,
    )


@dataclass(frozen=True)
class _Probing:
    """What the probes of all methods share."""

    targets: Targets
    drawn: NDArray[np.float64]
    seeds: Sequence[int]

    @classmethod
    def of(cls, targets: Targets, seed: int) -> _Probing:
        return cls(targets, resamples(targets.groups, (seed, 1)), [seed * SEEDS + number for number in range(SEEDS)])

    def scores(self, whole: Mapping[str, NDArray[np.float32]], name: str) -> Scores:
        targets = self.targets
        apart = np.arange(len(targets.rows))
        blocked, scattered = [], []
        nearest: dict[str, list[Estimate]] = {kind: [] for kind in knn.KINDS}
        for number, seed in enumerate(self.seeds):
            vectors = of_seed(whole, name, number)[targets.rows]
            blocked.append(self._r2(probe.predict(vectors, targets.values, targets.groups, seed)))
            scattered.append(self._r2(probe.predict(vectors, targets.values, apart, seed)))
            for kind, predicted in knn.predict(vectors, targets.values, targets.groups, seed).items():
                nearest[kind].append(probe.mean(self._r2(predicted)))
        return Scores(
            self._of_targets(blocked),
            {},
            {},
            random_r2=self._of_targets(scattered),
            knn={kind: over_seeds(found) for kind, found in nearest.items()},
        )

    def _r2(self, predicted: NDArray[np.float64]) -> list[Estimate]:
        return probe.r_squared(self.targets.values, predicted, self.drawn)

    def _of_targets(self, by_seed: Sequence[Sequence[Estimate]]) -> dict[str, Estimate]:
        return {
            name: over_seeds(found) for name, found in zip(self.targets.names, zip(*by_seed, strict=True), strict=True)
        }


@dataclass(frozen=True)
class _Queries:
    """Some of the places as queries: what each is asked, for all methods alike."""

    ask: Callable[[Encoded, str, int], NDArray[np.float64]]
    """Encoded, name and seed to ranks or shares of these queries."""
    drawn: NDArray[np.float64]
    pool: Pool

    @classmethod
    def of_neighbours(
        cls, latitude: NDArray[np.float64], longitude: NDArray[np.float64], drawn: NDArray[np.float64] | None
    ) -> _Queries | None:
        if drawn is None:
            return None
        nothing = np.zeros((len(latitude), 1))
        size = retrieval.ranks_among_neighbours(nothing, nothing, latitude, longitude)[1]
        rows = np.flatnonzero(size)
        if len(rows) < 2:
            return None

        def ask(encoded: Encoded, name: str, seed: int) -> NDArray[np.float64]:
            query, gallery = (of_seed(view, name, seed) for view in (encoded.query_corner, encoded.gallery_corner))
            return retrieval.ranks_among_neighbours(query, gallery, latitude, longitude)[0][rows].astype(np.float64)

        return cls(ask, _asked(drawn, rows), Pool(len(rows), float((1 / (1 + size[rows])).mean())))

    @classmethod
    def of_classes(cls, known: NDArray[np.intp] | None, groups: NDArray[np.intp], seed: int) -> _Queries | None:
        rows = np.flatnonzero(known >= 0) if known is not None else np.empty(0, np.intp)
        if known is None or not len(rows):
            return None
        chance = classes.precision(np.zeros((len(rows), 1)), known[rows], groups[rows])[1]
        asked = np.flatnonzero(np.isfinite(chance))
        if len(asked) < 2:
            return None

        def ask(encoded: Encoded, name: str, seed: int) -> NDArray[np.float64]:
            vectors = of_seed(encoded.whole, name, seed)[rows]
            return classes.precision(vectors, known[rows], groups[rows])[0][asked]

        drawn = _asked(resamples(groups[rows], (seed, 4)), asked)
        return cls(ask, drawn, Pool(len(asked), float(chance[asked].mean())))

    def measures(self, encoded: Encoded, name: str) -> Figures:
        """Recall at 1 and mean reciprocal rank; empty for a method that is not in the retrieval."""
        if name not in encoded.query_corner:
            return {}
        found = [
            retrieval.measures(self.ask(encoded, name, seed), self.drawn)
            for seed in range(_drawings(encoded.query_corner, name))
        ]
        return {measure: over_seeds([one[measure] for one in found]) for measure in ("recall_at_1", "mrr")}

    def precision(self, encoded: Encoded, name: str) -> Figures:
        """The mean of the shares."""
        total = self.drawn.sum(axis=1)
        shares = [self.ask(encoded, name, seed) for seed in range(_drawings(encoded.whole, name))]
        return {"value": over_seeds([Estimate(float(one.mean()), self.drawn @ one / total) for one in shares])}


def _asked(drawn: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """The resamples of these rows, less those that have none of them."""
    of_rows = drawn[:, rows]
    return of_rows[of_rows.any(axis=1)]


def _drawings(vectors: Mapping[str, NDArray[np.float32]], name: str) -> int:
    """How many times a method was drawn: one that draws nothing has but one figure."""
    first = of_seed(vectors, name, 0)
    return SEEDS if any(of_seed(vectors, name, seed) is not first for seed in range(1, SEEDS)) else 1


def _retrieval(
    query: Mapping[str, NDArray[np.float32]],
    gallery: Mapping[str, NDArray[np.float32]],
    name: str,
    drawn: NDArray[np.float64] | None,
) -> Figures:
    if drawn is None or name not in query:
        return {}
    ranks = [
        retrieval.ranks(of_seed(query, name, seed), of_seed(gallery, name, seed))
        for seed in range(_drawings(query, name))
    ]
    found = [retrieval.measures(one, drawn) for one in ranks]
    return {measure: over_seeds([one[measure] for one in found]) for measure in found[0]}
