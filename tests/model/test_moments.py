from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.model.moments import mean_and_deviation


@given(shape=st.tuples(*(st.integers(1, 5) for _ in range(3)), st.integers(2, 5)), seed=st.integers(0, 99))
def test_it_is_std_mean_and_so_is_its_gradient(shape: tuple[int, ...], seed: int) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 7
    features.requires_grad_()
    expected = torch.std_mean(features, (2, 3))[::-1]
    found = mean_and_deviation(features)
    torch.testing.assert_close(found, expected)

    weights = torch.randn(2, *shape[:2], dtype=torch.float64)
    gradients = [
        torch.autograd.grad(sum((w * m).sum() for w, m in zip(weights, moments, strict=True)), features)[0]
        for moments in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_a_dead_channel_has_no_slope() -> None:
    features = torch.zeros(2, 3, 4, 4, requires_grad=True)
    mean, deviation = mean_and_deviation(features)
    (mean.sum() + deviation.sum()).backward()
    assert deviation.tolist() == [[0.0] * 3] * 2
    torch.testing.assert_close(features.grad, torch.full((2, 3, 4, 4), 1 / 16))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_is_summed_in_float32(layout: torch.memory_format) -> None:
    features = (100 + torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))).bfloat16()
    features = features.contiguous(memory_format=layout).requires_grad_()
    mean, deviation = mean_and_deviation(features)
    expected = torch.std_mean(features.detach().double(), (2, 3))
    torch.testing.assert_close((deviation.double(), mean.double()), expected, rtol=1e-5, atol=0)
    deviation.sum().backward()
    assert features.grad is not None
    assert features.grad.dtype == torch.bfloat16
