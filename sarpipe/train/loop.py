"""The training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarpipe.channels import CHANNELS
from sarpipe.codes import Code
from sarpipe.cubes import CubeFiles, CubeSet
from sarpipe.errors import TrainingError, UsageError
from sarpipe.heap import freed_memory_kept
from sarpipe.model.device import pick_device
from sarpipe.model.encoder import Encoder, EncoderConfig, channel_statistics
from sarpipe.model.initial import new_encoder, seeded
from sarpipe.ssl import processes
from sarpipe.ssl.neighbours import distances_km
from sarpipe.ssl.simclr import Contrast, SimClr
from sarpipe.storage import code_version, digest_json
from sarpipe.train import CODE, checkpoint
from sarpipe.train.collapse import stop_if_collapsed, stop_if_views_leak
from sarpipe.train.deterministic import deterministic
from sarpipe.train.interruption import Interruption
from sarpipe.train.monitor import MONITORS, monitors
from sarpipe.train.order import Order
from sarpipe.train.places import Places
from sarpipe.train.plan import Plan
from sarpipe.train.settings import TrainSettings
from sarpipe.train.state import State
from sarpipe.train.step import Step
from sarpipe.train.trouble import not_finite, out_of_memory

log = logging.getLogger(__name__)
Progress = Callable[[int, int, float], None]
STEPS_PER_FETCH = 50
"""How many steps a GPU may run ahead before their losses are looked at; a CPU's are looked at each step."""
CHECKPOINT_SECONDS = 30.0
"""At most so much work is lost to a kill."""


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        encoder: The running mean of the weights if there is one; eval mode, on the CPU.
        losses: ``step`` and ``epoch`` (from 1), ``loss``, ``learning_rate``; one row a step.
        monitors: ``epoch`` (from 1) and `sarpipe.train.monitor.MONITORS`; one row an epoch.
        facts: JSON-able: ``device``, ``precision``, ``places``, ``batch_size``, ``steps``, ``resumed_from_step``.
    """

    encoder: Encoder
    losses: pd.DataFrame
    monitors: pd.DataFrame
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Run:
    """What a run goes by; only the state changes."""

    settings: TrainSettings
    plan: Plan
    places: Places
    state: State
    checkpoints: Path
    key: str
    checkpoint_seconds: float

    def order(self) -> Order:
        """Which places each step takes."""
        plan = self.plan
        return Order(
            self.places.keys,
            seed=self.settings.seed,
            batch_size=plan.batch_size,
            steps_per_epoch=plan.steps_per_epoch,
        )

    def save(self) -> None:
        """Take a checkpoint, one for all processes."""
        if processes.rank() == 0:
            checkpoint.save(self.checkpoints, self.key, self.state)


def train(
    cubes: CubeSet | CubeFiles,
    settings: TrainSettings,
    checkpoints: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainResult:
    """Train an encoder, going on from the newest checkpoint of the same run if there is one.

    On a CPU the result is the same bit for bit, however often and wherever the run was broken off, for the same
    number of threads. SIGTERM and Ctrl-C end the step that is under way, save, and only then have their effect; a
    second one has it at once.

    Where a process group of `torch.distributed` is initialised, its processes train as one: each takes its part of
    every batch, all have the result, and the first alone writes. The numbers are those of one process, but for the
    order in which sums are taken, and but for dropout.

    Args:
        cubes: The places, 2 or more. In files, they are read batch by batch; the result is the same.
        settings: How.
        checkpoints: A folder for checkpoints; nobody else may train there at the same time.
        device: See `sarpipe.model.device.pick_device`.
        progress: Called with the steps done, all steps, and the latest loss. May raise, to stop.
        checkpoint_seconds: A checkpoint is taken after a step if the last is older than this. It decides when to
            save, never what is computed.

    Raises:
        TrainingError: There is nothing to learn from, the loss is not finite, the run has collapsed, or memory does not
            suffice.
        StorageError: A checkpoint cannot be written.
        UsageError: There is no such device, or the processes cannot share a batch evenly.
    """
    where = pick_device(device)
    _check_places(cubes, settings)
    plan = Plan.of(settings, len(cubes.ids), where)
    _check_shares(plan)
    mean, std = channel_statistics(cubes.cubes)
    key = _key(cubes, settings, plan, mean, std)
    without_chance = deterministic(where, wanted=settings.deterministic)
    with freed_memory_kept(), out_of_memory(plan.batch_size, where), without_chance:
        state = fresh_state(settings, plan, mean, std, where)
        resumed = _resumed(checkpoints, key, state, plan, where)
        places = Places(cubes, where, with_frames=settings.views.date_subset > 0)
        _steps(_Run(settings, plan, places, state, checkpoints, key, checkpoint_seconds), progress)
    return _result(state, plan, where, {"places": len(cubes.ids), "resumed_from_step": resumed})


def _check_places(cubes: CubeSet | CubeFiles, settings: TrainSettings) -> None:
    if len(cubes.ids) < 2:
        raise TrainingError(
            f"training needs 2 places or more, found {len(cubes.ids)}",
            "Give more stores to `sarpipe preprocess`",
            code=Code.TOO_FEW,
        )
    corners = cubes.index[["latitude", "longitude"]].agg(["min", "max"]).to_numpy(np.float64)
    span = distances_km(*torch.tensor(corners).unbind(1))[0, 1].item()
    if not cubes.index[["latitude", "longitude"]].isna().any(axis=None) and span < settings.neighbour_km:
        raise TrainingError(
            f"all {len(cubes.ids)} places lie within {span:.1f} km, closer than neighbour_km = "
            f"{settings.neighbour_km:g}: none is a negative of another",
            "Set neighbour_km to 0, or add places",
        )


def _check_shares(plan: Plan) -> None:
    several = processes.size()
    if plan.batch_size % several:
        raise UsageError(
            f"a batch of {plan.batch_size} places cannot be shared evenly by {several} processes",
            f"--set train.batch_size={max(1, plan.batch_size // several) * several}",
        )


def fresh_state(
    settings: TrainSettings,
    plan: Plan,
    mean: NDArray[np.floating],
    std: NDArray[np.floating],
    device: torch.device,
) -> State:
    """The state before the first step, from ``mean`` and ``std`` of the channels, ``float [12]``."""
    config = EncoderConfig(readout=settings.readout, positions=settings.positions, dropout=settings.dropout)
    contrast = Contrast(
        views=settings.views,
        loss=settings.loss,
        temperature=plan.temperature,
        neighbour_km=settings.neighbour_km,
        seed=settings.seed,
        bf16=plan.bf16,
    )
    with seeded(settings.seed, torch.device("cpu")):
        objective = SimClr(Encoder(config, mean, std), contrast)
    processes.share_batch_norms(objective)
    objective = objective.to(device).train()
    return State.start(objective, weight_decay=settings.weight_decay, ema=plan.ema > 0)


def _key(
    cubes: CubeSet | CubeFiles,
    settings: TrainSettings,
    plan: Plan,
    mean: NDArray[np.floating],
    std: NDArray[np.floating],
) -> str:
    """Hash of what the run is made from. The statistics stand for the cubes' numbers."""
    return digest_json(
        {
            "settings": settings.model_dump(mode="json"),
            "resolved": [plan.batch_size, plan.bf16],
            "ids": list(cubes.ids),
            "statistics": [mean.tolist(), std.tolist()],
            "code": code_version(CODE),
        }
    )


def _resumed(checkpoints: Path, key: str, state: State, plan: Plan, device: torch.device) -> int:
    """Bring the state to where the newest checkpoint of this run is: the steps that are done."""
    resumed = checkpoint.resume(checkpoints, key, state)
    if not processes.agree([resumed, int(key[:15], 16)], device):
        raise TrainingError(
            "the processes do not train the same: cubes, settings or checkpoints differ between them",
            "Let all of them see the same output folder (--data)",
        )
    if resumed and processes.rank() == 0:
        log.info("going on from the checkpoint after step %d of %d", resumed, plan.steps)
    return resumed


def _steps(run: _Run, progress: Progress | None) -> None:
    """All steps that are left."""
    state, plan, order = run.state, run.plan, run.order()
    often = STEPS_PER_FETCH if run.places.device.type == "cuda" else 1
    take_step = Step(state, plan, run.settings)
    pending: list[Tensor] = []
    saved_at = time.monotonic()
    positions = (processes.share(order.positions(step)) for step in range(state.step, plan.steps))
    several = processes.size() > 1
    with Interruption(patient=several) as interruption, closing(run.places.batches(positions)) as batches:
        for batch in batches:
            epoch, number = divmod(state.step, plan.steps_per_epoch)
            taken = take_step(batch, epoch)
            pending.append(torch.stack((taken.loss, taken.gradient)))
            if state.step == 1:
                stop_if_views_leak(*taken.projections)
            state.keep(taken.embeddings, number * plan.batch_size)
            last = number + 1 == plan.steps_per_epoch
            if not last and len(pending) < often and (several or interruption.signal is None):
                continue
            _collect(run, pending)
            pending.clear()
            if last:
                seen = state.seen[: plan.steps_per_epoch * plan.batch_size]
                state.monitors.append(monitors(seen, *taken.projections))
                stop_if_collapsed(state.monitors, len(seen), plan, run.settings)
            stop = processes.largest(int(interruption.signal or 0), run.places.device)
            if stop or time.monotonic() - saved_at >= run.checkpoint_seconds:
                run.save()
                saved_at = time.monotonic()
            if progress is not None:
                progress(state.step, plan.steps, state.losses[-1])
            if stop:
                interruption.signal = Signals(stop)
                _stop(run, interruption)


def _stop(run: _Run, interruption: Interruption) -> None:
    """End the run between two steps, as the signal would have ended it."""
    said = f"stopped by {interruption.signal.name if interruption.signal else 'a signal'} after step {run.state.step}"
    if processes.rank() == 0:
        log.warning("%s of %d; it is saved: run it again to go on", said, run.plan.steps)
    # Where several processes train, none leaves before the first has saved.
    processes.wait(run.places.device)
    interruption.deliver()
    # Whoever handles the signal let the program go on.
    raise TrainingError(
        f"training was {said} of {run.plan.steps}", "It is saved: run it again to go on", code=Code.INTERRUPTED
    )


def _collect(run: _Run, pending: list[Tensor]) -> None:
    """Look at losses and gradients (their norms) that a GPU may still be working on: waits for it.

    Before anything is saved: a loss can be finite where its gradient, and with it all weights after the step, is not.
    """
    for loss, gradient in torch.stack(pending).tolist():
        step = len(run.state.losses)
        if not (math.isfinite(loss) and math.isfinite(gradient)):
            what = f"loss of step {step + 1} is {loss}"
            if math.isfinite(loss):
                what = f"gradient of step {step + 1} is {gradient}"
            if processes.rank():
                raise TrainingError(f"the {what}; the first process says more", code=Code.NOT_FINITE)
            raise not_finite(
                what,
                step + 1,
                run.plan.steps,
                run.places,
                run.order().positions(step),
                run.settings.views,
                seed=run.settings.seed,
                epoch=step // run.plan.steps_per_epoch,
                folder=run.checkpoints,
            )
        run.state.losses.append(loss)


def _result(state: State, plan: Plan, device: torch.device, facts: dict[str, Any]) -> TrainResult:
    trained = state.average or state.objective.encoder
    # A plain one, whatever its BatchNorms were while several processes shared the batches.
    encoder = new_encoder(trained.settings, np.zeros(len(CHANNELS)), np.ones(len(CHANNELS)), seed=0)
    encoder.load_state_dict(trained.state_dict())
    encoder.eval().requires_grad_(False)
    if not all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values()):
        raise TrainingError(
            f"after step {plan.steps}, the last, weights are not finite",
            "Try a learning_rate a third as high",
            code=Code.NOT_FINITE,
        )
    steps = np.arange(plan.steps)
    losses = pd.DataFrame(
        {
            "step": steps + 1,
            "epoch": steps // plan.steps_per_epoch + 1,
            "loss": np.array(state.losses),
            "learning_rate": [plan.learning_rate(step) for step in steps.tolist()],
        }
    )
    watched = pd.DataFrame(state.monitors, columns=list(MONITORS))
    watched.insert(0, "epoch", np.arange(1, len(watched) + 1))
    known = {"device": device.type, "precision": "bf16" if plan.bf16 else "fp32"}
    return TrainResult(encoder, losses, watched, {**known, "batch_size": plan.batch_size, "steps": plan.steps, **facts})
