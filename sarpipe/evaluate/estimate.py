"""A figure with its bootstrap: what it is, and what it would have been with other places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
FEWEST_BLOCKS = 5
"""With fewer, hardly any two resamples of blocks differ: single places are drawn then."""
FEW_BLOCKS = 10
"""With fewer, a bootstrap of blocks has few to draw from, and is too narrow (Cameron, Gelbach and Miller 2008)."""


@dataclass(frozen=True)
class Estimate:
    """A figure, and the same figure on each resample of the places, ``float64 [R]``.

    Two estimates on the same resamples are paired: their difference is taken resample by resample.
    """

    value: float
    samples: NDArray[np.float64]

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.samples - other.samples)

    @property
    def interval(self) -> list[float]:
        """The 95 % percentile interval (Efron and Tibshirani 1993)."""
        return [float(bound) for bound in np.percentile(self.samples, [2.5, 97.5])]

    def as_json(self) -> dict[str, Any]:
        """``{"value": ..., "interval": [low, high]}``."""
        return {"value": self.value, "interval": self.interval}


def resamples(groups: NDArray[np.intp], seed: tuple[int, ...]) -> NDArray[np.float64]:
    """How often each place is in each bootstrap resample: ``float64 [R, N]``.

    Whole groups are drawn, as places beside each other are not independent; single places where there are fewer than
    `FEWEST_BLOCKS` groups.

    Args:
        groups: The group of each place ``[N]``.
        seed: Same seed and groups, same resamples.
    """
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < FEWEST_BLOCKS:
        names = members = np.arange(len(groups))
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return draws[:, members].astype(np.float64)


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over seeds. Each resample of the places is one of the seeds too.

    Two means of the same seeds, in the same order, on the same resamples are paired: in their difference neither the
    places nor the seeds differ. With few seeds a bootstrap knows little of their spread: it is too narrow by a factor
    of sqrt((S - 1) / S) in it, and the figures of the single seeds should be looked at.

    Args:
        estimates: One a seed, at least one, all of the same resamples.
    """
    samples = np.stack([estimate.samples for estimate in estimates])
    n_seeds, n_resamples = samples.shape
    drawn = np.random.default_rng(n_seeds).integers(n_seeds, size=(n_seeds, n_resamples))
    values = [estimate.value for estimate in estimates]
    return Estimate(float(np.mean(values)), np.take_along_axis(samples, drawn, axis=0).mean(axis=0))
