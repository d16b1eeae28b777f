"""Toy places that hold what training is about: a place looks alike at all dates, but for strong noise."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext

import numpy as np
import pandas as pd
import pytest

from sarpipe.cubes import CubeSet
from sarpipe.preprocess.temporal import statistics


def make_places(n: int, *, seed: int = 0, noise: float = 1.0) -> CubeSet:
    rng = np.random.default_rng(seed)
    # Each place: a mix of three textures of different wavelength, in proportions of its own.
    wave = np.arange(64) * 2 * np.pi
    phase = rng.uniform(0, 2 * np.pi, (n, 3, 2))
    textures = np.stack(
        [
            np.sin(wave / length + phase[:, i, :1])[:, :, None] * np.sin(wave / length + phase[:, i, 1:])[:, None]
            for i, length in enumerate((5, 11, 23))
        ],
        axis=1,
    )
    share = rng.normal(size=(n, 4, 3))
    looks = np.einsum("nft,ntyx->nfyx", share, textures)
    level = rng.normal(size=(n, 1, 4, 1, 1))
    season = 0.3 * rng.normal(size=(n, 4, 4, 1, 1))
    frames = looks[:, None] + level + season + noise * rng.normal(size=(n, 4, 4, 64, 64))
    frames = frames * np.array([2, 2, 40, 100])[:, None, None] + np.array([-12, -19, 120, 300])[:, None, None]
    frames = frames.astype(np.float16)
    ids = tuple(f"place_{i:03d}" for i in range(n))
    index = pd.DataFrame({"id": ids, "latitude": rng.uniform(-60, 60, n), "longitude": rng.uniform(-180, 180, n)})
    return CubeSet(ids, statistics(frames), frames, index, None)


@pytest.fixture(scope="session")
def toy_places() -> Callable[..., CubeSet]:
    return make_places


@pytest.fixture(scope="session")
def forkserver() -> ForkServerContext:
    """Starts processes that have imported the training, and nothing else of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sarpipe.train.loop"])
    return context
