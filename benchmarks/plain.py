"""What training is measured against: the same model and recipe as one writes them in PyTorch, and the original's loop.

`Encoder`, `dcl` and the views of `Views` are those of preset `sar`, in torch's own operators, float32, one place at a
time in the dataset; `Originals` and `original_loop` are written from the program that sarpipe starts from. Nothing here
imports sarpipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

BATCH = 64
DATES = 4


class Encoder(nn.Module):
    """The encoder; ``wide``: with positions, and read out from three stages as well. Takes the weights of sarpipe's."""

    def __init__(self, mean: Tensor, std: Tensor, *, wide: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.wide = wide
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        widths = (12, 64, 128, 256, 512)
        self.conv = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
                for a, b in pairwise(widths)
            )
        )
        self.project = nn.Linear(512, 128)
        layer = nn.TransformerEncoderLayer(128, 8, 256, dropout, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.readout = nn.BatchNorm1d(1024) if wide else nn.Linear(128, 1024)
        self.register_buffer("positions", _positions(), persistent=False)

    def forward(self, cubes: Tensor) -> Tensor:
        """``[B, 12, 64, 64]`` to ``[B, 1024]``."""
        x = torch.nan_to_num(((cubes - self.mean) / self.std).clamp(-5, 5), nan=0.0)
        pooled = []
        for number, stage in enumerate(self.conv):
            x = stage(x)
            if self.wide and number < 3:
                pooled += [x.mean((2, 3)), x.std((2, 3))]
        tokens = self.project(x.flatten(2).transpose(1, 2))
        if self.wide:
            tokens = tokens + self.positions
        pooled.append(self.transformer(tokens).mean(1))
        return self.readout(torch.cat(pooled, 1))


def _positions() -> Tensor:
    frequency = torch.exp(-math.log(10_000) * torch.arange(32) / 32)
    angle = torch.arange(4)[:, None] * frequency
    waves = torch.cat([angle.sin(), angle.cos()], 1)
    rows = waves[:, None].expand(4, 4, -1)
    return torch.cat([rows, rows.transpose(0, 1)], 2).reshape(16, 128)


class Model(nn.Module):
    """Encoder and projection head."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(inplace=True), nn.Linear(1024, 128))

    def forward(self, cubes: Tensor) -> Tensor:
        """``[B, 12, 64, 64]`` to ``[B, 128]``."""
        return self.head(self.encoder(cubes))


def dcl(z1: Tensor, z2: Tensor, temperature: float, near: Tensor) -> Tensor:
    """Decoupled contrastive loss; ``near``, ``bool [N, N]``: pairs that are no negatives."""
    n = len(z1)
    z = functional.normalize(torch.cat([z1, z2]), dim=1)
    similarity = z @ z.T / temperature
    positive = torch.cat([similarity.diagonal(n), similarity.diagonal(-n)])
    excluded = (near | torch.eye(n, dtype=torch.bool, device=z.device)).repeat(2, 2)
    return (similarity.masked_fill(excluded, -1e30).logsumexp(1) - positive).mean()


def near(latitude: Tensor, longitude: Tensor, km: float) -> Tensor:
    """Which pairs of places are closer than this: ``bool [N, N]``."""
    phi, lam = torch.deg2rad(latitude), torch.deg2rad(longitude)
    a = torch.sin((phi[:, None] - phi) / 2) ** 2
    a = a + torch.cos(phi)[:, None] * torch.cos(phi) * torch.sin((lam[:, None] - lam) / 2) ** 2
    return 2 * 6371 * torch.asin(a.clamp(0, 1).sqrt()) < km


class Views(Dataset):  # type: ignore[type-arg]
    """Two views of each place, drawn place by place from cubes and frames in memory; every place has all four dates."""

    def __init__(self, cubes: NDArray[np.float32], frames: NDArray[np.float16], index: NDArray[np.float64]) -> None:
        self.cubes, self.frames, self.coordinates = map(torch.from_numpy, (cubes, frames, index))

    def __len__(self) -> int:
        return len(self.cubes)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        return self._view(i, 0.5), self._view(i, 0.1), self.coordinates[i]

    def _view(self, i: int, blur: float) -> Tensor:
        size = int(torch.randint(2, DATES + 1, ()))
        x = _crop(self._of_dates(i, size))
        if torch.rand(()) < 0.5:
            x = x.flip(2)
        if torch.rand(()) < 0.5:
            x = x.flip(1)
        if torch.rand(()) < 0.5:
            x = torch.rot90(x, 1, (1, 2))
        if torch.rand(()) < blur:
            x = _blurred(x)
        if torch.rand(()) < 0.5:
            sigma = 0.5 * torch.rand(())
            noise = _correlated(torch.randn(4, 64, 64))
            x[:2] += noise[:2] * (sigma / size**0.5)
            x[8:10] += noise[2:] * (sigma * 2**0.5)
        x[:2] += torch.rand(2, 1, 1) - 0.5
        return x

    def _of_dates(self, i: int, size: int) -> Tensor:
        if size == DATES:
            return self.cubes[i].clone()
        dates = torch.randperm(DATES)[:size].sort().values
        frames = self.frames[i, dates].float()
        std, mean = torch.std_mean(frames, 0, correction=0)
        return torch.cat([mean, std, frames[-1] - frames[0]])


def _crop(x: Tensor) -> Tensor:
    """Random resized crop, as torchvision draws it."""
    area = (0.8 + 0.2 * torch.rand(())) * 64 * 64
    ratio = torch.exp((2 * torch.rand(()) - 1) * math.log(4 / 3))
    width, height = (min(64, max(1, round(float(side)))) for side in ((area * ratio).sqrt(), (area / ratio).sqrt()))
    top, left = int(torch.randint(0, 65 - height, ())), int(torch.randint(0, 65 - width, ()))
    part = x[None, :, top : top + height, left : left + width]
    return functional.interpolate(part, (64, 64), mode="bilinear", align_corners=False)[0]


def _blurred(x: Tensor) -> Tensor:
    """A 3 x 3 Gaussian of 0.3 to 1 px."""
    sigma = 0.3 + 0.7 * torch.rand(())
    taps = torch.exp(-torch.tensor([1.0, 0.0, 1.0]) / (2 * sigma**2))
    return _filtered(x, taps / taps.sum(), "replicate")


def _correlated(noise: Tensor) -> Tensor:
    """White noise so that neighbours have a correlation of 0.5, of the same variance."""
    taps = torch.tensor([1 - 0.5**0.5, 1.0, 1 - 0.5**0.5])
    return _filtered(noise, taps / taps.norm(), "circular")


def _filtered(x: Tensor, taps: Tensor, edges: str) -> Tensor:
    """Each channel of ``[C, H, W]`` convolved with three taps across and down."""
    channels = len(x)
    taps = taps.expand(channels, 1, 3)
    x = functional.pad(x[None], (1, 1, 1, 1), mode=edges)
    x = functional.conv2d(x, taps[:, :, None], groups=channels)
    return functional.conv2d(x, taps[..., None], groups=channels)[0]


class Plain:
    """The recipe's step: AdamW, clipping, and a running mean of the encoder."""

    def __init__(self, model: Model, *, temperature: float, km: float, weight_decay: float, ema: float) -> None:
        self.model = model.train()
        self.temperature, self.km = temperature, km
        matrices = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        )
        self.average = AveragedModel(model.encoder, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)

    def to(self, device: torch.device) -> Plain:
        """Model and mean on this device."""
        self.model.to(device)
        self.average.to(device)
        return self

    def step(self, first: Tensor, second: Tensor, coordinates: Tensor, learning_rate: float) -> Tensor:
        """Train on these views; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        z1, z2 = self.model(torch.cat([first, second])).chunk(2)
        loss = dcl(z1, z2, self.temperature, near(coordinates[:, 0], coordinates[:, 1], self.km))
        self.optimiser.zero_grad()
        loss.backward()
        clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.model.encoder)
        return loss.detach()


def loader(data: Dataset, *, workers: int, device: torch.device, batch: int = BATCH) -> Iterator[list[Tensor]]:  # type: ignore[type-arg]
    """Batches on the device without end, in a new random order each epoch."""
    gpu = device.type == "cuda"
    batches = DataLoader(
        data,
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=gpu,
    )
    while True:
        for group in batches:
            yield [tensor.to(device, non_blocking=gpu) for tensor in group]


class Originals(Dataset):  # type: ignore[type-arg]
    """The original's dataset: each place preprocessed each time that it is asked for, and given twice."""

    def __init__(self, places: NDArray[np.float16], cube: Callable[[NDArray[np.float16]], NDArray[np.float32]]) -> None:
        self.places, self.cube = places, cube

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        cube = torch.from_numpy(self.cube(self.places[i]))
        return cube, cube


class OriginalLoop:
    """The original's step: NT-Xent at 0.5 on the embeddings, Adam at 1e-4."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder.train()
        self.optimiser = torch.optim.Adam(encoder.parameters(), 1e-4)

    def step(self, first: Tensor, second: Tensor) -> Tensor:
        """Train on these cubes; the loss."""
        z = functional.normalize(torch.cat([self.encoder(first), self.encoder(second)]), dim=1)
        n = len(first)
        similarity = (z @ z.T / 0.5).masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -1e9)
        partner = torch.arange(2 * n, device=z.device).roll(n)
        loss = functional.cross_entropy(similarity, partner)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.detach()
