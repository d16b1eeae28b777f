from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from sarpipe.train.monitor import MONITORS, monitors


def watched(embeddings, z1, z2):
    return dict(zip(MONITORS, monitors(embeddings, z1, z2), strict=True))


def test_the_figures_are_those_of_their_definitions():
    generator = torch.Generator().manual_seed(0)
    embeddings, z1 = torch.randn(9, 20, generator=generator), torch.randn(12, 5, generator=generator)
    z2 = z1 + torch.randn(12, 5, generator=generator)
    found = watched(embeddings, 3 * z1, z2)
    first, second = functional.normalize(z1, dim=1), functional.normalize(z2, dim=1)
    pairs = [(i, j) for i in range(12) for j in range(i)]
    potential = [math.exp(-2 * (first[i] - first[j]).square().sum()) for i, j in pairs]
    assert found["uniformity"] == pytest.approx(math.log(sum(potential) / len(pairs)), abs=1e-5)
    assert found["alignment"] == pytest.approx(
        sum(float((a - b).square().sum()) for a, b in zip(first, second, strict=True)) / 12, abs=1e-5
    )
    nearest = [min(range(12), key=lambda j, a=a: float((a - second[j]).square().sum())) for a in first]
    assert found["pair_accuracy"] == pytest.approx(sum(j == i for i, j in enumerate(nearest)) / 12)
    assert 0 < found["pair_accuracy"] < 1
    singular = torch.linalg.svdvals(embeddings.double())
    share = singular / singular.sum()
    assert found["rankme"] == pytest.approx(float(torch.exp(-(share * share.log()).sum())), rel=1e-4)


def test_equal_projections_find_no_partner_and_equal_views_find_all():
    same = torch.ones(8, 4)
    assert watched(torch.eye(8), same, same)["pair_accuracy"] == 0
    apart = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    assert watched(torch.eye(8), apart, apart)["pair_accuracy"] == 1
