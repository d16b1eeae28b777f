from __future__ import annotations

import numpy as np
import pytest

from sarpipe.evaluate.estimate import resamples
from sarpipe.evaluate.retrieval import measures, ranks, ranks_among_neighbours
from sarpipe.standard import Standard


def test_a_perfect_encoder_finds_every_place_at_once() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    found = measures(ranks(vectors, vectors), resamples(np.arange(300), (0,)))
    assert {name: (one.value, one.interval) for name, one in found.items()} == dict.fromkeys(
        ("recall_at_1", "recall_at_5", "recall_at_10", "mrr"), (1.0, [1.0, 1.0])
    )


def test_vectors_that_know_nothing_are_near_chance() -> None:
    rng = np.random.default_rng(0)
    found = ranks(rng.standard_normal((1000, 16)), rng.standard_normal((1000, 16)))
    assert (found <= 10).mean() == pytest.approx(0.01, abs=0.01)
    assert found.mean() == pytest.approx(500, rel=0.05)


def test_ties_count_against() -> None:
    assert ranks(np.ones((7, 3)), np.ones((7, 3))).tolist() == [7] * 7
    twins = np.repeat(np.random.default_rng(0).standard_normal((20, 5)), 2, axis=0)
    assert ranks(twins, twins).tolist() == [2] * 40


def test_the_unit_of_a_dimension_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((60, 6))
    gallery = query + rng.normal(0, 0.5, query.shape)
    scale, shift = np.array([1e-3, 1, 1e3, 1, 1, 50]), np.array([0, 100, 0, 0, -3, 7])
    np.testing.assert_array_equal(ranks(query, gallery), ranks(query * scale + shift, gallery * scale + shift))


def test_a_dead_dimension_is_not_blown_up_to_noise() -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((60, 4)).astype(np.float32)
    dead = np.full((2, 60, 200), 3.0, np.float32) + rng.normal(0, 2e-7, (2, 60, 200)).astype(np.float32)
    assert (ranks(np.hstack([query, dead[0]]), np.hstack([query, dead[1]])) == 1).all()


def test_among_neighbours_only_places_5_to_50_km_away_count() -> None:
    rng = np.random.default_rng(0)
    latitude, longitude = rng.uniform(-0.4, 0.4, (2, 60))
    latitude[4] = np.nan
    query = rng.standard_normal((60, 3))
    gallery = query + rng.normal(0, 1.5, query.shape)
    found, size = ranks_among_neighbours(query, gallery, latitude, longitude)
    standard = Standard.of(np.concatenate([query, gallery]))
    q, g = (standard(x) / np.linalg.norm(standard(x), axis=1, keepdims=True) for x in (query, gallery))
    for i in range(60):
        km = 111.195 * np.hypot(latitude - latitude[i], longitude - longitude[i])
        pool = [j for j in range(60) if j != i and 5 < km[j] <= 50]
        assert size[i] == len(pool)
        assert found[i] == 1 + sum(q[i] @ g[j] >= q[i] @ g[i] for j in pool)
    assert size[4] == 0
    assert size.max() > 20
