from __future__ import annotations

import numpy as np
import pytest

from sarpipe.evaluate.spectrum import rankme


def test_orthogonal_directions_count_fully_and_a_single_one_once() -> None:
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 12)))
    assert rankme(basis) == pytest.approx(12)
    assert rankme(np.outer(np.arange(1.0, 31), np.arange(1.0, 65))) == pytest.approx(1, abs=1e-6)


def test_it_is_between_the_two_where_some_directions_are_weak() -> None:
    assert rankme(np.diag([1.0, 1.0, 0.5])) == pytest.approx(0.4**-0.8 * 0.2**-0.2)


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.zeros((5, 4)), np.empty((0, 0))])
def test_there_is_none_without_two_vectors_and_a_direction(vectors: np.ndarray) -> None:
    assert rankme(vectors) is None
