from __future__ import annotations

import pytest
import torch
from torch import nn

from sarpipe.model.stage import Stage


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
