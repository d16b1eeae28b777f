"""Random convolutional features: what an image gives to filters that were never trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sarpipe.channels import EMBED_DIM
from sarpipe.evaluate.baselines.components import Components
from sarpipe.evaluate.encoded import Encode
from sarpipe.model.device import pick_device
from sarpipe.model.encoder import channel_statistics

PATCHES = 512
PATCH_SIZE = 3
STRIDE = 2
BIAS = 1.0
_WHITEN_FROM = 20_000
"""Patches from which the whitening is learned."""
_ZCA_BIAS = 1e-3
_BATCH = 8
"""Places at a time: responses of 2 MB a place then stay in a CPU's cache, and take a fifth of the time."""


def random_convolutions(cubes: NDArray[np.float32], *, seed: int, device: str = "cpu") -> Encode:
    """Filters that are patches of the data, rectified responses of both signs, their means, principal components.

    MOSAIKS (Rolf et al., Nature Communications 12, 2021) with the patches of Coates and Ng (2012): patches of 3 x 3
    px and all channels, less their mean, of length 1, ZCA-whitened; ``relu(x * w - 1)`` and ``relu(-x * w - 1)``
    averaged over the image (every other row and column). No labels, no gradient.

    Args:
        cubes: ``[N, 12, 64, 64]`` to take patches and components from, N at least 1; NaN where there is no data,
            which counts as the mean of the channel.
        seed: Of the patches and of the rotation of `Components`.
        device: See `sarpipe.model.device.pick_device`.

    Returns:
        Cubes to ``float32 [n, K]``, K = min(1024, N - 1) or what the features span.
    """
    where = pick_device(device)
    mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in channel_statistics(cubes))
    filters = _filters(cubes, mean, std, np.random.default_rng(seed)).to(where)

    def features(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            scaled = (_scaled(torch.tensor(images[i : i + _BATCH]), mean, std) for i in range(0, len(images), _BATCH))
            found: NDArray[np.float32] = (
                torch.cat([_responses(part.to(where), filters) for part in scaled]).cpu().numpy()
            )
        return found

    components = Components.of(features(cubes), EMBED_DIM).turned(seed)
    return lambda images: components(features(images))


def _scaled(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    scaled: Tensor = ((images - mean) / std).nan_to_num(nan=0.0)
    return scaled


def _filters(cubes: NDArray[np.float32], mean: Tensor, std: Tensor, rng: np.random.Generator) -> Tensor:
    """Whitened patches at random positions of random places: ``[PATCHES, 12, 3, 3]``."""
    last = cubes.shape[-1] - PATCH_SIZE + 1
    place, y, x = (rng.integers(0, high, _WHITEN_FROM)[:, None, None] for high in (len(cubes), last, last))
    square = np.arange(PATCH_SIZE)
    picked = cubes[place, :, y + square[:, None], x + square]
    patches = _scaled(torch.from_numpy(np.moveaxis(picked, -1, 1)), mean, std).flatten(1).double()
    patches = functional.normalize(patches - patches.mean(1, keepdim=True), dim=1)
    centred = patches - patches.mean(0)
    eigenvalues, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    whitening = axes @ torch.diag((eigenvalues.clamp_min(0) + _ZCA_BIAS).rsqrt()) @ axes.T
    filters: Tensor = (centred[:PATCHES] @ whitening).float()
    return filters.view(PATCHES, cubes.shape[1], PATCH_SIZE, PATCH_SIZE)


def _responses(images: Tensor, filters: Tensor) -> Tensor:
    """``[n, 2 PATCHES]``."""
    last = torch.channels_last
    response = functional.conv2d(
        images.contiguous(memory_format=last), filters.contiguous(memory_format=last), stride=STRIDE
    )
    return torch.cat([(signed - BIAS).relu_().mean((2, 3)) for signed in (response, response.neg())], dim=1)
