from __future__ import annotations

import numpy as np
import pytest

from sarpipe.evaluate.diagnostics import diagnostics


def test_each_is_what_its_definition_gives_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(1, 2, (30, 12)).astype(np.float32)
    vectors[:, 4] = 3
    vectors[7] = vectors[2]
    other = vectors + rng.normal(0, 0.5, vectors.shape).astype(np.float32)
    found = diagnostics(vectors, vectors, other)
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    partner = other.astype(float) / np.linalg.norm(other.astype(float), axis=1, keepdims=True)
    assert found["alignment"] == pytest.approx(
        np.mean([np.sum((a - b) ** 2) for a, b in zip(unit, partner, strict=True)])
    )
    pairs = [np.exp(-2 * np.sum((unit[i] - unit[j]) ** 2)) for i in range(30) for j in range(i)]
    assert found["uniformity"] == pytest.approx(np.log(np.mean(pairs)))
    alive = np.delete(vectors.astype(float), 4, axis=1)
    off = [abs(np.corrcoef(alive[:, i], alive[:, j])[0, 1]) for i in range(11) for j in range(i)]
    assert found["correlation"] == pytest.approx(np.mean(off))
    assert (found["dead"], found["duplicates"], found["n"]) == (1, 1, 30)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_spectrum_that_has_one_is_found(alpha: float) -> None:
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.standard_normal((200, 81)) - 0)
    left = np.linalg.qr(left - left.mean(axis=0))[0][:, :80]
    vectors = left * np.arange(1, 81) ** (-alpha / 2)
    assert diagnostics(vectors, vectors[:0], vectors[:0])["alpha_req"] == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_what_is_not_defined_for_few_vectors_is_none(n: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((n, 5))
    found = diagnostics(vectors, vectors[:0], vectors[:0])
    assert found["n"] == n
    assert found["alignment"] is None
    assert found["alpha_req"] is None
    assert (found["uniformity"] is None) == (n < 2)
    assert (found["dead"] is None) == (n == 0)
