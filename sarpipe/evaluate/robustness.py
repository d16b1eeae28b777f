"""Robustness: what is left of a probe and of a retrieval when what the vectors are made from is disturbed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import probe, retrieval
from sarpipe.evaluate.encoded import Encode, known_mean
from sarpipe.evaluate.estimate import resamples
from sarpipe.evaluate.perturbation import Disturbances, Perturb
from sarpipe.evaluate.score import Measured
from sarpipe.evaluate.targets import Targets
from sarpipe.preprocess.temporal import statistics
from sarpipe.standard import Standard, unit

MOST = 1024
"""Places that are disturbed at most, drawn at random: more would take minutes and sharpen no curve that is drawn."""
METHODS = ("sarpipe", "band_statistics", "pca")
"""What is disturbed: the embedding, and two baselines that a curve must be seen beside; each costs 17 encodings."""
_BATCH = 128


def robustness(
    cubes: CubeSet,
    measured: Measured,
    encoders: Mapping[str, Encode],
    disturb: Disturbances,
    seed: int,
    progress: Callable[[str], None],
    *,
    may_not_know: Collection[str] = (),
) -> dict[str, Any] | None:
    """Disturb the frames of places, encode them again, and read the new vectors with what was learnt from the old ones.

    Cubes are taken anew from disturbed frames, and so are undisturbed ones; the kinds are those of
    `sarpipe.evaluate.perturbation`. For each kind and level, for each method: ``mean_r2`` of the linear probe, fitted
    on undisturbed vectors and read from disturbed ones of places that it has not seen; ``recall_at_1`` of disturbed
    queries among undisturbed vectors; and ``cosine`` of both, dimensions standardised by the undisturbed. What a method
    that may not know gives as NaN is the mean of its dimension over the undisturbed places.

    Args:
        cubes: The places.
        measured: What was measured of them: these places are disturbed, of more than `MOST` so many.
        encoders: By name; of `METHODS` those that are there are taken.
        disturb: How.
        seed: For the draw, the perturbations, folds and resamples.
        progress: Called with a line of text now and then.
        may_not_know: As of `sarpipe.evaluate.encoded.encode_all`.

    Returns:
        JSON-able: ``n`` places disturbed, ``of`` so many, ``probed``, and ``kinds``: for each a list of ``level`` and
        ``methods``, the undisturbed one first; None for fewer than two places.
    """
    places = measured.encoded.places
    drawn = np.arange(len(places))
    if len(places) > MOST:
        drawn = np.sort(np.random.default_rng((seed, 6)).permutation(len(places))[:MOST])
    rows = places[drawn]
    if len(rows) < 2:
        return None
    chosen = {name: encoders[name] for name in METHODS if name in encoders}
    encode = _Encoding(cubes, rows, chosen, may_not_know, seed)
    progress("disturbing places: clean")
    clean = encode(lambda frames, _: frames, 0)
    means = {name: known_mean(vectors) for name, vectors in clean.items()}
    clean = {name: _filled(vectors, means[name]) for name, vectors in clean.items()}
    steps = [(kind, level, perturb) for kind, levels in disturb.items() for level, perturb in levels]
    disturbed = []
    for number, (kind, level, perturb) in enumerate(steps, 1):
        progress(f"disturbing places: {kind} {level}")
        found = encode(perturb, number)
        disturbed.append({name: _filled(vectors, means[name]) for name, vectors in found.items()})
    kept = _kept(measured.targets, drawn)
    reading = _Reading(clean, kept, measured.groups[rows], seed)
    figures = {name: reading.figures(name, [one[name] for one in disturbed]) for name in chosen}
    kinds: dict[str, list[dict[str, Any]]] = {
        kind: [{"level": "none", "methods": {name: figures[name][0] for name in chosen}}] for kind in disturb
    }
    for number, (kind, level, _) in enumerate(steps, 1):
        kinds[kind].append({"level": level, "methods": {name: figures[name][number] for name in chosen}})
    return {"n": len(rows), "of": len(places), "probed": len(kept.rows) if kept else 0, "kinds": kinds}


class _Encoding:
    """Vectors of disturbed places."""

    def __init__(
        self,
        cubes: CubeSet,
        rows: NDArray[np.intp],
        encoders: Mapping[str, Encode],
        may_not_know: Collection[str],
        seed: int,
    ) -> None:
        self._cubes, self._rows, self._encoders = cubes, rows, encoders
        self._may_not_know, self._seed = may_not_know, seed

    def __call__(self, perturb: Perturb, number: int) -> dict[str, NDArray[np.float32]]:
        rng = np.random.default_rng((self._seed, 7, number))
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self._encoders}
        for start in range(0, len(self._rows), _BATCH):
            frames = self._cubes.frames[self._rows[start : start + _BATCH]].astype(np.float32)
            disturbed = statistics(perturb(frames, rng))
            for name, encode in self._encoders.items():
                parts[name].append(encode(disturbed))
        return {name: np.concatenate(of) for name, of in parts.items()}


class _Reading:
    """What probe and retrieval find in disturbed vectors."""

    def __init__(
        self, clean: Mapping[str, NDArray[np.float32]], targets: Targets | None, groups: NDArray[np.intp], seed: int
    ) -> None:
        self._clean, self._targets, self._seed = clean, targets, seed
        self._drawn = resamples(groups, (seed, 8))
        self._of_targets = resamples(targets.groups, (seed, 1)) if targets else None

    def figures(self, name: str, disturbed: list[NDArray[np.float32]]) -> list[dict[str, Any]]:
        """Of the undisturbed vectors, then of each other."""
        clean = self._clean[name]
        all_vectors = [clean, *disturbed]
        standard = Standard.of(clean)
        own = unit(standard(clean))
        probed = self._mean_r2(clean, all_vectors)
        found = []
        for vectors, r2 in zip(all_vectors, probed, strict=True):
            cosine = (unit(standard(vectors)) * own).sum(axis=1)
            recall = retrieval.measures(retrieval.ranks(vectors, clean, standard=standard), self._drawn)["recall_at_1"]
            found.append({"mean_r2": r2, "recall_at_1": recall.as_json(), "cosine": float(cosine.mean())})
        return found

    def _mean_r2(self, clean: NDArray[np.float32], read: list[NDArray[np.float32]]) -> list[dict[str, Any] | None]:
        targets = self._targets
        if targets is None or self._of_targets is None:
            return [None] * len(read)
        predicted = probe.read_all(
            clean[targets.rows],
            [vectors[targets.rows] for vectors in read],
            targets.values,
            targets.groups,
            self._seed,
        )
        return [probe.mean(probe.r_squared(targets.values, one, self._of_targets)).as_json() for one in predicted]


def _kept(targets: Targets | str, drawn: NDArray[np.intp]) -> Targets | None:
    """The targets of the places that were drawn."""
    if isinstance(targets, str):
        return None
    rows = np.flatnonzero(np.isin(targets.rows, drawn))
    return replace(
        targets,
        rows=np.searchsorted(drawn, targets.rows[rows]),
        values=targets.values[rows],
        groups=targets.groups[rows],
    )


def _filled(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isnan(vectors), mean, vectors)
