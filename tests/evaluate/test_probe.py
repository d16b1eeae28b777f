from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from sarpipe.evaluate import probe
from sarpipe.evaluate.estimate import resamples


def _r2(vectors: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> list[float]:
    predicted = probe.predict(vectors, targets, groups, seed=0)
    return [one.value for one in probe.r_squared(targets, predicted, resamples(groups, (0,)))]


@pytest.mark.parametrize("dimensions", [20, 400], ids=["fewer dimensions than places", "more dimensions than places"])
def test_a_planted_linear_factor_is_read_and_noise_is_not(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((200, 5))
    vectors = latent @ rng.standard_normal((5, dimensions)) + rng.normal(0, 0.1, (200, dimensions))
    targets = np.stack([latent @ [1, 2, 3, 4, 5], 1e6 + 1e-3 * latent[:, 0], rng.standard_normal(200)], axis=1)
    factor, small, nothing = _r2(vectors, targets, np.arange(200))
    assert factor > 0.97
    assert small > 0.97
    assert -0.2 < nothing < 0.05


def test_half_a_factor_in_noise_gives_half_the_variance() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1500, 3))
    target = vectors[:, :1] + rng.standard_normal((1500, 1))
    assert _r2(vectors, target, np.arange(1500)) == pytest.approx([0.5], abs=0.05)


def test_knowing_the_cluster_alone_is_worth_nothing() -> None:
    # Each cluster of five places has its own random vector and its own random target: whoever splits a cluster
    # between training and test reads the target from the neighbours.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 5)
    vectors = rng.standard_normal((30, 64))[groups] + rng.normal(0, 0.01, (150, 64))
    target = rng.standard_normal((30, 1))[groups]
    assert _r2(vectors, target, groups)[0] < 0.1
    assert _r2(vectors, target, np.arange(150))[0] > 0.9


@pytest.mark.parametrize("dimensions", [7, 90])
def test_the_path_is_that_of_ridge_regression(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(3, 2, (40, dimensions)), rng.normal(3, 2, (11, dimensions))
    targets = rng.standard_normal((40, 2))
    path = probe._ridge(train, targets, test)
    scale = train.std(axis=0) * np.sqrt(dimensions)
    for found, penalty in zip(path[4:], probe.PENALTIES[4:], strict=True):
        model = Ridge(alpha=penalty).fit((train - train.mean(axis=0)) / scale, targets)
        np.testing.assert_allclose(found, model.predict((test - train.mean(axis=0)) / scale), atol=1e-6)


def test_two_groups_are_enough() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 3))
    assert _r2(vectors, vectors[:, :1], np.repeat([0, 1], 20))[0] > 0.9


def test_r2_of_a_resample_is_that_of_its_places_repeated_beside_the_mean_of_all() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(50, 3, (20, 2))
    predicted = targets + rng.standard_normal((20, 2))
    weights = resamples(np.arange(20), (0,))
    found = probe.r_squared(targets, predicted, weights)
    rows = np.repeat(np.arange(20), weights[17].astype(int))
    error, deviation = targets - predicted, targets - targets.mean(axis=0)
    expected = 1 - np.square(error[rows]).sum(axis=0) / np.square(deviation[rows]).sum(axis=0)
    assert [one.samples[17] for one in found] == pytest.approx(expected)
    assert [one.value for one in found] == pytest.approx(r2_score(targets, predicted, multioutput="raw_values"))


def test_intervals_of_r2_lie_about_the_value_with_few_blocks() -> None:
    # Targets that are alike within a block: a resample of five blocks varies a fifth less about its own mean.
    rng = np.random.default_rng(0)
    shift = []
    for _ in range(60):
        groups = np.repeat(np.arange(5), 8)
        targets = rng.standard_normal((5, 1))[groups] + 0.1 * rng.standard_normal((40, 1))
        (found,) = probe.r_squared(targets, np.zeros_like(targets), resamples(groups, (1,)))
        shift.append(np.median(found.samples) - found.value)
    assert abs(np.mean(shift)) < 0.02
