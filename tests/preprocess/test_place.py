from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from sarpipe.channels import CHANNELS
from sarpipe.preprocess.place import Cube, RejectedPlaceError, make_cube
from sarpipe.preprocess.recipe import OriginalRecipe, Recipe, SarRecipe
from sarpipe.preprocess.resample import resize_matrix
from sarpipe.preprocess.temporal import statistics

pytestmark = pytest.mark.usefixtures("way")

ROOT = Path(__file__).resolve().parent.parent.parent
Places = Callable[..., NDArray[np.float16]]
Frames = Callable[[NDArray[np.floating]], NDArray[np.float32]]
Resize = Callable[[NDArray[np.float32]], NDArray[np.float32]]
RECIPES: list[Recipe] = [OriginalRecipe(), SarRecipe()]
NAMES = ["original", "sar"]

# In numpy, reference and recipe call the same cv2, so nothing differs before the resampling, whose float32 sums differ
# in their last bits: 6e-6 at most of values around 20 dB, 6e-5 of grey levels and magnitudes was seen. One pixel that
# were one grey level off would move a mean by 0.25 x the largest weight of a pixel, 0.06: 0.015.
ATOL_DB, ATOL_LEVELS = 3e-5, 3e-4
# The compiled bilateral filter differs from cv2's by up to 1.5e-5 dB, which is the error of cv2's own table of
# exponentials; where that moves a pixel over the edge of a grey level, the equalised image and its edges differ. Seen:
# 0.06 of a channel's standard deviation at one pixel, 0.003 in root mean square.
MOST_OF_STD, RMS_OF_STD = 0.15, 0.006


def assert_close(found: NDArray[np.float32], expected: NDArray[np.float32], way: str) -> None:
    """Images ``[n x 4 features, 64, 64]``."""
    for feature, (one, other) in enumerate(zip(found, expected, strict=True)):
        difference = np.abs(one - other)
        if feature % 4 < 2 or way == "numpy":
            assert difference.max() <= (ATOL_DB if feature % 4 < 2 else ATOL_LEVELS), CHANNELS[feature]
        else:
            assert difference.max() <= MOST_OF_STD * other.std() + ATOL_LEVELS, CHANNELS[feature]
            assert np.sqrt((difference**2).mean()) <= RMS_OF_STD * other.std() + ATOL_LEVELS, CHANNELS[feature]


def assert_is_original(place: NDArray[np.float16], reference_frames: Frames, resized: Resize, way: str) -> None:
    made = make_cube(place, OriginalRecipe())
    frames = reference_frames(place)
    stacked = np.concatenate([np.mean(frames, axis=0), np.std(frames, axis=0), frames[-1] - frames[0]])

    assert_close(made.cube, resized(stacked), way)
    for one, other in zip(made.frames, frames, strict=True):
        assert_close(one, resized(other), way)


def test_original_is_the_composition_it_names_on_real_places(
    real_places: NDArray[np.float16], reference_frames: Frames, reference_resize: Resize, way: str
) -> None:
    for place in real_places:
        assert_is_original(place, reference_frames, reference_resize, way)


def test_original_is_the_composition_it_names_on_speckled_places(
    speckled: Places, reference_frames: Frames, reference_resize: Resize, way: str
) -> None:
    for place in speckled(3):
        assert_is_original(place, reference_frames, reference_resize, way)


@pytest.mark.parametrize("level", [-12.5, 0.0])
def test_original_of_a_constant_place(
    level: float, reference_frames: Frames, reference_resize: Resize, way: str
) -> None:
    assert_is_original(np.full((4, 2, 264, 264), level, np.float16), reference_frames, reference_resize, way)


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_shapes_types_and_the_same_again(speckled: Places, recipe: Recipe) -> None:
    place = speckled()[0]
    before = place.copy()
    made = make_cube(place, recipe)

    assert (made.cube.shape, made.cube.dtype) == ((12, 64, 64), np.float32)
    assert (made.frames.shape, made.frames.dtype) == ((4, 4, 64, 64), np.float32)
    assert made.valid == (1.0,) * 4
    assert np.isfinite(made.cube).all()
    np.testing.assert_array_equal(place, before)
    assert_same(make_cube(place, recipe), made)
    # float16 is what a store holds; the same numbers as float32, and laid out otherwise, give the same.
    assert_same(make_cube(np.asfortranarray(place.astype(np.float32)), recipe), made)


def assert_same(one: Cube, other: Cube) -> None:
    np.testing.assert_array_equal(one.cube, other.cube)
    np.testing.assert_array_equal(one.frames, other.frames)
    assert one.valid == other.valid


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_the_bytes_depend_neither_on_threads_nor_on_memory(
    tmp_path: Path, speckled: Places, recipe: Recipe, way: str
) -> None:
    place = speckled()[0]
    np.save(tmp_path / "place.npy", place)
    program = (
        "import sys, hashlib, cv2, numpy as np\n"
        "from pydantic import TypeAdapter\n"
        "from sarpipe.preprocess.place import make_cube\n"
        "from sarpipe.preprocess.recipe import Recipe\n"
        "if sys.argv[4] == 'numpy':\n"
        "    sys.modules['sarpipe.preprocess._kernel'] = None\n"
        "recipe = TypeAdapter(Recipe).validate_json(sys.argv[2])\n"
        "cv2.setNumThreads(int(sys.argv[3]))\n"
        "place, kept = np.load(sys.argv[1]), []\n"
        "for i in range(4):\n"
        "    kept.append(np.empty(1000 + 4 * i, np.uint8))\n"
        "    print(hashlib.sha256(make_cube(place, recipe).cube.tobytes()).hexdigest())\n"
    )
    digests = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", program, tmp_path / "place.npy", recipe.model_dump_json(), threads, way]
        ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        digests |= set(ran.stdout.split())

    assert digests == {hashlib.sha256(make_cube(place, recipe).cube.tobytes()).hexdigest()}


def with_hole(place: NDArray[np.float16], filler: float) -> NDArray[np.float16]:
    place = place.copy()
    place[1, :, 40:120, 100:] = filler
    place[3, 1, :30] = filler
    return place


def test_the_cube_of_sar_is_the_statistics_of_its_frames(speckled: Places) -> None:
    for place in (speckled()[0], with_hole(speckled()[0], np.nan)):
        made = make_cube(place, SarRecipe())
        np.testing.assert_array_equal(made.cube, statistics(made.frames))


def test_sar_does_not_care_how_missing_pixels_are_filled(speckled: Places) -> None:
    made = make_cube(with_hole(speckled()[0], np.nan), SarRecipe())

    for filler in (np.inf, -np.inf, -60.0, -99.0):
        assert_same(make_cube(with_hole(speckled()[0], filler), SarRecipe()), made)


# The smallest places that a cube can be made of: tiles of 9 x 10 pixels, and as much overlap of everything as there is.
SHAPE = (4, 2, 72, 80)
FILLERS = np.array([np.nan, np.inf, -np.inf, -60.0, -60.03, -99.0, -65504.0], np.float16)
SEEDS = st.integers(0, 2**32 - 1)
properties = settings(deadline=None, max_examples=20)


def small_place(seed: int) -> NDArray[np.float16]:
    return np.random.default_rng(seed).normal(-12, 4, SHAPE).astype(np.float16)


def some_missing(seed: int) -> NDArray[np.bool_]:
    """Blobs, lines, single pixels and corners, other ones for each date and band."""
    random = np.random.default_rng(seed)
    missing = random.random(SHAPE) < random.choice([0, 0.01, 0.2])
    for image in missing.reshape(-1, *SHAPE[-2:]):
        y, x = random.integers(0, SHAPE[-2]), random.integers(0, SHAPE[-1])
        image[y : y + random.integers(0, 30), x : x + random.integers(0, 30)] = True
        image[:, : random.choice([0, 0, 1, 3])] = True
        image[SHAPE[-2] - random.choice([0, 0, 1, 3]) :] = True
    return missing


@properties
@given(SEEDS, SEEDS)
def test_what_is_stored_where_data_are_missing_changes_no_bit(seed: int, other: int) -> None:
    missing = some_missing(seed)
    random = np.random.default_rng(other)
    place = np.where(missing, np.float16(np.nan), small_place(seed))
    filled = np.where(missing, random.choice(FILLERS, SHAPE), place)
    # Zeros are a filler only in both bands at once.
    both = missing.all(axis=1, keepdims=True) & (random.random((4, 1, 72, 80)) < 0.3)
    filled = np.where(both, random.choice(np.array([0.0, -0.0], np.float16), SHAPE), filled)

    assert_same(make_cube(filled, SarRecipe(min_valid=0.1)), make_cube(place, SarRecipe(min_valid=0.1)))


def touched_by(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells of the four features that pixels ``[2, 72, 80]`` can reach: ``[4, 64, 64]``.

    The bilateral filter carries a pixel 4 px far. CLAHE makes a table of each tile, which counts up to the middles of
    the tiles around it. Sobel carries 1 px, resampling as far as its weights.
    """
    disc = np.hypot(*np.mgrid[-4:5, -4:5]) <= 4
    vv, vh = (binary_dilation(band, disc) for band in missing)
    height, width = SHAPE[-2] // 8, SHAPE[-1] // 8
    equalised = vv.copy()
    for row, column in {(y // height, x // width) for y, x in np.argwhere(vv)}:
        rows = np.s_[max(0, int((row - 0.5) * height)) : int((row + 1.5) * height) + 1]
        columns = np.s_[max(0, int((column - 0.5) * width)) : int((column + 1.5) * width) + 1]
        equalised[rows, columns] = True
    edges = binary_dilation(equalised, np.ones((3, 3)))
    down, across = ((resize_matrix(size, 64) != 0).astype(float) for size in SHAPE[-2:])
    return np.stack([down @ feature @ across.T > 0 for feature in (vv, vh, equalised, edges)])


@properties
@given(
    seed=SEEDS,
    hole=st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 71), st.integers(0, 79)),
    size=st.integers(1, 12),
)
def test_a_hole_changes_no_bit_out_of_its_reach(seed: int, hole: tuple[int, int, int, int], size: int) -> None:
    missing = some_missing(seed)
    place = np.where(missing, np.float16(np.nan), small_place(seed))
    date, band, y, x = hole
    holed = place.copy()
    holed[date, band, y : y + size, x : x + size] = np.nan
    before, after = (make_cube(one, SarRecipe(min_valid=0.1)) for one in (place, holed))
    reached = np.zeros((4, 4, 64, 64), bool)
    reached[date] = touched_by((np.isnan(holed) & ~np.isnan(place))[date])
    assert band == 0 or not reached[:, [0, 2, 3]].any()

    np.testing.assert_array_equal(after.frames[~reached], before.frames[~reached])
    far = ~np.tile(reached.any(axis=0), (3, 1, 1))
    np.testing.assert_array_equal(after.cube[far], before.cube[far])


@properties
@given(seed=SEEDS, empty=st.sets(st.integers(0, 3), min_size=1, max_size=2), filler=st.sampled_from([*FILLERS, 0.0]))
def test_a_date_that_is_wholly_missing_leaves_the_cube_of_the_others(seed: int, empty: set[int], filler: float) -> None:
    place = np.where(some_missing(seed), np.float16(np.nan), small_place(seed))
    others = [date for date in range(4) if date not in empty]
    place[list(empty)] = filler
    made, expected = make_cube(place, SarRecipe(min_valid=0)), make_cube(place[others], SarRecipe(min_valid=0))

    np.testing.assert_array_equal(made.cube, expected.cube)
    np.testing.assert_array_equal(made.frames[others], expected.frames)
    assert np.isnan(made.frames[list(empty)]).all()
    assert [made.valid[date] for date in sorted(empty)] == [0.0] * len(empty)
    # Nor does it matter where among the others the empty ones stand.
    moved = make_cube(place[[*sorted(empty), *others]], SarRecipe(min_valid=0))
    np.testing.assert_array_equal(moved.cube, made.cube)


@properties
@given(seed=SEEDS, level=st.floats(-29, 4))
def test_a_constant_place_with_holes_is_constant(seed: int, level: float) -> None:
    constant = np.full(SHAPE, level, np.float16)
    constant[:, 1] -= 7  # 0 dB in both bands would be missing
    holed = np.where(some_missing(seed), np.float16(np.nan), constant)
    whole, frames = (make_cube(place, SarRecipe(min_valid=0.1)).frames for place in (constant, holed))

    known = np.isfinite(frames)
    assert known.any()
    np.testing.assert_allclose(frames[known], whole[known], rtol=2e-6, atol=1e-6)


@properties
@given(seed=SEEDS)
def test_valid_fractions_are_the_shares_of_pixels_and_decide_at_the_threshold(seed: int) -> None:
    missing = some_missing(seed)
    place = np.where(missing, np.float16(np.nan), small_place(seed))
    share = float((~missing).sum() / missing.size)

    made = make_cube(place, SarRecipe(min_valid=share))
    assert made.valid == tuple(float((~date).sum() / date.size) for date in missing)
    if share < 1:
        with pytest.raises(RejectedPlaceError, match=r"% of the pixels hold data, recipe 'sar' needs"):
            make_cube(place, SarRecipe(min_valid=float(np.nextafter(share, 1))))


def test_zeros_in_both_bands_are_missing_and_in_one_are_bright(speckled: Places) -> None:
    place = speckled()[0]
    place[2, :, 100:140, 100:140] = 0
    missing = np.array(place)
    missing[2, :, 100:140, 100:140] = np.nan
    assert_same(make_cube(place, SarRecipe()), make_cube(missing, SarRecipe()))

    place = speckled()[0]
    place[2, 0, 100:140, 100:140] = 0
    assert make_cube(place, SarRecipe()).valid == (1.0,) * 4


def test_sar_is_blind_to_what_is_missing_and_to_nothing_else(speckled: Places) -> None:
    whole, holed = (make_cube(place, SarRecipe()) for place in (speckled()[0], with_hole(speckled()[0], np.nan)))

    assert holed.valid[0] == holed.valid[2] == 1.0
    assert holed.valid[1] == pytest.approx(1 - 80 * 164 / 264**2)
    assert holed.valid[3] == pytest.approx(1 - 0.5 * 30 / 264)
    # The other dates are as before, to the last bits of a sum.
    np.testing.assert_allclose(holed.frames[[0, 2]], whole.frames[[0, 2]], atol=1e-3)
    # In the hole of one date the others speak: no pixel is lost.
    assert np.isfinite(holed.cube).all()
    assert np.isnan(holed.frames[1, :, 12:26, 30:]).all()
    # VV and VH far from the hole do not move; what is equalised does only where a tile touches it.
    np.testing.assert_allclose(holed.frames[1, :2, 35:], whole.frames[1, :2, 35:], atol=1e-4)
    np.testing.assert_allclose(holed.frames[1, 2:, 45:], whole.frames[1, 2:, 45:], atol=1e-2)
    # Near it nothing is invented either.
    near = np.isfinite(holed.frames[1, 0])
    assert np.abs(holed.frames[1, 0] - whole.frames[1, 0])[near].max() < 3


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_the_order_of_dates_turns_the_difference(speckled: Places, recipe: Recipe) -> None:
    place = speckled()[0]
    forth, back = make_cube(place, recipe), make_cube(place[::-1], recipe)

    np.testing.assert_array_equal(back.frames, forth.frames[::-1])
    np.testing.assert_allclose(back.cube[:8], forth.cube[:8], atol=1e-3)
    np.testing.assert_allclose(back.cube[8:], -forth.cube[8:], atol=1e-3)


def test_a_brighter_place_is_brighter_by_as_much(speckled: Places) -> None:
    place = speckled()[0].astype(np.float32)
    one, other = make_cube(place, SarRecipe()), make_cube(place + np.float32(2), SarRecipe())

    np.testing.assert_allclose(other.cube[:2], one.cube[:2] + 2, atol=1e-3)
    for channel in (4, 5, 8, 9):
        np.testing.assert_allclose(other.cube[channel], one.cube[channel], atol=1e-3)


def test_dates_of_sar_are_comparable_and_those_of_original_are_not(speckled: Places) -> None:
    # One bright ship at one date.
    place = np.repeat(speckled()[0, :1], 4, axis=0)
    ship = place.copy()
    ship[1, :, 130:134, 130:134] = 20
    change = {
        recipe.name: np.abs(
            make_cube(ship, recipe).frames[1, 2, 45:] - make_cube(place, recipe).frames[1, 2, 45:]
        ).mean()
        for recipe in RECIPES
    }

    assert change["sar"] < 1e-3
    assert change["original"] > 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_original_refuses_a_single_pixel_without_a_number(speckled: Places, bad: float) -> None:
    place = speckled()[0]
    place[2, 1, 7, 9] = bad

    with pytest.raises(RejectedPlaceError, match="1 of 557,568 values are not finite"):
        make_cube(place, OriginalRecipe())


def test_sar_refuses_a_place_with_too_few_pixels(speckled: Places) -> None:
    place = speckled()[0]
    place[:, :, :140] = np.nan
    with pytest.raises(RejectedPlaceError, match=r"47\.0% of the pixels hold data, recipe 'sar' needs 50%"):
        make_cube(place, SarRecipe())

    made = make_cube(place, SarRecipe(min_valid=0.4))
    assert made.valid == pytest.approx((124 / 264,) * 4)
    assert np.isnan(made.cube[:, :33]).all()
    assert np.isfinite(made.cube[:, 36:]).all()


def test_sar_refuses_a_place_of_which_nothing_can_be_said(speckled: Places) -> None:
    lenient = SarRecipe(min_valid=0)
    place = speckled()[0]
    with pytest.raises(RejectedPlaceError, match="no pixel of the cube holds data in mean_vv"):
        make_cube(np.full_like(place, np.nan), lenient)
    place[:, 1] = np.nan
    with pytest.raises(RejectedPlaceError, match="no pixel of the cube holds data in mean_vh"):
        make_cube(place, lenient)

    # One date is enough, and says nothing of change.
    one = speckled()[0]
    one[1:] = np.nan
    made = make_cube(one, lenient)
    assert np.isfinite(made.cube[:4]).all()
    assert np.isnan(made.cube[4:]).all()

    two = speckled()[0]
    two[[0, 2]] = np.nan
    made = make_cube(two, SarRecipe())
    assert made.valid == (0.0, 1.0, 0.0, 1.0)
    assert np.isfinite(made.cube).all()
    np.testing.assert_array_equal(made.cube[8:], made.frames[3] - made.frames[1])


def test_a_place_without_one_polarisation_is_refused(speckled: Places) -> None:
    place = speckled()[0]
    place[:, 1] = np.nan

    with pytest.raises(RejectedPlaceError):
        make_cube(place, SarRecipe())


@pytest.mark.parametrize("dates", [1, 2, 3])
def test_sar_of_fewer_dates_is_sar_of_these_dates_alone(speckled: Places, dates: int) -> None:
    place = speckled()[0]
    made = make_cube(place[:dates], SarRecipe())
    assert made.frames.shape == (dates, 4, 64, 64)
    assert len(made.valid) == dates
    np.testing.assert_array_equal(made.frames, make_cube(place, SarRecipe()).frames[:dates])
    assert np.isfinite(made.cube[:4]).all()
    assert np.isfinite(made.cube[4:]).all() == (dates > 1)
    assert np.isnan(made.cube[4:]).all() == (dates == 1)


@pytest.mark.parametrize("dates", [1, 2, 3])
def test_original_of_fewer_dates_is_numpy_s_statistics_of_them(
    speckled: Places, reference_frames: Frames, reference_resize: Resize, way: str, dates: int
) -> None:
    place = speckled()[0][:dates]
    assert_is_original(place, reference_frames, reference_resize, way)
    if dates == 1:
        assert not make_cube(place, OriginalRecipe()).cube[4:].any()
