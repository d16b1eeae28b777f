"""Cubes to embeddings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarpipe.channels import EMBED_DIM
from sarpipe.cubes import Rows
from sarpipe.model.device import pick_device
from sarpipe.model.encoder import Encoder

BATCH_ON_CPU = 16
BATCH_ON_GPU = 256


def embed(
    encoder: Encoder,
    cubes: Rows,
    *,
    device: str = "auto",
    batch_size: int | None = None,
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
        batch_size: How many places at a time; None: 16 on a CPU, more would leave its caches, 256 on a GPU.
        progress: Called with the places done and all.

    Returns:
        ``[N, 1024]``.
    """
    where = pick_device(device)
    batch_size = batch_size or (BATCH_ON_GPU if where.type == "cuda" else BATCH_ON_CPU)
    worker = copy.deepcopy(encoder).to(where).eval()
    result = np.empty((len(cubes), EMBED_DIM), np.float32)
    starts = range(0, len(cubes), batch_size)
    room = _Room((batch_size, *cubes.shape[1:]), where)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        passes = (_Vectors(worker(room.filled(cubes[start : start + batch_size]))) for start in starts)
        for start, vectors in zip(starts, _one_behind(passes), strict=True):
            part = result[start : start + batch_size]
            part[:] = vectors.arrived()[: len(part)].numpy()
            if progress is not None:
                progress(start + len(part), len(cubes))
    return result


class _Room:
    """Where a batch lies on its way to the device: on a CPU always the same memory, for a GPU pages that stay."""

    def __init__(self, shape: tuple[int, ...], device: torch.device) -> None:
        self._shape = shape
        self._device = device
        self._room = torch.empty(shape if device.type != "cuda" else 0)

    def filled(self, part: NDArray[np.floating]) -> Tensor:
        """These places, and zeros for those that are lacking, on the device."""
        gpu = self._device.type == "cuda"
        # The batch before may still be on its way to a GPU; torch takes its memory again once it has arrived.
        batch = torch.empty(self._shape, pin_memory=True) if gpu else self._room
        batch[: len(part)] = torch.from_numpy(np.ascontiguousarray(part))
        batch[len(part) :] = 0
        return batch.to(self._device, non_blocking=True)


class _Vectors:
    """Vectors on their way from the device, for which nobody waits before they are asked for."""

    def __init__(self, vectors: Tensor) -> None:
        self._arrival = torch.cuda.Event() if vectors.is_cuda else None  # type: ignore[no-untyped-call]
        if self._arrival is not None:
            vectors = torch.empty(vectors.shape, pin_memory=True).copy_(vectors, non_blocking=True)
            self._arrival.record()
        self._vectors = vectors

    def arrived(self) -> Tensor:
        """They, in main memory."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return self._vectors


def _one_behind(passes: Iterable[_Vectors]) -> Iterator[_Vectors]:
    """Each once the next has begun: a GPU works on that one while this one is fetched and the one after is read."""
    before: _Vectors | None = None
    for one in passes:
        if before is not None:
            yield before
        before = one
    if before is not None:
        yield before
