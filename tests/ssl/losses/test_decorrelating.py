from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.ssl.losses import barlow_twins, vicreg


def covariance(a, b, i, j):
    """Sum of the products of deviations of column i of one and column j of the other."""
    n = len(a)
    mean_a, mean_b = sum(row[i] for row in a) / n, sum(row[j] for row in b) / n
    return sum((a[k][i] - mean_a) * (b[k][j] - mean_b) for k in range(n))


def vicreg_by_loops(z1, z2):
    n, dim = len(z1), len(z1[0])
    loss = 25 * sum((z1[k][i] - z2[k][i]) ** 2 for k in range(n) for i in range(dim)) / (n * dim)
    for z in (z1, z2):
        for i in range(dim):
            loss += 25 * max(0, 1 - math.sqrt(covariance(z, z, i, i) / (n - 1) + 1e-4)) / (2 * dim)
        for i, j in itertools.permutations(range(dim), 2):
            loss += (covariance(z, z, i, j) / (n - 1)) ** 2 / dim
    return loss


def barlow_twins_by_loops(z1, z2):
    n, dim = len(z1), len(z1[0])
    loss = 0.0
    for i, j in itertools.product(range(dim), repeat=2):
        scale = [math.sqrt(covariance(z, z, k, k) / n + 1e-5) for z, k in ((z1, i), (z2, j))]
        correlation = covariance(z1, z2, i, j) / n / scale[0] / scale[1]
        loss += (1 - correlation) ** 2 if i == j else 5e-3 * correlation**2
    return loss


LOSSES = [(vicreg, vicreg_by_loops), (barlow_twins, barlow_twins_by_loops)]


@pytest.mark.parametrize(("loss", "by_loops"), LOSSES)
@given(st.integers(2, 7), st.integers(1, 6), st.sampled_from([0.1, 1.0, 8.0]), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_losses_equal_the_loops_and_have_finite_gradients(loss, by_loops, n, dim, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    z1, z2 = (scale * torch.randn(n, dim, generator=generator) for _ in range(2))
    z1.requires_grad_()
    found = loss(z1, z2)
    assert found.item() == pytest.approx(by_loops(z1.double().tolist(), z2.double().tolist()), rel=1e-4, abs=1e-4)
    (gradient,) = torch.autograd.grad(found, z1)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [vicreg, barlow_twins])
def test_constant_projections_cost_and_have_finite_gradients(loss):
    z = torch.full((8, 5), 3.0, requires_grad=True)
    found = loss(z, z)
    (gradient,) = torch.autograd.grad(found, z)
    assert torch.isfinite(gradient).all()
    assert found.item() == pytest.approx(25 * 0.99 if loss is vicreg else 5)


@pytest.mark.parametrize("loss", [vicreg, barlow_twins])
def test_equal_views_of_independent_dimensions_cost_next_to_nothing_and_gradients_lead_there(loss):
    basis, _ = torch.linalg.qr(torch.randn(64, 9, generator=torch.Generator().manual_seed(0)))
    ideal = (basis - basis.mean(0))[:, :8] * 10
    assert loss(ideal, ideal).item() < 0.15 * loss(ideal, ideal.flip(0)).item()
    z = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    other = z + torch.randn(16, 4, generator=torch.Generator().manual_seed(2))
    first = loss(z, other).item()
    for _ in range(50):
        z = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(z, other), z)
        z = z - 0.02 * gradient
    assert loss(z, other).item() < 0.9 * first


@pytest.mark.parametrize("loss", [vicreg, barlow_twins])
def test_losses_are_computed_in_float32_whatever_comes_in(loss):
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert loss(z.bfloat16(), z.bfloat16()).dtype == torch.float32
