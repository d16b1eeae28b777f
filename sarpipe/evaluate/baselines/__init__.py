"""What the embedding stands beside: vectors that need no training of an encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.evaluate.baselines.band_statistics import band_statistics
from sarpipe.evaluate.baselines.mean_pool import mean_pool, whitened_mean_pool
from sarpipe.evaluate.baselines.pca import pca
from sarpipe.evaluate.baselines.position import position
from sarpipe.evaluate.baselines.random_convolutions import random_convolutions
from sarpipe.evaluate.baselines.random_vectors import random_vectors
from sarpipe.evaluate.encoded import Encode, seeded

__all__ = ["MAY_NOT_KNOW", "OF_BANDS", "band_statistics", "image_baselines", "position"]

OF_BANDS = {"date_statistics": band_statistics, "date_pool": mean_pool}
"""Baselines that are functions of VV and VH at each date, before statistics over time, as the challenge has them."""

MAY_NOT_KNOW = ("band_statistics", "mean_pool", *OF_BANDS)
"""Baselines that give NaN for what has no data: see `sarpipe.evaluate.encoded.encode_all`."""


def image_baselines(learn_from: NDArray[np.float32], *, seed: int, device: str, seeds: int = 1) -> dict[str, Encode]:
    """The baselines that are functions of the cube, by name; from the one that is hardest to beat to chance.

    Args:
        learn_from: Cubes ``[N, 12, 64, 64]`` from which filters and components are learned; where there are none,
            the baselines that learn are left out.
        seed: Of what is drawn.
        device: See `sarpipe.model.device.pick_device`.
        seeds: How often random convolutions are drawn; named by `sarpipe.evaluate.encoded.seeded`.
    """
    learned = {}
    if len(learn_from):
        for number in range(seeds):
            drawn = random_convolutions(learn_from, seed=seed * seeds + number, device=device)
            learned[seeded("random_convolutions", number)] = drawn
        learned["pca"], learned["pca_whitened"] = pca(learn_from, seed=seed)
        learned["mean_pool_whitened"] = whitened_mean_pool(learn_from)
    return learned | {
        "band_statistics": band_statistics,
        "mean_pool": mean_pool,
        "random_vectors": random_vectors,
    }
