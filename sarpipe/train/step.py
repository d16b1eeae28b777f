"""One step of a training run: views, loss, gradients, weights and their running mean."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from sarpipe.model.initial import seeded
from sarpipe.ssl import processes
from sarpipe.ssl.simclr import Batch
from sarpipe.train.plan import Plan
from sarpipe.train.settings import TrainSettings
from sarpipe.train.state import State

log = logging.getLogger(__name__)
WARM_UP = 3
"""Steps that a GPU takes one operator at a time before a step is captured: libraries set themselves up in them."""


class Taken(NamedTuple):
    """What a step has given. Nothing of it has a history, which would keep all of the step alive.

    Attributes:
        loss: ``float32 []``.
        gradient: ``float32 []``, its norm, before it was clipped; not finite where any number of it is not.
        embeddings: ``float32 [B, 1024]`` of the first views.
        projections: Two times ``float32 [B, 128]``, the head's output for both views.
    """

    loss: Tensor
    gradient: Tensor
    embeddings: Tensor
    projections: tuple[Tensor, Tensor]


class Step:
    """Takes the steps of a run.

    What changes from step to step stands in tensors on the device, and no shape depends on what is drawn, so that on
    a GPU a whole step is one CUDA graph: recorded once, then started as a whole instead of operator by operator, which
    would take longer than the arithmetic of a small batch. Where a step cannot be captured, it runs as on a CPU.

    Args:
        state: What the steps change.
        plan: The run.
        settings: Of the run.
        capture: Whether to capture steps; only ever on a GPU.
    """

    def __init__(self, state: State, plan: Plan, settings: TrainSettings, *, capture: bool = True) -> None:
        self._state = state
        self._plan = plan
        self._settings = settings
        self._device = state.learning_rate.device
        self._epoch = torch.zeros((), dtype=torch.int64, device=self._device)
        self._share = torch.zeros((), device=self._device)
        self._to_warm_up = WARM_UP
        self._captured: _Captured | None = None
        # What several processes exchange within a step has not been tried in a graph.
        self._capture = capture and self._device.type == "cuda" and processes.size() == 1

    def __call__(self, batch: Batch, epoch: int) -> Taken:
        """Take the next step. All batches of a run have one size.

        Its loss or its gradient may be found not to be finite once it was taken: then the weights are not any more.
        """
        step = self._state.step
        self._state.learning_rate.fill_(self._plan.learning_rate(step))
        self._share.fill_(1 - self._plan.ema_decay(step))
        self._epoch.fill_(epoch)
        with self._dropout():
            taken = self._on_gpu(batch) if self._capture else self._compute(batch)
        self._state.step += 1
        return taken

    def _compute(self, batch: Batch) -> Taken:
        """The arithmetic. Waits for no GPU."""
        state = self._state
        state.optimiser.zero_grad(set_to_none=True)
        loss, embeddings, projections = state.objective(batch, self._epoch)
        loss.backward()
        processes.sum_gradients(state.objective.parameters())
        gradient = self._clipped(list(state.objective.parameters()))
        state.optimiser.step()
        state.average_in(self._share)
        return Taken(loss.detach(), gradient, embeddings, projections)

    def _clipped(self, parameters: list[torch.nn.Parameter]) -> Tensor:
        """The norm of the gradient, which is then no longer than the settings allow."""
        if self._settings.gradient_clip > 0:
            return clip_grad_norm_(parameters, self._settings.gradient_clip)
        return get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])

    def _on_gpu(self, batch: Batch) -> Taken:
        if self._captured is not None:
            return self._captured.replay(batch)
        if self._to_warm_up:
            self._to_warm_up -= 1
            return self._beside(batch)
        try:
            self._captured = _Captured(self, batch)
        except RuntimeError as error:
            log.warning("a step cannot be captured in a CUDA graph, and is run operator by operator: %s", error)
            self._capture = False
            return self._compute(batch)
        return self._captured.replay(batch)

    def _beside(self, batch: Batch) -> Taken:
        """On a stream of its own, as capturing demands of the steps before it."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            taken = self._compute(batch)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        return taken

    def _dropout(self) -> AbstractContextManager[None]:
        """Make dropout, the one thing in a step that torch draws by itself, a function of the step."""
        if self._settings.dropout == 0:
            return nullcontext()
        own = processes.rank() << 31  # each process drops other units; one could not drop the same
        return seeded((self._settings.seed << 32) + own + self._state.step, self._device)


class _Captured:
    """A step as a CUDA graph, with the memory that it reads its batch from and leaves in what it gives."""

    def __init__(self, step: Step, batch: Batch) -> None:
        self._batch = Batch._make(None if tensor is None else tensor.clone() for tensor in batch)
        self._graph = torch.cuda.CUDAGraph()
        step._state.optimiser.zero_grad(set_to_none=True)
        # The outer one: `torch.cuda.graph` leaves its own stream the current one if the capture cannot be ended.
        with torch.cuda.stream(torch.cuda.current_stream(step._device)), torch.cuda.graph(self._graph):
            self._taken = step._compute(self._batch)

    def replay(self, batch: Batch) -> Taken:
        for inside, given in zip(self._batch, batch, strict=True):
            if inside is not None and given is not None:
                inside.copy_(given)
        self._graph.replay()
        loss, gradient, embeddings, (z1, z2) = self._taken
        # The next step writes where this one did.
        return Taken(loss.clone(), gradient.clone(), embeddings.clone(), (z1.clone(), z2.clone()))
