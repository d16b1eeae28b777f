"""The cross-correlation of two views, to be the identity."""

from __future__ import annotations

import torch
from torch import Tensor

REDUNDANCY = 5e-3
"""Weight of what is off the diagonal (Zbontar et al., section 3.2)."""
_LEAST_VARIANCE = 1e-5


def barlow_twins(z1: Tensor, z2: Tensor) -> Tensor:
    """Each dimension shall agree with itself in the other view, and with no other dimension.

    The squares of what the cross-correlation of the two views lacks to 1 on its diagonal, plus 0.005 times the squares
    of what is off it (Zbontar et al., arXiv 2103.03230, equation 1). It knows no negatives, so neither a temperature
    nor which places are neighbours. Computed in float32.

    Args:
        z1: ``float [N, D]``, the first view of each place, N at least 2. Each dimension is standardised here.
        z2: ``float [N, D]``, the second.

    Returns:
        ``float32 []``, 0 or more.
    """
    correlation = _standard(z1.float()).T @ _standard(z2.float()) / len(z1)
    on_diagonal = correlation.diagonal()
    off_diagonal = correlation - torch.diag(on_diagonal)
    return (1 - on_diagonal).square().sum() + REDUNDANCY * off_diagonal.square().sum()


def _standard(z: Tensor) -> Tensor:
    """Over the batch, as a BatchNorm does it: a dimension that does not vary is 0."""
    centred = z - z.mean(0)
    return centred / (centred.square().mean(0) + _LEAST_VARIANCE).sqrt()
