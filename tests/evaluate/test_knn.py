from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from sarpipe.evaluate import knn
from sarpipe.evaluate.neighbours import folds
from sarpipe.evaluate.probe import FOLDS


@pytest.mark.parametrize("n", [60, 1500])
def test_it_is_what_scikit_learn_finds_on_the_same_folds(n: int) -> None:
    rng = np.random.default_rng(0)
    vectors, targets = rng.normal(3, 5, (n, 12)).astype(np.float32), rng.standard_normal((n, 2))
    groups = np.arange(n) // 4
    found = knn.predict(vectors, targets, groups, 3)
    fold = folds(groups, FOLDS, (3,))
    for k in (5, 20):
        for number in range(FOLDS):
            train, test = vectors[fold != number].astype(np.float64), vectors[fold == number].astype(np.float64)
            mean, std = train.mean(axis=0), train.std(axis=0)
            for kind, metric in ((f"{k}", "cosine"), (f"{k} L2", "euclidean")):
                reference = KNeighborsRegressor(k, metric=metric).fit((train - mean) / std, targets[fold != number])
                np.testing.assert_allclose(found[kind][fold == number], reference.predict((test - mean) / std))


def test_with_fewer_places_than_neighbours_all_are_taken() -> None:
    targets = np.arange(12.0)[:, None]
    found = knn.predict(np.random.default_rng(0).standard_normal((12, 3)), targets, np.arange(12), 0)
    fold = folds(np.arange(12), FOLDS, (0,))
    for place in range(12):
        assert found["20"][place, 0] == pytest.approx(targets[fold != fold[place], 0].mean())
