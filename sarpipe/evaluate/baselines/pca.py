"""The cheapest learned compression: principal components of the cube itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM
from sarpipe.evaluate.baselines.components import Components
from sarpipe.evaluate.encoded import Encode
from sarpipe.model.encoder import channel_statistics


def pca(cubes: NDArray[np.float32], *, seed: int) -> tuple[Encode, Encode]:
    """Learn the principal components of the flattened cube, without labels.

    Channels are first brought to mean 0 and deviation 1, or grey levels and edges would outweigh all dB; what has no
    data is 0, the mean.

    Args:
        cubes: ``[N, 12, 64, 64]`` to learn from, N at least 1; NaN where there is no data.
        seed: Of the rotation of `Components.turned`.

    Returns:
        Two times cubes to ``float32 [n, K]``, K = min(1024, N - 1) or what the cubes span: turned, so that they stay
        as they are in all measures, and on the principal axes, so that all measures see them whitened.
    """
    mean, std = (values.astype(np.float32)[:, None, None] for values in channel_statistics(cubes))

    def flat(images: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = np.nan_to_num((images - mean) / std)
        return scaled.reshape(len(images), -1)

    components = Components.of(flat(cubes), EMBED_DIM)
    turned = components.turned(seed)
    return lambda images: turned(flat(images)), lambda images: components(flat(images))
