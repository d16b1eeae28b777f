from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from sarpipe.evaluate.baselines.components import Components
from sarpipe.standard import Standard


@pytest.mark.parametrize(("n", "dimensions"), [(20, 90), (90, 20)])
def test_distances_are_those_of_principal_components(n: int, dimensions: int) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(dimensions, dimensions)) * np.linspace(3, 0.1, dimensions)
    vectors = (rng.normal(size=(n, dimensions)) @ mixing + 5).astype(np.float32)
    others = (rng.normal(size=(7, dimensions)) @ mixing + 5).astype(np.float32)
    for count in (4, 19):
        components = Components.of(vectors, count).turned(0)
        reference = PCA(count, svd_solver="full").fit(vectors.astype(np.float64))
        for part in (vectors, others):
            found, expected = components(part), reference.transform(part.astype(np.float64))
            assert found.shape == (len(part), count)
            np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=1e-3, atol=2e-2)


def test_no_dimension_is_noise_that_a_standardisation_would_blow_up() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 60)) * np.geomspace(100, 0.01, 60)).astype(np.float32)
    spread = Components.of(vectors, 60).turned(0)(vectors).std(axis=0)
    assert spread.min() > spread.max() / 100


def test_there_are_no_more_than_the_vectors_span() -> None:
    line = np.outer(np.arange(9), np.ones(5)).astype(np.float32)
    assert Components.of(line, 4).turned(0)(line).shape == (9, 1)
    for few in (line[:1], line[[3, 3, 3]]):
        assert Components.of(few, 4).turned(0)(few).shape == (len(few), 0)


def test_a_standardisation_whitens_the_axes_and_leaves_the_turned_ones_as_they_are() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(400, 30)) * np.geomspace(100, 1, 30)).astype(np.float32)
    components = Components.of(vectors, 30)
    whitened = Standard.of(components(vectors))(components(vectors))
    reference = PCA(30, whiten=True, svd_solver="full").fit_transform(vectors.astype(np.float64))
    scale = np.sqrt(len(vectors) / (len(vectors) - 1))
    np.testing.assert_allclose(whitened @ whitened.T, reference @ reference.T * scale**2, atol=0.05)
    turned = components.turned(0)(vectors)
    eigenvalues = np.linalg.eigvalsh(np.cov(Standard.of(turned)(turned).T))
    assert eigenvalues[-1] > 1000 * eigenvalues[0]
