"""The original's own training, as its program has it: what it comes to with the cubes and the epochs of a study."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sarpipe.codes import Code
from sarpipe.cubes import CubeSet
from sarpipe.errors import TrainingError
from sarpipe.heap import freed_memory_kept
from sarpipe.model.device import pick_device
from sarpipe.model.encoder import Encoder, EncoderConfig, channel_statistics
from sarpipe.model.initial import seeded
from sarpipe.ssl.counter import place_keys
from sarpipe.train.deterministic import deterministic
from sarpipe.train.order import Order
from sarpipe.train.settings import TrainSettings
from sarpipe.train.trouble import out_of_memory

BATCH = 64
LEARNING_RATE = 1e-4
TEMPERATURE = 0.5
DROPOUT = 0.1
"""Torch's own, in the transformer: the one thing in which two views of a place differ."""

Progress = Callable[[int, int, float], None]


class RawEncoder(Encoder):
    """The original's encoder: the mean token through a linear layer, of channels in whatever unit they have.

    It knows no place without data; here such a pixel has the mean of its channel, which is the least that can be said.
    """

    def standardise(self, cubes: Tensor) -> Tensor:
        """Nothing but that."""
        given = cubes.float()
        return given.where(given.isfinite(), self.mean).contiguous(memory_format=torch.channels_last)


def loss_as_written(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent with a mask that removes a view itself from its negatives, and not its partner.

    The partner is to be told from 2N - 1 others, itself among them, so the loss is above log 2 however well it is told.

    Args:
        z1: ``float [N, D]``, the first view of each place. Normalised here.
        z2: ``float [N, D]``, the second.
        temperature: Above 0.

    Returns:
        ``float32 []``, the mean over the 2N views.
    """
    n = len(z1)
    z = functional.normalize(torch.cat([z1, z2]), dim=1)
    similarity = z @ z.T / temperature
    partner = torch.cat([similarity.diagonal(n), similarity.diagonal(-n)])
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    others = similarity.masked_fill(itself, -torch.inf).logsumexp(1)
    return (torch.logaddexp(partner, others) - partner).mean()


def train_as_written(cubes: CubeSet, settings: TrainSettings, *, device: str, progress: Progress) -> Encoder:
    """Train as the original does: the same cube twice, dropout alone apart, no projection, Adam at a constant rate.

    Batches of 64, or of all places if they are fewer; those beyond the last full batch of an epoch are left out of it.
    Checkpoints are not taken, and no collapse is looked for: it is made for comparison alone.

    Args:
        cubes: The places.
        settings: Of these ``epochs``, ``seed`` and ``deterministic``.
        device: See `sarpipe.model.device.pick_device`.
        progress: Called with the steps done, all steps, and the latest loss.

    Returns:
        In eval mode, on the CPU.

    Raises:
        TrainingError: The loss is not finite, or memory does not suffice.
    """
    where = pick_device(device)
    size = min(BATCH, len(cubes.ids))
    per_epoch = len(cubes.ids) // size
    steps = settings.epochs * per_epoch
    order = Order(place_keys(cubes.ids), seed=settings.seed, batch_size=size, steps_per_epoch=per_epoch)
    with freed_memory_kept(), out_of_memory(size, where), deterministic(where, wanted=settings.deterministic):
        encoder = _started(cubes, settings.seed).to(where).train()
        optimiser = torch.optim.Adam(encoder.parameters(), LEARNING_RATE)
        for step in range(steps):
            batch = torch.from_numpy(cubes.cubes[order.positions(step).numpy()]).to(where)
            with seeded((settings.seed << 32) + step, where):
                loss = loss_as_written(encoder(batch), encoder(batch), TEMPERATURE)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            value = loss.item()
            if not np.isfinite(value):
                raise TrainingError(
                    f"the loss of step {step + 1} of the original's own training is {value}", code=Code.NOT_FINITE
                )
            progress(step + 1, steps, value)
    return encoder.cpu().eval().requires_grad_(False)


def _started(cubes: CubeSet, seed: int) -> RawEncoder:
    mean, _ = channel_statistics(cubes.cubes)
    config = EncoderConfig(readout="tokens", positions=False, dropout=DROPOUT)
    with seeded(seed, torch.device("cpu")):
        return RawEncoder(config, mean, np.ones_like(mean))
