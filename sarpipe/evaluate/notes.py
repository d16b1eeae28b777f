"""What a reader of the figures must know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS
from sarpipe.cubes import CubeSet
from sarpipe.evaluate.claims import ANECDOTE, LABELS
from sarpipe.evaluate.encoded import Encoded
from sarpipe.evaluate.estimate import FEWEST_CLUSTERS, RESAMPLES
from sarpipe.evaluate.neighbours import CLUSTER_KM
from sarpipe.evaluate.targets import Targets


def notes(
    cubes: CubeSet,
    encoded: Encoded,
    found: Mapping[str, Mapping[str, Any]],
    targets: Targets | str,
    groups: NDArray[np.intp],
    near: NDArray[np.bool_],
) -> list[str]:
    """What was left out, and what limits the figures.

    Args:
        cubes: All places.
        encoded: What was measured of them.
        found: The figures of each method, as in the result of `sarpipe.evaluate.evaluate`.
        targets: What was probed, or why nothing was.
        groups: The cluster of each of all places.
        near: Whether each has a neighbour.
    """
    n, places, paired = len(cubes.ids), encoded.places, encoded.paired
    lines = []
    if n < ANECDOTE:
        lines.append(f"{n} places: the figures are anecdotes, and their intervals too narrow")
    if len(places) < n:
        lines.append(f"{n - len(places)} places without data are left out")
    unknown = int((~np.isfinite(cubes.cubes[places, CHANNELS.index("std_vv") :]).any(axis=(1, 2, 3))).sum())
    if unknown:
        lines.append(
            f"{unknown} places have no pixel with two dates: their deviation and difference over time are not known, "
            "and taken as the mean of all places"
        )
    if len(paired) < len(places):
        left = len(places) - len(paired)
        lines.append(f"{left} places without a date with data in one half of the dates are not in the retrieval")
    if len(paired) < 2:
        lines.append("fewer than two places have data in both halves of the dates: the retrieval was not measured")
    lines += _target_notes(targets, len(places))
    if near[places].any():
        lines.append(
            f"{near[places].sum()} places have another within {CLUSTER_KM:g} km: they share a fold of the probe, "
            "and in the retrieval they are hard wrong answers"
        )
    if not cubes.index[["latitude", "longitude"]].notna().all(axis=None):
        lines.append("places at unknown positions are split and resampled as if they had no neighbours")
    if len(np.unique(groups[places])) < min(FEWEST_CLUSTERS, len(places)):
        lines.append(
            f"fewer than {FEWEST_CLUSTERS} clusters of neighbouring places: the resamples draw single places, and the "
            "intervals are too narrow"
        )
    lines.append(f"{LABELS['position']}: not in the retrieval, of which it is the answer")
    widths = ", ".join(f"{LABELS[name]} {method['dimensions']}" for name, method in found.items())
    return [
        *lines,
        f"dimensions: {widths}; each has its ridge penalty chosen in the training folds",
        "RankMe is at most the smaller of places and dimensions, and compares runs of one method, not methods",
        "probe and retrieval are proxy tasks: they stand for use on the ground and do not measure it",
        f"intervals: 95 %, {RESAMPLES} resamples of the places; they do not hold the chance in training (one seed)",
    ]


def _target_notes(targets: Targets | str, places: int) -> list[str]:
    if isinstance(targets, str):
        return [targets]
    lines = []
    if len(targets.rows) < places:
        lines.append(f"{places - len(targets.rows)} places without truth are not in the probe")
    if targets.dropped:
        lines.append(f"columns of the truth that hardly vary are not probed: {', '.join(targets.dropped)}")
    return lines
