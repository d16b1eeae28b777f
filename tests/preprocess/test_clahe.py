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


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.001, 0.999), level=st.integers(0, 255))
def test_a_constant_image_with_holes_stays_constant(seed: int, share: float, level: int) -> None:
    # However few pixels a tile has: their number must not change what the contrast limit means.
    image = np.full((64, 128), level, np.uint8)
    random = np.random.default_rng(seed)
    valid = random.random(image.shape) < share
    valid[random.integers(64), random.integers(128)] = True
    whole = opencv(image)
    assert whole.min() == whole.max()

    np.testing.assert_array_equal(clahe(image, valid), np.where(valid, whole, 0))


def reach(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that may change with these: those less than a tile from the middle of a tile that holds one of them."""
    shape, touched = missing.shape, np.zeros(missing.shape, bool)
    height, width = (size / 8 for size in shape)
    for row, column in {(int(y // height), int(x // width)) for y, x in np.argwhere(missing)}:
        rows = np.s_[int(max(0, np.ceil((row - 0.5) * height))) : int((row + 1.5) * height) + 1]
        columns = np.s_[int(max(0, np.ceil((column - 0.5) * width))) : int((column + 1.5) * width) + 1]
        touched[rows, columns] = True
    return touched


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0.3, 1),
    corner=st.tuples(st.integers(0, 71), st.integers(0, 135)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 60)),
)
def test_a_hole_reaches_the_pixels_around_its_tiles_and_no_others(
    seed: int, share: float, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (72, 136), np.uint8)
    valid = random.random(image.shape) < share
    holed = valid.copy()
    holed[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]] = False
    before, after = clahe(image, valid), clahe(image, holed)

    far = ~reach(valid & ~holed)
    np.testing.assert_array_equal(after[far], before[far])


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
