from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sarpipe.preprocess.temporal import statistics

pytestmark = pytest.mark.usefixtures("way")

VALUES = st.floats(-1000, 1000, width=32)
FRAMES = arrays(np.float32, (4, 2, 4, 2), elements=VALUES | st.just(np.nan))


@settings(deadline=None)
@given(FRAMES)
def test_they_are_numpys_over_the_valid_dates(frames: NDArray[np.float32]) -> None:
    mean, std, diff = np.split(statistics(frames), 3)
    count = np.isfinite(frames).sum(axis=0)
    exact = frames.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected_mean, expected_std = np.nanmean(exact, axis=0), np.nanstd(exact, axis=0)

    np.testing.assert_allclose(mean, expected_mean, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(std, np.where(count >= 2, expected_std, np.nan), rtol=1e-4, atol=1e-3)
    for place in np.ndindex(*count.shape):
        known = frames[(slice(None), *place)]
        known = known[np.isfinite(known)]
        expected = known[-1] - known[0] if known.size >= 2 else np.nan
        np.testing.assert_array_equal(diff[place], np.float32(expected))


@settings(deadline=None)
@given(arrays(np.float32, (4, 2, 4, 2), elements=VALUES), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_pixel_without_data_changes_no_other_pixel(frames: NDArray[np.float32], missing: float) -> None:
    holed = frames.copy()
    holed[:, 0, 0, 0] = missing
    before, after = statistics(frames), statistics(holed)

    assert np.isnan(after[[0, 2, 4], 0, 0]).all()
    after[[0, 2, 4], 0, 0] = before[[0, 2, 4], 0, 0]
    np.testing.assert_array_equal(after, before)


@settings(deadline=None)
@given(FRAMES, st.lists(st.tuples(st.integers(0, 6), st.sampled_from([np.nan, np.inf, -np.inf])), max_size=3))
def test_dates_without_data_change_no_bit_wherever_they_stand(
    frames: NDArray[np.float32], empty: list[tuple[int, float]]
) -> None:
    longer = frames
    for position, filler in empty:
        longer = np.insert(longer, min(position, len(longer)), np.float32(filler), axis=0)

    np.testing.assert_array_equal(statistics(longer), statistics(frames))


def test_channels_come_statistic_by_statistic() -> None:
    frames = np.array([[1.0, 10.0], [2.0, 30.0], [3.0, 50.0], [6.0, 30.0]])[:, :, None, None]

    np.testing.assert_allclose(
        statistics(frames)[:, 0, 0], [3, 30, np.std([1, 2, 3, 6]), np.std([10, 30, 50, 30]), 5, 20]
    )


@settings(deadline=None)
@given(FRAMES, st.permutations(range(4)))
def test_the_order_of_dates_matters_to_the_difference_alone(frames: NDArray[np.float32], order: list[int]) -> None:
    one, other = statistics(frames), statistics(frames[order])
    np.testing.assert_allclose(other[:4], one[:4], rtol=1e-4, atol=1e-3)

    np.testing.assert_array_equal(statistics(frames[::-1])[4:], -one[4:])


@pytest.mark.parametrize("holed", [False, True])
def test_one_date_has_a_mean_and_no_change(holed: bool) -> None:
    frames = np.ones((1, 4, 2, 2), np.float32)
    if holed:
        frames[0, 0, 0, 0] = np.nan
    result = statistics(frames)

    np.testing.assert_array_equal(result[:4], frames[0])
    assert np.isnan(result[4:]).all()


def test_leading_axes_are_kept() -> None:
    frames = np.random.default_rng(0).normal(size=(3, 2, 4, 4, 5, 6)).astype(np.float32)
    result = statistics(frames)

    assert result.shape == (3, 2, 12, 5, 6)
    np.testing.assert_array_equal(result[2, 1], statistics(frames[2, 1]))
