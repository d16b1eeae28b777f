"""The encoder: a cube to a 1024-D embedding."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sarpipe.channels import CHANNELS, CUBE_SIZE, EMBED_DIM
from sarpipe.cubes import Rows, blocks
from sarpipe.model.moments import mean_and_deviation
from sarpipe.model.stage import Stage

WIDTHS = (64, 128, 256, 512)
TOKEN_DIM = 128
LAYERS = 2
HEADS = 8
FEEDFORWARD = 256
READ_STAGES = 3
"""Stages beside the mean token in the wide readout: with both moments of theirs it has `EMBED_DIM` numbers."""
CLIP_SIGMA = 5.0


class EncoderConfig(BaseModel):
    """What may differ between encoders; kept beside their weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    readout: Literal["tokens", "tokens_and_stages"] = Field(
        "tokens_and_stages",
        description="What the embedding is: a linear layer of the mean token, or that token beside moments of 3 stages",
    )
    positions: bool = Field(True, description="Whether tokens know where they are (fixed 2-D sine and cosine)")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout within the transformer")


class Encoder(nn.Module):
    """Four strided convolutions, a transformer over their 4 x 4 tokens, and a readout of 1024 numbers.

    64 px are 16 tokens. The original reads out the mean token alone: 128 numbers through a linear layer, so its
    1024-D embedding spans 128 dimensions at most. With the readout ``tokens_and_stages`` the embedding is the mean
    token beside the mean and the deviation over the place of every channel of the first three convolutions: 128 + 2 *
    (64 + 128 + 256) = 1024 numbers, each brought to one scale by a BatchNorm. Level and texture, which say much about
    a radar image, then need not pass through 128 numbers, and are there before anything has been learnt, as random
    convolutional features are; what no layer mixes, a linear probe finds unmixed.

    Args:
        config: What may differ.
        mean: ``float [12]``, of each channel over the training places.
        std: ``float [12]``, likewise; above 0.
    """

    mean: Tensor
    std: Tensor
    positions: Tensor

    def __init__(self, config: EncoderConfig, mean: NDArray[np.floating], std: NDArray[np.floating]) -> None:
        super().__init__()
        self.settings = config
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None])
        steps = zip((len(CHANNELS), *WIDTHS), WIDTHS, strict=False)
        self.conv = nn.Sequential(*(Stage(inside, outside) for inside, outside in steps))
        self.project = nn.Linear(WIDTHS[-1], TOKEN_DIM)
        self.register_buffer("positions", _positions(CUBE_SIZE >> len(WIDTHS)), persistent=False)
        layer = nn.TransformerEncoderLayer(TOKEN_DIM, HEADS, FEEDFORWARD, config.dropout, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        wide = config.readout == "tokens_and_stages"
        self.readout = nn.BatchNorm1d(EMBED_DIM) if wide else nn.Linear(TOKEN_DIM, EMBED_DIM)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # in no stub

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able: ``Encoder(EncoderConfig(**config), mean, std)`` is the same architecture."""
        return self.settings.model_dump()

    def forward(self, cubes: Tensor) -> Tensor:
        """Embed places.

        Args:
            cubes: ``float [B, 12, 64, 64]``, in the units of the recipe, NaN where there is no data.

        Returns:
            ``[B, 1024]``.
        """
        wide = self.settings.readout == "tokens_and_stages"
        features = self.standardise(cubes)
        pooled: list[Tensor] = []
        for number, stage in enumerate(self.conv):
            features = stage(features)
            if wide and number < READ_STAGES:
                pooled += mean_and_deviation(features)
        tokens = self.project(features.flatten(2).transpose(1, 2))
        if self.settings.positions:
            tokens = tokens + self.positions
        pooled.append(self.transformer(tokens).mean(1))
        embedding: Tensor = self.readout(torch.cat(pooled, dim=1))
        return embedding

    def standardise(self, cubes: Tensor) -> Tensor:
        """To zero mean and unit deviation, at most 5 deviations away; 0, the mean, where there is no data."""
        scaled = (cubes.float() - self.mean).div_(self.std).clamp_(-CLIP_SIGMA, CLIP_SIGMA)
        return scaled.nan_to_num_(nan=0.0).contiguous(memory_format=torch.channels_last)


def channel_statistics(cubes: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel over the pixels that hold data.

    Block by block, and the blocks joined (Chan, Golub and LeVeque, 1983): the same bits, in memory or from files.

    Args:
        cubes: ``[N, 12, 64, 64]``, NaN where there is no data.

    Returns:
        Two times ``[12]``. A channel that is the same everywhere, or has no data, has deviation 1.
    """
    channels = cubes.shape[1]
    count, mean, squares = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    for block in blocks(cubes):
        for channel in range(channels):
            values = block[:, channel]
            known = values[np.isfinite(values)].astype(np.float64)
            if known.size:
                total = count[channel] + known.size
                here = known.mean()
                apart = here - mean[channel]
                squares[channel] += np.square(known - here).sum() + apart**2 * count[channel] * known.size / total
                mean[channel] += apart * known.size / total
                count[channel] = total
    std = np.sqrt(squares / np.maximum(count, 1))
    return mean, np.where(std > 1e-6 * np.maximum(1, np.abs(mean)), std, 1.0)


def _positions(side: int) -> Tensor:
    """Sine and cosine of row and of column at geometric frequencies: ``[side * side, 128]``."""
    quarter = TOKEN_DIM // 4
    frequency = torch.exp(-math.log(10_000) * torch.arange(quarter) / quarter)
    angle = torch.arange(side)[:, None] * frequency
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = waves[:, None].expand(side, side, -1)
    return torch.cat([rows, rows.transpose(0, 1)], dim=2).reshape(side * side, TOKEN_DIM)
