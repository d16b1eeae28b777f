"""The objective SimCLR: two views of a place shall land close together, those of different places apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sarpipe.model.encoder import Encoder
from sarpipe.model.head import ProjectionHead
from sarpipe.ssl.losses import barlow_twins, dcl, nt_xent, vicreg
from sarpipe.ssl.neighbours import apart
from sarpipe.ssl.processes import gathered
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.ssl.views import two_views

CONTRASTIVE: dict[str, Callable[[Tensor, Tensor, float, Tensor | None], Tensor]] = {"dcl": dcl, "nt_xent": nt_xent}
"""Losses with negatives: they have a temperature, and neighbours are left out of them."""
DECORRELATING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"vicreg": vicreg, "barlow_twins": barlow_twins}
"""Losses without."""


class Batch(NamedTuple):
    """Some places, on the device.

    Attributes:
        keys: ``int64 [B]``, `sarpipe.ssl.counter.place_keys`.
        cubes: ``float [B, 12, 64, 64]``, NaN where there is no data.
        frames: ``float [B, 4, 4, 64, 64]``, or None where no view needs them.
        dates: ``bool [B, 4]``, which dates a place has.
        latitude, longitude: ``float64 [B]``, degrees; NaN unknown.
    """

    keys: Tensor
    cubes: Tensor
    frames: Tensor | None
    dates: Tensor
    latitude: Tensor
    longitude: Tensor


class Outcome(NamedTuple):
    """What a step gives; where several processes share a batch, of all of it.

    Attributes:
        loss: ``float32 []``, with gradient.
        embeddings: ``float32 [B, 1024]`` of the first views, without gradient.
        projections: Two times ``float32 [B, 128]``, the head's output for both views, without gradient.
    """

    loss: Tensor
    embeddings: Tensor
    projections: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Contrast:
    """What SimCLR is set to: see `sarpipe.train.settings.TrainSettings`, where the fields are described."""

    views: ViewSettings
    loss: Literal["dcl", "nt_xent", "vicreg", "barlow_twins"]
    temperature: float
    neighbour_km: float
    seed: int
    bf16: bool


class SimClr(nn.Module):
    """Encoder, projection head and loss (Chen et al., arXiv 2002.05709).

    Args:
        encoder: What is trained and kept.
        contrast: How.
    """

    def __init__(self, encoder: Encoder, contrast: Contrast) -> None:
        super().__init__()
        self.encoder = encoder
        self.head: nn.Module = ProjectionHead()
        self.contrast = contrast

    def forward(self, batch: Batch, epoch: int | Tensor) -> Outcome:
        """The loss of one batch, with views drawn for this epoch; no GPU is waited for."""
        with torch.no_grad():
            views = two_views(
                batch.cubes,
                batch.frames,
                batch.keys,
                self.contrast.views,
                seed=self.contrast.seed,
                epoch=epoch,
                dates=batch.dates,
                fixed=batch.cubes.is_cuda,
            )
        # Both views in one pass: BatchNorm sees them all, and cannot tell which is which.
        with torch.autocast(batch.cubes.device.type, torch.bfloat16, enabled=self.contrast.bf16):
            embeddings = self.encoder(torch.cat(views))
            z1, z2 = (gathered(z) for z in self.head(embeddings).float().chunk(2))
        loss = self._loss(z1, z2, batch)
        first = gathered(embeddings[: len(batch.keys)].detach().float())
        return Outcome(loss, first, (z1.detach(), z2.detach()))

    def _loss(self, z1: Tensor, z2: Tensor, batch: Batch) -> Tensor:
        contrast = self.contrast
        if contrast.loss in DECORRELATING:
            return DECORRELATING[contrast.loss](z1, z2)
        mask = None
        if contrast.neighbour_km:
            mask = apart(gathered(batch.latitude), gathered(batch.longitude), contrast.neighbour_km)
        return CONTRASTIVE[contrast.loss](z1, z2, contrast.temperature, mask)
