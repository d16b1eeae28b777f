"""What is watched during training, without labels. Cheap: once an epoch, on what its steps computed anyway."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MAX_PLACES = 512
MONITORS = ("rankme", "alignment", "uniformity", "pair_accuracy")


def monitors(embeddings: Tensor, z1: Tensor, z2: Tensor) -> list[float]:
    """The values of `MONITORS`.

    Args:
        embeddings: ``float32 [M, 1024]``.
        z1: ``float32 [B, D]``, the head's output for the first views of a batch.
        z2: ``float32 [B, D]``, for the second.

    Returns:
        RankMe of the embeddings, 1 to M: the exponential of the entropy of their singular values (Garrido et al.,
        arXiv 2210.02885); compare it within a run only. Alignment: mean squared distance of partners on the unit
        sphere, 0 to 4. Uniformity: logarithm of the mean Gaussian potential, lower is more even (Wang and Isola,
        arXiv 2005.10242). `pair_accuracy`.
    """
    first, second = functional.normalize(z1, dim=1), functional.normalize(z2, dim=1)
    alignment = (first - second).square().sum(1).mean()
    uniformity = torch.pdist(first).square().mul(-2).exp().mean().log()
    return torch.stack([_rankme(embeddings), alignment, uniformity, pair_accuracy(first, second)]).tolist()


def pair_accuracy(z1: Tensor, z2: Tensor) -> Tensor:
    """The share of first views whose partner is nearer than any other second view, by cosine: ``float32 []``."""
    similarity = functional.normalize(z1, dim=1) @ functional.normalize(z2, dim=1).T
    # The partner itself is among those that are as near.
    return ((similarity >= similarity.diagonal()[:, None]).sum(1) == 1).float().mean()


def _rankme(embeddings: Tensor) -> Tensor:
    # The small Gram matrix in float64 has the same singular values, squared, and is cheaper than an SVD.
    rows = embeddings.double()
    singular = torch.linalg.eigvalsh(rows @ rows.T).clamp_min(0).sqrt()
    share = singular / singular.sum() + 1e-7
    return torch.exp(-(share * share.log()).sum()).float()
