"""The embedding beside its baselines: same places, same input, same folds, same resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import probe, retrieval
from sarpipe.evaluate.baselines import MAY_NOT_KNOW, image_baselines, position
from sarpipe.evaluate.claims import FEWEST, LABELS, claims, rung
from sarpipe.evaluate.encoded import Encode, Encoded, encode_all, with_data
from sarpipe.evaluate.estimate import Estimate, resamples
from sarpipe.evaluate.neighbours import clusters
from sarpipe.evaluate.notes import notes
from sarpipe.evaluate.spectrum import rankme
from sarpipe.evaluate.targets import Targets, choose_targets

Figures = Mapping[str, Estimate]
Vectors = Mapping[str, NDArray[np.float32]]

LEARN_FROM = 2048
"""Places from which baselines learn at most, drawn at random: twice what 1024 components need. 400 MB."""


@dataclass(frozen=True)
class _Scores:
    """The estimates of one method: R² of each target, and the measures of both retrievals; empty where not measured."""

    r2: Figures
    retrieval: Figures
    displaced: Figures


def evaluate(
    cubes: CubeSet,
    encode: Encode,
    encode_random: Encode,
    *,
    learn_from: NDArray[np.float32] | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure an encoder beside the same encoder with random weights and beside what needs no encoder.

    The baselines are those of `sarpipe.evaluate.baselines`. Two of them learn from cubes, without labels: principal
    components, and the patches and components of random convolutional features. They learn from the places that
    are measured, as the encoder did, or from ``learn_from`` where the encoder was trained on other places.

    Four things, all of them proxies for use on the ground. RankMe of the vectors. Retrieval of the same place from
    other dates (`sarpipe.evaluate.retrieval`). The same where query and gallery are opposite corners of the place, so
    that no pixel lies where its like lay, as pixels on one grid match without anything being understood. A nested,
    geographically blocked linear probe of each column of the truth (`sarpipe.evaluate.probe`), for which at least 30
    places must have truth. Intervals are 95 % percentile intervals of 1000 resamples of clusters of neighbouring
    places, the same for all methods, so that differences are paired. Nothing is raised for few places: what cannot be
    measured is None, and ``notes`` says why.

    Args:
        cubes: The places. Those of which some mean over the dates is not known anywhere are left out, for all methods.
        encode: The trained encoder: cubes ``float32 [n, 12, 64, 64]``, NaN where there is no data, to ``[n, D]``.
        encode_random: The same encoder before training.
        learn_from: ``float32 [M, 12, 64, 64]``, the cubes that baselines learn from; None: those of the places. Of
            more than `LEARN_FROM` so many are drawn.
        seed: For folds, resamples and what baselines draw.
        device: Where random convolutions run, see `sarpipe.model.device.pick_device`.
        progress: Called with a line of text now and then.

    Returns:
        JSON-able, without NaN: ``n``, places measured; ``methods``, for each of `sarpipe.evaluate.claims.LABELS`
        ``dimensions``, ``rankme``, ``retrieval`` and ``displaced_retrieval`` (None for ``position``, of which it is
        the answer), ``probe`` and ``mean_r2``; ``differences``, the paired differences of ``mean_r2``,
        ``r2:<target>``, ``recall_at_1``, ``mrr``, ``displaced_recall_at_1`` and ``displaced_mrr`` to each baseline,
        with an interval from `sarpipe.evaluate.claims.FEWEST` places on; ``rung``, see
        `sarpipe.evaluate.claims.rung`; ``claims``, what these say, in sentences; ``notes``, what limits them.

    Raises:
        DataError: An encoder gives numbers that are not finite, or not one vector for each cube.
    """
    say = progress or (lambda _: None)
    say("learning the baselines")
    baselines = image_baselines(
        _to_learn_from(cubes.cubes if learn_from is None else learn_from, seed), seed=seed, device=device
    )
    encoders = {"sarpipe": encode, "random_weights": encode_random, **baselines}
    encoded = encode_all(cubes, encoders, say, may_not_know=MAY_NOT_KNOW)
    where = position(cubes.index.iloc[encoded.places])
    encoded = replace(encoded, whole={**encoded.whole, "position": where})
    methods = [name for name in LABELS if name in encoded.whole]
    groups, near = clusters(cubes.index["latitude"].to_numpy(np.float64), cubes.index["longitude"].to_numpy(np.float64))
    ids = [cubes.ids[i] for i in encoded.places]
    targets = choose_targets(cubes.truth, ids, groups[encoded.places])
    scores = {}
    for name in methods:
        say(f"measuring {LABELS[name]}")
        scores[name] = _Scores(
            _probe(encoded, name, targets, seed),
            _retrieval(encoded, (encoded.query, encoded.gallery), name, groups, seed),
            _retrieval(encoded, (encoded.query_corner, encoded.gallery_corner), name, groups, seed),
        )
    found = {name: _method(encoded, name, scores[name]) for name in methods}
    probed = len(targets.rows) if isinstance(targets, Targets) else 0
    differences = [
        {
            "measure": measure,
            "baseline": name,
            "difference": gap.value,
            "interval": gap.interval if (probed if "r2" in measure else len(encoded.paired)) >= FEWEST else None,
        }
        for name in methods
        if name != "sarpipe"
        for measure, gap in _differences(scores["sarpipe"], scores[name]).items()
    ]
    return {
        "n": len(encoded.places),
        "methods": found,
        "differences": differences,
        "rung": rung(differences),
        "claims": claims(found, differences, probed, len(encoded.paired)),
        "notes": notes(cubes, encoded, found, targets, groups, near),
    }


def _probe(encoded: Encoded, name: str, targets: Targets | str, seed: int) -> Figures:
    if isinstance(targets, str):
        return {}
    predicted = probe.predict(encoded.whole[name][targets.rows], targets.values, targets.groups, seed)
    weights = resamples(targets.groups, (seed, 1))
    return dict(zip(targets.names, probe.r_squared(targets.values, predicted, weights), strict=True))


def _retrieval(
    encoded: Encoded, pair: tuple[Vectors, Vectors], name: str, groups: NDArray[np.intp], seed: int
) -> Figures:
    query, gallery = pair
    if len(encoded.paired) < 2 or name not in query:
        return {}
    ranks = retrieval.ranks(query[name], gallery[name])
    return retrieval.measures(ranks, resamples(groups[encoded.paired], (seed, 2)))


def _method(encoded: Encoded, name: str, scores: _Scores) -> dict[str, Any]:
    r2 = {target: {"r2": estimate.value, "interval": estimate.interval} for target, estimate in scores.r2.items()}
    return {
        "dimensions": encoded.whole[name].shape[1],
        "rankme": rankme(encoded.whole[name]),
        "retrieval": _as_json(scores.retrieval, len(encoded.paired)),
        "displaced_retrieval": _as_json(scores.displaced, len(encoded.paired)),
        "probe": r2 or None,
        "mean_r2": probe.mean(list(scores.r2.values())).as_json() if r2 else None,
    }


def _as_json(measures: Figures, places: int) -> dict[str, Any] | None:
    found = {measure: estimate.as_json() for measure, estimate in measures.items()}
    return {**found, "n": places} if found else None


def _differences(ours: _Scores, theirs: _Scores) -> dict[str, Estimate]:
    gaps = {}
    if ours.r2:
        gaps["mean_r2"] = probe.mean(list(ours.r2.values())) - probe.mean(list(theirs.r2.values()))
    gaps |= {f"r2:{target}": ours.r2[target] - theirs.r2[target] for target in ours.r2}
    for prefix, mine, other in (
        ("", ours.retrieval, theirs.retrieval),
        ("displaced_", ours.displaced, theirs.displaced),
    ):
        if mine and other:
            gaps |= {f"{prefix}{measure}": mine[measure] - other[measure] for measure in ("recall_at_1", "mrr")}
    return gaps


def _to_learn_from(cubes: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Cubes with data, at most `LEARN_FROM`."""
    n = len(cubes)
    rows = np.sort(np.random.default_rng((seed, 3)).permutation(n)[:LEARN_FROM]) if n > LEARN_FROM else np.arange(n)
    drawn = cubes[rows]
    return drawn[with_data(drawn)]
