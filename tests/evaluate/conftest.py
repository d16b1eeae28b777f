"""Places with planted content: eight numbers that an encoder can read from mean VV."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sarpipe.cubes import CubeSet
from sarpipe.preprocess.temporal import statistics

LATENTS = 8


def read_latents(cubes: np.ndarray) -> np.ndarray:
    """A perfect encoder: the mean of each of eight stripes of mean VV."""
    stripes = cubes[:, 0].reshape(len(cubes), LATENTS, -1)
    return np.nanmean(stripes, axis=2).astype(np.float32)


def noise(cubes: np.ndarray) -> np.ndarray:
    """An encoder that sees its cube and yet says nothing of it."""
    seeds = np.abs(np.nansum(cubes, axis=(1, 2, 3)) * 1000).astype(np.int64)
    return np.stack([np.random.default_rng(seed).standard_normal(LATENTS) for seed in seeds]).astype(np.float32)


@pytest.fixture
def perfect() -> Callable[[np.ndarray], np.ndarray]:
    return read_latents


@pytest.fixture
def blind() -> Callable[[np.ndarray], np.ndarray]:
    return noise


@pytest.fixture
def make_cubes() -> Callable[..., CubeSet]:
    """Cubes of n places far apart whose truth is a linear function of what was planted."""

    def make(n: int, *, truth: bool = True, seed: int = 0) -> CubeSet:
        rng = np.random.default_rng(seed)
        latents = rng.standard_normal((n, LATENTS))
        # Stripes that sum to 0 and are shuffled between places: statistics of the whole image know little of them.
        frames = rng.normal(0, 0.3, (n, 4, 4, 64, 64)).astype(np.float16)
        frames[:, :, 0] += np.repeat(latents, 64 // LATENTS, axis=1)[:, None, :, None].astype(np.float16)
        ids = tuple(f"place-{i}" for i in range(n))
        index = pd.DataFrame({"id": list(ids), "latitude": np.linspace(-60, 60, n), "longitude": np.zeros(n)})
        index["dates"] = [list(pd.date_range("2020-01-15", periods=4, freq="91D"))] * n
        index["orbit_passes"] = [["ascending", "descending"] * 2] * n
        table = pd.DataFrame(
            {
                "id": list(ids),
                "slope": latents @ np.arange(LATENTS) + rng.normal(0, 0.5, n),
                "first": latents[:, 0],
                "always": 1.0,
            }
        )
        return CubeSet(ids, statistics(frames), frames, index, table if truth else None)

    return make
