"""Cubes to a model."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from prefect import task
from prefect.concurrency.sync import concurrency

from sarpipe.settings import Settings
from sarpipe.stages.step import Step
from sarpipe.stages.train import ModelReceipt, make_model
from sarpipe.storage import open_verified
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.loss import LossCurve
from sarpipe.tasks.policy import OPTIONS
from sarpipe.tasks.watch import Watch

TIMEOUT_SECONDS = 48 * 3600
GPU = "gpu"
"""The server's limit that a training takes a slot of, whichever deployment it runs in. A server that has none of this
name lets all trainings run."""
LEASE_SECONDS = 60
"""So long after the process of a training is gone, its slot is free again."""


@task(**OPTIONS, timeout_seconds=TIMEOUT_SECONDS, task_run_name="train {step.name}")
def train_encoder(step: Step, settings: Settings, cube_set: str, curve: LossCurve) -> ModelReceipt:
    """Train; a retry goes on from the last checkpoint."""
    watch = Watch(artifact_key("train", settings, step.name), f"Training, preset {step.name}")

    def on_step(done: int, total: int, loss: float) -> None:
        watch.show(done, total, f"loss {loss:.3f}")
        curve.add(done, total, loss)

    with nullcontext() if step.done else concurrency(GPU, lease_duration=LEASE_SECONDS):
        receipt = make_model(step, settings, open_verified(Path(cube_set)), on_step)
    watch.show(1, 1, "trained" if receipt["computed"] else "was there")
    return receipt
