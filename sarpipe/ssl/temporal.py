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
    values = [frames[:, t].float() for t in range(frames.shape[1])]
    known = [(value.abs() < torch.inf) & dates[:, t, None, None, None] for t, value in enumerate(values)]
    count = known[0].float()
    total = torch.where(known[0], values[0], 0)
    last = total
    for value, here in zip(values[1:], known[1:], strict=True):
        count += here
        last = torch.where(here, value, last)
        total = torch.where(here, total + value, total)
    mean = total / count
    first = mean
    square = torch.zeros_like(mean)
    for value, here in zip(reversed(values), reversed(known), strict=True):
        first = torch.where(here, value, first)
        deviation = torch.where(here, value - mean, 0)
        square.addcmul_(deviation, deviation)
    one = count < 2
    std = square.div_(count).sqrt_().masked_fill_(one, torch.nan)
    return torch.cat([mean, std, (last - first).masked_fill_(one, torch.nan)], dim=1)


def statistics_of_some_dates(frames: Tensor, rows: Tensor, dates: Tensor) -> Tensor:
    """`statistics_of_dates` of these rows (``int64 [C]``) of a batch, sooner: it looks at the chosen dates alone.

    Rows where they are not finite throughout are handed to `statistics_of_dates`.

    Returns:
        ``float32 [C, 3F, H, W]``.
    """
    features, *image = frames.shape[2:]
    result = frames.new_empty((len(rows), 3 * features, *image), dtype=torch.float32)
    chosen = dates[rows]
    counts = chosen.sum(1)
    for count in sorted(set(counts.tolist())):
        alike = (counts == count).nonzero()[:, 0]
        which = chosen[alike].nonzero()[:, 1].view(-1, count)
        values = [frames[rows[alike], which[:, i]].float() for i in range(count)]
        mean = sum(values[1:], values[0]) / count
        square = (values[0] - mean).square_()
        for value in values[1:]:
            square.add_((value - mean).square_())
        result[alike] = torch.cat([mean, square.div_(count).sqrt_(), values[-1] - values[0]], dim=1)
    # A sum is finite only where all is; the deviation has seen every date, and is 0 where there is but one.
    holed = (~result.flatten(1).sum(1).isfinite() | (counts < 2)).nonzero()[:, 0]
    if len(holed):
        result[holed] = statistics_of_dates(frames[rows[holed]], chosen[holed])
    return result
