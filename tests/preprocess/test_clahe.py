from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sarpipe.preprocess.clahe import clahe

pytestmark = pytest.mark.usefixtures("way")


def textured(seed: int, size: int = 264) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    patches = np.kron(random.uniform(30, 200, (8, 8)), np.ones((size // 8, size // 8)))
    return np.clip(patches + random.normal(0, 20, patches.shape), 0, 255).astype(np.uint8)


def opencv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(image))


@pytest.mark.parametrize("seed", range(3))
def test_it_is_cv2s_where_all_pixels_are_valid(seed: int) -> None:
    image = textured(seed)

    np.testing.assert_array_equal(clahe(image, np.ones(image.shape, bool)), opencv(image))


@pytest.mark.parametrize("image", [*map(textured, range(3)), np.full((264, 264), 7, np.uint8), textured(3, 128)])
@pytest.mark.parametrize("corner", [(0, 0), (-1, -1), (0, -1)])
def test_tiles_that_are_whole_are_cv2s_to_the_bit(image: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    # One pixel is missing in the tile of a corner: whatever does not look at that tile must not change at all.
    valid = np.ones(image.shape, bool)
    valid[corner] = False
    result, far = clahe(image, valid), np.ones(image.shape, bool)
    near = -(-image.shape[0] * 3 // 16)
    rows = np.s_[:near] if corner[0] == 0 else np.s_[-near:]
    columns = np.s_[:near] if corner[1] == 0 else np.s_[-near:]
    far[rows, columns] = False

    np.testing.assert_array_equal(result[far], opencv(image)[far])
    assert result[corner] == 0


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 0.999), filler=st.integers(0, 255))
def test_what_is_stored_at_pixels_without_data_changes_nothing(seed: int, share: float, filler: int) -> None:
    random = np.random.default_rng(seed)
    image = textured(seed, 64)
    valid = random.random(image.shape) < share
    result = clahe(image, valid)

    assert result.dtype == np.uint8
    np.testing.assert_array_equal(clahe(np.where(valid, image, filler).astype(np.uint8), valid), result)
    assert not result[~valid].any()


def test_an_empty_half_takes_no_part() -> None:
    # One texture everywhere, so all tables are alike: those of the empty tiles must not darken what is beside them.
    image = np.clip(np.random.default_rng(5).normal(100, 20, (264, 264)), 0, 255).astype(np.uint8)
    valid = np.ones(image.shape, bool)
    valid[:, 132:] = False
    result = clahe(image, valid)

    np.testing.assert_array_equal(result[:, : 132 - 17], opencv(image)[:, : 132 - 17])
    assert result[:, 116:132].mean() == pytest.approx(opencv(image)[:, 116:132].mean(), abs=3)


def test_a_lone_pixel_is_the_brightest_of_its_tile() -> None:
    valid = np.zeros((64, 64), bool)
    valid[20, 41] = True

    assert clahe(np.full((64, 64), 9, np.uint8), valid)[20, 41] == 255


def test_grey_levels_keep_their_order_in_a_tile() -> None:
    image = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    valid = np.ones(image.shape, bool)
    valid[::7, ::5] = False
    result = clahe(image, valid).astype(int)

    # At the centre of a tile only its own table counts, which never falls.
    for row in (16, 144):
        across = result[row, valid[row]]
        assert across.max() <= 255
        assert np.corrcoef(across, image[row, valid[row]])[0, 1] > 0
