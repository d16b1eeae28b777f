from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.transform import resize

from sarpipe.preprocess.resample import resample, resize_matrix

pytestmark = pytest.mark.usefixtures("way")


@pytest.mark.parametrize("shape", [(264, 264), (128, 264), (65, 100), (256, 300)])
def test_it_is_skimages_resize(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(-12, 4, shape)
    expected = resize(image, (64, 64), mode="reflect", preserve_range=True, anti_aliasing=True)

    np.testing.assert_allclose(resample(image.astype(np.float32), 64), expected, atol=2e-5)


@pytest.mark.parametrize("size", [65, 128, 264, 300])
def test_the_matrix_weighs_and_does_not_add(size: int) -> None:
    matrix = resize_matrix(size, 64)

    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


def test_every_image_of_a_stack_is_treated_alike() -> None:
    images = np.random.default_rng(1).normal(0, 1, (2, 3, 264, 264)).astype(np.float32)
    images[1, 2, 50:90, :] = np.nan
    result = resample(images, 64)

    assert result.shape == (2, 3, 64, 64)
    assert result.dtype == np.float32
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(result[i, j], resample(images[i, j], 64), atol=1e-5)


def blobs(seed: int, share: float) -> NDArray[np.bool_]:
    """Coarse pixels that are missing or not."""
    missing = np.random.default_rng(seed).random((12, 12)) < share
    return np.kron(missing, np.ones((22, 22))).astype(bool)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_pixels_are_weighted_means_of_the_valid_ones(seed: int, share: float) -> None:
    image = np.random.default_rng(seed).normal(-12, 4, (264, 264))
    missing = blobs(seed, share)
    matrix = resize_matrix(264, 64)
    weight = matrix @ ~missing @ matrix.T
    total = matrix @ np.where(missing, 0, image) @ matrix.T
    clear = np.abs(weight - 0.5) > 1e-5

    result = resample(np.where(missing, np.nan, image).astype(np.float32), 64)
    expected = np.where(weight >= 0.5, total / np.maximum(weight, 1e-9), np.nan)
    np.testing.assert_allclose(result[clear], expected[clear], atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 0.9), level=st.floats(-50, 255, width=32))
def test_a_region_without_data_never_leaks(seed: int, share: float, level: float) -> None:
    image = np.where(blobs(seed, share), np.nan, np.float32(level)).astype(np.float32)
    image[0, 0] = np.inf
    result = resample(image, 64)

    np.testing.assert_allclose(result[np.isfinite(result)], level, rtol=1e-5, atol=1e-5)
    assert not np.isinf(result).any()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(72, 80), (264, 264), (65, 100)]),
    share=st.floats(0, 0.05),
    more=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4),
)
def test_a_hole_changes_no_bit_of_a_pixel_that_gives_it_no_weight(
    seed: int, shape: tuple[int, int], share: float, more: list[tuple[float, float]]
) -> None:
    random = np.random.default_rng(seed)
    image = random.normal(-12, 4, shape).astype(np.float32)
    image[random.random(shape) < share] = np.nan
    holed = image.copy()
    for y, x in more:
        holed[round(y * (shape[0] - 1)), round(x * (shape[1] - 1))] = np.nan
    missing = np.isnan(holed) & ~np.isnan(image)
    down, across = ((resize_matrix(size, 64) != 0).astype(float) for size in shape)
    touched = down @ missing @ across.T > 0
    before, after = resample(image, 64), resample(holed, 64)

    np.testing.assert_array_equal(after[~touched], before[~touched])
    for filler in (np.inf, -np.inf):
        np.testing.assert_array_equal(resample(np.where(np.isnan(holed), filler, holed), 64), after)


def test_a_hole_at_a_border_is_mirrored_as_the_pixels_are() -> None:
    # skimage mirrors without repeating the edge; the weights of what is missing must be mirrored alike.
    image = np.random.default_rng(4).normal(-12, 4, (264, 264))
    for where in (np.s_[:3], np.s_[-3:], np.s_[:, :3], np.s_[:, -3:], np.s_[:5, -4:]):
        valid = np.ones(image.shape, bool)
        valid[where] = False
        total, weight = (
            resize(part, (64, 64), mode="reflect", preserve_range=True, anti_aliasing=True)
            for part in (np.where(valid, image, 0), valid.astype(float))
        )
        clear = np.abs(weight - 0.5) > 1e-5
        expected = np.where(weight >= 0.5, total / np.maximum(weight, 1e-9), np.nan)
        result = resample(np.where(valid, image, np.nan).astype(np.float32), 64)
        np.testing.assert_allclose(result[clear], expected[clear], atol=1e-4)


def test_nothing_valid_gives_nan_everywhere_and_a_hole_only_where_it_is() -> None:
    image = np.full((264, 264), np.nan, np.float32)
    assert np.isnan(resample(image, 64)).all()

    image = np.zeros((264, 264), np.float32)
    image[100:160, 100:160] = np.nan
    # 60 pixels are 14.5 new ones.
    assert 13**2 <= np.isnan(resample(image, 64)).sum() <= 16**2


def test_the_matrix_that_is_shared_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        resize_matrix(264, 64)[0, 0] = 1
