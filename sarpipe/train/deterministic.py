"""The same bits each time on a GPU, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic(device: torch.device, *, wanted: bool) -> Iterator[None]:
    """Let torch take algorithms alone that give the same bits each time, where that has to be asked for: on a GPU.

    Same device model, driver and torch only. What has no such algorithm is an error of torch that names it. Everything
    is put back afterwards, but for ``CUBLAS_WORKSPACE_CONFIG``, which cuBLAS reads once.
    """
    if device.type != "cuda" or not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
