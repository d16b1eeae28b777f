"""SimCLR's own loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sarpipe.ssl.losses.similarity import similarities


def nt_xent(z1: Tensor, z2: Tensor, temperature: float, negatives_mask: Tensor | None = None) -> Tensor:
    """The loss of SimCLR: each view is to pick its partner out of all other views.

    For each of the 2N views: one positive and 2N - 2 negatives, cosine similarity, cross-entropy; the mean over
    the views (Chen et al., arXiv 2002.05709, equation 1).

    Args:
        z1: ``float [N, D]``, the first view of each place. Normalised here.
        z2: ``float [N, D]``, the second.
        temperature: Above 0.
        negatives_mask: ``bool [N, N]``, which places are negatives of each other, on top of what always holds (a
            place is never its own); None: all. A view without any negative has nothing to learn and counts 0.

    Returns:
        ``float32 []``.
    """
    positive, negatives, known = similarities(z1, z2, temperature, negatives_mask)
    return (torch.logaddexp(positive, negatives.logsumexp(1)) - positive).where(known, 0).mean()
