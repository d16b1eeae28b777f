"""Contrastive losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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
    positive, negatives, known = _logits(z1, z2, temperature, negatives_mask)
    return (torch.logaddexp(positive, negatives.logsumexp(1)) - positive).where(known, 0).mean()


def dcl(z1: Tensor, z2: Tensor, temperature: float, negatives_mask: Tensor | None = None) -> Tensor:
    """The decoupled contrastive loss: NT-Xent without the positive in the denominator.

    So the gradient of an easy pair does not vanish, and small batches learn nearly as well as large ones
    (Yeh et al., arXiv 2110.06848). May be negative. Arguments and result as `nt_xent`.
    """
    positive, negatives, known = _logits(z1, z2, temperature, negatives_mask)
    return (negatives.logsumexp(1) - positive).where(known, 0).mean()


def _logits(z1: Tensor, z2: Tensor, temperature: float, negatives_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Each view's similarity to its partner ``[2N]``, to all views ``[2N, 2N]``, and whether it has a negative.

    What is no negative is so far below that its exponential is 0; not -inf, whose gradient would be NaN.
    """
    n = len(z1)
    z = functional.normalize(torch.cat([z1, z2]).float(), dim=1)
    similarity = z @ z.T / temperature
    others = ~torch.eye(n, dtype=torch.bool, device=z.device)
    if negatives_mask is not None:
        others &= negatives_mask
    allowed = others.repeat(2, 2)
    positive = torch.cat([similarity.diagonal(n), similarity.diagonal(-n)])
    return positive, similarity.masked_fill(~allowed, -1e30), allowed.any(1)
