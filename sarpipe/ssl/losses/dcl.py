"""The decoupled contrastive loss."""

from __future__ import annotations

from torch import Tensor

from sarpipe.ssl.losses.similarity import similarities


def dcl(z1: Tensor, z2: Tensor, temperature: float, negatives_mask: Tensor | None = None) -> Tensor:
    """NT-Xent without the positive in the denominator.

    So the gradient of an easy pair does not vanish, and small batches learn nearly as well as large ones
    (Yeh et al., arXiv 2110.06848). May be negative. Arguments and result as `sarpipe.ssl.losses.nt_xent`.
    """
    positive, negatives, known = similarities(z1, z2, temperature, negatives_mask)
    return (negatives.logsumexp(1) - positive).where(known, 0).mean()
