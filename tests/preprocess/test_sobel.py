from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from sarpipe.preprocess.sobel import sobel

pytestmark = pytest.mark.usefixtures("way")


@settings(deadline=None)
@given(arrays(np.uint8, (16, 24)))
def test_it_is_the_magnitude_of_cv2s_gradient(image: NDArray[np.uint8]) -> None:
    across, down = (cv2.Sobel(image, cv2.CV_64F, dx, dy, ksize=3) for dx, dy in ((1, 0), (0, 1)))
    result = sobel(image, np.ones(image.shape, bool))

    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.hypot(across, down), rtol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_pixels_beside_one_without_data_are_nan_and_the_others_as_before(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (16, 24), np.uint8)
    valid = random.random((16, 24)) < share
    touched = binary_dilation(~valid, np.ones((3, 3)))
    whole = sobel(image, np.ones(image.shape, bool))

    for filler in (0, 255):
        result = sobel(np.where(valid, image, filler).astype(np.uint8), valid)
        np.testing.assert_array_equal(result, np.where(touched, np.nan, whole))


@settings(deadline=None)
@given(st.integers(0, 255), arrays(np.bool_, (16, 24)))
def test_a_constant_image_with_holes_has_no_edges(level: int, valid: NDArray[np.bool_]) -> None:
    # CLAHE leaves 0 where nothing is known: the rim of a hole is no edge.
    result = sobel(np.where(valid, level, 0).astype(np.uint8), valid)

    assert not result[np.isfinite(result)].any()


def test_a_slope_of_one_level_a_pixel_is_8() -> None:
    image = np.tile(np.arange(20, dtype=np.uint8), (20, 1))
    result = sobel(image, np.ones(image.shape, bool))

    assert (result[:, 1:-1] == 8).all()
    # The border is mirrored about its pixel, so there is no slope across it.
    assert (result[:, [0, -1]] == 0).all()
