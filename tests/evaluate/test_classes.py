from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sarpipe.evaluate.classes import dominant, precision
from sarpipe.standard import Standard


def test_precision_counts_the_ten_nearest_of_other_blocks() -> None:
    rng = np.random.default_rng(0)
    classes, groups = rng.integers(0, 3, 60), rng.integers(0, 8, 60)
    vectors = rng.standard_normal((60, 4)) + classes[:, None]
    found, chance = precision(vectors, classes, groups)
    values = Standard.of(vectors)(vectors)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    for i in range(60):
        others = [j for j in range(60) if groups[j] != groups[i]]
        nearest = sorted(others, key=lambda j: -values[i] @ values[j])[:10]
        assert found[i] == pytest.approx(np.mean(classes[nearest] == classes[i]))
        assert chance[i] == pytest.approx(np.mean(classes[others] == classes[i]))
    assert found.mean() > chance.mean() + 0.1


def test_a_place_with_fewer_than_ten_candidates_is_not_asked() -> None:
    groups = np.array([0] * 12 + [1] * 5)
    found, chance = precision(np.random.default_rng(0).standard_normal((17, 3)), np.zeros(17, int), groups)
    assert np.isnan(found[:12]).all()
    assert np.isnan(chance[:12]).all()
    assert (found[12:] == 1).all()


def test_the_class_of_a_place_is_its_largest_share() -> None:
    truth = pd.DataFrame(
        {"id": ["a", "b", "c"], "fraction_water": [0.7, 0.2, np.nan], "fraction_crop": [0.3, 0.8, 0.1]}
    )
    assert dominant(truth, ["b", "a", "c", "d"]).tolist() == [1, 0, -1, -1]
    assert dominant(truth.drop(columns="fraction_crop"), ["a"]) is None
    assert dominant(None, ["a"]) is None
