"""Which places each step takes."""

from __future__ import annotations

from torch import Tensor

from sarpipe.ssl.counter import epoch_order


class Order:
    """The places of every step: a function of its number, the seed and the ids, and of nothing that was drawn before.

    Args:
        keys: ``int64 [N]``, `sarpipe.ssl.counter.place_keys`.
        seed: The run's.
        batch_size: Places a step.
        steps_per_epoch: Places beyond the last full batch of an epoch are left out of it.
    """

    def __init__(self, keys: Tensor, *, seed: int, batch_size: int, steps_per_epoch: int) -> None:
        self._keys, self._seed = keys, seed
        self._batch_size, self._steps_per_epoch = batch_size, steps_per_epoch
        self._epoch = -1
        self._order = keys

    def positions(self, step: int) -> Tensor:
        """Of the step of this number, from 0: ``int64 [batch_size]``, on the CPU."""
        epoch, number = divmod(step, self._steps_per_epoch)
        if epoch != self._epoch:
            self._order = epoch_order(self._keys, seed=self._seed, epoch=epoch)
            self._epoch = epoch
        return self._order[number * self._batch_size : (number + 1) * self._batch_size]
