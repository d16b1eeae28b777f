"""What settings come to for a number of places on a device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from sarpipe.train.settings import TrainSettings

BATCH_ON_GPU = 1024
BATCH_ON_CPU = 64
FINAL_LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Plan:
    """The run, resolved: nothing in it is left to be chosen.

    Attributes:
        batch_size: Places a step, at least 2.
        steps_per_epoch: Places beyond the last full batch of an epoch are left out of it; the order is another in
            each epoch, and so are they.
        steps: Of the whole run.
        warmup_steps: Of these.
        peak: The largest learning rate.
        constant: Whether it stays there.
        temperature: Of the loss.
        bf16: Whether convolutions and matrix products are in bfloat16.
        ema: Largest decay of the running mean of the weights; 0: off.
    """

    batch_size: int
    steps_per_epoch: int
    steps: int
    warmup_steps: int
    peak: float
    constant: bool
    temperature: float
    bf16: bool
    ema: float

    @classmethod
    def of(cls, settings: TrainSettings, places: int, device: torch.device) -> Plan:
        """Resolve settings for this many places (2 or more)."""
        gpu = device.type == "cuda"
        batch = min(settings.batch_size or (BATCH_ON_GPU if gpu else BATCH_ON_CPU), places)
        per_epoch = places // batch
        steps = settings.epochs * per_epoch
        return cls(
            batch_size=batch,
            steps_per_epoch=per_epoch,
            steps=steps,
            warmup_steps=min(settings.warmup_epochs * per_epoch, steps // 5),
            peak=settings.learning_rate,
            constant=settings.schedule == "constant",
            temperature=settings.temperature or (0.1 if batch >= 256 else 0.2),
            bf16=settings.precision == "bf16" or (settings.precision == "auto" and gpu),
            ema=settings.ema,
        )

    def learning_rate(self, step: int) -> float:
        """Of the step of this number, from 0: linear warm-up, then half a cosine wave, or constant."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        if self.constant:
            return self.peak
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        low = min(FINAL_LEARNING_RATE, self.peak)
        return low + (self.peak - low) * (1 + math.cos(math.pi * done)) / 2

    def ema_decay(self, step: int) -> float:
        """Of the step of this number: small at first, or short runs would keep their initial weights."""
        return min(self.ema, (1 + step) / (10 + step))
