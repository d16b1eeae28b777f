from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from sarpipe.evaluate.spectrum import lidar, rankme


def test_orthogonal_directions_count_fully_and_a_single_one_once() -> None:
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 12)))
    assert rankme(basis) == pytest.approx(12)
    assert rankme(np.outer(np.arange(1.0, 31), np.arange(1.0, 65))) == pytest.approx(1, abs=1e-6)


def test_it_is_between_the_two_where_some_directions_are_weak() -> None:
    assert rankme(np.diag([1.0, 1.0, 0.5])) == pytest.approx(0.4**-0.8 * 0.2**-0.2)


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.zeros((5, 4)), np.empty((0, 0))])
def test_there_is_none_without_two_vectors_and_a_direction(vectors: np.ndarray) -> None:
    assert rankme(vectors) is None


def test_lidar_is_what_its_definition_gives() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 6)) * [9, 5, 2, 1, 1, 0.1]
    views = [(centres + rng.standard_normal((40, 6)) * [1, 2, 1, 3, 1, 1]).astype(np.float32) for _ in range(3)]
    stacked = np.stack(views).astype(float)
    own = stacked.mean(axis=0)
    within = sum(np.outer(row, row) for view in stacked for row in view - own) / 120
    within += 1e-4 * np.trace(within) / 6 * np.eye(6)
    between = sum(np.outer(row, row) for row in own - own.mean(axis=0)) / 40
    weights = scipy.linalg.eigh(between, within, eigvals_only=True)
    share = weights / weights.sum()
    assert lidar(views) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-9)
    assert lidar([1000 * view for view in views]) == pytest.approx(lidar(views), rel=1e-5)


def test_lidar_counts_what_tells_places_apart_and_rankme_what_varies() -> None:
    rng = np.random.default_rng(1)
    places = np.zeros((400, 20))
    places[:, :5] = rng.standard_normal((400, 5))
    views = [places + np.concatenate([np.zeros((400, 5)), rng.standard_normal((400, 15))], axis=1) for _ in range(2)]
    views = [view + 0.05 * rng.standard_normal(view.shape) for view in views]
    assert lidar(views) == pytest.approx(5, abs=0.3)
    assert (rankme(views[0]) or 0) > 15


@pytest.mark.parametrize("views", [[np.eye(4)] * 2, [np.empty((0, 0))] * 2, [np.eye(5)[:3], np.eye(5)[1:4]]])
def test_there_is_no_lidar_of_views_that_are_few_or_the_same(views: list[np.ndarray]) -> None:
    assert lidar(views) is None
