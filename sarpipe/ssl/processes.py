"""Several processes that train as one: each takes a part of every batch, and what they exchange makes them one.

Every process computes the loss of the whole batch from its own part and from what the others gave, so the sum of
their gradients is the gradient that one process would have. Alone, everything here does nothing.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn import functional

from sarpipe.errors import UsageError


def rank() -> int:
    """Which of the processes this is; 0 writes and speaks for all."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the other processes that ``torchrun`` started, for the time of a ``with`` block.

    Args:
        device: See `sarpipe.model.device.pick_device`.

    Returns:
        The device of this one: each has a GPU of its own where there are any.

    Raises:
        UsageError: There are more processes than GPUs.
    """
    own = int(os.environ.get("LOCAL_RANK", "0"))
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        if own >= torch.cuda.device_count():
            raise UsageError(
                f"{os.environ.get('LOCAL_WORLD_SIZE')} processes, but {torch.cuda.device_count()} GPUs",
                "Give torchrun one process a GPU: --nproc-per-node gpu",
            )
        torch.cuda.set_device(own)
        device = f"cuda:{own}"
    # What an optimiser imports keeps a process group that exists by then alive for good, and with it gloo's threads, of
    # which a process dies now and then when it ends (pytorch issue 190489 describes how).
    importlib.import_module("torch._dynamo")
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def share(positions: Tensor) -> Tensor:
    """This process's part of a batch, which all have to divide evenly."""
    return positions.chunk(size())[rank()]


def gathered(own: Tensor) -> Tensor:
    """The rows of all processes, with gradient for its own: ``[B / size, ...]`` each ``-> [B, ...]``."""
    if size() == 1:
        return own
    rows: Tensor = _Gathered.apply(own)  # type: ignore[no-untyped-call]
    return rows


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Make the gradient of each parameter the sum of all processes' gradients: one exchange."""
    if size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


def largest(number: int, device: torch.device) -> int:
    """The largest of the numbers that the processes give."""
    if size() == 1:
        return number
    there = torch.tensor(number, device=device)
    distributed.all_reduce(there, distributed.ReduceOp.MAX)
    return int(there)


def said_by_first(number: int, device: torch.device) -> int:
    """The number that process 0 gives; the others wait for it."""
    there = torch.tensor(number, device=device)
    distributed.broadcast(there, 0)
    return int(there)


def agree(numbers: list[int], device: torch.device) -> bool:
    """Whether all processes give the same numbers (of 63 bits)."""
    if size() == 1:
        return True
    there = torch.tensor(numbers, device=device)
    rows = _all(there[None])
    return bool((rows == there).all())


def wait(device: torch.device) -> None:
    """Until all processes are here."""
    largest(0, device)


def share_batch_norms(module: nn.Module) -> None:
    """Let every BatchNorm of the module take its statistics over the parts of all processes. Alone: as it was."""
    if size() == 1:
        return
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, SharedBatchNorm.of(child))
        else:
            share_batch_norms(child)


class SharedBatchNorm(nn.Module):
    """BatchNorm over the rows of all processes (`torch.nn.SyncBatchNorm` is for GPUs alone).

    Parameters, buffers and their names are those of ``nn.BatchNorm1d`` and ``2d``, so either reads the other's state.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    @classmethod
    def of(cls, single: nn.BatchNorm1d | nn.BatchNorm2d) -> SharedBatchNorm:
        """With the parameters and statistics of one of a single process."""
        shared = cls()
        shared.eps, shared.momentum = single.eps, float(single.momentum or 0.1)
        shared.weight, shared.bias = single.weight, single.bias
        for name, buffer in single.named_buffers():
            shared.register_buffer(name, buffer)
        return shared.train(single.training)

    eps: float
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, ...]``; the statistics in float32 at least."""
        if not self.training:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        along = [1, -1] + [1] * (x.ndim - 2)
        count = x.numel() // x.shape[1] * size()
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = _summed(wide.sum(axes)) / count
        centred = wide - mean.view(along)
        variance = _summed(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(along) + self.bias.view(along)).to(x.dtype)


class _Gathered(Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return _all(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # All have the same loss, so the same gradient: each takes on what belongs to its own rows.
        return share(gradients[0])


class _Summed(Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process used the sum for its own rows: what they all ask of it adds up.
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def _summed(own: Tensor) -> Tensor:
    total: Tensor = _Summed.apply(own)  # type: ignore[no-untyped-call]
    return total


def _all(own: Tensor) -> Tensor:
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(size())]
    distributed.all_gather(parts, own.contiguous())
    return torch.cat(parts)
