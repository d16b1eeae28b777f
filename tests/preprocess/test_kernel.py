from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import sarpipe.preprocess
from sarpipe.errors import SarpipeError
from sarpipe.preprocess import _kernel
from sarpipe.preprocess.bilateral import bilateral
from sarpipe.preprocess.kernel import kernel, way
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import SarRecipe

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
    _kernel.widen(halves, wide)
    np.testing.assert_array_equal(wide, halves.astype(np.float32))

    random = np.random.default_rng(0)
    numbers = np.concatenate([wide[np.isfinite(wide)], random.normal(0, 30, 10_001), random.normal(0, 1e-6, 1_000)])
    values = np.append(numbers, [np.nan, np.inf, -np.inf, 65504, 0.0, -0.0]).astype(np.float32)
    narrow = np.empty(values.shape, np.float16)
    _kernel.narrow(values, narrow)
    np.testing.assert_array_equal(narrow.view(np.uint16), values.astype(np.float16).view(np.uint16))


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
