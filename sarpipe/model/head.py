"""The projection head: used in training, and left behind."""

from __future__ import annotations

from torch import nn

from sarpipe.channels import EMBED_DIM

PROJECTION_DIM = 128


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, linear: ``[B, 1024] -> [B, 128]``. The loss is on its output, the embedding before it.

    It lets go of what the views do not share, so that the embedding need not (arXiv 2002.05709, section 4.2).
    """

    def __init__(self) -> None:
        super().__init__(nn.Linear(EMBED_DIM, EMBED_DIM), nn.ReLU(inplace=True), nn.Linear(EMBED_DIM, PROJECTION_DIM))
