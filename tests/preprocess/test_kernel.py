from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import sarpipe.preprocess
from sarpipe.errors import SarpipeError
from sarpipe.preprocess import _kernel
from sarpipe.preprocess.bilateral import bilateral
from sarpipe.preprocess.clahe import clahe
from sarpipe.preprocess.grey import of_window
from sarpipe.preprocess.kernel import kernel, way
from sarpipe.preprocess.mask import valid_pixels
from sarpipe.preprocess.place import RejectedPlaceError, make_cube
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.preprocess.resample import resample
from sarpipe.preprocess.sobel import sobel
from sarpipe.preprocess.temporal import statistics

Places = Callable[..., NDArray[np.float16]]


@pytest.fixture
def fresh() -> Iterator[None]:
    kernel.cache_clear()
    yield
    kernel.cache_clear()


@pytest.fixture
def without_kernel(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.delattr(sarpipe.preprocess, "_kernel")
    monkeypatch.setitem(__import__("sys").modules, "sarpipe.preprocess._kernel", None)


def test_it_was_compiled_here() -> None:
    # Where there is a compiler, as on every machine that runs these tests, nobody shall measure the slow way.
    assert way() == "compiled"


def test_without_it_a_warning_says_how_to_get_it(without_kernel: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert way() == way() == "numpy"
    (message,) = [record.getMessage() for record in caplog.records]
    assert "several times slower" in message
    assert "make .venv/.ready" in message


def test_a_kernel_of_another_source_is_refused(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(_kernel, "SOURCE_SHA256", "0" * 64)

    with pytest.raises(SarpipeError, match=r"kernel\.c was changed after it was compiled.*make"):
        kernel()


@pytest.mark.parametrize("hole", [None, np.nan, -np.inf, 0.0])
def test_both_ways_give_the_same_cube_of_sar_to_the_tolerance(
    speckled: Places, hole: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = speckled(seed=5)[0]
    if hole is not None:
        place[0, :, 30:100, 40:200] = hole
        place[2, 0, :, :20] = np.nan if hole == 0 else hole
    compiled = make_cube(place, SarRecipe())
    kernel.cache_clear()
    monkeypatch.delattr(sarpipe.preprocess, "_kernel")
    monkeypatch.setitem(__import__("sys").modules, "sarpipe.preprocess._kernel", None)
    in_numpy = make_cube(place, SarRecipe())
    kernel.cache_clear()

    assert compiled.valid == in_numpy.valid
    np.testing.assert_array_equal(np.isnan(compiled.frames), np.isnan(in_numpy.frames))
    np.testing.assert_allclose(compiled.frames[:, :2], in_numpy.frames[:, :2], atol=5e-5)
    for channel, (one, other) in enumerate(zip(compiled.cube, in_numpy.cube, strict=True)):
        difference = np.abs(one - other)
        assert np.nanmax(difference) <= (5e-5 if channel % 4 < 2 else 0.15 * np.nanstd(other)), channel


def test_sums_do_not_depend_on_where_in_memory_an_image_lies(speckled: Places) -> None:
    image = speckled()[0, 0, 0].astype(np.float32)
    valid = np.ones(image.shape, bool)
    expected = bilateral(image, valid, diameter=9, sigma_range=4.4, sigma_space=3.0)
    memory = np.empty(image.size + 8, np.float32)
    for shift in range(8):
        moved = memory[shift : shift + image.size].reshape(image.shape)
        moved[:] = image
        found = bilateral(moved, valid, diameter=9, sigma_range=4.4, sigma_space=3.0)
        np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.sampled_from([16, 24, 40]), st.sampled_from([16, 32, 48])),
    diameter=st.sampled_from([3, 5, 7, 9, 11]),
)
def test_the_bilateral_filter_of_any_size_is_that_of_numpy(seed: int, size: tuple[int, int], diameter: int) -> None:
    random = np.random.default_rng(seed)
    image = random.normal(-12, 5, size).astype(np.float32)
    valid = random.random(size) < 0.8
    found = bilateral(image, valid, diameter=diameter, sigma_range=4.4, sigma_space=3.0)
    # An odd width has no compiled way: the last column of the mirrored image stands for itself.
    from sarpipe.preprocess.bilateral import _in_numpy

    np.testing.assert_allclose(found, _in_numpy(image, valid, diameter // 2, 4.4, 3.0), atol=5e-5)


def test_half_precision_is_numpys_in_both_directions() -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    wide = np.empty(halves.shape, np.float32)
    assert not _kernel.widen(halves, wide)
    np.testing.assert_array_equal(wide, halves.astype(np.float32))
    finite = halves[np.isfinite(halves)]
    for at in (0, 7, len(finite) - 1):
        assert _kernel.widen(finite, np.empty(finite.shape, np.float32))
        for other in (np.nan, -np.nan, np.inf, -np.inf):
            one = finite.copy()
            one[at] = other
            assert not _kernel.widen(one, np.empty(one.shape, np.float32))
    assert not _kernel.widen(np.array([1, 2, np.inf], np.float16), np.empty(3, np.float32))

    random = np.random.default_rng(0)
    numbers = np.concatenate([wide[np.isfinite(wide)], random.normal(0, 30, 10_001), random.normal(0, 1e-6, 1_000)])
    values = np.append(numbers, [np.nan, np.inf, -np.inf, 65504, 0.0, -0.0]).astype(np.float32)
    narrow = np.empty(values.shape, np.float16)
    _kernel.narrow(values, narrow)
    np.testing.assert_array_equal(narrow.view(np.uint16), values.astype(np.float16).view(np.uint16))


@contextmanager
def numpy_way() -> Iterator[None]:
    """As on a machine without the compiled kernel."""
    kernel.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(sarpipe.preprocess, "_kernel")
        patch.setitem(sys.modules, "sarpipe.preprocess._kernel", None)
        yield
    kernel.cache_clear()


Call = Callable[[], NDArray[Any]]


def both_ways(call: Call) -> tuple[NDArray[Any], NDArray[Any]]:
    compiled = call()
    with numpy_way():
        return compiled, call()


EXTREMES = np.array(
    [6e4, -59.97, -60, 65504, -65504, 6e-8, -6e-8, 6.1e-5, 0.0, -0.0, np.nan, np.inf, -np.inf, 0.0009766, -30, 5],
    np.float16,
)
SIZES = st.tuples(st.sampled_from([16, 24, 72]), st.sampled_from([16, 32, 80]))
SEEDS = st.integers(0, 2**32 - 1)


def nasty_image(seed: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Backscatter, a constant, or extremes of float16 alone or among backscatter. All finite where float16 is."""
    random = np.random.default_rng(seed)
    image = random.normal(-12, 5, size).astype(np.float16)
    kind = random.integers(4)
    if kind == 0:
        image[:] = random.choice(EXTREMES)
    elif kind > 1:
        often = random.random(size) < (0.1 if kind == 2 else 1)
        image = np.where(often, random.choice(EXTREMES, size), image)
    return image.astype(np.float32)


def nasty_mask(seed: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Everything, nothing, one pixel, one column, one row, the border, or some."""
    random = np.random.default_rng(seed)
    valid = np.zeros(size, bool)
    y, x = random.integers(size[0]), random.integers(size[1])
    kinds: list[Any] = [np.s_[:0], np.s_[:], (y, x), np.s_[:, x], np.s_[y], np.s_[1:-1, 1:-1]]
    kind = random.integers(len(kinds) + 2)
    if kind >= len(kinds):
        return np.asarray(random.random(size) < random.random())
    valid[kinds[kind]] = True
    return valid if random.random() < 0.7 else ~valid


@settings(deadline=None, max_examples=150)
@given(seed=SEEDS, size=SIZES, diameter=st.sampled_from([3, 9, 11]), looks=st.sampled_from([0.01, 4.4, 75]))
def test_both_ways_smooth_the_nastiest_images_alike(
    seed: int, size: tuple[int, int], diameter: int, looks: float
) -> None:
    image = nasty_image(seed, size)
    valid = nasty_mask(seed + 1, size) & np.isfinite(image)
    one, other = both_ways(lambda: bilateral(image, valid, diameter=diameter, sigma_range=looks, sigma_space=3.0))

    np.testing.assert_array_equal(np.isnan(one), ~valid)
    # Sums of values as large as 65,504 have fewer digits behind the point.
    largest = np.abs(image[valid]).max() if valid.any() else 0
    np.testing.assert_allclose(one, other, rtol=0, atol=5e-5 + 1e-6 * largest)


@settings(deadline=None, max_examples=150)
@given(seed=SEEDS, size=SIZES, window=st.tuples(st.floats(-60, -20), st.floats(-10, 30)))
def test_both_ways_take_all_other_steps_alike_to_the_bit(
    seed: int, size: tuple[int, int], window: tuple[float, float]
) -> None:
    image = nasty_image(seed, size)
    pair = np.stack([image, nasty_image(seed + 1, size)])
    valid = nasty_mask(seed + 2, size)
    levels = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    frames = np.stack([pair, pair[::-1], np.full_like(pair, np.nan), pair * np.float32(0.5)])
    low, high = window
    edges_of_levels = (low + (np.arange(256) + 0.5) * (high - low) / 255).astype(np.float32).reshape(16, 16)
    calls: dict[str, Call] = {
        "grey at the edges of levels": lambda: of_window(edges_of_levels, window),
        "mask": lambda: valid_pixels(pair, -60.0),
        "grey": lambda: of_window(image, window),
        "clahe": lambda: clahe(levels, valid),
        "clahe of a constant": lambda: clahe(np.full(size, seed % 256, np.uint8), valid),
        "sobel": lambda: sobel(levels, valid),
        "statistics": lambda: statistics(frames),
    }
    for name, call in calls.items():
        one, other = both_ways(call)
        np.testing.assert_array_equal(one, other, err_msg=name)


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, size=st.sampled_from([(72, 80), (264, 72)]))
def test_both_ways_resample_the_nastiest_images_alike(seed: int, size: tuple[int, int]) -> None:
    image = np.where(nasty_mask(seed + 1, size), nasty_image(seed, size), np.nan).astype(np.float32)
    one, other = both_ways(lambda: resample(image, 64))

    finite = np.abs(image[np.isfinite(image)])
    largest = finite.max() if finite.size else 0
    # Where the weight is a half but for its last bits, one way may have a value and the other none.
    assert (np.isnan(one) != np.isnan(other)).mean() < 0.01
    known = np.isfinite(one) & np.isfinite(other)
    np.testing.assert_allclose(one[known], other[known], rtol=0, atol=1e-5 + 2e-6 * largest)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_both_ways_make_or_refuse_the_same_of_the_nastiest_places(seed: int) -> None:
    place = np.stack([[nasty_image(seed + 2 * t, (72, 80)), nasty_image(seed + 2 * t + 1, (72, 80))] for t in range(4)])

    def made() -> NDArray[Any]:
        try:
            cube = make_cube(place.astype(np.float16), SarRecipe(min_valid=0.01))
        except RejectedPlaceError as reason:
            return np.array(str(reason))
        return np.concatenate([np.float32(cube.valid), cube.frames[:, :2].ravel()])

    one, other = both_ways(made)
    assert one.dtype == other.dtype
    if one.dtype.kind == "U":
        assert one == other
        return
    np.testing.assert_array_equal(one[:4], other[:4])
    assert (np.isnan(one) != np.isnan(other)).mean() < 0.01
    known = np.isfinite(one) & np.isfinite(other)
    np.testing.assert_allclose(one[known], other[known], rtol=0, atol=6e-5 + 3e-6 * np.abs(one[known]).max())


IMAGE, GREY, MASK = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.uint8), np.ones((16, 16), bool)
SHORT, START, WEIGHTS = np.zeros(15, np.float32), np.zeros(8, np.int32), np.zeros((8, 3), np.float32)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("widen", (np.zeros(8, np.float16), SHORT)),
        ("narrow", (SHORT, np.zeros(16, np.float16))),
        ("mask", (IMAGE, MASK, -60.0, 256)),
        ("mask", (IMAGE, MASK, -60.0, -128)),
        ("quantise", (IMAGE, -30.0, 5.0, GREY[:8])),
        ("bilateral", (IMAGE, None, SHORT, 16, 16, 4, 4.4, 3.0)),
        ("bilateral", (IMAGE, MASK[:8], IMAGE.copy(), 16, 16, 4, 4.4, 3.0)),
        ("bilateral", (IMAGE, None, IMAGE.copy(), 16, 16, 6, 4.4, 3.0)),
        ("bilateral", (IMAGE, None, IMAGE.copy(), 16, 16, 4, 0.0, 3.0)),
        ("bilateral", (IMAGE, None, IMAGE.copy(), 8, 32, 4, 4.4, 3.0)),
        ("bilateral_wide", (IMAGE, IMAGE.copy(), 16, 24, 75.0, 75.0, 1e-4)),
        ("clahe", (GREY, None, GREY.copy(), 16, 17, 2.0)),
        ("clahe", (GREY, MASK[1:], GREY.copy(), 16, 16, 2.0)),
        ("sobel", (GREY, None, IMAGE[1:].copy(), 16, 16)),
        ("resample", (IMAGE, np.zeros((8, 8), np.float32), 1, 16, 16, START + 14, WEIGHTS, START, WEIGHTS)),
        ("resample", (IMAGE, np.zeros((8, 8), np.float32), 1, 16, 16, START - 1, WEIGHTS, START, WEIGHTS)),
        ("resample", (IMAGE, np.zeros((8, 7), np.float32), 1, 16, 16, START, WEIGHTS, START, WEIGHTS)),
        ("resample", (IMAGE, np.zeros((8, 8), np.float32), 1, 16, 16, START[:7], WEIGHTS, START, WEIGHTS)),
        ("statistics", (IMAGE, IMAGE.copy(), 1, 255)),
        ("statistics", (IMAGE, IMAGE.copy(), 0, 256)),
        ("deviation", (IMAGE, IMAGE[:8].copy(), 1, 256)),
    ],
)
def test_a_buffer_of_another_size_is_refused_and_not_written_beyond(
    function: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(ValueError, match=r"needs|must|reach"):
        getattr(_kernel, function)(*arguments)


def test_buffers_that_are_not_contiguous_are_refused() -> None:
    with pytest.raises((BufferError, ValueError)):
        _kernel.sobel(GREY.T[::2], None, IMAGE.copy(), 8, 16)
