"""The places on the device, where all steps take them from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarpipe.cubes import CubeSet
from sarpipe.ssl.counter import epoch_order, place_keys
from sarpipe.ssl.simclr import Batch

SHARE_OF_GPU = 0.5
"""Of the GPU's free memory that the data may take; the rest is for activations."""


class Places:
    """All places: in float16 on a GPU if they fit there, else in main memory, where no copy is made.

    Args:
        cubes: The places.
        device: Where the batches go.
        with_frames: Whether views are taken from some of the dates.
    """

    def __init__(self, cubes: CubeSet, device: torch.device, *, with_frames: bool) -> None:
        self.device = device
        self.keys = place_keys(cubes.ids)
        self._keys_there = self.keys.to(device)
        self._dates = torch.from_numpy(dates_with_data(cubes.frames)).to(device)
        self._coordinates = torch.tensor(cubes.index[["latitude", "longitude"]].to_numpy(np.float64), device=device)
        tensors = [_tensor(cubes.cubes)] + ([_tensor(cubes.frames)] if with_frames else [])
        on_gpu = device.type == "cuda" and _fits(tensors, device)
        self._data = [tensor.to(device, torch.float16) for tensor in tensors] if on_gpu else tensors

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order in which an epoch visits the places: ``int64 [N]``, on the CPU."""
        return epoch_order(self.keys, seed=seed, epoch=epoch)

    def batch(self, positions: Tensor) -> Batch:
        """The places at these positions (``int64 [B]``, on the CPU), on the device."""
        # Without waiting: a GPU may still be busy with the steps before.
        there = positions.to(self.device, non_blocking=True)
        data = [tensor[there if tensor.device == there.device else positions].to(self.device) for tensor in self._data]
        latitude, longitude = self._coordinates[there].unbind(1)
        frames = data[1] if len(data) > 1 else None
        return Batch(self._keys_there[there], data[0], frames, self._dates[there], latitude, longitude)


def dates_with_data(frames: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which dates of each place hold any data: ``[N, 4]``, at least one for each place.

    Args:
        frames: ``[N, 4, 4, 64, 64]``, NaN where there is no data.
    """
    there = np.array([[np.isfinite(date).any() for date in place] for place in frames[:, :, 0]], bool)
    there = there.reshape(frames.shape[:2])
    # A cube may stand for dates of which too little is left after the resampling.
    return there | ~there.any(axis=1, keepdims=True)


def _tensor(array: NDArray[np.floating]) -> Tensor:
    """Without a copy, unless the array must not be written to, which torch cannot promise."""
    return torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)


def _fits(tensors: Sequence[Tensor], device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return sum(2 * tensor.numel() for tensor in tensors) < SHARE_OF_GPU * free
