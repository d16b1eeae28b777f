"""What a reader of the figures must know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sarpipe.channels import CHANNELS
from sarpipe.cubes import CubeSet
from sarpipe.evaluate.blocks import BLOCK_KM
from sarpipe.evaluate.claims import ANECDOTE, LABELS
from sarpipe.evaluate.estimate import FEW_BLOCKS, FEWEST_BLOCKS, RESAMPLES
from sarpipe.evaluate.neighbours import CLUSTER_KM, PLACE_KM, near_pairs
from sarpipe.evaluate.score import SEEDS, Measured
from sarpipe.evaluate.targets import Targets


def notes(cubes: CubeSet, measured: Measured, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was left out, and what limits the figures.

    Args:
        cubes: All places.
        measured: What was measured of them.
        found: The figures of each method, as in the result of `sarpipe.evaluate.evaluate`.
    """
    encoded, targets = measured.encoded, measured.targets
    n, places, paired = len(cubes.ids), encoded.places, encoded.paired
    lines = []
    if n < ANECDOTE:
        lines.append(f"{n} places: the figures are anecdotes, and their intervals too narrow")
    without = n - len(places) - measured.overlapping
    if without:
        lines.append(f"{without} places without data are left out")
    if measured.overlapping:
        lines.append(
            f"{measured.overlapping} places that overlap another (closer than {PLACE_KM:g} km) are left out: in the "
            "retrieval they would be right answers that count as wrong, in the probe they would count twice"
        )
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
    lines += _block_notes(cubes, measured)
    lines.append(f"{LABELS['position']}: not in the retrieval, of which it is the answer")
    widths = ", ".join(f"{LABELS[name]} {method['dimensions']}" for name, method in found.items())
    return [
        *lines,
        f"dimensions: {widths}; each has its ridge penalty chosen in the training folds",
        "RankMe is at most the smaller of places and dimensions, and compares runs of one method, not methods",
        "probe and retrieval are proxy tasks: they stand for use on the ground and do not measure it",
        f"intervals: 95 %, {RESAMPLES} resamples of blocks, each with a draw of the {SEEDS} seeds of folds, random "
        "weights and random convolutions; they do not hold the chance in training (one seed)",
    ]


def _block_notes(cubes: CubeSet, measured: Measured) -> list[str]:
    rows, lines = measured.encoded.places, []
    latitude, longitude = (cubes.index[name].to_numpy(np.float64)[rows] for name in ("latitude", "longitude"))
    groups = measured.groups[rows]
    pairs = near_pairs(latitude, longitude, CLUSTER_KM)
    near = len(np.unique(pairs))
    if near:
        lines.append(
            f"{near} places have another within {CLUSTER_KM:g} km: they share a block, and in the retrieval they are "
            "hard wrong answers"
        )
    parted = len(np.unique(pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]))
    if parted:
        lines.append(
            f"most places are one region, which is cut into cells of {BLOCK_KM:g} km: {parted} of them have another "
            f"within {CLUSTER_KM:g} km on the other side of a border, so the probe is read too well"
        )
    if np.isnan(latitude + longitude).any():
        lines.append("places at unknown positions are split and resampled as if they had no neighbours")
    count = len(np.unique(groups))
    if count < min(FEWEST_BLOCKS, len(rows)):
        lines.append(
            f"fewer than {FEWEST_BLOCKS} blocks: the resamples draw single places, and the intervals are too narrow"
        )
    elif count < min(FEW_BLOCKS, len(rows)):
        lines.append(f"{count} blocks are few to draw from: the intervals are too narrow")
    return lines


def _target_notes(targets: Targets | str, places: int) -> list[str]:
    if isinstance(targets, str):
        return [targets]
    lines = []
    if len(targets.rows) < places:
        lines.append(f"{places - len(targets.rows)} places without truth are not in the probe")
    if targets.dropped:
        lines.append(f"columns of the truth that hardly vary are not probed: {', '.join(targets.dropped)}")
    return lines
