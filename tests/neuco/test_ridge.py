from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from sarpipe.neuco.ridge import PENALTIES, fit, ridge


@pytest.mark.parametrize(("places", "dimensions"), [(60, 100), (200, 30), (50, 50)])
def test_it_is_that_of_scikit_learn_with_its_choice_of_penalty(places: int, dimensions: int) -> None:
    random = np.random.default_rng(0)
    x, test = random.standard_normal((places, dimensions)), random.standard_normal((9, dimensions))
    x -= x.mean(axis=0)
    y = 3 + x[:, 0] + random.standard_normal(places)
    expected = RidgeCV(alphas=PENALTIES).fit(x, y).predict(test)
    np.testing.assert_allclose(fit(x, y, test), expected, rtol=1e-6, atol=1e-8)


def test_dimensions_that_do_not_vary_or_repeat_others_do_no_harm() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((80, 5)).astype(np.float32)
    labels = (x[:, 0] - x[:, 0].min()) / np.ptp(x[:, 0])
    more = np.concatenate([x, x[:, :1], np.full((80, 1), 7, np.float32)], axis=1)
    assert ridge(more, labels.astype(np.float64), "regr", lambda: None).mean() > 0.999


def test_labels_without_a_relation_are_not_read() -> None:
    random = np.random.default_rng(0)
    scores = ridge(random.standard_normal((100, 200), np.float32), random.random(100), "regr", lambda: None)
    assert scores.mean() < 0
