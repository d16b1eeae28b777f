from __future__ import annotations

import pytest
import torch
from torch import nn

from sarpipe.model.stage import Stage, with_mean


def gradients(stage, x):
    x = x.clone().requires_grad_()
    out = stage(x)
    out.square().mean().backward()
    return [out.detach(), x.grad, *(parameter.grad for parameter in stage.parameters())]


@pytest.mark.parametrize("side", [64, 16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_stage_and_its_gradients_are_those_of_torchs_convolution(side, layout):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, side, side, generator=generator).contiguous(memory_format=layout)
    stage = Stage(8, 16)
    plain = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    plain.load_state_dict(stage.state_dict())
    for found, wanted in zip(gradients(stage, x), gradients(plain, x), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_the_mean_beside_the_features_and_its_gradient():
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    features, mean = with_mean(x)
    assert torch.equal(features, x)
    assert torch.equal(mean, x.mean((2, 3)))
    assert torch.autograd.gradcheck(lambda x: tuple(2 * part for part in with_mean(x)), x)


def test_a_mean_that_nothing_is_made_of_has_no_gradient():
    x = torch.ones(1, 2, 2, 2, requires_grad=True)
    with_mean(x)[0].sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
