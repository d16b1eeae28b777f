"""The figures that decide between two encoders."""

from __future__ import annotations

import numpy as np

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import probe, retrieval
from sarpipe.evaluate.encoded import Encode, encode_all
from sarpipe.evaluate.estimate import Estimate, resamples
from sarpipe.evaluate.neighbours import clusters
from sarpipe.evaluate.targets import Targets, choose_targets

MEASURES = ("mean_r2", "recall_at_1", "mrr")


def score(cubes: CubeSet, encode: Encode, *, seed: int = 0) -> dict[str, Estimate]:
    """`MEASURES` of one encoder, on the splits and resamples that `sarpipe.evaluate.evaluate` has for the same seed:
    those of two encoders are paired.

    Args:
        cubes: The places.
        encode: The encoder.
        seed: For folds and resamples.

    Returns:
        ``mean_r2`` only where there is truth, the others only where two places have data at other dates.

    Raises:
        DataError: The encoder gives numbers that are not finite.
    """
    encoded = encode_all(cubes, {"encoder": encode}, lambda _: None)
    groups, _ = clusters(cubes.index["latitude"].to_numpy(np.float64), cubes.index["longitude"].to_numpy(np.float64))
    targets = choose_targets(cubes.truth, [cubes.ids[i] for i in encoded.places], groups[encoded.places])
    found: dict[str, Estimate] = {}
    if isinstance(targets, Targets):
        predicted = probe.predict(encoded.whole["encoder"][targets.rows], targets.values, targets.groups, seed)
        found["mean_r2"] = probe.mean(probe.r_squared(targets.values, predicted, resamples(targets.groups, (seed, 1))))
    if len(encoded.paired) >= 2:
        ranks = retrieval.ranks(encoded.query["encoder"], encoded.gallery["encoder"])
        measured = retrieval.measures(ranks, resamples(groups[encoded.paired], (seed, 2)))
        found |= {name: measured[name] for name in MEASURES[1:]}
    return found
