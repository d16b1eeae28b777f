from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.evaluate.retrieval import ranks
from sarpipe.report.explorer.nearest import nearest
from sarpipe.search.direction import directions
from sarpipe.standard import Standard


def brute_force(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    values = vectors.astype(np.float64)
    deviation = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    rows = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return rows, np.take_along_axis(similarity, rows, axis=1)


@given(st.integers(3, 40), st.integers(1, 8), st.integers(0, 1000))
def test_nearest_is_that_of_all_pairs(places: int, count: int, seed: int) -> None:
    vectors = (np.random.default_rng(seed).normal(size=(places, 16)) * np.arange(1, 17)).astype(np.float32)
    rows, similarity = nearest(vectors, count)
    expected_rows, expected = brute_force(vectors, min(count, places - 1))
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(similarity, expected, atol=2e-7)


def test_it_is_the_measure_of_the_retrieval() -> None:
    gallery = np.random.default_rng(0).normal(size=(300, 32)) * 10 ** np.linspace(-2, 2, 32)
    query = gallery + np.random.default_rng(1).normal(size=gallery.shape) * 10 ** np.linspace(-2, 2, 32)
    rows, _ = nearest(np.concatenate([query, gallery]), 599)
    among_gallery = [row[row >= 300] - 300 for row in rows[:300]]
    found = [1 + list(row).index(place) for place, row in enumerate(among_gallery)]
    np.testing.assert_array_equal(found, ranks(query, gallery))


def test_near_duplicates_that_float32_does_not_resolve_are_in_order() -> None:
    vectors = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    vectors[1:300] = vectors[0] + np.random.default_rng(1).normal(0, 2e-5, size=(299, 8)).astype(np.float32)
    found = directions(vectors, Standard.of(vectors)).astype(np.float64)
    similarity = np.stack([(found * one).sum(axis=1) for one in found])
    np.fill_diagonal(similarity, -np.inf)
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :6]
    rows, same = nearest(vectors, 6)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(same, np.clip(np.take_along_axis(similarity, expected, axis=1), -1, 1))


@pytest.mark.parametrize("places", [1, 2])
def test_few_and_equal_places(places: int) -> None:
    rows, similarity = nearest(np.ones((places, 4), np.float32), 6)
    assert rows.shape == similarity.shape == (places, places - 1)
    assert (similarity == 0).all()
