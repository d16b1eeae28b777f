from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from sarpipe.preprocess.bilateral import bilateral, speckle_std_db

pytestmark = pytest.mark.usefixtures("way")

SAR = {"diameter": 9, "sigma_range": 4.4, "sigma_space": 3.0}
Places = Callable[..., NDArray[np.float16]]


def plain(
    image: NDArray[np.float32], valid: NDArray[np.bool_], *, diameter: int, sigma_range: float, sigma_space: float
) -> NDArray[np.float64]:
    """The definition, pixel by pixel, in float64."""
    radius = diameter // 2
    height, width = image.shape
    values = np.pad(image.astype(float), radius, mode="reflect")
    present = np.pad(valid, radius, mode="reflect")
    result = np.full(image.shape, np.nan)
    steps = np.arange(-radius, radius + 1)
    square = steps[:, None] ** 2 + steps[None, :] ** 2
    for y in range(height):
        for x in range(width):
            window = np.s_[y : y + diameter, x : x + diameter]
            use = present[window] & (square <= radius**2)
            if valid[y, x]:
                near = values[window][use]
                weight = np.exp(-square[use] / (2 * sigma_space**2) - (near - image[y, x]) ** 2 / (2 * sigma_range**2))
                result[y, x] = (weight * near).sum() / weight.sum()
    return result


@pytest.mark.parametrize(("diameter", "sigma_range", "sigma_space"), [(9, 75, 75), (9, 4.4, 3), (5, 2, 1), (11, 2, 4)])
def test_it_is_cv2s_where_all_pixels_are_valid(
    speckled: Places, diameter: int, sigma_range: float, sigma_space: float
) -> None:
    image = speckled()[0, 0, 0].astype(np.float32)
    result = bilateral(
        image, np.ones(image.shape, bool), diameter=diameter, sigma_range=sigma_range, sigma_space=sigma_space
    )

    assert result.dtype == np.float32
    # cv2 takes its exponential from a table.
    np.testing.assert_allclose(result, cv2.bilateralFilter(image, diameter, sigma_range, sigma_space), atol=1e-4)


def test_it_is_the_definition_with_pixels_missing(speckled: Places) -> None:
    image = speckled()[0, 0, 0, 20:44, 20:52].astype(np.float32)
    valid = np.random.default_rng(1).random(image.shape) < 0.7
    valid[:8, :8] = False
    valid[3, 3] = True

    result = bilateral(np.where(valid, image, np.nan), valid, **SAR)
    np.testing.assert_allclose(result, plain(image, valid, **SAR), atol=1e-4)
    # Nothing valid is near it: it stays what it is.
    assert result[3, 3] == image[3, 3]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), filler=st.floats(width=32))
def test_what_is_stored_at_pixels_without_data_changes_nothing(seed: int, share: float, filler: float) -> None:
    random = np.random.default_rng(seed)
    image = random.normal(-12, 3, (24, 32)).astype(np.float32)
    valid = random.random(image.shape) < share
    result = bilateral(image, valid, **SAR)

    np.testing.assert_array_equal(bilateral(np.where(valid, image, np.float32(filler)), valid, **SAR), result)
    np.testing.assert_array_equal(np.isnan(result), ~valid)
    if valid.any():
        assert image[valid].min() - 1e-4 <= np.nanmin(result)
        assert np.nanmax(result) <= image[valid].max() + 1e-4


@settings(deadline=None)
@given(st.floats(-50, 20, width=32), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_constant_image_stays_as_it_is(level: float, seed: int, share: float) -> None:
    image = np.full((16, 24), level, np.float32)
    valid = np.random.default_rng(seed).random(image.shape) < share

    np.testing.assert_array_equal(bilateral(image, valid, **SAR), np.where(valid, image, np.nan))
    np.testing.assert_array_equal(bilateral(image, np.ones(image.shape, bool), **SAR), image)


def discs_around(missing: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    steps = np.arange(-radius, radius + 1)
    disc = steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2
    # Mirrored pixels count where the mirror puts them, which is never nearer than the pixel itself.
    return binary_dilation(missing, disc)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    shares=st.tuples(st.floats(0, 1), st.floats(0.8, 1)),
    diameter=st.sampled_from([3, 5, 7, 9, 11]),
)
def test_a_hole_changes_no_bit_beyond_the_discs_around_its_pixels(
    seed: int, shares: tuple[float, float], diameter: int
) -> None:
    random = np.random.default_rng(seed)
    image = random.normal(-12, 5, (32, 40)).astype(np.float32)
    valid, kept = (random.random(image.shape) <= share for share in shares)
    settings = {**SAR, "diameter": diameter}
    before, after = bilateral(image, valid, **settings), bilateral(image, valid & kept, **settings)

    far = ~discs_around(valid & ~kept, diameter // 2)
    np.testing.assert_array_equal(after[far], before[far])


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    edges=st.tuples(*[st.integers(0, 6)] * 4),
    corner=st.sampled_from([(0, 0), (0, -1), (-1, 0), (-1, -1)]),
)
def test_holes_at_borders_are_mirrored_as_the_pixels_are(
    seed: int, edges: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    image = np.random.default_rng(seed).normal(-12, 5, (16, 24)).astype(np.float32)
    valid = np.ones(image.shape, bool)
    top, bottom, left, right = edges
    valid[:top], valid[16 - bottom :], valid[:, :left], valid[:, 24 - right :] = (False,) * 4
    # One pixel in a corner: a mirror that shows a border pixel twice would weigh it double.
    valid[corner] = not valid[corner]
    expected = plain(np.where(valid, image, 0), valid, **SAR)

    np.testing.assert_allclose(bilateral(np.where(valid, image, np.inf), valid, **SAR), expected, atol=1e-4)


@settings(deadline=None)
@given(st.floats(-20, 20, width=32))
def test_an_offset_in_db_passes_through(offset: float) -> None:
    image = np.random.default_rng(2).normal(-12, 3, (24, 24)).astype(np.float32)
    valid = np.ones(image.shape, bool)

    np.testing.assert_allclose(
        bilateral(image + np.float32(offset), valid, **SAR), bilateral(image, valid, **SAR) + offset, atol=1e-4
    )


def test_speckle_is_smoothed_and_a_step_is_kept() -> None:
    random = np.random.default_rng(3)
    level = np.where(np.arange(64) < 32, -18.0, -5.0) * np.ones((64, 1))
    image = (level + 10 * np.log10(random.gamma(4.4, 1 / 4.4, level.shape))).astype(np.float32)
    result = bilateral(image, np.ones(image.shape, bool), **SAR)

    flat = np.s_[8:-8, 8:24]
    assert result[flat].std() < image[flat].std() / 2
    assert result[:, 33:36].mean() - result[:, 28:31].mean() > 11


@pytest.mark.parametrize(("looks", "deviation"), [(1, 5.57), (3, 2.73), (4.4, 2.19), (10, 1.41), (45, 0.65)])
def test_the_deviation_of_speckle_is_the_published_one_and_that_of_draws(looks: float, deviation: float) -> None:
    draws = 10 * np.log10(np.random.default_rng(4).gamma(looks, 1 / looks, 200_000))

    assert speckle_std_db(looks) == pytest.approx(deviation, abs=0.005)
    assert speckle_std_db(looks) == pytest.approx(draws.std(), rel=0.02)
