"""Statistics over some of the dates, on the device."""

from __future__ import annotations

import torch
from torch import Tensor


def statistics_of_dates(frames: Tensor, dates: Tensor) -> Tensor:
    """Mean, standard deviation and last minus first over the chosen dates of each place.

    The same definition as `sarpipe.preprocess.temporal.statistics`, which is the reference: each pixel only over
    its valid (finite) dates; NaN where no date has it, and in deviation and difference where a single one has.

    Args:
        frames: ``float16 or float32 [B, T, F, H, W]``, NaN where there is no data.
        dates: ``bool [B, T]``, which dates count.

    Returns:
        ``float32 [B, 3F, H, W]``.
    """
    # Date by date: what is worked on stays small enough for the processor's cache.
    chosen = dates[:, :, None, None, None]
    values = [frames[:, t].float() for t in range(frames.shape[1])]
    valid = [torch.isfinite(value) & chosen[:, t] for t, value in enumerate(values)]
    count = torch.zeros_like(values[0])
    total = torch.zeros_like(values[0])
    first = torch.zeros_like(values[0])
    last = torch.zeros_like(values[0])
    for value, known in zip(values, valid, strict=True):
        first = torch.where(known & (count == 0), value, first)
        last = torch.where(known, value, last)
        total += torch.where(known, value, 0)
        count += known
    mean = total / count
    square = torch.zeros_like(mean)
    for value, known in zip(values, valid, strict=True):
        square += torch.where(known, value - mean, 0).square_()
    change = torch.cat([square.div_(count).sqrt_(), last - first], dim=1)
    return torch.cat([mean, change.masked_fill_((count < 2).repeat(1, 2, 1, 1), torch.nan)], dim=1)
