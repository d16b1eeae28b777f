"""The embedding beside its baselines: same places, same input, same folds, same resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.evaluate.baselines import MAY_NOT_KNOW, image_baselines, position
from sarpipe.evaluate.claims import FEWEST, LABELS, claims, rung
from sarpipe.evaluate.encoded import Encode, Encoded, encode_all, with_data
from sarpipe.evaluate.estimate import Estimate
from sarpipe.evaluate.forms import measure_forms
from sarpipe.evaluate.notes import notes
from sarpipe.evaluate.score import Scores, measure
from sarpipe.evaluate.spectrum import rankme
from sarpipe.evaluate.targets import Targets

LEARN_FROM = 2048
"""Places from which baselines learn at most, drawn at random: twice what 1024 components need. 400 MB."""


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
        `sarpipe.evaluate.claims.rung`; ``claims``, what these say, in sentences; ``forms``, what smaller forms lose
        (`sarpipe.evaluate.forms.measure_forms`); ``notes``, what limits them.

    Raises:
        DataError: An encoder gives numbers that are not finite, or not one vector for each cube.
    """
    say = progress or (lambda _: None)
    encoded = encode_beside_baselines(
        cubes,
        {"sarpipe": encode, "random_weights": encode_random},
        learn_from=learn_from,
        seed=seed,
        device=device,
        progress=say,
    )
    measured = measure(cubes, encoded, seed, lambda name: say(f"measuring {LABELS[name]}"))
    found = {name: _method(encoded, name, measured.scores[name]) for name in LABELS if name in measured.scores}
    probed = len(measured.targets.rows) if isinstance(measured.targets, Targets) else 0
    differences = [
        {
            "measure": name,
            "baseline": baseline,
            "difference": gap.value,
            "interval": gap.interval if (probed if "r2" in name else len(encoded.paired)) >= FEWEST else None,
        }
        for baseline in found
        if baseline != "sarpipe"
        for name, gap in _differences(measured.scores["sarpipe"], measured.scores[baseline]).items()
    ]
    forms = measure_forms(encoded, measured, seed, lambda name: say(f"measuring {name}"))
    return {
        "n": len(encoded.places),
        "methods": found,
        "differences": differences,
        "rung": rung(differences),
        "claims": claims(found, differences, probed, len(encoded.paired)),
        "forms": forms,
        "notes": notes(cubes, encoded, found, measured.targets, measured.groups, measured.near) + forms["notes"],
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
    progress("learning the baselines")
    source = _to_learn_from(cubes.cubes if learn_from is None else learn_from, seed)
    baselines = image_baselines(source, seed=seed, device=device)
    encoded = encode_all(cubes, {**encoders, **baselines}, progress, may_not_know=MAY_NOT_KNOW)
    where = position(cubes.index.iloc[encoded.places])
    return replace(encoded, whole={**encoded.whole, "position": where})


def _method(encoded: Encoded, name: str, scores: Scores) -> dict[str, Any]:
    r2 = {target: {"r2": estimate.value, "interval": estimate.interval} for target, estimate in scores.r2.items()}
    return {
        "dimensions": encoded.whole[name].shape[1],
        "rankme": rankme(encoded.whole[name]),
        "retrieval": _as_json(scores.retrieval, len(encoded.paired)),
        "displaced_retrieval": _as_json(scores.displaced, len(encoded.paired)),
        "probe": r2 or None,
        "mean_r2": scores.figures()["mean_r2"].as_json() if r2 else None,
    }


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
