"""The places, as batches on the device, in whatever memory they lie."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sarpipe.cubes import CubeFiles, CubeSet, RowFiles, Rows, blocks
from sarpipe.ssl.counter import place_keys
from sarpipe.ssl.simclr import Batch

SHARE_OF_GPU = 0.5
"""Of the GPU's free memory that the data may take; the rest is for activations."""
READERS = 4
"""Threads that read a set that is larger than memory."""
AHEAD = 2
"""So many batches are read, or being read, before they are asked for."""


class Places:
    """All places: in float16 on a GPU if they fit there, else in main memory or in files, as they are given.

    A GPU gets float16 from wherever they lie, so its numbers do not depend on that; nor do they on the number of
    threads that read.

    Args:
        cubes: The places.
        device: Where the batches go.
        with_frames: Whether views are taken from some of the dates.
        readers: Threads that read, where the places are in files.
    """

    def __init__(
        self, cubes: CubeSet | CubeFiles, device: torch.device, *, with_frames: bool, readers: int = READERS
    ) -> None:
        self.device = device
        self.ids = cubes.ids
        self.keys = place_keys(cubes.ids)
        self._keys_there = self.keys.to(device)
        self._dates = torch.from_numpy(dates_with_data(cubes.frames)).to(device)
        self._coordinates = torch.tensor(cubes.index[["latitude", "longitude"]].to_numpy(np.float64), device=device)
        rows: list[Rows] = [cubes.cubes, cubes.frames] if with_frames else [cubes.cubes]
        on_gpu = device.type == "cuda" and _fits(rows, device)
        self._data = [_on_gpu(part, device) if on_gpu else _as_they_lie(part) for part in rows]
        self._copied = device.type == "cuda" and not on_gpu
        self._readers = readers if any(isinstance(part, RowFiles) for part in self._data) else 0

    def batches(self, positions: Iterable[Tensor]) -> Generator[Batch, None, None]:
        """The batches of these positions (each ``int64 [B]``, on the CPU), in this order.

        From files, the next ones are read while one is worked on: at most `AHEAD` and the one that is given out are
        in memory. To a GPU they are copied beside the step that it is still working on.
        """
        beside = _Beside(self.device) if self._copied else None
        with closing(self._taken_in_turn(positions)) as turns:
            for part, taken in turns:
                batch = partial(self._batch, part, taken)
                yield beside(batch) if beside else batch()

    def _taken_in_turn(self, positions: Iterable[Tensor]) -> Generator[tuple[Tensor, list[Tensor]], None, None]:
        """The rows at each of these positions, wherever they lie."""
        if not self._readers:
            for part in positions:
                yield part, self._taken(part)
            return
        parts = iter(positions)
        with ThreadPoolExecutor(self._readers, thread_name_prefix="sarpipe-read") as readers:
            reading: deque[_Reading] = deque()
            try:
                while True:
                    room = AHEAD - len(reading)
                    reading.extend(self._read(part, readers) for part in islice(parts, room))
                    if not reading:
                        return
                    first = reading.popleft()
                    yield first.positions, first.result()
            finally:
                readers.shutdown(cancel_futures=True)

    def batch(self, positions: Tensor) -> Batch:
        """The places at these positions (``int64 [B]``, on the CPU), on the device."""
        return self._batch(positions, self._taken(positions))

    def _taken(self, positions: Tensor) -> list[Tensor]:
        return [self._ready(_taken(part, positions)) for part in self._data]

    def _ready(self, rows: Tensor) -> Tensor:
        """Rows in memory as a GPU fetches them without anyone waiting: half as wide, and in pages that stay."""
        if not self._copied or rows.is_cuda:
            return rows
        return torch.empty(rows.shape, dtype=torch.float16, pin_memory=True).copy_(rows)

    def _batch(self, positions: Tensor, taken: Sequence[Tensor]) -> Batch:
        # Without waiting: a GPU may still be busy with the steps before.
        there = positions.to(self.device, non_blocking=True)
        data = [part.to(self.device, self._dtype(part.dtype), non_blocking=part.is_pinned()) for part in taken]
        latitude, longitude = self._coordinates[there].unbind(1)
        frames = data[1] if len(data) > 1 else None
        return Batch(self._keys_there[there], data[0], frames, self._dates[there], latitude, longitude)

    def _dtype(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float16 if self.device.type == "cuda" else dtype

    def _read(self, positions: Tensor, readers: ThreadPoolExecutor) -> _Reading:
        """Let the threads read a batch: each some of its rows, to where they belong."""
        wanted = positions.numpy()
        size = -(-len(wanted) // self._readers)
        taken, futures = [], []
        for part in self._data:
            if not isinstance(part, RowFiles):
                taken.append(self._ready(_taken(part, positions)))
                continue
            known = torch.from_numpy(np.empty(0, part.dtype)).dtype
            shape, pinned = (len(wanted), *part.shape[1:]), self.device.type == "cuda"
            taken.append(torch.empty(shape, dtype=self._dtype(known), pin_memory=pinned))
            futures += [
                readers.submit(_fill, part, wanted[start : start + size], taken[-1].numpy()[start : start + size])
                for start in range(0, len(wanted), size)
            ]
        return _Reading(positions, taken, futures)


class _Beside:
    """A stream of a GPU for copies: on the stream of the steps a copy would wait for the step before it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # What the batches are taken from was made there.
        self._stream.wait_stream(torch.cuda.current_stream(device))
        self._given: Batch | None = None
        self._in_use: deque[tuple[Batch, torch.cuda.Event]] = deque()

    def __call__(self, copied: Callable[[], Batch]) -> Batch:
        """Copy, and let the steps wait for it. To be called when the step of the batch before has been started.

        A batch is kept until its step is done, or its memory would be another's. As copies are asynchronous, this also
        has to be what keeps the host from running ahead of the GPU with more batches than there is memory for.
        """
        steps = torch.cuda.current_stream(self._device)
        if self._given is not None:
            self._in_use.append((self._given, steps.record_event()))
        while len(self._in_use) >= AHEAD:
            _, done = self._in_use.popleft()
            done.synchronize()
        with torch.cuda.stream(self._stream):
            self._given = copied()
        steps.wait_stream(self._stream)
        return self._given


class _Reading(NamedTuple):
    """A batch that threads are reading."""

    positions: Tensor
    taken: list[Tensor]
    futures: list[Future[None]]

    def result(self) -> list[Tensor]:
        """What was read, once all of it was."""
        for future in self.futures:
            future.result()
        return self.taken


def _fill(part: RowFiles, wanted: NDArray[np.int64], out: NDArray[np.floating]) -> None:
    if out.dtype == part.dtype:
        part.read_into(wanted, out)
    else:
        with np.errstate(over="ignore"):  # beyond float16 is infinite there, as on the GPU
            out[:] = part[wanted]


def dates_with_data(frames: Rows) -> NDArray[np.bool_]:
    """Which dates of each place hold any data: ``[N, 4]``, at least one for each place.

    Args:
        frames: ``[N, 4, 4, 64, 64]``, NaN where there is no data.
    """
    found = [[np.isfinite(date).any() for date in place] for block in blocks(frames) for place in block[:, :, 0]]
    there = np.array(found, bool).reshape(frames.shape[:2])
    # A cube may stand for dates of which too little is left after the resampling.
    return there | ~there.any(axis=1, keepdims=True)


def _taken(part: Tensor | RowFiles, positions: Tensor) -> Tensor:
    if isinstance(part, RowFiles):
        return torch.from_numpy(part[positions.numpy()])
    return part[positions.to(part.device, non_blocking=True)]


def _as_they_lie(rows: Rows) -> Tensor | RowFiles:
    """An array without a copy, unless it must not be written to, which torch cannot promise."""
    if isinstance(rows, RowFiles):
        return rows
    return torch.from_numpy(rows) if rows.flags.writeable else torch.tensor(rows)


def _on_gpu(rows: Rows, device: torch.device) -> Tensor:
    """All of them in float16, block by block: they need not be in main memory together."""
    there = torch.empty(rows.shape, dtype=torch.float16, device=device)
    start = 0
    for block in blocks(rows):
        there[start : start + len(block)].copy_(torch.from_numpy(np.ascontiguousarray(block)))
        start += len(block)
    return there


def _fits(rows: list[Rows], device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return sum(2 * int(np.prod(part.shape)) for part in rows) < SHARE_OF_GPU * free
