"""Variance, invariance, covariance."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
"""Weights of the three terms (Bardes et al., section 4.2)."""
_LEAST_VARIANCE = 1e-4


def vicreg(z1: Tensor, z2: Tensor) -> Tensor:
    """Partners shall be equal, every dimension shall vary, no two dimensions shall say the same.

    The mean squared difference of partners; what each dimension's deviation lacks to 1, averaged over dimensions and
    views; and for both views the squares of the covariances off the diagonal, by the number of dimensions (Bardes,
    Ponce and LeCun, arXiv 2105.04906, equation 6). Where the paper sums over dimensions or views and its authors'
    program takes the mean, this takes the mean: the weights were found with it. It knows no negatives, so neither a
    temperature nor which places are neighbours. Computed in float32.

    Args:
        z1: ``float [N, D]``, the first view of each place, N at least 2. Not normalised.
        z2: ``float [N, D]``, the second.

    Returns:
        ``float32 []``, 0 or more.
    """
    z1, z2 = z1.float(), z2.float()
    spread = redundancy = z1.new_zeros(())
    for z in (z1, z2):
        centred = z - z.mean(0)
        covariance = centred.T @ centred / (len(z) - 1)
        deviation = (covariance.diagonal() + _LEAST_VARIANCE).sqrt()
        spread = spread + functional.relu(1 - deviation).mean()
        redundancy = redundancy + (covariance - torch.diag(covariance.diagonal())).square().sum() / z.shape[1]
    return INVARIANCE * functional.mse_loss(z1, z2) + VARIANCE * spread / 2 + COVARIANCE * redundancy
