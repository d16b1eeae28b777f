"""The training loop."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from sarpipe.cubes import CubeSet
from sarpipe.errors import TrainingError
from sarpipe.model.device import pick_device
from sarpipe.model.encoder import Encoder, EncoderConfig, channel_statistics
from sarpipe.model.initial import seeded
from sarpipe.ssl.neighbours import distances_km
from sarpipe.ssl.simclr import Batch, Contrast, Outcome, SimClr
from sarpipe.storage import code_version, digest_json
from sarpipe.train import CODE, checkpoint
from sarpipe.train.collapse import stop_if_collapsed, stop_if_views_leak
from sarpipe.train.monitor import MAX_PLACES, MONITORS, monitors
from sarpipe.train.places import Places
from sarpipe.train.plan import Plan
from sarpipe.train.settings import TrainSettings
from sarpipe.train.state import State

log = logging.getLogger(__name__)
Progress = Callable[[int, int, float], None]
STEPS_PER_FETCH = 50
"""How many steps a GPU may run ahead before their losses are looked at; a CPU's are looked at each step."""


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


def train(
    cubes: CubeSet,
    settings: TrainSettings,
    checkpoints: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    checkpoint_seconds: float = 10.0,
) -> TrainResult:
    """Train an encoder, going on from the newest checkpoint of the same run if there is one.

    On a CPU the result is the same bit for bit, however often the run was broken off, for the same number of
    threads.

    Args:
        cubes: The places, 2 or more.
        settings: How.
        checkpoints: A folder for checkpoints; nobody else may train there at the same time.
        device: See `sarpipe.model.device.pick_device`.
        progress: Called with the steps done, all steps, and the latest loss. May raise, to stop.
        checkpoint_seconds: A checkpoint is taken at the end of an epoch if the last is older than this. It decides
            when to save, never what is computed.

    Raises:
        TrainingError: There is nothing to learn from, the loss is not finite, or the run has collapsed.
        StorageError: A checkpoint cannot be written.
        UsageError: There is no such device.
    """
    where = pick_device(device)
    _check_places(cubes, settings)
    plan = Plan.of(settings, len(cubes.ids), where)
    mean, std = channel_statistics(cubes.cubes)
    state = _fresh_state(settings, plan, mean, std, where)
    key = _key(cubes, settings, plan, mean, std)
    resumed = checkpoint.resume(checkpoints, key, state)
    if resumed:
        log.info("going on from the checkpoint after step %d of %d", resumed, plan.steps)
    places = Places(cubes, where, with_frames=settings.views.date_subset > 0)
    saved_at = time.monotonic()
    for epoch in range(state.step // plan.steps_per_epoch, settings.epochs):
        _epoch(state, places, plan, settings, epoch, progress)
        if time.monotonic() - saved_at >= checkpoint_seconds:
            checkpoint.save(checkpoints, key, state)
            saved_at = time.monotonic()
    return _result(state, plan, where, {"places": len(cubes.ids), "resumed_from_step": resumed})


def _check_places(cubes: CubeSet, settings: TrainSettings) -> None:
    if len(cubes.ids) < 2:
        raise TrainingError(
            f"training needs 2 places or more, found {len(cubes.ids)}", "Give more stores to `sarpipe preprocess`"
        )
    corners = cubes.index[["latitude", "longitude"]].agg(["min", "max"]).to_numpy(np.float64)
    span = distances_km(*torch.tensor(corners).unbind(1))[0, 1].item()
    if not cubes.index[["latitude", "longitude"]].isna().any(axis=None) and span < settings.neighbour_km:
        raise TrainingError(
            f"all {len(cubes.ids)} places lie within {span:.1f} km, closer than neighbour_km = "
            f"{settings.neighbour_km:g}: none is a negative of another",
            "Set neighbour_km to 0, or add places",
        )


def _fresh_state(
    settings: TrainSettings,
    plan: Plan,
    mean: NDArray[np.floating],
    std: NDArray[np.floating],
    device: torch.device,
) -> State:
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
        objective = SimClr(Encoder(config, mean, std), contrast).to(device).train()
    return State.start(objective, weight_decay=settings.weight_decay, ema=plan.ema > 0)


def _key(
    cubes: CubeSet, settings: TrainSettings, plan: Plan, mean: NDArray[np.floating], std: NDArray[np.floating]
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


def _epoch(
    state: State, places: Places, plan: Plan, settings: TrainSettings, epoch: int, progress: Progress | None
) -> None:
    order = places.order(settings.seed, epoch)
    pending: list[Tensor] = []
    embeddings: list[Tensor] = []
    often = STEPS_PER_FETCH if places.device.type == "cuda" else 1
    for number in range(1, plan.steps_per_epoch + 1):
        positions = order[(number - 1) * plan.batch_size : number * plan.batch_size]
        outcome = _step(state, places.batch(positions), plan, settings, epoch)
        pending.append(outcome.loss.detach())
        if state.step == 1:
            stop_if_views_leak(*outcome.projections)
        if len(embeddings) * plan.batch_size < MAX_PLACES:
            embeddings.append(outcome.embeddings)
        last = number == plan.steps_per_epoch
        if last or len(pending) == often:
            _collect(state, pending, plan)
            pending.clear()
        if last:
            seen = torch.cat(embeddings)[:MAX_PLACES]
            state.monitors.append(monitors(seen, *outcome.projections))
            stop_if_collapsed(state.monitors, len(seen), plan, settings)
        if progress is not None and not pending:
            progress(state.step, plan.steps, state.losses[-1])


def _step(state: State, batch: Batch, plan: Plan, settings: TrainSettings, epoch: int) -> Outcome:
    for group in state.optimiser.param_groups:
        group["lr"] = plan.learning_rate(state.step)
    state.optimiser.zero_grad(set_to_none=True)
    with _dropout_of(settings, state.step, batch.cubes.device):
        outcome: Outcome = state.objective(batch, epoch)
    outcome.loss.backward()  # type: ignore[no-untyped-call]
    if settings.gradient_clip > 0:
        clip_grad_norm_(state.objective.parameters(), settings.gradient_clip)
    state.optimiser.step()
    state.average_in(plan.ema_decay(state.step))
    state.step += 1
    return outcome


def _dropout_of(settings: TrainSettings, step: int, device: torch.device) -> AbstractContextManager[None]:
    """Make dropout, the one thing in a step that torch draws by itself, a function of the step."""
    return seeded((settings.seed << 32) + step, device) if settings.dropout > 0 else nullcontext()


def _collect(state: State, pending: list[Tensor], plan: Plan) -> None:
    """Look at losses that a GPU may still be working on: waits for it."""
    for loss in torch.stack(pending).tolist():
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss of step {len(state.losses) + 1} of {plan.steps} is {loss}",
                "Try a learning_rate a third as high, or precision fp32",
            )
        state.losses.append(loss)


def _result(state: State, plan: Plan, device: torch.device, facts: dict[str, Any]) -> TrainResult:
    encoder = copy.deepcopy(state.average or state.objective.encoder).cpu().eval().requires_grad_(False)
    if not all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values()):
        raise TrainingError(
            f"after step {plan.steps}, the last, weights are not finite", "Try a learning_rate a third as high"
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
