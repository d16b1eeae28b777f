"""What the smaller forms of the embedding lose, beside principal components of the cube in as many bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS, CUBE_SIZE
from sarpipe.embeddings.forms import FEWEST, FORMS, Form, PcaInt8
from sarpipe.evaluate import knn, probe, retrieval
from sarpipe.evaluate.encoded import Encoded
from sarpipe.evaluate.estimate import Estimate, resamples
from sarpipe.evaluate.neighbours import folds
from sarpipe.evaluate.score import Figures, Measured, Scores
from sarpipe.evaluate.targets import Targets

PLACES = 2048
"""Places on which forms are measured at most, drawn at random: the ridge regressions of every form take the time of
those of a method."""

OWN, RIVAL = "sarpipe", "pca"
WHOLE = "float32"
"""What all forms are compared with: the embedding as it is."""
_RIVALS = (64, 128, 1024)
"""Bytes, and so components, of the rivals: as many as there are."""

NEAREST = "20"
"""Which of `sarpipe.evaluate.knn.KINDS` is measured beside the linear probe."""

_NESTED = (16, 32, 128, 256)
"""Components of `PcaInt8`, whose codes are nested: the first k bytes of a longer one are that of k components."""

_CUBE_BYTES = len(CHANNELS) * CUBE_SIZE**2 * 4
"""Of one component of the cube, as float32."""

Fit = Callable[[NDArray[np.float32]], Form]


@dataclass(frozen=True)
class _Views:
    """The vectors of one method of the places to measure on; rows of the retrieval are ``paired`` of them."""

    whole: NDArray[np.float32]
    paired: NDArray[np.intp]
    pairs: tuple[NDArray[np.float32], ...]

    def map(self, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> _Views:
        return _Views(change(self.whole), self.paired, tuple(change(one) for one in self.pairs))


@dataclass(frozen=True)
class _Task:
    """The folds, the targets and the resamples: the same for all forms."""

    fold: NDArray[np.intp]
    targets: Targets | str
    rows: NDArray[np.intp]
    drawn: NDArray[np.float64] | None
    of_targets: NDArray[np.float64] | None
    seed: int


def measure_forms(
    encoded: Encoded,
    measured: Measured,
    seed: int,
    progress: Callable[[str], None],
    read: Callable[[Mapping[str, NDArray[np.float32]]], list[dict[str, Any]]] = lambda _: [],
) -> dict[str, Any]:
    """Probe and search what each form of `sarpipe.embeddings.forms.FORMS` gives back.

    A form learns components, thresholds and codebooks. On the places that it has learnt from it flatters: 256
    centroids hold 256 places exactly. So all figures are of places from which the form has not learnt: for each fold of
    the probe it learns from the others, all vectors are encoded and decoded, the probe learns from the others, and the
    fold is predicted, and its queries are searched for among all places. ``same_places`` says beside it what comes out
    when the form learns from all places that are measured, as the form of a file does.

    ``nested`` are shorter and longer codes of `PcaInt8`, of which each begins with the ones before: what Matryoshka
    embeddings (Kusupati et al., NeurIPS 2022) learn in training, by projection. The rivals are principal components of
    the cube, `PcaInt8` in 64, 128 and as many bytes as there are components.

    Args:
        encoded: Vectors of ``sarpipe``, and of ``pca`` where cubes could be learnt from. Forms learn from ``whole``.
        measured: The targets and clusters of the same places.
        seed: For folds, resamples and the places drawn.
        progress: Called with the name of what is measured next.
        read: Called with what each form, having learnt from all these places, gives back of ``whole``, and with the
            embedding as it is, as method ``sarpipe``; what it returns is ``labels``.

    Returns:
        JSON-able: ``n``; ``forms``, ``nested`` and ``rivals``, for each its ``bytes``, ``overhead_bytes``, ``mean_r2``,
        ``probe``, ``knn``, ``retrieval``, ``displaced_retrieval``, ``differences`` to the embedding as it is (paired:
        ``difference``, ``interval``, and ``loss_percent`` with ``loss_interval``, of the value of the embedding) and,
        of the forms, ``same_places``, the differences likewise or None; ``labels``; ``notes``. ``forms``, ``nested``
        and ``rivals`` are empty where there are fewer places than five folds of a form need.
    """
    places, notes = _drawn(len(encoded.places), seed)
    needed = -(-FEWEST * probe.FOLDS // (probe.FOLDS - 1)) + 1
    if len(places) < needed:
        notes.append(f"{len(places)} places: what smaller forms lose is measured from {needed} on")
        return {"n": len(places), "forms": {}, "nested": {}, "rivals": {}, "labels": [], "notes": notes}
    task = _task(encoded, measured, places, seed)
    learning = len(places) - np.bincount(task.fold).max()
    if learning < FEWEST:
        notes.append(f"without a fold of neighbours {learning} places are left, a form learns from {FEWEST} or more")
        return {"n": len(places), "forms": {}, "nested": {}, "rivals": {}, "labels": [], "notes": notes}
    own = _views(encoded, OWN, places)
    decoded = {OWN: encoded.whole[OWN]}
    base = _plain(own, task)
    found: dict[str, Any] = {WHOLE: {"bytes": own.whole.shape[1] * 4, "overhead_bytes": 0, **_as_json(base)}}
    for name, kind in FORMS.items():
        progress(f"form {name}")
        form = kind.fit(own.whole)
        found[name] = _figures(own, kind.fit, form, task, base)
        found[name]["same_places"] = _same_places(own, form, task, base)
        decoded[name] = _round_trip(form)(encoded.whole[OWN])
    nested, rivals = {}, {}
    for count in _NESTED:
        progress(f"form pca_int8 of {count} components")
        fit = partial(PcaInt8.fit, components=count)
        one = _figures(own, fit, fit(own.whole), task, base)
        nested[str(one["bytes"])] = one
    if RIVAL in encoded.whole:
        cubes = _views(encoded, RIVAL, places)
        for count in _RIVALS:
            progress(f"PCA of the cube in {count} bytes")
            fit = partial(PcaInt8.fit, components=count)
            one = _figures(cubes, fit, fit(cubes.whole), task, base)
            # What it has learnt is said of the coordinates that it was given; a file would hold components of the cube.
            once = (one["bytes"] + 1) * _CUBE_BYTES + one["bytes"] * 4
            rivals[str(one["bytes"])] = one | {"overhead_bytes": once}
    notes.append(
        "smaller forms: measured on places from which their components and codebooks were not learnt (five folds, of "
        "one seed)"
    )
    return {
        "n": len(places),
        "forms": found,
        "nested": nested,
        "rivals": rivals,
        "labels": read(decoded),
        "notes": notes,
    }


def _drawn(count: int, seed: int) -> tuple[NDArray[np.intp], list[str]]:
    if count <= PLACES:
        return np.arange(count), []
    drawn = np.sort(np.random.default_rng((seed, 4)).permutation(count)[:PLACES])
    return drawn, [f"smaller forms: measured on {PLACES:,} of {count:,} places, drawn at random"]


def _task(encoded: Encoded, measured: Measured, places: NDArray[np.intp], seed: int) -> _Task:
    groups = measured.groups[encoded.places[places]]
    fold = folds(groups, probe.FOLDS, (seed,))
    targets, rows = measured.targets, np.empty(0, np.intp)
    if isinstance(targets, Targets):
        kept = np.isin(targets.rows, places)
        rows = np.searchsorted(places, targets.rows[kept])
        targets = Targets(targets.names, targets.values[kept], targets.rows[kept], targets.groups[kept], [])
    paired = _paired(encoded, places)
    return _Task(
        fold,
        targets,
        rows,
        resamples(groups[paired], (seed, 2)) if len(paired) >= 2 else None,
        resamples(targets.groups, (seed, 1)) if isinstance(targets, Targets) else None,
        seed,
    )


def _paired(encoded: Encoded, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which of these places are in the retrieval."""
    return np.flatnonzero(np.isin(encoded.places[places], encoded.paired))


def _views(encoded: Encoded, name: str, places: NDArray[np.intp]) -> _Views:
    kept = np.isin(encoded.paired, encoded.places[places])
    pairs = (encoded.query, encoded.gallery, encoded.query_corner, encoded.gallery_corner)
    return _Views(encoded.whole[name][places], _paired(encoded, places), tuple(view[name][kept] for view in pairs))


def _plain(views: _Views, task: _Task) -> Scores:
    """The figures of vectors that are not coded, or were by one form that has learnt from all of them."""
    return _scores(task, lambda: ((views, task.fold == number) for number in range(task.fold.max() + 1)))


def _figures(views: _Views, fit: Fit, form: Form, task: _Task, base: Scores) -> dict[str, Any]:
    def of_folds() -> Iterator[tuple[_Views, NDArray[np.bool_]]]:
        for number in range(task.fold.max() + 1):
            test = task.fold == number
            yield views.map(_round_trip(fit(views.whole[~test]))), test

    scores = _scores(task, of_folds)
    return {
        "bytes": form.bytes_a_place,
        "overhead_bytes": form.overhead_bytes,
        **_as_json(scores),
        "differences": _differences(scores, base),
    }


def _same_places(views: _Views, form: Form, task: _Task, base: Scores) -> dict[str, Any] | None:
    """The differences of a form that has learnt from all places; None for one that learns nothing."""
    return _differences(_plain(views.map(_round_trip(form)), task), base) if form.arrays() else None


def _round_trip(form: Form) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda vectors: form.decode(form.encode(vectors)) if len(vectors) else vectors


def _scores(task: _Task, of_folds: Callable[[], Iterator[tuple[_Views, NDArray[np.bool_]]]]) -> Scores:
    """The scores of vectors that may be others for each fold, of which the second says which places are tested."""
    values = task.targets.values if isinstance(task.targets, Targets) else np.empty((0, 0))
    predicted, alike = np.full_like(values, np.nan), np.full_like(values, np.nan)
    found: NDArray[np.intp] | None = None
    for number, (views, test) in enumerate(of_folds()):
        tested = test[task.rows]
        if isinstance(task.targets, Targets) and tested.any():
            predicted[tested] = probe.predict_fold(
                views.whole[task.rows], values, task.targets.groups, tested, (task.seed, number)
            )
            alike[tested] = knn.predict_fold(views.whole[task.rows], values, tested)[NEAREST]
        if task.drawn is not None:
            asked = test[views.paired]
            found = np.zeros((2, len(asked)), np.intp) if found is None else found
            for i in range(2):
                found[i, asked] = retrieval.ranks(views.pairs[2 * i], views.pairs[2 * i + 1], asked)
    r2: Figures = {}
    nearest: Figures = {}
    if isinstance(task.targets, Targets) and task.of_targets is not None:
        r2 = dict(zip(task.targets.names, probe.r_squared(values, predicted, task.of_targets), strict=True))
        nearest = {NEAREST: probe.mean(probe.r_squared(values, alike, task.of_targets))}
    if found is None or task.drawn is None:
        return Scores(r2, {}, {}, knn=nearest)
    of_dates, of_corners = (retrieval.measures(one, task.drawn) for one in found)
    return Scores(r2, of_dates, of_corners, knn=nearest)


def _differences(scores: Scores, base: Scores) -> dict[str, Any]:
    """By measure, the paired difference to the embedding as it is; the loss in per cent of its value."""
    mine, whole = _named(scores), _named(base)
    return {name: _difference(mine[name], whole[name]) for name in mine if name in whole}


def _named(scores: Scores) -> dict[str, Estimate]:
    of_targets = {f"r2:{target}": estimate for target, estimate in scores.r2.items()}
    return {**scores.figures(), **of_targets, **{f"knn:{kind}": estimate for kind, estimate in scores.knn.items()}}


def _difference(one: Estimate, whole: Estimate) -> dict[str, Any]:
    gap = one - whole
    said: dict[str, Any] = {"difference": gap.value, "interval": gap.interval}
    # A share of what is 0 or less says nothing.
    if whole.value > 0 and (whole.samples > 0).all():
        loss = Estimate(-100 * gap.value / whole.value, -100 * gap.samples / whole.samples)
        return said | {"loss_percent": loss.value, "loss_interval": loss.interval}
    return said | {"loss_percent": None, "loss_interval": None}


def _as_json(scores: Scores) -> dict[str, Any]:
    return {
        "mean_r2": _mean_r2(scores),
        "probe": _each_as_json(scores.r2),
        "knn": _each_as_json(scores.knn),
        "retrieval": _each_as_json(scores.retrieval),
        "displaced_retrieval": _each_as_json(scores.displaced),
    }


def _mean_r2(scores: Scores) -> dict[str, Any] | None:
    return scores.figures()["mean_r2"].as_json() if scores.r2 else None


def _each_as_json(figures: Mapping[str, Estimate]) -> dict[str, Any] | None:
    return {name: estimate.as_json() for name, estimate in figures.items()} or None
