from __future__ import annotations

import numpy as np
import pytest

from sarpipe.evaluate.estimate import Estimate, resamples


def _mean(values: np.ndarray, groups: np.ndarray) -> Estimate:
    weights = resamples(groups, (0,))
    return Estimate(float(values.mean()), weights @ values / weights.sum(axis=1))


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error() -> None:
    values = np.random.default_rng(0).standard_normal(400)
    low, high = _mean(values, np.arange(400)).interval
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_copies_within_a_cluster_make_an_interval_no_narrower() -> None:
    values = np.random.default_rng(0).standard_normal(100)
    copied = _mean(np.repeat(values, 4), np.repeat(np.arange(100), 4)).interval
    assert copied == pytest.approx(_mean(values, np.arange(100)).interval)


def test_one_cluster_does_not_make_a_figure_certain() -> None:
    low, high = _mean(np.arange(50.0), np.zeros(50, np.intp)).interval
    assert high - low > 5


def test_the_difference_of_two_methods_that_fail_together_is_narrow() -> None:
    hard = np.random.default_rng(0).standard_normal(200)
    ours, theirs = _mean(hard + 0.1, np.arange(200)), _mean(hard, np.arange(200))
    assert (ours - theirs).interval == pytest.approx([0.1, 0.1])
