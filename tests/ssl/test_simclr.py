from __future__ import annotations

import numpy as np
import pytest
import torch

from sarpipe.model import EncoderConfig, new_encoder
from sarpipe.ssl.counter import place_keys
from sarpipe.ssl.simclr import Batch, Contrast, SimClr
from sarpipe.ssl.view_settings import ViewSettings

N = 6


def outcome(loss="dcl", *, spread=10.0, neighbour_km=5.0, temperature=0.2, **views):
    settings = ViewSettings(**{"date_subset": 0, **views})
    contrast = Contrast(settings, loss, temperature, neighbour_km, seed=0, bf16=False)
    torch.manual_seed(0)
    objective = SimClr(new_encoder(EncoderConfig(), np.zeros(12), np.ones(12), seed=0), contrast).train()
    cubes = torch.randn(N, 12, 64, 64, generator=torch.Generator().manual_seed(1))
    latitude = spread * torch.arange(N, dtype=torch.float64)
    keys = place_keys([str(i) for i in range(N)])
    batch = Batch(keys, cubes, None, torch.ones(N, 4, dtype=torch.bool), latitude, torch.zeros_like(latitude))
    return objective(batch, 0)


@pytest.mark.parametrize("loss", ["dcl", "nt_xent"])
def test_neighbours_are_no_negatives_where_a_distance_is_set(loss):
    apart, near = outcome(loss).loss, outcome(loss, spread=0.03).loss
    assert near < apart
    assert torch.equal(outcome(loss, spread=0.03, neighbour_km=0).loss, apart)
    assert not torch.equal(outcome(loss, temperature=0.5).loss, apart)


@pytest.mark.parametrize("loss", ["vicreg", "barlow_twins"])
def test_losses_without_negatives_know_of_neither(loss):
    found = outcome(loss).loss
    assert torch.equal(outcome(loss, spread=0.03, temperature=0.5).loss, found)
    found.backward()
    assert not torch.equal(found, outcome("dcl").loss)


def test_all_losses_see_the_same_projections():
    first, *others = (outcome(loss).projections for loss in ("dcl", "nt_xent", "vicreg", "barlow_twins"))
    assert all(torch.equal(first[view], other[view]) for other in others for view in (0, 1))
