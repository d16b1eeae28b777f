from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.ssl.losses import dcl, nt_xent


def brute_force(z1, z2, temperature, mask, positive_in_denominator):
    n = len(z1)
    views = [(i, z / z.norm()) for z_all in (z1, z2) for i, z in enumerate(z_all.double())]
    total = 0.0
    for a, (place, view) in enumerate(views):
        positive = math.exp(view @ views[(a + n) % (2 * n)][1] / temperature)
        negatives = [
            math.exp(view @ other / temperature)
            for elsewhere, other in views
            if elsewhere != place and (mask is None or mask[place, elsewhere])
        ]
        if negatives:
            denominator = sum(negatives) + (positive if positive_in_denominator else 0)
            total += -math.log(positive / denominator)
    return total / (2 * n)


@given(st.integers(2, 7), st.integers(1, 9), st.sampled_from([0.1, 0.2, 0.5, 2.0]), st.booleans(), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_losses_equal_the_double_loop_and_have_finite_gradients(n, dim, temperature, masked, seed):
    generator = torch.Generator().manual_seed(seed)
    z1, z2 = (torch.randn(n, dim, generator=generator, requires_grad=True) for _ in range(2))
    mask = torch.rand(n, n, generator=generator) < 0.5 if masked else None
    mask = mask | mask.T if mask is not None else None
    for loss, in_denominator in ((nt_xent, True), (dcl, False)):
        found = loss(z1, z2, temperature, mask)
        assert found.item() == pytest.approx(
            brute_force(z1.detach(), z2.detach(), temperature, mask, in_denominator), abs=2e-5, rel=1e-5
        )
        assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(found, (z1, z2)))


@pytest.mark.parametrize("loss", [nt_xent, dcl])
def test_places_that_are_all_neighbours_teach_nothing_and_break_nothing(loss):
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = loss(z, z + 1, 0.1, torch.zeros(3, 3, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(found, z)
    assert found.item() == 0
    assert not gradient.any()


def test_losses_are_computed_in_float32_whatever_comes_in():
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert dcl(z.bfloat16(), z.bfloat16(), 0.05).dtype == torch.float32
