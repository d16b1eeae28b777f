"""The same encoder, trained on the truth: what its architecture and budget can learn where the answer is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sarpipe.channels import EMBED_DIM
from sarpipe.codes import Code
from sarpipe.cubes import CubeSet
from sarpipe.errors import TrainingError
from sarpipe.heap import freed_memory_kept
from sarpipe.model.device import pick_device
from sarpipe.model.encoder import Encoder, channel_statistics
from sarpipe.model.initial import seeded
from sarpipe.ssl.simclr import Batch, SimClr
from sarpipe.train.deterministic import deterministic
from sarpipe.train.loop import fresh_state
from sarpipe.train.order import Order
from sarpipe.train.places import Places
from sarpipe.train.plan import Plan
from sarpipe.train.settings import TrainSettings
from sarpipe.train.state import State
from sarpipe.train.step import Step
from sarpipe.train.trouble import out_of_memory

Progress = Callable[[int, int, float], None]


class _Supervised(SimClr):
    """SimCLR's views and encoder; in place of the projection a line to the truth, in place of the contrast the squared
    error of what is known.

    Args:
        like: Encoder and views.
        keys: ``int64 [N]``, of the places, on the CPU.
        truth: ``float32 [N, T]``, standardised, NaN unknown.
    """

    def __init__(self, like: SimClr, keys: Tensor, truth: Tensor) -> None:
        super().__init__(like.encoder, like.contrast)
        self.head = nn.Linear(EMBED_DIM, truth.shape[1])
        self.keys, order = keys.sort()
        self.truth = truth[order]

    def _loss(self, z1: Tensor, z2: Tensor, batch: Batch) -> Tensor:
        truth = self.truth[torch.searchsorted(self.keys, batch.keys)]
        known = truth.isfinite()
        missed = (torch.stack([z1, z2]) - truth.nan_to_num()).square() * known
        return missed.sum() / (2 * known.sum()).clamp(min=1)


def train_supervised(cubes: CubeSet, settings: TrainSettings, *, device: str, progress: Progress) -> Encoder:
    """Train an encoder to tell every column of the truth, with the views, budget and optimiser of ``settings``.

    Checkpoints are not taken, and no collapse is looked for: it is made for comparison alone.

    Args:
        cubes: The places, with truth.
        settings: How; its loss, temperature and neighbours are not used.
        device: See `sarpipe.model.device.pick_device`.
        progress: Called with the steps done, all steps, and the latest loss.

    Returns:
        The running mean of the weights if there is one; eval mode, on the CPU.

    Raises:
        TrainingError: There is no truth that varies, the loss is not finite, or memory does not suffice.
    """
    where = pick_device(device)
    plan = Plan.of(settings, len(cubes.ids), where)
    without_chance = deterministic(where, wanted=settings.deterministic)
    with freed_memory_kept(), out_of_memory(plan.batch_size, where), without_chance:
        places = Places(cubes, where, with_frames=settings.views.date_subset > 0)
        state = _start(cubes, settings, plan, places.keys, where)
        order = Order(places.keys, seed=settings.seed, batch_size=plan.batch_size, steps_per_epoch=plan.steps_per_epoch)
        take_step = Step(state, plan, settings)
        with closing(places.batches(order.positions(step) for step in range(plan.steps))) as batches:
            for batch in batches:
                loss = take_step(batch, state.step // plan.steps_per_epoch).loss.item()
                if not np.isfinite(loss):
                    raise TrainingError(
                        f"the loss of step {state.step} on the truth is {loss}",
                        "Try a smaller learning_rate",
                        code=Code.NOT_FINITE,
                    )
                progress(state.step, plan.steps, loss)
    return (state.average or state.objective.encoder).cpu().eval().requires_grad_(False)


def _start(cubes: CubeSet, settings: TrainSettings, plan: Plan, keys: Tensor, where: torch.device) -> State:
    """Before the first step: the weights that the encoder of `sarpipe.train` has there."""
    truth = torch.tensor(standardised(cubes.truth, cubes.ids))
    contrastive = fresh_state(settings, plan, *channel_statistics(cubes.cubes), torch.device("cpu")).objective
    with seeded(settings.seed, torch.device("cpu")):
        objective = _Supervised(contrastive, keys, truth)
    objective.keys, objective.truth = objective.keys.to(where), objective.truth.to(where)
    return State.start(objective.to(where).train(), weight_decay=settings.weight_decay, ema=plan.ema > 0)


def standardised(truth: pd.DataFrame | None, ids: tuple[str, ...]) -> NDArray[np.float32]:
    """Numeric columns of the truth that vary, ``[N, T]``, each with mean 0 and deviation 1; NaN unknown.

    Raises:
        TrainingError: There is none.
    """
    if truth is None:
        raise TrainingError(f"no truth lies beside the {len(ids)} places to learn from", "Study without --held-out")
    table = truth.set_index("id").select_dtypes("number").reindex(list(ids)).astype(np.float64)
    table = table.where(np.isfinite(table))
    mean, deviation = table.mean(), table.std(ddof=0)
    varied = table.columns[deviation > 0]
    if varied.empty:
        raise TrainingError(f"no column of the truth varies between the {len(ids)} places to learn from")
    return ((table - mean) / deviation)[varied].to_numpy(np.float32)
