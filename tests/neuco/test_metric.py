from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, r2_score

from sarpipe.neuco.metric import f1, f1_of, r_squared


def test_r_squared_is_that_of_scikit_learn_row_by_row() -> None:
    random = np.random.default_rng(0)
    labels, predicted = random.random((5, 20)), random.random((5, 20))
    expected = [r2_score(y, p) for y, p in zip(labels, predicted, strict=True)]
    np.testing.assert_allclose(r_squared(predicted, labels), expected)


def test_rows_that_do_not_vary_are_0_and_those_that_are_met_are_1() -> None:
    labels = np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.2, 0.4, 0.6]])
    predicted = np.array([[0.5, 0.5, 0.5], [0.9, 0.5, 0.5], [0.2, 0.4, 0.6]])
    np.testing.assert_array_equal(r_squared(predicted, labels), [1, 0, 1])


def test_f1_is_that_of_scikit_learn_row_by_row() -> None:
    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 2, (5, 20)), random.standard_normal((5, 20))
    expected = [f1_score(y, z > 0) for y, z in zip(labels, logits, strict=True)]
    np.testing.assert_allclose(f1(logits, labels), expected)


def test_logits_between_0_and_1_are_taken_for_probabilities_as_the_benchmark_does() -> None:
    labels = np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
    logits = np.array([[0.9, 0.4, 0.2, 0.1], [0.9, 0.4, 0.2, -0.1]])
    assert f1(logits, labels).tolist() == [pytest.approx(2 / 3), pytest.approx(4 / 5)]


def test_nothing_to_find_and_nothing_found_is_0() -> None:
    assert f1_of(np.zeros((1, 3), np.bool_), np.zeros((1, 3))).tolist() == [0]
