"""The baseline that knows nothing: what a probe and a retrieval find by chance."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM


def random_vectors(cubes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard normal numbers, drawn anew for each cube from the hash of its bytes.

    Args:
        cubes: ``[N, C, H, W]``; NaN where there is no data.

    Returns:
        ``float32 [N, 1024]``. Equal cubes have equal vectors; those of any others are independent.
    """
    seeds = (hashlib.blake2b(cube.tobytes(), digest_size=16).digest() for cube in cubes)
    generators = (np.random.default_rng(int.from_bytes(seed, "little")) for seed in seeds)
    vectors = [generator.standard_normal(EMBED_DIM, np.float32) for generator in generators]
    return np.stack(vectors) if vectors else np.empty((0, EMBED_DIM), np.float32)
