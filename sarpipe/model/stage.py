"""A stage of the encoder's convolutions, in torch's operators but with gradients that pass memory less often."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_KERNEL, _STRIDE, _PADDING = 3, 2, 1
_GEOMETRY = ([_STRIDE] * 2, [_PADDING] * 2, [1, 1], False, [0, 0], 1, [True, False, False])
"""Of a convolution as torch's operators take it, and that only the gradient of its input is wanted."""
_FEW_PIXELS = 256
"""Output pixels up to which a matrix product gives the kernel's gradient sooner than a CPU's convolution does."""


class Stage(nn.Sequential):
    """Convolution 3 x 3 of stride 2, BatchNorm, ReLU: ``[B, inside, H, W] -> [B, outside, H / 2, W / 2]``."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(_Convolution(inside, outside), nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class _Convolution(nn.Conv2d):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, _KERNEL, _STRIDE, _PADDING)

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.Conv2d`."""
        pixels = input.shape[2] * input.shape[3] // _STRIDE**2
        plain = input.is_cuda or pixels > _FEW_PIXELS or not torch.is_grad_enabled()
        if plain or torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        convolved: Tensor = _ByMatrices.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return convolved


class _ByMatrices(torch.autograd.Function):
    """The same convolution; the gradient of its kernel is one product of the output's gradient and the patches."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(features, weight)
        return functional.conv2d(features, weight, bias, _STRIDE, _PADDING)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        features, weight = ctx.saved_tensors
        (gradient,) = gradients
        outside, inside = weight.shape[:2]
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, outside)
        of_weight = (rows.T @ _patches(features)).view(outside, _KERNEL, _KERNEL, inside).permute(0, 3, 1, 2)
        of_features = None
        if ctx.needs_input_grad[0]:
            of_features = torch.ops.aten.convolution_backward(gradient, features, weight, None, *_GEOMETRY)[0]
        return of_features, of_weight, rows.sum(0)


def _patches(features: Tensor) -> Tensor:
    """What each output pixel is made from: ``[B * H/2 * W/2, 9 * C]``, channels last."""
    padded = functional.pad(features.permute(0, 2, 3, 1), (0, 0, *(2 * [_PADDING]), *(2 * [_PADDING]))).contiguous()
    batch, height, width, channels = features.permute(0, 2, 3, 1).shape
    place, row, column, channel = padded.stride()
    windows = padded.as_strided(
        (batch, height // _STRIDE, width // _STRIDE, _KERNEL, _KERNEL, channels),
        (place, _STRIDE * row, _STRIDE * column, row, column, channel),
    )
    return windows.reshape(-1, _KERNEL * _KERNEL * channels)
