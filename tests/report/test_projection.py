from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.cubes import CubeSet
from sarpipe.report.projection import (
    dominant_class,
    farthest_places,
    mean_vv,
    principal_components,
    projection_section,
)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20)])
def test_principal_components_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(1).normal(3, 2, shape).astype(np.float32)
    vectors[:, 4] = 7
    scores, shares = principal_components(vectors, 3)
    varied = np.delete(vectors.astype(np.float64), 4, axis=1)
    left, singular, _ = np.linalg.svd((varied - varied.mean(0)) / varied.std(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(scores), np.abs(left * singular)[:, :3], atol=1e-8)
    np.testing.assert_allclose(shares, (singular**2 / (singular**2).sum())[:3])
    assert (scores.max(axis=0) >= -scores.min(axis=0)).all()


def test_equal_vectors_have_no_components() -> None:
    scores, shares = principal_components(np.full((5, 8), 0.1, np.float32), 2)
    assert not scores.any()
    assert not shares.any()


@given(count=st.integers(1, 8), seed=st.integers(0, 50), places=st.integers(1, 12))
def test_farthest_places_are_distinct_rows_in_order(count: int, seed: int, places: int) -> None:
    points = np.random.default_rng(seed).integers(0, 3, (places, 2)).astype(np.float64)
    rows = farthest_places(points, count)
    assert rows == sorted(set(rows))
    assert len(rows) == min(count, places)


def test_farthest_places_take_one_of_each_cluster() -> None:
    centres = np.array([[0.0, 0], [100, 0], [0, 100], [-100, -100]])
    points = np.repeat(centres, 25, axis=0) + np.random.default_rng(0).normal(size=(100, 2))
    assert {row // 25 for row in farthest_places(points, 4)} == {0, 1, 2, 3}


def test_mean_vv_is_taken_over_the_pixels_with_data(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(3)
    places.cubes[0, 0] = -10
    places.cubes[0, 0, :40] = np.nan
    places.cubes[1, 0] = np.nan
    means = mean_vv(places)
    assert means[0] == -10
    assert np.isnan(means[1])
    assert means[2] == pytest.approx(places.cubes[2, 0].mean(), abs=1e-4)


def test_the_dominant_class_follows_the_ids_and_not_the_order_of_the_truth(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(3)
    assert places.truth is not None
    places.truth[["fraction_water", "fraction_built_up"]] = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    shuffled = CubeSet(places.ids, places.cubes, places.frames, places.index, places.truth.iloc[[2, 0, 1]])
    found = dominant_class(shuffled)
    assert found is not None
    assert list(found) == ["water", "built up", "water"]


def test_a_place_of_unknown_class_leaves_the_others_theirs(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(3)
    assert places.truth is not None
    places.truth[["fraction_water", "fraction_built_up"]] = [[0.9, 0.1], [np.nan, 0.8], [0.4, 0.6]]
    found = dominant_class(places)
    assert found is not None
    assert list(found) == ["water", "not known", "built up"]
    places.truth["fraction_water"] = np.nan
    assert dominant_class(places) is None


def test_many_places_are_drawn_as_a_picture_and_few_as_points(make_places: Callable[..., CubeSet]) -> None:
    vectors = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    few = projection_section(make_places(300), vectors[:300])
    many = projection_section(make_places(2000), vectors)
    assert few.count("<use") > 300 > many.count("<use")
    assert "by their class" in few
    assert "by latitude" in projection_section(make_places(300, truth=False), vectors[:300])
