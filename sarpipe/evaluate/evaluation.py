"""The embedding beside its baselines: same places, same input, same folds, same resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import probe
from sarpipe.evaluate.baselines import MAY_NOT_KNOW, OF_BANDS, image_baselines, position
from sarpipe.evaluate.claims import FEWEST, LABELS, claims, rung
from sarpipe.evaluate.diagnostics import diagnostics
from sarpipe.evaluate.encoded import Encode, Encoded, encode_all, seeded, with_data
from sarpipe.evaluate.estimate import FEWEST_BLOCKS, Estimate, over_seeds, resamples
from sarpipe.evaluate.forms import measure_forms
from sarpipe.evaluate.label_probe import probe_labels
from sarpipe.evaluate.labels import Labels
from sarpipe.evaluate.notes import notes
from sarpipe.evaluate.perturbation import Disturbances
from sarpipe.evaluate.robustness import robustness
from sarpipe.evaluate.score import SEEDS, Measured, Pool, Scores, measure
from sarpipe.evaluate.spectrum import rankme
from sarpipe.evaluate.targets import Targets

LEARN_FROM = 2048
"""Places from which baselines learn at most, drawn at random: twice what 1024 components need. 400 MB."""


def evaluate(
    cubes: CubeSet,
    encode: Encode,
    encode_random: Encode,
    *,
    more_random: Sequence[Encode] = (),
    learn_from: NDArray[np.float32] | None = None,
    labels: Sequence[Labels] = (),
    disturb: Disturbances | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure an encoder beside the same encoder with random weights and beside what needs no encoder.

    The baselines are those of `sarpipe.evaluate.baselines`. Some of them learn from cubes, without labels: principal
    components of the cube and of its mean pooling, and the patches and components of random convolutional features.
    They learn from the places that are measured, as the encoder did, or from ``learn_from`` where the encoder was
    trained on other places.

    All of it stands for use on the ground and does not measure it, but for ``labels``. Retrieval of the same place from
    other dates (`sarpipe.evaluate.retrieval`). The same where query and gallery are opposite corners of the place, so
    that no pixel lies where its like lay, as pixels on one grid match without anything being understood; and that among
    neighbours alone. A nested linear probe (`sarpipe.evaluate.probe`) and one of nearest neighbours
    (`sarpipe.evaluate.knn`) of each column of the truth, for which at least 30 places must have truth, on folds of
    blocks of ground (`sarpipe.evaluate.blocks`); beside it the linear probe on folds that are drawn place by place.
    Diagnostics of the vectors. Robustness (`sarpipe.evaluate.robustness`). Of places that overlap one is measured.

    Folds are drawn from three seeds, random weights and random convolutions from as many as there are random encoders;
    a figure is the mean over them. Intervals are 95 % percentile intervals of 1000 resamples of blocks, each with a
    draw of the seeds, the same for all methods, so that differences are paired. Nothing is raised for few places: what
    cannot be measured is None, and ``notes`` says why.

    Args:
        cubes: The places. Those of which some mean over the dates is not known anywhere are left out, for all methods.
        encode: The trained encoder: cubes ``float32 [n, 12, 64, 64]``, NaN where there is no data, to ``[n, D]``.
        encode_random: The same encoder before training.
        more_random: The same before training from other seeds; random convolutions are drawn from as many.
        learn_from: ``float32 [M, 12, 64, 64]``, the cubes that baselines learn from; None: those of the places. Of
            more than `LEARN_FROM` so many are drawn.
        labels: To be probed too (`sarpipe.evaluate.label_probe`).
        disturb: How to disturb the places to see what is left (`sarpipe.evaluate.robustness`); None: not at all.
        seed: For folds, resamples and what baselines draw.
        device: Where random convolutions run, see `sarpipe.model.device.pick_device`.
        progress: Called with a line of text now and then.

    Returns:
        JSON-able, without NaN: ``n``, places measured; ``places``, how many were given, overlap, were probed and
        searched for, and in how many blocks they lie; ``methods``, for each of `sarpipe.evaluate.claims.LABELS`
        ``dimensions``, ``rankme``, ``diagnostics``, ``retrieval``, ``displaced_retrieval`` and ``hard_retrieval`` (None
        for ``position``, of which it is the answer), ``probe``, ``mean_r2``, ``knn``, ``random_split`` and
        ``class_precision``; ``permuted_labels``, the mean R² of the embedding where places have the truth of others;
        ``differences``, the paired differences of ``mean_r2``, ``r2:<target>``, ``recall_at_1``, ``mrr``,
        ``displaced_recall_at_1`` and ``displaced_mrr`` to each baseline, with an interval from
        `sarpipe.evaluate.claims.FEWEST` places on; ``labels``, for each file as `sarpipe.evaluate.label_probe` has it;
        ``robustness``; ``rung``, see `sarpipe.evaluate.claims.rung`; ``claims``, what these say, in sentences;
        ``forms``, what smaller forms lose (`sarpipe.evaluate.forms.measure_forms`); ``notes``, what limits them. Every
        figure has its ``n``, beside it or in the group it stands in.

    Raises:
        DataError: An encoder gives numbers that are not finite, or not one vector for each cube.
    """
    say = progress or (lambda _: None)
    untrained = {seeded("random_weights", number): one for number, one in enumerate((encode_random, *more_random))}
    encoders = {"sarpipe": encode, **untrained, **_baselines(cubes, learn_from, seed, len(untrained), device, say)}
    given = _encoded(cubes, encoders, say)
    measured = measure(cubes, given, seed, lambda name: say(f"measuring {LABELS[name]}"))
    encoded, targets = measured.encoded, measured.targets
    found = {name: _method(measured, name) for name in LABELS if name in measured.scores}
    probed = len(targets.rows) if isinstance(targets, Targets) else 0
    apart = len(np.unique(measured.groups[encoded.paired])) >= FEWEST_BLOCKS
    differences = [
        {
            "measure": name,
            "baseline": baseline,
            "difference": gap.value,
            "n": (n := probed if "r2" in name else len(encoded.paired)),
            "interval": gap.interval if apart and n >= FEWEST else None,
        }
        for baseline in found
        if baseline != "sarpipe"
        for name, gap in _differences(measured.scores["sarpipe"], measured.scores[baseline]).items()
    ]
    forms = measure_forms(
        encoded,
        measured,
        seed,
        lambda name: say(f"measuring {name}"),
        partial(_of_labels, labels, cubes, encoded.places, measured.groups, seed),
    )
    return {
        "n": len(encoded.places),
        "places": {
            "given": len(cubes.ids),
            "overlapping": measured.overlapping,
            "blocks": len(np.unique(measured.groups[encoded.places])),
            "probed": probed,
            "searched": len(encoded.paired) if len(encoded.paired) >= 2 else 0,
        },
        "methods": found,
        "permuted_labels": _permuted(encoded, targets, seed),
        "differences": differences,
        "labels": _of_labels(labels, cubes, given.places, measured.groups, seed, given.whole),
        "robustness": disturb and robustness(cubes, measured, encoders, disturb, seed, say, may_not_know=MAY_NOT_KNOW),
        "rung": rung(differences),
        "claims": claims(found, differences, probed, len(encoded.paired)),
        "forms": forms,
        "notes": notes(cubes, measured, found) + forms["notes"],
    }


def encode_beside_baselines(
    cubes: CubeSet,
    encoders: Mapping[str, Encode],
    *,
    learn_from: NDArray[np.float32] | None,
    seed: int,
    device: str,
    progress: Callable[[str], None],
) -> Encoded:
    """The vectors of encoders and of all of `sarpipe.evaluate.baselines`, by name; arguments as of `evaluate`."""
    baselines = _baselines(cubes, learn_from, seed, SEEDS, device, progress)
    return _encoded(cubes, {**encoders, **baselines}, progress)


def _baselines(
    cubes: CubeSet,
    learn_from: NDArray[np.float32] | None,
    seed: int,
    seeds: int,
    device: str,
    progress: Callable[[str], None],
) -> dict[str, Encode]:
    progress("learning the baselines")
    source = _to_learn_from(cubes.cubes if learn_from is None else learn_from, seed)
    return image_baselines(source, seed=seed, device=device, seeds=seeds)


def _encoded(cubes: CubeSet, encoders: Mapping[str, Encode], progress: Callable[[str], None]) -> Encoded:
    encoded = encode_all(cubes, encoders, progress, may_not_know=MAY_NOT_KNOW, of_bands=OF_BANDS)
    where = position(cubes.index.iloc[encoded.places])
    return replace(encoded, whole={**encoded.whole, "position": where})


def _of_labels(
    labels: Sequence[Labels],
    cubes: CubeSet,
    places: NDArray[np.intp],
    groups: NDArray[np.intp],
    seed: int,
    whole: Mapping[str, NDArray[np.float32]],
) -> list[dict[str, Any]]:
    ids = [cubes.ids[i] for i in places]
    return [probe_labels(one, ids, whole, groups[places], seed) for one in labels]


def _method(measured: Measured, name: str) -> dict[str, Any]:
    encoded, scores, targets = measured.encoded, measured.scores[name], measured.targets
    probed = len(targets.rows) if isinstance(targets, Targets) else 0
    vectors, nothing = encoded.whole[name], np.empty((0, 0), np.float32)
    query, gallery, *corners = (
        view.get(name, nothing)
        for view in (encoded.query, encoded.gallery, encoded.query_corner, encoded.gallery_corner)
    )
    r2 = {target: {"r2": one.value, "interval": one.interval, "n": probed} for target, one in scores.r2.items()}
    return {
        "dimensions": vectors.shape[1],
        "rankme": rankme(vectors),
        "diagnostics": diagnostics(vectors, query, gallery, corners),
        "retrieval": _as_json(scores.retrieval, len(encoded.paired)),
        "displaced_retrieval": _as_json(scores.displaced, len(encoded.paired)),
        "hard_retrieval": _pooled(scores.hard, measured.hard),
        "class_precision": _pooled(scores.precision, measured.precision),
        "probe": r2 or None,
        "mean_r2": {**scores.figures()["mean_r2"].as_json(), "n": probed} if r2 else None,
        "random_split": _random_split(scores, probed),
        "knn": _as_json(scores.knn, probed),
    }


def _random_split(scores: Scores, probed: int) -> dict[str, Any] | None:
    """The mean R² on folds drawn place by place, and how much more it is than on blocked ones."""
    if not scores.random_r2:
        return None
    scattered = probe.mean(list(scores.random_r2.values()))
    return {
        "mean_r2": scattered.as_json(),
        "optimism": (scattered - scores.figures()["mean_r2"]).as_json(),
        "n": probed,
    }


def _permuted(encoded: Encoded, targets: Targets | str, seed: int) -> dict[str, Any] | None:
    """Mean R² of the embedding where each place has the truth of another: more than 0 would be a leak of the truth
    into the probe. Of neighbours it says nothing: they are not alike any more.
    """
    if isinstance(targets, str):
        return None
    found = []
    drawn = resamples(targets.groups, (seed, 1))
    for number in range(SEEDS):
        values = targets.values[np.random.default_rng((seed, 9, number)).permutation(len(targets.values))]
        predicted = probe.predict(encoded.whole["sarpipe"][targets.rows], values, targets.groups, seed * SEEDS + number)
        found.append(probe.mean(probe.r_squared(values, predicted, drawn)))
    return {**over_seeds(found).as_json(), "n": len(targets.rows)}


def _pooled(measures: Mapping[str, Estimate], pool: Pool | None) -> dict[str, Any] | None:
    found = _as_json(measures, pool.n) if pool else None
    return {**found, "chance": pool.chance} if found and pool else None


def _as_json(measures: Mapping[str, Estimate], places: int) -> dict[str, Any] | None:
    found = {measure: estimate.as_json() for measure, estimate in measures.items()}
    return {**found, "n": places} if found else None


def _differences(ours: Scores, theirs: Scores) -> dict[str, Estimate]:
    mine, other = ours.figures(), theirs.figures()
    mine |= {f"r2:{target}": estimate for target, estimate in ours.r2.items()}
    other |= {f"r2:{target}": estimate for target, estimate in theirs.r2.items()}
    return {name: mine[name] - other[name] for name in mine if name in other}


def _to_learn_from(cubes: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Cubes with data, at most `LEARN_FROM`."""
    n = len(cubes)
    rows = np.sort(np.random.default_rng((seed, 3)).permutation(n)[:LEARN_FROM]) if n > LEARN_FROM else np.arange(n)
    drawn = cubes[rows]
    return drawn[with_data(drawn)]
