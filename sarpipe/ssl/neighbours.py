"""Which places are too close to each other to be told apart."""

from __future__ import annotations

import torch
from torch import Tensor

EARTH_RADIUS_KM = 6371.0


def distances_km(latitude: Tensor, longitude: Tensor) -> Tensor:
    """Great-circle distances between all places (haversine formula).

    Args:
        latitude: ``float64 [N]``, degrees; NaN unknown.
        longitude: ``float64 [N]``, degrees; NaN unknown.

    Returns:
        ``float64 [N, N]``, km; NaN where either place is unknown.
    """
    phi, lam = torch.deg2rad(latitude), torch.deg2rad(longitude)
    half_chord = (
        torch.sin((phi[:, None] - phi) / 2) ** 2
        + torch.cos(phi)[:, None] * torch.cos(phi) * torch.sin((lam[:, None] - lam) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * torch.asin(half_chord.clamp(0, 1).sqrt())


def apart(latitude: Tensor, longitude: Tensor, neighbour_km: float) -> Tensor:
    """Which pairs of places may be each other's negatives: ``bool [N, N]``.

    All but those known to be closer than ``neighbour_km``; their patches overlap or show the same landscape.
    """
    return ~(distances_km(latitude, longitude) < neighbour_km)
