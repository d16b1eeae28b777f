"""Encoders that have learnt nothing yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.model.encoder import Encoder, EncoderConfig


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let what torch draws on the CPU and on this device depend on ``seed``; its generators are put back afterwards.

    For what torch draws by itself: initial weights and dropout. All else is drawn in `sarpipe.ssl.counter`.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def new_encoder(config: EncoderConfig, mean: NDArray[np.floating], std: NDArray[np.floating], *, seed: int) -> Encoder:
    """An encoder with torch's initial weights for this seed, in training mode, on the CPU."""
    with seeded(seed, torch.device("cpu")):
        return Encoder(config, mean, std)


def random_encoder(like: Encoder, cubes: NDArray[np.float32], *, seed: int = 0, batch_size: int = 64) -> Encoder:
    """The baseline "same encoder, random weights": what the architecture gives without learning.

    Same architecture and standardisation, initial weights by seed, and BatchNorm statistics taken from data, as
    those of the fresh layers (mean 0, variance 1) would make it needlessly bad.

    Args:
        like: The trained encoder.
        cubes: ``float32 [N, 12, 64, 64]`` for the statistics, NaN where there is no data.
        seed: Of the weights.
        batch_size: How many places at a time, at most; 2 or more.

    Returns:
        In eval mode, on the CPU.

    Raises:
        DataError: There are fewer than 2 places.
    """
    if len(cubes) < 2:
        raise DataError(
            f"the statistics of random weights need 2 places or more, found {len(cubes)}", code=Code.TOO_FEW
        )
    mean, std = (buffer.cpu().numpy().ravel() for buffer in (like.mean, like.std))
    encoder = new_encoder(like.settings, mean, std, seed=seed).eval()
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None  # the plain mean over all batches
    with torch.inference_mode():
        # Parts of nearly the same size, so that they count the same and none is a single place.
        for part in np.array_split(cubes, -(-len(cubes) // batch_size)):
            encoder(torch.tensor(part))
    for norm in norms:
        norm.eval()
        norm.momentum = 0.1
    return encoder
