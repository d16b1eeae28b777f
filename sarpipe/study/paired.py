"""Figures of several seeds, and what lies between two trainings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sarpipe.evaluate.estimate import Estimate


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over training seeds. Each resample of the places is one of the seeds too.

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


def verdict(difference: Estimate) -> str:
    """What the choice brings: ``better``, ``worse``, or ``not shown`` where the 95 % interval holds 0."""
    low, high = difference.interval
    return "better" if low > 0 else "worse" if high < 0 else "not shown"
