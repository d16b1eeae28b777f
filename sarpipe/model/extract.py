"""Cubes to embeddings."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM
from sarpipe.cubes import Rows
from sarpipe.model.device import pick_device
from sarpipe.model.encoder import Encoder


def embed(
    encoder: Encoder,
    cubes: Rows,
    *,
    device: str = "auto",
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Embed places, in eval mode and full float32.

    The vector of a place does not depend on the other places. Every pass has ``batch_size`` rows, the last one
    filled up with zeros, as the order in which a matrix product adds changes with the number of its rows.

    Args:
        encoder: Left as it is.
        cubes: ``float32 [N, 12, 64, 64]``, in the units of the recipe, NaN where there is no data; files are read batch
            by batch.
        device: See `sarpipe.model.device.pick_device`.
        batch_size: How many places at a time.
        progress: Called with the places done and all.

    Returns:
        ``[N, 1024]``.
    """
    where = pick_device(device)
    worker = copy.deepcopy(encoder).to(where).eval()
    result = np.empty((len(cubes), EMBED_DIM), np.float32)
    batch = np.zeros((batch_size, *cubes.shape[1:]), np.float32)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        for start in range(0, len(cubes), batch_size):
            part = cubes[start : start + batch_size]
            batch[: len(part)] = part
            batch[len(part) :] = 0
            vectors = worker(torch.from_numpy(batch).to(where))
            result[start : start + len(part)] = vectors[: len(part)].cpu().numpy()
            if progress is not None:
                progress(start + len(part), len(cubes))
    return result
