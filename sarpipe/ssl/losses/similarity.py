"""How alike the views of a batch are: what contrastive losses are made from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def similarities(
    z1: Tensor, z2: Tensor, temperature: float, negatives_mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Each view's similarity to its partner ``[2N]``, to all views ``[2N, 2N]``; whether it has a negative ``[2N]``.

    What is no negative is so far below that its exponential is 0; not -inf, whose gradient would be NaN. Arguments
    as `sarpipe.ssl.losses.nt_xent`.
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
