from __future__ import annotations

import numpy as np
import pytest
import torch

from sarpipe.evaluate.baselines.random_convolutions import _filters, _responses, random_convolutions


@pytest.fixture
def cubes() -> np.ndarray:
    """Places whose texture has one of two directions, at the same level and contrast."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(24, 12, 64, 64))
    along = (noise + np.roll(noise, 1, axis=3)) / np.sqrt(2)
    along[12:] = along[12:].swapaxes(2, 3)
    return along.astype(np.float32)


def test_responses_are_the_means_of_rectified_products_of_both_signs() -> None:
    generator = torch.Generator().manual_seed(0)
    images, filters = torch.randn(2, 3, 9, 9, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    expected = torch.zeros(2, 8)
    for n, f in np.ndindex(2, 4):
        for y in range(0, 7, 2):
            for x in range(0, 7, 2):
                product = (images[n, :, y : y + 3, x : x + 3] * filters[f]).sum()
                expected[n, f] += max(0, product - 1) / 16
                expected[n, 4 + f] += max(0, -product - 1) / 16
    torch.testing.assert_close(_responses(images, filters), expected)


def test_filters_are_patches_whose_entries_are_no_longer_correlated(cubes: np.ndarray) -> None:
    zero, one = torch.zeros(12, 1, 1), torch.ones(12, 1, 1)
    filters = _filters(cubes, zero, one, np.random.default_rng(0))
    assert filters.shape == (512, 12, 3, 3)
    covariance = np.cov(filters.flatten(1).numpy().T)
    # Of 512 patches of unit variance: 1 on the diagonal, but for the mean that every patch lost and the bias of 0.001.
    assert covariance.diagonal().mean() == pytest.approx(0.9, abs=0.1)
    beside = covariance[np.arange(0, 107), np.arange(1, 108)]
    assert abs(beside.mean()) < 0.03
    assert not np.array_equal(filters, _filters(cubes, zero, one, np.random.default_rng(1)))


def test_they_tell_textures_that_no_mean_and_no_deviation_tells(cubes: np.ndarray) -> None:
    vectors = random_convolutions(cubes, seed=0)(cubes).astype(np.float64)
    assert vectors.shape == (24, 23)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    same = np.equal.outer(np.arange(24) < 12, np.arange(24) < 12) & ~np.eye(24, dtype=bool)
    unlike = np.not_equal.outer(np.arange(24) < 12, np.arange(24) < 12)
    assert similarity[same].mean() > similarity[unlike].mean() + 0.5
    assert similarity[same].min() > similarity[unlike].max()


def test_a_seed_gives_the_same_and_pixels_without_data_are_the_mean(cubes: np.ndarray) -> None:
    holed = cubes.copy()
    holed[0, 3, :40] = np.nan
    one, again, other = (random_convolutions(holed[:4], seed=seed)(holed[:4]) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert np.isfinite(one).all()
    assert not np.allclose(one, other)
