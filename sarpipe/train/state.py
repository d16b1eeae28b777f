"""All that a training run changes from step to step."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import AdamW

from sarpipe.channels import EMBED_DIM
from sarpipe.model.encoder import Encoder
from sarpipe.ssl.simclr import SimClr
from sarpipe.train.monitor import MAX_PLACES

ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class State:
    """A run between two steps.

    Attributes:
        objective: Encoder and head, as they are trained.
        average: The running mean of the encoder, or None.
        optimiser: With the moments of every parameter.
        learning_rate: ``float32 []``, the optimiser's, on the device.
        seen: ``float32 [512, 1024]``, the first embeddings of the epoch that is under way: what it is watched by at
            its end.
        step: How many steps are done.
        losses: One a step.
        monitors: One row an epoch: the values of `sarpipe.train.monitor.MONITORS`.
    """

    objective: SimClr
    average: Encoder | None
    optimiser: AdamW
    learning_rate: Tensor
    seen: Tensor
    step: int = 0
    losses: list[float] = field(default_factory=list)
    monitors: list[list[float]] = field(default_factory=list)

    @classmethod
    def start(cls, objective: SimClr, *, weight_decay: float, ema: bool) -> State:
        """The state before the first step, on the device where the objective is."""
        average = copy.deepcopy(objective.encoder).requires_grad_(False) if ema else None
        device = objective.encoder.mean.device
        learning_rate = torch.zeros((), device=device)
        seen = torch.zeros(MAX_PLACES, EMBED_DIM, device=device)
        return cls(objective, average, _adamw(objective, learning_rate, weight_decay), learning_rate, seen)

    def keep(self, embeddings: Tensor, start: int) -> None:
        """Note the embeddings (``float32 [B, 1024]``) of a step whose first place is the epoch's ``start``-th."""
        rows = self.seen[start : start + len(embeddings)]
        rows.copy_(embeddings[: len(rows)])

    def average_in(self, share: Tensor) -> None:
        """Let the running mean move this share (``float32 []``, on the device) of its way to the encoder's weights
        and BatchNorm statistics. What is counted there is taken over.
        """
        if self.average is None:
            return
        pairs = list(zip(self.average.state_dict().values(), self.objective.encoder.state_dict().values(), strict=True))
        means, weights = map(list, zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True))
        with torch.no_grad():
            ways = torch._foreach_sub(weights, means)
            torch._foreach_mul_(ways, share)
            torch._foreach_add_(means, ways)
            for mean, count in pairs:
                if not mean.is_floating_point():
                    mean.copy_(count)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name: the live ones, not copies."""
        found = {"seen": self.seen}
        found |= {f"objective.{name}": tensor for name, tensor in self.objective.state_dict().items()}
        if self.average is not None:
            found |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for name, parameter in self.objective.named_parameters():
            moments = self.optimiser.state[parameter]
            found |= {f"adam.{name}.{key}": moments[key] for key in ADAM_STATE}
        return found


def _adamw(objective: SimClr, learning_rate: Tensor, weight_decay: float) -> AdamW:
    """AdamW whose moments exist from the start, so that a checkpoint can be read into them as they lie in memory."""
    decayed = [parameter for parameter in objective.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in objective.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    gpu = learning_rate.is_cuda
    optimiser = AdamW(groups, learning_rate, fused=True, capturable=gpu)
    if gpu:
        # It would warn of every run, as the first steps are not captured.
        optimiser._warned_capturable_if_run_uncaptured = True
    for parameter in objective.parameters():
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        moments = (step, torch.zeros_like(parameter), torch.zeros_like(parameter))
        optimiser.state[parameter] = dict(zip(ADAM_STATE, moments, strict=True))
    return optimiser
